"""The numpy backend's attention beside the op's own meaning."""

from typing import Any

import numpy as np
import pytest

from graphwright.backends.numpy.kernels import attention, scratch
from graphwright.backends.numpy.kernels.attention import AttentionPlan
from graphwright.ir.ops.attention import Attention

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
