"""The contract of backends: what they are asked, given, and kept from."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest

import graphwright as gw
from graphwright.backends import registry
from graphwright.backends.contract import CONTRACT_VERSION, Backend
from graphwright.backends.movement import positions
from graphwright.ir.dim import symbol
from graphwright.ir.dtype import DType, bool_, float16, float32, int64, string
from graphwright.ir.errors import BackendUnavailable
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Node
from graphwright.ir.op import OPS, Op
from graphwright.ir.ops.fused import Fused
from graphwright.ir.types import TensorType, Type
from graphwright.ir.verify import verify
from graphwright.passes.regions import claim_regions
from graphwright.testing import (
    RecordingBackend,
    RecordingGraphBackend,
    assert_agree,
    cases,
    inputs_for,
    random_graph,
)

OPAQUE = (RecordingBackend, RecordingGraphBackend)


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Backends registered here are forgotten."""
    for table in ("_factories", "_instances"):
        monkeypatch.setattr(registry, table, dict(getattr(registry, table)))


@pytest.mark.parametrize("make", OPAQUE)
@pytest.mark.parametrize("start", range(0, 120, 40))
def test_arrays_that_only_the_backend_can_see(
    make: type[RecordingBackend | RecordingGraphBackend], start: int
) -> None:
    backend = make()
    for seed in range(start, start + 40):
        graph = random_graph(seed)
        assert_agree(graph, inputs_for(graph, seed), backend=backend)
    assert {"add", "reshape", "while_loop"} & {call.op for call in backend.calls}


class Adder(gw.TableBackend):
    name = "adder"
    table = {"add": lambda op, x, y: x + y}  # noqa: RUF012
    dtypes = frozenset({"float32"})


def sum_of(dtype: DType = float32) -> gw.Graph:
    b = gw.Builder("sum")
    left, right = (b.input(n, TensorType(dtype, (symbol("n"),))) for n in "xy")
    return b.finish([b.mul(b.add(left, right), right)])


def test_a_table_runs_what_is_in_it() -> None:
    exe = gw.compile(sum_of(), backend=Adder())
    x = np.arange(3, dtype=np.float32)
    assert np.asarray(exe(x, x)).tolist() == [0, 2, 8]
    assert [fallback.op for fallback in exe.fallbacks] == ["mul"]


def test_a_table_declines_other_dtypes() -> None:
    exe = gw.compile(sum_of(int64), backend=Adder())
    exe(np.arange(3), np.arange(3))
    assert {fallback.op for fallback in exe.fallbacks} == {"add", "mul"}


class Sized(Adder):
    """Takes sizes that it likes; what it makes of symbols is ``unknown``."""

    def __init__(self, *, unknown: bool) -> None:
        self.unknown = unknown

    def accepts(self, op: Op, types: Sequence[Type]) -> bool:
        sizes = [n for t in types if isinstance(t, TensorType) for n in t.dims]
        return all(n < 4 if isinstance(n, int) else self.unknown for n in sizes)


@pytest.mark.parametrize(
    ("unknown", "size", "runs"), [(True, 3, True), (True, 5, False), (False, 3, False)]
)
def test_what_runs_is_settled_before_sizes_are(
    unknown: bool, size: int, runs: bool
) -> None:
    backend, x = Sized(unknown=unknown), np.arange(size, dtype=np.float32)
    exe = gw.compile(sum_of(), backend=backend)
    assert np.asarray(exe(x, x)).tolist() == (2 * x * x).tolist()
    assert ("add" not in {f.op for f in exe.fallbacks}) == runs
    told = {f.op for f in gw.check(sum_of(), backend=backend).findings}
    assert ("add" not in told) == unknown


def test_a_dtype_that_an_op_names_counts() -> None:
    class Caster(Adder):
        table = {"cast": lambda op, x: x.astype(op.dtype.numpy)}  # noqa: RUF012

    op, types = OPS["cast"](dtype=int64), [TensorType(float32, (2,))]
    assert not Caster().supports(op, types)
    assert Caster().supports(op.replace(dtype=float32), types)


class Halves(gw.TableBackend):
    """Computes in float32 what is float16; nothing else is its own."""

    table = {"exp": lambda op, x: _single(np.exp(x))}  # noqa: RUF012
    dtypes = frozenset({"float16", "float32"})
    wide = {"float16": "float32"}  # noqa: RUF012

    def convert(self, array: Any, dtype: DType) -> Any:
        return array.astype(dtype.numpy)


