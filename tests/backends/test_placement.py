"""Graphs divided between backends: who runs what, what is copied, what comes out."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from onnx_graphs import model_of

import graphwright as gw
from graphwright.backends import registry
from graphwright.backends.observe import Reading
from graphwright.ir.dim import symbol
from graphwright.ir.dtype import bool_, float32
from graphwright.ir.graph import Graph
from graphwright.ir.op import Op, Tier
from graphwright.ir.ops.fused import Placed
from graphwright.ir.types import TensorType, Type
from graphwright.testing import (
    RecordingBackend,
    assert_agree,
    inputs_for,
    random_graph,
)

ROW = TensorType(float32, (symbol("n"),))


class Left(RecordingBackend):
    """Arrays that only it can see; it runs ops whose names are of odd length."""

    name = "left"

    def supports(self, op: Op, types: Sequence[Type]) -> bool:
        odd = len(op.name) % 2 == 1 or op.name == "copy_to"
        return odd and super().supports(op, types)


class Right(RecordingBackend):
    """Arrays of its own; it runs the others."""

    name = "right"


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    for table in ("_factories", "_instances"):
        monkeypatch.setattr(registry, table, dict(getattr(registry, table)))
    gw.register_backend("left", Left)
    gw.register_backend("right", Right)


def chain() -> Graph:
    b = gw.Builder("chain")
    x = b.input("x", ROW)
    return b.finish([b.add(b.exp(b.neg(x)), x)], ["y"])


def ran(name: str) -> set[str]:
    backend = registry.get_backend(name)
    assert isinstance(backend, RecordingBackend)
    return {call.op for call in backend.calls}


def lines(exe: gw.Executable) -> list[str]:
    """The steps of a divided graph, each with its device."""
    rows = [
        (node.op.name, getattr(node.op, "device", ""))
        for node in exe.program.graph.nodes
    ]
    return [f"{name} {device}".strip() for name, device in rows]


@pytest.mark.parametrize("start", range(0, 150, 50))
def test_what_one_lacks_the_other_runs(start: int) -> None:
    for seed in range(start, start + 50):
        graph = random_graph(seed)
        assert_agree(graph, inputs_for(graph, seed), backend=["left", "right"])
    assert not {n for n in ran("left") if len(n) % 2 == 0 and n != "copy_to"}
    assert {"sin", "mul", "cast"} & (ran("left") | ran("right"))


def test_the_last_of_a_list_runs_the_rest_without_fallback() -> None:
    graph = chain()
    exe = gw.compile(graph, backend=["left", "numpy"], strict=True, optimize=False)
    x = np.arange(3, dtype=np.float32)
    np.testing.assert_allclose(exe(x).numpy(), np.exp(-x) + x, rtol=1e-6)
    assert exe.fallbacks == []
    with pytest.raises(gw.UnsupportedOpError, match="left"):
        gw.compile(_even(), backend="left", strict=True)(x)


def _even() -> Graph:
    b = gw.Builder("even")
    return b.finish([b.unary("cosh", b.input("x", ROW))])


@pytest.mark.parametrize("name", ["exp", "Exp", "value", "line"])
def test_placement_by_name(name: str) -> None:
    model = model_of("g (float[n] x) => (float[n] y) { value = Exp(x) y = Neg(value) }")
    graph = gw.load(model)
    if name == "line":
        spec = gw.spec("float32", ("n",))
        graph = gw.trace(lambda x: np.negative(
            np.exp(x)), spec)  # fmt: skip
        assert graph.nodes[0].source is not None
        name = graph.nodes[0].source.name.rpartition("/")[2]
        assert name.startswith("test_placement.py:")
    exe = gw.compile(graph, backend="right", placement={name: "numpy"})
    x = np.arange(4, dtype=np.float32)
    np.testing.assert_allclose(exe(x).numpy(), -np.exp(x), rtol=1e-6)
    assert lines(exe) == ["copy_to numpy", "placed numpy", "copy_to right", "neg"]
    assert exe.placement == {"numpy": [str(graph.nodes[0].source)]}


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(gw.ModelError, match=r"'conv1'.*chain does not have"):
        gw.compile(chain(), backend="right", placement={"conv1": "numpy"})
    with pytest.raises(gw.BackendUnavailable, match="nowhere"):
        gw.compile(chain(), backend="right", placement={"exp": "nowhere"})


def test_copies_that_the_author_wrote() -> None:
    b = gw.Builder("noted")
    x = b.input("x", ROW)
    there = b.emit("copy_to", x, device="left")
    graph = b.finish([b.mul(b.neg(there), there), b.neg(x)])
    exe = gw.compile(graph, backend="numpy")
    found = exe.run(None, {"x": np.arange(3, dtype=np.float32)})
    np.testing.assert_array_equal(found[0], [0, -1, -4])
    np.testing.assert_array_equal(found[1], [0, -1, -2])
    assert "neg" in ran("left")
    placed = [n.op for n in exe.program.graph.nodes if isinstance(n.op, Placed)]
    assert [op.device for op in placed] == ["left"]


@pytest.mark.parametrize("optimize", [True, False])
def test_a_traced_function_says_where_it_runs(optimize: bool) -> None:
    def model(x: Any) -> Any:
        return np.negative((x * 2).to("left")).to_device("right") + 1

    graph = gw.trace(model, gw.spec("float32", ("n",)))
    exe = gw.compile(graph, backend="right", optimize=optimize)
    x = np.arange(3, dtype=np.float32)
    assert exe(x).tolist() == [1, -1, -3]
    copies = [line for line in lines(exe) if line.startswith("copy_to")]
    assert copies == ["copy_to left", "copy_to right"]
    assert "neg" in ran("left")
    assert {"mul", "add"} <= ran("right")
    assert gw.jit(model, backend="right")(x).tolist() == [1, -1, -3]
    assert gw.parse(str(graph)) == graph


def test_three_backends_and_values_that_go_straight_across() -> None:
    placement = {"exp": "left", "neg": "numpy"}
    exe = gw.compile(
        chain(), backend="right", placement=placement, optimize=False, strict=False
    )
    x = np.arange(5, dtype=np.float32)
    np.testing.assert_allclose(exe(x).numpy(), np.exp(-x) + x, rtol=1e-6)
    assert lines(exe) == [
        "copy_to numpy", "placed numpy", "copy_to left", "placed left",
        "copy_to right", "add",
    ]  # fmt: skip


def test_inside_control_flow() -> None:
    def double(x: Any) -> Any:
        return gw.fori_loop(0, 3, lambda i, c: np.exp(c) * 0.1 + i, x)

    graph = gw.trace(double, gw.spec("float32", (4,)))
    assert_agree(graph, inputs_for(graph, 0), backend=["left", "numpy"])
    assert ran("left")
    assert any(n.op.tier is Tier.CONTROL for n in graph.nodes)


def test_copies_inside_control_flow() -> None:
    b = gw.Builder("branches")
    p = b.input("p", TensorType(bool_, ()))
    x = b.input("x", TensorType(float32, (3,)))

    def branch(device: str) -> Graph:
        inner = b.subgraph(device)
        y = inner.input("x", x.type)
        moved = inner.emit("copy_to", y, device=device)
        return inner.finish([inner.mul(inner.neg(moved), moved)])

    fields = {"then_graph": branch("left"), "else_graph": branch("right")}
    (z,) = b.emit_all("cond", p, x, **fields, types=(x.type,))
    exe = gw.compile(b.finish([z]), backend="numpy")
    for choice in (True, False):
        found = exe.run(None, {"p": np.array(choice), "x": np.ones(3, np.float32)})
        np.testing.assert_array_equal(found[0], [-1, -1, -1])
    assert {"neg"} <= ran("left") | ran("right")
    assert set(exe.placement) >= {"left"}


def test_values_inside_are_observed() -> None:
    model = model_of("g (float[n] x) => (float[n] y) { v = Exp(x) y = Neg(v) }")
    exe = gw.compile(gw.load(model), backend="left", placement={"Exp": "right"})
    seen: dict[str, Any] = {}

    def note(reading: Reading) -> None:
        seen.update({origin.value: reading.array for origin in reading.origins})

    with exe.observe(note):
        exe(np.zeros(2, np.float32))
    np.testing.assert_array_equal(seen["v"], [1, 1])
    np.testing.assert_array_equal(seen["y"], [-1, -1])


def test_check_says_where_things_run() -> None:
    report = gw.check(_even(), backend=["left", "right"])
    rows = {(f.op, f.outcome) for f in report.findings}
    assert rows == {("cosh", "decomposed"), ("broadcast_to", "runs on right")}
    assert report.ok
