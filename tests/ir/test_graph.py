"""Graphs and ops: equal if and only if they are the same."""

import copy
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from graphwright.ir import dtype as dt
from graphwright.ir.builder import Builder
from graphwright.ir.constant import Constant
from graphwright.ir.dim import symbol
from graphwright.ir.graph import Graph, Source
from graphwright.ir.op import OPS, Op
from graphwright.ir.types import Guard, TensorType

N = symbol("n")


def build(
    *,
    dtype: dt.DType = dt.float32,
    dims: tuple[Any, ...] = (N, 3),
    name: str = "x",
    result: str = "out",
    kind: str = "sum",
    axis: int = 0,
    swap: bool = False,
    constant: float = 2.0,
    twice: bool = False,
    variable: float = 0.0,
    guard: str = "<=",
    source: str = "",
    graph: str = "g",
) -> Graph:
    """``reduce(x - y) * constant`` in many variants."""
    b = Builder(graph)
    b.source = Source("made", source)
    b.variables["w"] = Constant.of(np.float32(variable))
    b.guard(Guard(N, guard, 9))
    x, y = b.input(name, TensorType(dtype, dims)), b.input("y", TensorType(dtype, dims))
    z = b.reduce(kind, b.sub(y, x) if swap else b.sub(x, y), [axis])
    z = b.mul(z, constant)
    return b.finish([z, b.exp(z) if twice else z], [result, "again"])


VARIANTS: dict[str, dict[str, Any]] = {
    "same": {},
    "dtype": {"dtype": dt.float64},
    "dim": {"dims": (N, 4)},
    "symbol": {"dims": (symbol("m"), 3)},
    "minimum": {"dims": (symbol("n", 1), 3)},
    "rank": {"dims": (N, 3, 1)},
    "name of an input": {"name": "z"},
    "name of an output": {"result": "z"},
    "attribute": {"kind": "max"},
    "another attribute": {"axis": 1},
    "wiring": {"swap": True},
    "constant": {"constant": 3.0},
    "sign of zero": {"constant": -0.0},
    "zero": {"constant": 0.0},
    "node": {"twice": True},
    "variable": {"variable": 1.0},
    "guard": {"guard": "=="},
}


def test_graphs_are_equal_iff_they_are_the_same() -> None:
    for one, other in combinations(VARIANTS, 2):
        assert build(**VARIANTS[one]) != build(**VARIANTS[other]), (one, other)
    for name, parts in VARIANTS.items():
        first, second = build(**parts), build(**parts)
        assert first == second, name
        assert hash(first) == hash(second)


def test_provenance_is_no_part_of_equality() -> None:
    assert build(source="a") == build(source="b", graph="other")
    assert build() != "graph"


def test_unused_constants_are_no_part_of_equality() -> None:
    b = Builder("g")
    x = b.input("x", TensorType(dt.float32, ()))
    plain = b.finish([x], ["x"])
    spare = b.constant(np.float32(1))
    assert replace(plain, constants={spare: Constant.of(np.float32(1))}) == plain


def test_long_graphs_compare_without_recursion() -> None:
    def chain() -> Graph:
        b = Builder("g")
        y = b.input("x", TensorType(dt.float32, (2,)))
        for _ in range(5_000):
            y = b.exp(y)
        return b.finish([y])

    assert chain() == chain()


def test_walk_goes_through_sub_graphs() -> None:
    b = Builder("outer")
    inner = b.subgraph("inner")
    t = TensorType(dt.float32, ())
    body = inner.finish([inner.exp(inner.input("v", t))])
    x = b.input("x", t)
    (y,) = b.emit_all("call", x, graph=body, types=(t,))
    graph = b.finish([b.neg(y)])
    assert [n.op.name for n in graph.walk()] == ["call", "exp", "neg"]
    assert graph.use_counts() == {x: 1, y: 1, graph.outputs[0]: 1}
    assert set(graph.producers()) == {y, graph.outputs[0]}


def test_all_constants_are_found() -> None:
    b = Builder("outer")
    b.variables["w"] = Constant.of(np.float32(1))
    inner = b.subgraph("inner")
    body = inner.finish([inner.constant(np.float32(2))])
    (y,) = b.emit_all("call", graph=body, types=(TensorType(dt.float32, ()),))
    graph = b.finish([b.add(y, b.constant(np.float32(3)))])
    assert sorted(float(c.array()) for c in graph.all_constants()) == [1, 2, 3]


class Probe(Op):
    """An op with one field that holds anything, and one with a default."""

    name = "test.probe"
    value: Any
    other: int = 5


OPS.pop(Probe.name)  # other tests go through all operations of the library


def test_ops_are_equal_by_type_and_bits_of_their_fields() -> None:
    values: list[Any] = [
        1,
        1.0,
        True,
        0,
        0.0,
        -0.0,
        False,
        None,
        "1",
        (1,),
        (1.0,),
        (True,),
        (),
    ]
    values += [((0.0,),), ((-0.0,),), N, N + 1, dt.int8, dt.uint8, float("nan")]
    for i, x in enumerate(values):
        for j, y in enumerate(values):
            assert (Probe(value=x) == Probe(value=y)) is (i == j), (x, y)
        assert hash(Probe(value=x)) == hash(Probe(value=copy.deepcopy(x)))
    assert Probe(value=1) != Probe(value=1, other=6)
    assert Probe(value=1) != 1
    assert OPS["add"]() != OPS["sub"]()
    assert OPS["add"]() is OPS["add"]()


def test_ops_check_their_fields() -> None:
    assert Probe(value=1).fields == {"value": 1, "other": 5}
    assert Probe(value=1).replace(other=7) == Probe(value=1, other=7)
    with pytest.raises(TypeError, match=r"test.probe needs field value"):
        Probe()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"test.probe has no field extra"):
        Probe(value=1, extra=2)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"test.probe has 2 fields"):
        Probe(1, 2, 3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"add has no field extra"):
        OPS["add"](extra=2)
    with pytest.raises(AttributeError, match="immutable"):
        Probe(value=1).value = 2  # type: ignore[misc]