def _single(x: Any) -> Any:
    assert x.dtype == np.float32
    return x


def test_a_table_computes_in_wider_dtypes() -> None:
    b = gw.Builder("half")
    graph = b.finish([b.exp(b.input("x", TensorType(float16, (3,))))])
    x = np.array([0, 1, 2], np.float16)
    (found,) = gw.compile(graph, backend=Halves(), strict=True).run(None, {"x": x})
    assert found.tolist() == np.exp(x.astype(np.float32)).astype(np.float16).tolist()


def test_what_a_backend_does_not_hold_stays_on_the_host() -> None:
    class Picky(Halves):
        def to_device(self, array: Any) -> Any:
            assert array.dtype.name in self.dtypes
            return array

    b = gw.Builder("mixed")
    x, i = (
        b.input("x", TensorType(float16, (3,))),
        b.input("i", TensorType(int64, (2,))),
    )
    graph = b.finish([b.exp(b.gather(x, i, 0)), b.add(i, i)])
    feeds = [np.array([1, 2, 3], np.float16), np.array([0, 2])]
    assert_agree(graph, feeds, backend=Picky())


@pytest.mark.parametrize("name", [n for n, cls in OPS.items() if cls.moves])
def test_ops_that_move_say_where_from(name: str) -> None:
    for case in list(cases(name))[:12]:
        (node,) = [n for n in case.graph.nodes if n.op.name == name][:1]
        if case.graph.input_symbols() or node.operands != case.graph.inputs:
            continue
        xs = [np.asarray(x) for x in case.inputs]
        moves = node.op.moves or slice(0)
        line = np.concatenate([x.ravel() for x in xs[moves]])
        at = positions(node.op, xs, np.asarray)
        (want,) = evaluate(case.graph, case.inputs)
        assert line[at].tolist() == want.tolist()


@pytest.mark.parametrize(
    ("version", "cure"), [(CONTRACT_VERSION + 1, "graphwright"), (0, "package")]
)
def test_another_version_of_the_contract(version: int, cure: str) -> None:
    class Other(Adder):
        contract = version

    wanted = (
        rf"version {version} .* version {CONTRACT_VERSION}.*newer version of.*{cure}"
    )
    with pytest.raises(BackendUnavailable, match=wanted):
        gw.register_backend("other", Other)
    gw.register_backend("other", partial(Other))  # asked when it is made
    for backend in ("other", Other()):
        with pytest.raises(BackendUnavailable, match=wanted):
            gw.compile(sum_of(), backend=backend)


def test_dtypes_of_a_table_exist() -> None:
    with pytest.raises(gw.ArgumentError, match="Misspelt: no dtype is called 'f32'"):
        type("Misspelt", (gw.TableBackend,), {"dtypes": frozenset({"f32"})})


def test_what_is_registered_must_give_a_backend() -> None:
    gw.register_backend("none", object)  # type: ignore[arg-type]
    with pytest.raises(BackendUnavailable, match=r"gives a gw\.Backend"):
        gw.compile(sum_of(), backend="none")


def with_loop() -> gw.Graph:
    """Composites inside control flow, between ops that can be claimed."""
    b = gw.Builder("looped")
    x = b.input("x", TensorType(float32, (2, 3)))
    go = b.input("go", TensorType(bool_, ()))
    then, other = gw.Builder("then"), gw.Builder("other")
    inside = then.input("x", x.type)
    first = then.finish([then.emit("softmax", then.add(inside, inside), axis=1)])
    inside = other.input("x", x.type)
    second = other.finish([inside])
    fields = {"then_graph": first, "else_graph": second, "types": (x.type,)}
    (y,) = b.apply(OPS["cond"](**fields), [go, b.mul(x, x)])
    return b.finish([b.sub(y, x)])


@pytest.mark.parametrize("make", OPAQUE)
@pytest.mark.parametrize("go", [False, True])
def test_composites_in_control_flow_are_decomposed(
    make: type[RecordingBackend | RecordingGraphBackend], go: bool
) -> None:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    graph, feeds = with_loop(), [x, np.array(go)]
    assert_agree(graph, feeds, backend=make(), strict=True)


