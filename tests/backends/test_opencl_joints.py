"""Joined arrays made in place: who writes where, and the same results."""

from typing import Any

import numpy as np
import pytest
from onnx_graphs import model_of

import graphwright as gw
from graphwright.backends.codegen.device import Cpu
from graphwright.backends.codegen.elements import Array
from graphwright.backends.codegen.lower import lowered
from graphwright.backends.compile import arrange
from graphwright.backends.opencl.backend import OpenCLBackend
from graphwright.backends.opencl.library import Session, found
from graphwright.ir.dtype import float32
from graphwright.ir.graph import Graph
from graphwright.ir.ops.fused import Fused

MISSING = OpenCLBackend().unavailable()
device = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))

SAME = "pads=[1,1,1,1]"
BODIES = {
    "branches": f"a = Conv<{SAME}>(x, w) p = Relu(a) b = Conv(x, v) "
    f"c = Concat<axis=1>(p, b) d = Conv<{SAME}>(c, u) y = Relu(d)",
    "chain": f"a = Conv<{SAME}>(x, w) c = Concat<axis=1>(x, a) r = Relu(c) "
    f"b = Conv(r, t) e = Concat<axis=1>(c, b) s = Sigmoid(e) d = Conv(s, n) "
    "y = Concat<axis=1>(e, d)",
    "pooled": f"m = MaxPool<kernel_shape=[3,3],{SAME}>(x) b = Conv(m, v) "
    f"q = AveragePool<kernel_shape=[3,3],{SAME}>(x) c = Concat<axis=1>(m, b, q) "
    f"y = Conv<group=48,{SAME}>(c, g)",
    "residual": f"a = Conv<{SAME}>(x, w) b = Conv(x, v) c = Concat<axis=1>(a, b) "
    f"d = Conv<{SAME}>(c, o) y = Add(d, c)",
    "one image": f"a = Conv<{SAME}>(x, w) b = Conv(x, v) y = Concat<axis=0>(a, b, a)",
}


def _random(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


WEIGHTS = {
    "w": _random(16, 16, 3, 3, seed=1) / 12,
    "v": _random(16, 16, 1, 1, seed=2) / 4,
    "u": _random(24, 32, 3, 3, seed=3) / 16,
    "t": _random(11, 32, 1, 1, seed=4) / 6,
    "n": _random(5, 43, 1, 1, seed=5) / 6,
    "o": _random(32, 32, 3, 3, seed=6) / 16,
    "g": _random(48, 1, 3, 3, seed=7) / 3,
}


def _graph(name: str) -> Graph:
    text = f"g (float[1,16,20,21] x) => (float[N,C,H,W] y) {{ {BODIES[name]} }}"
    used = {k: v for k, v in WEIGHTS.items() if f", {k})" in text}
    return gw.load(model_of(text, **used))


@device
@pytest.mark.parametrize(
    ("name", "persists"),
    [
        *((name, True) for name in BODIES),
        ("branches", False),
        *(
            pytest.param(name, False, marks=pytest.mark.full)
            for name in BODIES
            if name != "branches"
        ),
    ],
)
def test_joined_results_agree(
    name: str, persists: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph, x = _graph(name), _random(1, 16, 20, 21)
    session, backend = Session(found().devices[0]), OpenCLBackend()
    if not persists:
        vars(session)["_probed"] = None
    monkeypatch.setattr(backend, "_session", session, raising=False)
    exe = gw.compile(graph, backend=backend, strict=True)
    (want,) = gw.compile(graph, backend="numpy", optimize=False).run(None, {"x": x})
    for _ in range(2):
        (got,) = exe.run(None, {"x": x})
        assert np.abs(got - want).max() <= 1e-5 * np.abs(want).max()


def _kernels(graph: Graph, in_place: bool) -> list[Any]:
    made, _ = arrange(graph, [OpenCLBackend()])
    bodies = [n.op.body for n in made.nodes if isinstance(n.op, Fused)]
    target = Cpu(2, 1 << 20, in_place)
    return [s.kernel for b in bodies for s in lowered(b, target).steps]


@pytest.mark.parametrize("name", BODIES)
def test_parts_are_written_where_they_are_joined(name: str) -> None:
    graph = _graph(name)
    apart, joined = (_kernels(graph, in_place) for in_place in (False, True))
    assert all(a.whole is None for k in apart for a in k.outputs)
    assert any(a.whole is not None for k in joined for a in k.outputs)
    if name in ("branches", "chain", "residual"):
        assert len(joined) < len(apart)  # nothing is left to copy


def test_parts_know_where_they_lie() -> None:
    whole = Array(float32, (2, 5, 7, 10))
    part = whole.part((2, 5, 7, 4), 3, 6)
    inner = part.part((2, 5, 7, 1), 3, 3)
    assert (part.start, part.pitch, inner.start, inner.pitch) == (6, 10, 9, 10)
    assert inner.root is whole
    assert part.span == 2 * 5 * 7 * 10 - 6
    first = Array(float32, (1, 6, 7)).part((1, 2, 7), 1, 3)
    assert (first.start, first.pitch, first.span) == (21, 7, 14)
    assert whole.part((2, 3, 7, 10), 1, 1).pitch is None
