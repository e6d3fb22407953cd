"""The numpy backend's attention beside the op's own meaning."""

from typing import Any

import numpy as np
import pytest

import graphwright as gw
from graphwright.backends.numpy.kernels import attention, scratch
from graphwright.backends.numpy.kernels.attention import AttentionPlan
from graphwright.ir.dtype import float32
from graphwright.ir.evaluate import evaluate
from graphwright.ir.ops.attention import Attention
from graphwright.ir.ops.fused import Fused
from graphwright.ir.types import TensorType

SIZES = [(1, 4, 4, 5, 5, 8, 8), (2, 6, 2, 7, 9, 4, 3), (1, 8, 1, 1, 40, 16, 16)]
FIELDS: list[dict[str, Any]] = [
    {},
    {"causal": True},
    {"causal": True, "offset": 3},
    {"left": 2},
    {"left": 1, "right": 2, "offset": 1},
    {"left": 0, "causal": True, "offset": 50},
    {"causal": True, "offset": -2},
    {"softcap": 2.5},
]


def compared(
    sizes: tuple[int, ...], fields: dict[str, Any], dtype: str, mask: str | None
) -> None:
    n, heads, groups, rows, columns, depth, width = sizes
    rng = np.random.default_rng(1)
    q = rng.standard_normal((n, rows, heads, depth)).astype(dtype)
    k = rng.standard_normal((n, groups, columns, depth)).astype(dtype)
    v = rng.standard_normal((n, groups, columns, width)).astype(dtype)
    q = q.transpose(0, 2, 1, 3)
    rest: list[Any] = []
    if mask == "bool":
        rest = [rng.random((n, 1, rows, columns)) < 0.6]
        rest[0][0, 0, 0] = False
    elif mask == "added":
        rest = [np.where(rng.random((columns,)) < 0.4, -np.inf, 0.5).astype(dtype)]
    op = Attention(scale=0.3, masked=bool(rest), **fields)
    wanted = op.compute(np, q, k, v, *rest)
    names = ("batch", "heads", "groups", "rows", "columns", "depth", "width")
    given: dict[str, Any] = dict(zip(names, sizes, strict=True))
    plan = AttentionPlan(
        dtype=np.dtype(dtype),
        scale=0.3,
        softcap=op.softcap,
        below=op.left if op.left >= 0 else None,
        above=0 if op.causal else op.right if op.right >= 0 else None,
        offset=fields.get("offset", 0),
        **given,
    )
    out = np.empty((n, rows, heads, width), dtype).transpose(0, 2, 1, 3)
    run = plan.bind(scratch.take(plan.scratch_bytes), out, q, k, v, *rest)
    tolerance = 1e-5 if dtype == "f4" else 1e-12
    for _ in range(2):
        run()
        np.testing.assert_allclose(out, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("fields", FIELDS)
@pytest.mark.parametrize("mask", [None, "bool", "added"])
def test_attention(
    sizes: tuple[int, ...], fields: dict[str, Any], mask: str | None
) -> None:
    compared(sizes, fields, "f4", mask)


@pytest.mark.parametrize("fields", FIELDS)
def test_attention_in_blocks_of_queries(
    fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "_BLOCK_BYTES", 600)
    monkeypatch.setattr(attention, "_FEWEST_ROWS", 2)
    compared((2, 4, 2, 11, 13, 4, 4), fields, "f8", "bool")
    compared((1, 4, 4, 11, 13, 4, 4), fields, "f4", None)


def test_slices_of_one_matrix_are_read_as_they_lie() -> None:
    b = gw.Builder("joined")
    x = b.input("x", TensorType(float32, (1, 5, 96)))
    y = b.add(x, x)
    parts = [
        b.emit("slice", y, start=(0, 0, i), size=(1, 5, 32), step=(1, 1, 1))
        for i in (0, 32, 64)
    ]
    heads = [b.transpose(b.reshape(p, (1, 5, 4, 8)), (0, 2, 1, 3)) for p in parts]
    z = b.emit("attention", *heads, scale=0.5)
    graph = b.finish([b.reshape(b.transpose(z, (0, 2, 1, 3)), (5, 32))], ["z"])
    executable = gw.compile(graph, backend="numpy", strict=True)
    (step,) = [
        s
        for s in executable.plan_for().steps
        if isinstance(s.node.op, Fused) and s.node.op.kind == "attention"
    ]
    assert step.into is not None
    assert step.into.strided == tuple(range(len(step.node.operands)))
    rng = np.random.default_rng(0)
    for _ in range(3):
        given = rng.standard_normal((1, 5, 96), dtype=np.float32)
        (wanted,) = evaluate(graph, [given])
        (got,) = executable.run(None, {"x": given})
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)
