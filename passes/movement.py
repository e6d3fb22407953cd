"""Movement that undoes, joins or moves past other ops; all of it exact."""

from collections.abc import Sequence
from typing import Any

from graphwright.ir.dim import Dim
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Node
from graphwright.passes.pattern import P
from graphwright.passes.rewriter import Rewriter
from graphwright.passes.rules import EXACT, RuleSet

MOVEMENT = RuleSet("movement")
_rule = MOVEMENT.rewrite


# Nothing moves -----------------------------------------------------------------------


@_rule(P.each(["reshape", "broadcast_to"])("x"), EXACT)
def to_own_shape(b: Rewriter, x: Value, node: Node) -> Value | None:
    """``reshape(x) = broadcast_to(x) = x`` to the shape that it has."""
    op: Any = node.op
    return x if op.shape == x.shape else None


@_rule(P.slice("x"), EXACT)
def slice_all(b: Rewriter, x: Value, node: Node) -> Value | None:
    """``slice(x) = x`` of every element."""
    op: Any = node.op
    whole = op.size == x.shape and all(s == 1 for s in op.step)
    return x if whole and all(s == 0 for s in op.start) else None


@_rule(P.pad("x", "v"), EXACT)
def pad_nothing(b: Rewriter, x: Value, node: Node) -> Value | None:
    """``pad(x) = x`` by a border of nothing."""
    op: Any = node.op
    return x if all(d == 0 for d in (*op.low, *op.high, *op.interior)) else None


@_rule(P.transpose("x"), EXACT)
def transpose_ones(b: Rewriter, x: Value, node: Node) -> Value | None:
    """A transposition that only moves axes of size 1 is a reshape."""
    op: Any = node.op
    moved = [p for p in op.perm if x.shape[p] != 1]
    return b.reshape(x, node.results[0].shape) if moved == sorted(moved) else None


@_rule(P.reduce("x", axes=()), EXACT)
def reduce_no_axes(b: Rewriter, x: Value) -> Value:
    """A reduction over no axes changes nothing."""
    return x


# Twice the same ----------------------------------------------------------------------


@_rule(P.reshape(P.reshape("x")), EXACT)
def reshape_twice(b: Rewriter, x: Value, node: Node) -> Value:
    """``reshape(reshape(x, s), t) = reshape(x, t)``."""
    return b.reshape(x, node.results[0].shape)


@_rule(P.transpose(P.transpose("x").named("inner")), EXACT)
def transpose_twice(b: Rewriter, x: Value, inner: Node, node: Node) -> Value:
    """``transpose(transpose(x, p), q) = transpose(x, p[q])``."""
    first: Any = inner.op
    second: Any = node.op
    return b.transpose(x, [first.perm[q] for q in second.perm])


@_rule(P.reshape(P.transpose(P.reshape("x")).named("inner")), EXACT)
def swap_between_reshapes(
    b: Rewriter, x: Value, inner: Node, node: Node
) -> Value | None:
    """Two last axes, swapped while others are joined, are swapped before."""
    op: Any = inner.op
    rank, flat, shape = x.rank, inner.operands[0].shape, node.results[0].shape
    if not _swaps(op.perm) or rank < 2 or x.shape[-2:] != flat[-2:]:
        return None
    if len(shape) < 2 or shape[-2:] != (x.shape[-1], x.shape[-2]):
        return None
    return b.reshape(b.transpose(x, (*range(rank - 2), rank - 1, rank - 2)), shape)


@_rule(P.transpose(P.reshape(P.transpose("x").named("inner"))), EXACT)
def swap_around_reshape(b: Rewriter, x: Value, inner: Node, node: Node) -> Value | None:
    """Two last axes, swapped and back while others are joined, stay."""
    first: Any = inner.op
    second: Any = node.op
    swaps = (_swaps(first.perm), _swaps(second.perm))
    before, after = x.shape[-2:], node.results[0].shape[-2:]
    return (
        b.reshape(x, node.results[0].shape) if all(swaps) and before == after else None
    )


