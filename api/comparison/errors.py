"""How large the error of each element may be that one op makes, and how errors move.

An implementation gives the result for operands that differ a little, off by a little
(``Op.error_bound``). Of sums the size of all terms counts; of what is elementwise the
result at operands moved to both sides.
"""

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

import ml_dtypes
import numpy as np

from graphwright.ir.dtype import DTYPES, DType
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Node
from graphwright.ir.op import Op, Tier, Trait
from graphwright.ir.types import TensorType
from graphwright.testing.shadow import epsilon, is_about_bits, wide_op

_BLOCK = 1 << 14
"""Elements at a time of what is elementwise: they stay in the cache."""

_PORTION = 1 << 21
"""Elements at a time whose differences move through a sum."""

_APART = 64.0
"""How much smaller errors may be where neighbours are large."""

OPERANDS = (0.7, 0.4)
"""Errors of even and odd operands, of those of the result."""


def all_finite(x: Any) -> bool:
    """Whether all is finite, in one quick pass where it is."""
    with np.errstate(all="ignore"):
        return bool(np.isfinite(np.sum(x))) or bool(np.isfinite(x).all())


def is_fraction(v: Value) -> bool:
    """Whether a value is a tensor of floats or complex numbers."""
    return isinstance(v.type, TensorType) and v.dtype.kind in "fc"


def is_sum(op: Op) -> bool:
    """Whether errors of a result are those of a sum of terms."""
    return op.tier is Tier.PRIMITIVE and Trait.REDUCTION in op.traits


def largest(dtype: DType) -> float:
    """The greatest number of a dtype; of a complex one, of its parts."""
    if dtype.kind == "c":
        return float(np.finfo(dtype.numpy).max)
    info: Any = ml_dtypes.finfo(dtype.numpy)  # type: ignore[no-untyped-call]
    return float(info.max)


def has_size(op: Op, node: Node, operands: Sequence[Any]) -> bool:
    """Whether ``size_of_errors`` knows the op, on these operands."""
    if len(node.results) != 1 or not op.error_bound() or is_about_bits(op):
        return False
    (v,) = node.results
    if is_sum(op):
        return is_fraction(v)
    real = all(not is_fraction(u) or u.dtype.kind == "f" for u in (v, *node.operands))
    elementwise = Trait.ELEMENTWISE in op.traits and op.tier is not Tier.HOST
    return elementwise and real and is_fraction(v) and are_alike(operands)


def are_alike(operands: Sequence[Any]) -> bool:
    """Whether all are arrays of one shape; sequences are not."""
    shapes = {x.shape if hasattr(x, "shape") else None for x in operands}
    return len(shapes) == 1 and None not in shapes


def never_errs(op: Op, node: Node) -> bool:
    """Whether every implementation gives the same for the same operands."""
    plain = op.tier is Tier.PRIMITIVE and not op.traits & {Trait.RANDOM, Trait.EFFECT}
    return plain and not (op.error_bound() and any(map(is_fraction, node.results)))


def size_of_errors(
    op: Op,
    node: Node,
    operands: Sequence[Any],
    exact: Any,
    doubts: Sequence[Any] = (),
) -> Any:
    """How far each element of a result may be off; 0 where it is not finite.

    Args:
        op: The op, all its sizes known.
        node: Its node.
        operands: In float64, as all else.
        exact: Its result.
        doubts: How far each operand may be off; None where it is not.
    """
    doubts = doubts or [None] * len(operands)
    with np.errstate(all="ignore"):
        if is_sum(op):
            last = epsilon(node.results[0].dtype) * np.abs(exact)
            found = last + _size_of_terms(op, node, operands)
            found += _doubt_of_sum(op, node, operands, doubts)
        else:
            step = epsilon(node.results[0].dtype) * op.error_bound()
            found = size_nearby(op, node, operands, exact, doubts, step)
    return found if all_finite(found) else np.where(np.isnan(found), 0.0, found)


