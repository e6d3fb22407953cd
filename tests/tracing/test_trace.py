"""Graphs of Python functions: sources, errors, NumPy programs as they are."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy import max as greatest
from numpy import zeros as make_zeros
from numpy.linalg import norm as size

import graphwright as gw

WEIGHTS = np.arange(3.0)


def helper(n: int, t: Any) -> Any:
    out = np.zeros(n)
    out[1:-1] = t * WEIGHTS
    return out


def test_functions_imported_by_name_take_lists_of_tensors() -> None:
    summed = np.sum

    def program(x: Any) -> Any:
        return greatest([x[0], x.mean(), 2.0]), summed([x, x * 2], axis=0), size([x, x])

    x = np.array([3.0, 4.0, 5.0])
    for found, want in zip(gw.jit(program)(x), program(x), strict=True):
        np.testing.assert_allclose(found, want)


def test_numpy_programs_are_traced_as_they_are() -> None:
    def program(x: Any) -> Any:
        inner = make_zeros(5) + helper(5, x)
        both = np.array([x[0], x[1]])
        inner[:2] += both
        return np.linalg.norm(inner), inner

    x = np.array([3.0, 4.0, 5.0])
    for found, want in zip(gw.jit(program)(x), program(x), strict=True):
        np.testing.assert_allclose(found, want)


def test_nodes_know_their_line() -> None:
    def f(x: Any) -> Any:
        return x * 2

    graph = gw.trace(f, gw.spec("float32", (3,)))
    (node,) = [n for n in graph.nodes if n.op.name == "mul"]
    line = f.__code__.co_firstlineno + 1
    assert node.source is not None
    assert node.source.name == f"{__file__}:{line}"


def test_graphs_are_text() -> None:
    def f(x: Any, w: Any) -> Any:
        return np.maximum(x @ w, 0)

    graph = gw.trace(f, gw.spec("float32", ("batch", 4)), gw.spec("float32", (4, 2)))
    assert gw.parse(str(graph)) == graph
    assert graph.input_names == ("x", "w")


def test_captured_arrays_are_constants_of_a_graph() -> None:
    graph = gw.trace(lambda x: x * WEIGHTS, gw.spec("float64", (3,)))
    assert len(graph.inputs) == 1
    assert gw.compile(graph)(np.ones(3)).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "read",
    [bool, float, int, lambda t: t.tolist(), lambda t: list(range(t))],
)
def test_reading_a_traced_value_is_an_error_with_its_line(read: Any) -> None:
    def f(x: Any) -> Any:
        return x + read(x[0])

    with pytest.raises(gw.TraceError, match=rf"{__file__}:\d+: .* needs the value of"):
        gw.trace(f, gw.spec("int64", (3,)))


def test_named_dims_have_no_length() -> None:
    with pytest.raises(gw.TraceError, match="size n"):
        gw.trace(lambda x: [row + 1 for row in x], gw.spec("float32", ("n",)))


def test_named_dims_are_no_python_numbers() -> None:
    spec = gw.spec("float64", ("n", 3))
    uses: list[Any] = [
        *(lambda n: n > 1, lambda n: min(n, 3), bool, float, range),
        *(lambda n: 1.0 / n, lambda n: n**0.5, lambda n: 0.5 * n),
    ]
    for use in uses:

        def f(x: Any, use: Any = use) -> Any:
            return x, use(x.shape[0])

        with pytest.raises(gw.TraceError, match=rf"{__file__}:\d+: .* named size"):
            gw.trace(f, spec)


def test_named_dims_are_operands() -> None:
    def f(x: Any) -> Any:
        n = x.shape[0]
        few = gw.cond(np.greater(n, 1), lambda: x[0], lambda: x.sum(0))
        return n * x, n % 2 - few, np.divide(1, n), (x.size - x) / n

    traced = gw.compile(gw.trace(f, gw.spec("float64", ("n", 3))))
    for n in (1, 2):
        x = np.arange(3.0 * n).reshape(n, 3)
        wanted = n * x, n % 2 - x[0], 1 / n, (x.size - x) / n
        for found, want in zip(traced(x), wanted, strict=True):
            np.testing.assert_array_equal(np.asarray(found), want)


def test_named_dims_may_be_nothing() -> None:
    exe = gw.compile(gw.trace(np.bincount, gw.spec("int64", ("n",))))
    for x in ([], [1, 3, 1]):
        counts = np.asarray(exe(np.array(x, np.int64)))
        assert counts.tolist() == np.bincount(np.array(x, np.int64)).tolist()
    exe = gw.compile(gw.trace(np.fft.fft, gw.spec("float64", ("n",))))
    with pytest.raises(gw.ShapeError, match="n = 0 breaks 1 <= n"):
        exe(np.zeros(0))


@pytest.mark.parametrize("shape", [(-1,), (None, 3), (2.0,), -2])
def test_what_is_no_size(shape: Any) -> None:
    with pytest.raises(gw.ShapeError, match="is no size: give a number"):
        gw.spec("float32", shape)


def test_sizes_without_a_tuple() -> None:
    assert gw.spec("float32", "batch").shape == gw.spec("float32", ("batch",)).shape
    assert gw.spec("float32", 3) == gw.spec("float32", (3,))


def test_scans_give_pairs() -> None:
    with pytest.raises(gw.TraceError, match=rf"{__file__}:\d+: scan: .* a pair"):
        gw.jit(lambda x: gw.scan(lambda c, row: c + row, 0.0, x))(np.ones(3))


def test_leaked_tensors_are_named() -> None:
    kept: list[Any] = []
    boxes = [(kept,)]

    @gw.jit
    def f(x: Any) -> Any:
        boxes[0][0].append(x + 1)
        return x

    f(np.ones(2))
    with pytest.raises(
        gw.TraceError, match=r"trace of 'f', which is over, made at add"
    ):
        kept[0] + 1
    with pytest.raises(gw.TraceError, match="which is over"):
        np.asarray(kept[0])


@dataclass
class Params:
    w: Any
    b: Any


def test_trees() -> None:
    @gw.jit
    def f(p: Params, xs: dict[str, Any]) -> Any:
        return {"y": [xs["a"] @ p.w + p.b], "n": 3}, Params(p.w * 2, None)

    p = Params(np.eye(2), np.ones(2))
    found, twice = f(p, {"a": np.ones((1, 2))})
    assert found["n"] == 3
    assert found["y"][0].tolist() == [[2, 2]]
    assert isinstance(twice, Params)
    assert twice.w.tolist() == [[2, 0], [0, 2]]


def test_eval_shape() -> None:
    found = gw.eval_shape(lambda x: (x @ x, x.sum()), gw.spec("float32", ("n", "n")))
    assert [str(s.type) for s in found] == ["float32[n, n]", "float32[]"]


def test_writing_to_an_argument_needs_jit() -> None:
    def f(x: Any) -> Any:
        x[0] = 1
        return x

    with pytest.raises(gw.TraceError, match=r"gw\.jit"):
        gw.trace(f, gw.spec("float32", (3,)))