def regions(graph: gw.Graph) -> list[Fused]:
    return [node.op for node in graph.nodes if isinstance(node.op, Fused)]


def region(body: gw.Graph) -> Fused:
    return Fused(kind="region", body=body)


def even(node: Node) -> bool:
    return len(node.op.name) % 2 == 0 and node.op.tier.value != "control"


def test_regions_are_few_and_whole() -> None:
    b = gw.Builder("zigzag")
    x = b.input("x", TensorType(float32, (4,)))
    y = b.exp(x)
    z = b.unary("sin", y)  # not claimed
    w = b.add(b.mul(y, y), b.neg(x))  # needs nothing of it
    graph = b.finish([b.add(z, w), w])

    found = claim_regions(graph, lambda node: node.op.name != "sin", region)
    verify(found)
    sizes = [len(region.body.nodes) for region in regions(found)]
    assert sizes == [4, 1]
    feeds = [np.arange(4, dtype=np.float32)]
    for got, want in zip(evaluate(found, feeds), evaluate(graph, feeds), strict=True):
        np.testing.assert_array_equal(got, want)


def test_views_of_constants_are_where_they_are_read() -> None:
    b = gw.Builder("spread")
    x = b.input("x", TensorType(float32, (4,)))
    three = b.emit("broadcast_to", b.scalar(3, float32), shape=(4,))
    z = b.unary("sin", b.mul(x, three))  # not claimed
    graph = b.finish([b.add(z, three)])

    found = claim_regions(graph, lambda node: node.op.name != "sin", region)
    verify(found)
    bodies = [[n.op.name for n in r.body.nodes] for r in regions(found)]
    assert bodies == [["broadcast_to", "mul"], ["broadcast_to", "add"]]
    assert all(len(r.body.outputs) == 1 for r in regions(found))
    feeds = [np.arange(4, dtype=np.float32)]
    for got, want in zip(evaluate(found, feeds), evaluate(graph, feeds), strict=True):
        np.testing.assert_array_equal(got, want)


def test_regions_wait_for_sizes_that_a_run_finds_out() -> None:
    b = gw.Builder("found")
    x = b.input("x", TensorType(float32, (5,)))
    places = b.emit("nonzero", x, count=b.fresh_symbol())
    graph = b.finish([b.add(places, places)])
    found = claim_regions(graph, lambda node: True, region)
    verify(found)
    assert [node.op.name for node in found.nodes][-1] == "fused"


def test_nothing_claimed_is_the_same_graph() -> None:
    graph = sum_of()
    assert claim_regions(graph, lambda node: False, region) is graph


def test_random_graphs_in_regions() -> None:
    for seed in range(60):
        graph = random_graph(seed)
        found = claim_regions(graph, even, region)
        verify(found)
        assert_agree(found, inputs_for(graph, seed), optimize=False)


def test_strings_stay_on_the_host() -> None:
    b = gw.Builder("words")
    x = b.input("x", TensorType(string, (3,)))
    graph = b.finish([b.eq(x, x), x])
    feeds = [np.array(["a", "b", "c"], object)]
    assert_agree(graph, feeds, backend=RecordingBackend())


def test_results_are_tensors_whatever_the_arrays_are() -> None:
    exe = gw.compile(sum_of(), backend=RecordingBackend())
    found = exe(np.ones(3, np.float32), np.ones(3, np.float32))
    assert found.dtype == np.float32
    assert np.asarray(found + 1).tolist() == [3, 3, 3]


def test_results_share_no_memory() -> None:
    b = gw.Builder("itself")
    x = b.input("x", TensorType(float32, (3,)))
    graph = b.finish([x, b.reshape(x, (3, 1)), x])
    fed = np.zeros(3, np.float32)
    for backend in (RecordingBackend(), Adder(), "numpy"):
        found = gw.compile(graph, backend=backend).run(None, {"x": fed})
        for i, left in enumerate(found):
            for right in (fed, *found[i + 1 :]):
                assert not np.may_share_memory(left, right)


def test_backends_are_abstract() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Backend()  # type: ignore[abstract]
    with pytest.raises(TypeError, match="abstract"):
        gw.GraphBackend()  # type: ignore[abstract]