def moves(op: Op) -> bool:
    """Whether a result is made of elements of operands, as they are."""
    return op.moves is not None and op.tier is Tier.PRIMITIVE and not is_about_bits(op)


def moved_doubts(op: Op, operands: Sequence[Any], doubts: Sequence[Any]) -> Any:
    """How far a result may be off that is made of elements of operands."""
    assert op.moves is not None
    rows = list(operands)
    for i in range(len(rows))[op.moves]:
        none = np.broadcast_to(np.zeros(()), np.shape(rows[i]))
        rows[i] = none if doubts[i] is None else doubts[i]
    return op.compute(np, *rows)


# What is elementwise ------------------------------------------------------------------


def size_nearby(
    op: Op,
    node: Node,
    operands: Sequence[Any],
    exact: Any,
    doubts: Sequence[Any],
    step: float,
) -> Any:
    """What the op's error is, and how far its result moves as operands do.

    Takes what ``size_of_errors`` does, and the op's relative error.
    """
    shape = np.shape(exact)
    out = np.empty(shape)
    wide = wide_op(op)
    for block in _blocks(shape):
        parts = [x[block] for x in operands]
        size = np.maximum(np.abs(exact[block]), op.error_floor)
        size *= step
        for i, v in enumerate(node.operands):
            by: Any = 0.0
            if step and is_fraction(v):
                by = np.abs(parts[i]) * (OPERANDS[i % 2] * step)
            if doubts[i] is not None:
                by = by + doubts[i][block]
            if np.ndim(by) or by:
                size += _reach(wide, parts, i, exact[block], by)
        out[block] = size
    return out


def _reach(op: Op, operands: list[Any], index: int, exact: Any, by: Any) -> Any:
    """How far a result moves at most as one operand does, to either side."""
    most: Any = 0.0
    for side in (np.add, np.subtract):
        moved = list(operands)
        moved[index] = side(operands[index], by)
        found = np.subtract(op.compute(np, *moved), exact)
        most = np.fmax(most, np.abs(found))
    if all_finite(most):
        return most
    return np.where(np.isfinite(most), most, np.where(np.isinf(by), np.inf, 0.0))


def size_of_ends(op: Op, x: Any, exact: Any, doubt: Any) -> Any:
    """How far the greatest or least of some move as they do."""
    moved = (op.compute(np, x + side * doubt) for side in (1, -1))
    ends = [np.abs(end - exact) for end in moved]
    found = np.fmax(*ends)
    return found if all_finite(found) else np.where(np.isnan(found), 0.0, found)