def _swaps(perm: tuple[int, ...]) -> bool:
    """Whether a permutation swaps the two last axes and nothing else."""
    rank = len(perm)
    return rank > 1 and perm == (*range(rank - 2), rank - 1, rank - 2)


@_rule(P.broadcast_to(P.broadcast_to("x")), EXACT)
def broadcast_twice(b: Rewriter, x: Value, node: Node) -> Value:
    """``broadcast_to(broadcast_to(x, s), t) = broadcast_to(x, t)``."""
    return b.broadcast_to(x, node.results[0].shape)


@_rule(P.broadcast_to(P.reshape("x").named("inner")), EXACT)
def broadcast_reshaped(b: Rewriter, x: Value, inner: Node, node: Node) -> Value | None:
    """``broadcast_to(reshape(x, [1, *shape]), t) = broadcast_to(x, t)``."""
    shape = inner.results[0].shape
    added = len(shape) - x.rank
    lead = shape[: max(added, 0)]
    if added <= 0 or any(d != 1 for d in lead) or shape[added:] != x.shape:
        return None
    return b.broadcast_to(x, node.results[0].shape)


@_rule(P.slice(P.slice("x").named("inner")), EXACT)
def slice_twice(b: Rewriter, x: Value, inner: Node, node: Node) -> Value:
    """``x[a::s][b::t] = x[a + b * s :: s * t]``."""
    first: Any = inner.op
    second: Any = node.op
    rows = zip(first.start, first.step, second.start, second.step, strict=True)
    start, step = zip(*((a + c * s, s * t) for a, s, c, t in rows), strict=True)
    return b.slice(x, start, second.size, step)


@_rule(P.pad(P.pad("x", "v").named("inner"), "v"), EXACT)
def pad_twice(b: Rewriter, x: Value, v: Value, inner: Node, node: Node) -> Value | None:
    """``pad(pad(x, v), v)`` is one border."""
    first: Any = inner.op
    second: Any = node.op
    sides = (*first.low, *first.high, *second.low, *second.high)
    if any((*first.interior, *second.interior)):
        return None
    if not all(isinstance(d, int) and d >= 0 for d in sides):
        return None
    low = [p + q for p, q in zip(first.low, second.low, strict=True)]
    high = [p + q for p, q in zip(first.high, second.high, strict=True)]
    return b.pad(x, low, high, v)


# Parts and wholes --------------------------------------------------------------------


@_rule(P.concat().after("concat"), EXACT)
def concat_of_concat(b: Rewriter, node: Node) -> Value | None:
    """``concat(concat(x, y), z) = concat(x, y, z)`` along one axis."""
    op: Any = node.op
    parts: list[Value] = []
    for v in node.operands:
        inner = b.made_by(v, "concat")
        held: Any = inner.op if inner else None
        joins = inner is not None and held.axis == op.axis and b.only_use(v)
        parts += inner.operands if inner is not None and joins else (v,)
    return b.concat(parts, op.axis) if len(parts) > len(node.operands) else None


@_rule(P.concat("x"), EXACT)
def concat_one(b: Rewriter, x: Value) -> Value:
    """``concat(x) = x``."""
    return x


@_rule(P.concat().after("slice"), EXACT)
def concat_of_slices(b: Rewriter, node: Node) -> Value | None:
    """``concat(x[:a], x[a:]) = x``: neighbours join."""
    op: Any = node.op
    parts: list[Value] = [node.operands[0]]
    for v in node.operands[1:]:
        joined = _neighbours(b, parts[-1], v, op.axis)
        if joined is None:
            parts.append(v)
        else:
            parts[-1] = joined
    return b.concat(parts, op.axis) if len(parts) < len(node.operands) else None


def _neighbours(b: Rewriter, x: Value, y: Value, axis: int) -> Value | None:
    """``concat(x, y)`` as one slice, where they are slices side by side."""
    left, right = b.made_by(x, "slice"), b.made_by(y, "slice")
    if left is None or right is None or left.operands != right.operands:
        return None
    first: Any = left.op
    second: Any = right.op
    ends = first.start[axis] + first.size[axis] * first.step[axis]
    rest = [i for i in range(len(first.start)) if i != axis]
    alike = all(first.start[i] == second.start[i] for i in rest)
    alike = alike and all(first.size[i] == second.size[i] for i in rest)
    if not alike or first.step != second.step or ends != second.start[axis]:
        return None
    size = list(first.size)
    size[axis] = size[axis] + second.size[axis]
    source = left.operands[0]
    if tuple(size) == source.shape and all(s == 1 for s in first.step):
        return source
    return b.slice(source, first.start, size, first.step)


