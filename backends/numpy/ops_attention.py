"""Kernel of attention: two products around a softmax, on all cores."""

from typing import Any

import numpy as np

from graphwright.backends.contract import Kernel, Request
from graphwright.backends.numpy.kernels.matmul import matmul
from graphwright.backends.numpy.kernels.norm import softmax
from graphwright.backends.numpy.table import kernel_for
from graphwright.ir.dtype import float32, float64
from graphwright.ir.ops.attention import Attention
from graphwright.ir.types import TensorType


def _plain(request: Request) -> bool:
    """Whether nothing but a mask and a triangle changes the scores of wide floats."""
    op, shapes = request.op, request.types
    assert isinstance(op, Attention)
    bent = op.softcap or op.lengths or op.left >= 0 or op.right >= 0 or op.precision
    wide = (float32, float64)
    tensors = [t for t in shapes if isinstance(t, TensorType)]
    full = all(0 not in t.dims for t in tensors)
    return not bent and full and all(t.dtype in wide for t in tensors[:3])


@kernel_for("attention")
def attention(request: Request) -> Kernel | None:
    """``softmax(q k^T * scale + mask) v``."""
    op, q = request.op, request.types[0]
    assert isinstance(op, Attention)
    assert isinstance(q, TensorType)
    if not _plain(request):
        return None
    scale, causal, offset = q.dtype.numpy.type(op.scale), op.causal, op.offset

    def run(q: Any, k: Any, v: Any, *rest: Any) -> Any:
        n, heads, rows, size = q.shape
        groups, columns = k.shape[1:3]
        folded = (n, groups, heads // groups * rows)
        scores = matmul(q.reshape(*folded, size), k.swapaxes(2, 3))
        scores = scores.reshape(n, heads, rows, columns)
        scores *= scale
        bias = _bias(rest[0] if rest else None, scores.dtype)
        if causal:
            place = np.arange(rows)[:, None] + offset
            triangle = _bias(np.arange(columns) <= place, scores.dtype)
            bias = triangle if bias is None else bias + triangle
        weights = _weights(scores, bias).reshape(*folded, columns)
        return matmul(weights, v).reshape(n, heads, rows, v.shape[3])

    return run


def _bias(mask: Any, dtype: Any) -> Any:
    """What a mask adds to the scores."""
    if mask is None or mask.dtype != np.bool_:
        return mask
    return np.where(mask, dtype.type(0), dtype.type(-np.inf))


def _weights(scores: Any, bias: Any) -> Any:
    """The softmax of scores, which are overwritten; zeros where no key is allowed."""
    if bias is None:
        return softmax(scores, out=scores)
    scores += bias
    softmax(scores, out=scores)
    dead = np.isneginf(bias.max(axis=-1, keepdims=True))
    if dead.any():
        np.copyto(scores, 0, where=dead)
    return scores