def _blocks(shape: tuple[int, ...]) -> Iterator[tuple[Any, ...]]:
    """Indices of pieces of an array."""
    if prod(shape) <= _BLOCK:
        yield (...,)
        return
    axis = next(k for k in range(len(shape)) if prod(shape[k + 1 :]) <= _BLOCK)
    step = max(1, _BLOCK // prod(shape[axis + 1 :]))
    for outer in np.ndindex(*shape[:axis]):
        for start in range(0, shape[axis], step):
            yield (*outer, slice(start, start + step))


# Sums ---------------------------------------------------------------------------------


def _size_of_terms(op: Op, node: Node, operands: Sequence[Any]) -> Any:
    """Errors of each result of a sum: ``epsilon * sum(|x| |w|)``.

    Of n terms the worst case is n times that; roundings are independent, and their sum
    grows as the root of n, as does this over the norm of the terms. Methods that share
    work between elements share errors, too: they are at least the mean over the tensor,
    and not much less than the largest. Weights that a rewrite scaled are rounded anew
    in their own dtype. Where terms together exceed what the dtype of the sum holds, a
    part of them may.
    """
    rows = list(zip(operands, node.operands, strict=True))
    own = node.results[0].dtype
    with np.errstate(all="ignore"):
        sizes = (np.abs(x) if is_fraction(v) else x for x, v in rows)
        terms = np.abs(_roughly(op, node, list(sizes)))
        found = epsilon(own.accumulate) * terms
        finite = found[np.isfinite(found)] if op.growth > 1 else found
        if op.growth > 1 and finite.size:
            most = float(finite.max()) or 1.0
            mean = most * float(np.sqrt(np.mean(np.square(finite / most))))
            found = op.growth * np.maximum(found, max(mean, most / _APART))
        if own.accumulate is not own and len(operands) > 1:
            squares = (np.abs(x) ** 2 if is_fraction(v) else x for x, v in rows)
            norm = np.sqrt(np.abs(_roughly(op, node, list(squares))))
            found = found + epsilon(own) * norm
        if terms.size and not terms.max() * op.growth < largest(own.accumulate):
            found = np.where(terms * op.growth < largest(own.accumulate), found, np.inf)
    return found


def _doubt_of_sum(
    op: Op, node: Node, operands: Sequence[Any], doubts: Sequence[Any]
) -> Any:
    """How far a sum moves as its operands do, each element by chance."""
    found: Any = 0.0
    for i, doubt in enumerate(doubts):
        if doubt is not None:
            row = [np.square(x) for x in operands]
            row[i] = np.square(doubt)
            moved = np.abs(_roughly(op, node, row))
            if not all_finite(doubt):  # what may be infinite, times 0
                moved = np.where(np.isnan(moved), np.inf, moved)
            found = found + moved
    return np.sqrt(found)


def _roughly(op: Op, node: Node, operands: list[Any]) -> Any:
    """A sum of terms that are not negative, in float32 where that holds them."""
    narrow = all(is_fraction(v) and v.dtype.bits <= 32 for v in node.operands)
    scales = [float(np.max(x, initial=0.0)) or 1.0 for x in operands] if narrow else []
    factor = prod(scales)
    if not narrow or not op.linear_along() or not np.isfinite(factor):
        return wide_op(op).sizes_of_terms(np, *operands)
    rows = zip(operands, scales, strict=True)
    small = [(x / most).astype(np.float32) for x, most in rows]
    return single(op).sizes_of_terms(np, *small).astype(np.float64) * factor


def single(op: Op) -> Op:
    """An op with float32 where it names the dtype of its result."""
    named = getattr(op, "dtype", None) is not None
    return op.replace(dtype=DTYPES["float32"]) if named else op


def moved_by(
    op: Op,
    node: Node,
    operands: Sequence[Any],
    exact: Any,
    moved: Sequence[Sequence[Any]],
) -> list[Any] | None:
    """Results of a bilinear op as its operands move; None where differences do not do.

    ``f(x + dx, w + dw) - f(x, w) = f(dx, w) + f(x, dw)`` to first order, in float32: of
    a small difference that is precise.

    Args:
        op: The op.
        node: Its node.
        operands: Its operands.
        exact: Its result.
        moved: For each row, the operands.
    """
    axes = op.linear_along()
    narrow = all(is_fraction(v) and v.dtype.bits <= 32 for v in node.operands)
    if not axes or not narrow or not all(map(all_finite, operands)):
        return None
    totals: list[Any] = [exact] * len(moved)
    small = [x.astype(np.float32) for x in operands]
    for i, along in enumerate(axes):
        rows = [k for k, row in enumerate(moved) if row[i] is not operands[i]]
        for part in _portions(rows, operands[i].size if along else _PORTION):
            with np.errstate(all="ignore"):
                steps = [(moved[k][i] - operands[i]).astype(np.float32) for k in part]
            if not all(map(all_finite, steps)):
                return None
            row = list(small)
            row[i] = np.concatenate(steps, along[0]) if along else steps[0]
            found = single(op).compute(np, *row)
            pieces = np.split(found, len(part), along[1]) if along else [found]
            for k, piece in zip(part, pieces, strict=True):
                totals[k] = totals[k] + piece
    return totals


_PORTION = 1 << 21


def _portions(rows: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    """Rows in groups that are not too large together."""
    step = max(1, _PORTION // max(size, 1))
    for start in range(0, len(rows), step):
        yield rows[start : start + step]