@_rule(P.slice(P.concat().named("inner")), EXACT)
def slice_of_concat(b: Rewriter, inner: Node, node: Node) -> Value | None:
    """``concat(x, y)[a:b]`` is a slice of the part that it lies in."""
    held: Any = inner.op
    op: Any = node.op
    axis, begin = held.axis, op.start[held.axis]
    if op.step[axis] != 1 or not isinstance(begin, int):
        return None
    at: Dim = 0
    for part in inner.operands:
        stop = at + part.shape[axis]
        here = begin - at
        if not isinstance(here, int) or not isinstance(stop, int):
            same = here == 0 and op.size[axis] == part.shape[axis]
            return _part(b, part, op, axis, 0) if same else None
        size = op.size[axis]
        if here >= 0 and isinstance(size, int) and begin + size <= stop:
            return _part(b, part, op, axis, here)
        at = stop
    return None


def _part(b: Rewriter, part: Value, op: Any, axis: int, begin: int) -> Value:
    start = list(op.start)
    start[axis] = begin
    whole = op.size == part.shape and all(s == 0 for s in start)
    whole = whole and all(s == 1 for s in op.step)
    return part if whole else b.slice(part, start, op.size, op.step)


@_rule(P.slice(P.pad("x", "v").named("inner")), EXACT)
def slice_of_pad(b: Rewriter, x: Value, inner: Node, node: Node) -> Value | None:
    """``pad(x)[...]`` is a slice of ``x`` where it takes nothing of the border."""
    held: Any = inner.op
    op: Any = node.op
    numbers = (*held.low, *op.start, *op.size, *op.step, *x.shape)
    if any(held.interior) or not all(isinstance(d, int) for d in numbers):
        return None
    start = [s - lo for s, lo in zip(op.start, held.low, strict=True)]
    rows = zip(start, op.size, op.step, x.shape, strict=True)
    if not all(
        n > 0 and 0 <= s < d and 0 <= s + (n - 1) * t < d for s, n, t, d in rows
    ):
        return None
    return b.slice(x, start, op.size, op.step)


@_rule(P.gather("x", P.iota()).named("node"), EXACT)
def gather_iota(b: Rewriter, x: Value, node: Node) -> Value | None:
    """``gather(x, iota(n)) = x`` where the axis has n elements."""
    op: Any = node.op
    size = x.shape[op.axis]
    return x if not op.batch_dims and node.operands[1].shape == (size,) else None


@_rule(P.gather("x", P.constant("at")), EXACT)
def gather_row(b: Rewriter, x: Value, at: Any, node: Node) -> Value | None:
    """``gather(x, [a, a + s, ...])`` is a slice."""
    op: Any = node.op
    size = x.shape[op.axis]
    if op.batch_dims or not isinstance(size, int) or not 0 < at.size <= 64:
        return None
    rows: list[int] = at.array().reshape(-1).tolist()
    step = rows[1] - rows[0] if len(rows) > 1 else 1
    line = all(r == rows[0] + i * step for i, r in enumerate(rows))
    if not line or step == 0 or not all(0 <= r < size for r in rows):
        return None
    start: list[Dim] = [0] * x.rank
    steps: list[Dim] = [1] * x.rank
    sizes = list(x.shape)
    start[op.axis], steps[op.axis], sizes[op.axis] = rows[0], step, len(rows)
    return b.reshape(b.slice(x, start, sizes, steps), node.results[0].shape)


def same_suffix(a: Sequence[Dim], b: Sequence[Dim]) -> int:
    """How many last dims two shapes share."""
    n = 0
    while n < min(len(a), len(b)) and a[-1 - n] == b[-1 - n]:
        n += 1
    return n
