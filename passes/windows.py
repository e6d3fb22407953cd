"""Windows of arrays that are written and read again; all of it exact."""

from typing import Any

from graphwright.ir.emitter import Value
from graphwright.ir.graph import Node
from graphwright.ir.ops.movement import Slice
from graphwright.ir.ops.slicing import UpdateSlice
from graphwright.passes.pattern import P
from graphwright.passes.rewriter import Rewriter
from graphwright.passes.rules import EXACT, RuleSet

WINDOWS = RuleSet("windows")
_rule = WINDOWS.rewrite

_SMALL_PART = 4
"""A part of an array is small if so many of it fit in."""


@_rule(P.update_slice("x", P.slice("x").named("read")), EXACT)
def window_written_back(b: Rewriter, x: Value, read: Node, node: Node) -> Value | None:
    """``update_slice(x, slice(x, w), w) = x``: what ``x[w] += y`` ends with."""
    return x if _window(read) == _window(node) else None


@_rule(P.slice(P.update_slice("x", "y").named("written")), EXACT)
def window_read_back(
    b: Rewriter, x: Value, y: Value, written: Node, node: Node
) -> Value | None:
    """``slice(update_slice(x, y, w), w) = y`` for a small part of ``x``.

    A large one is better read where it was written than kept twice.
    """
    whole, part = x.tensor.size, y.tensor.size
    if not isinstance(whole, int) or not isinstance(part, int):
        return None
    if _SMALL_PART * part > whole:
        return None
    return y if _window(written) == _window(node) else None


@_rule(P.slice(P.update_slice("x", "y").named("written").once), EXACT)
def window_read_beside(
    b: Rewriter, x: Value, y: Value, written: Node, node: Node
) -> Value | None:
    """``slice(update_slice(x, y, w), v) = slice(x, v)`` where they share no element.

    Not if somebody else reads what is written: ``x`` would be needed after that.
    """
    read, write = node.op, written.op
    assert isinstance(read, Slice)
    assert isinstance(write, UpdateSlice)
    if not read.apart(write.window(y.shape)):
        return None
    return b.slice(x, read.start, read.size, read.step)


@_rule(P.update_slice(P.update_slice("x", "y").named("inner"), "z"), EXACT)
def window_written_twice(
    b: Rewriter, x: Value, z: Value, inner: Node, node: Node
) -> Value | None:
    """``update_slice(update_slice(x, y, w), z, w) = update_slice(x, z, w)``."""
    if _window(inner) != _window(node):
        return None
    op: Any = node.op
    return b.emit("update_slice", x, z, start=op.start, step=op.step)


@_rule(P.update_slice("x", "y"), EXACT)
def all_written(b: Rewriter, x: Value, y: Value, node: Node) -> Value | None:
    """``update_slice(x, y) = y`` where the window is all of ``x``."""
    op: Any = node.op
    whole = y.shape == x.shape and all(s == 1 for s in op.step)
    return y if whole and all(s == 0 for s in op.start) else None


@_rule(P.update_slice("x", "y"), EXACT)
def nothing_written(b: Rewriter, x: Value, y: Value, node: Node) -> Value | None:
    """``update_slice(x, y) = x`` where the window is empty."""
    return x if 0 in y.shape else None


@_rule(P.dot("x", "y"), EXACT)
def sum_of_nothing(b: Rewriter, x: Value, y: Value, node: Node) -> Value | None:
    """``x @ y = 0`` of nothing to sum: loops begin with ``a[:0] @ b[:0]``."""
    (result,) = node.results
    if x.shape[-1] != 0 or 0 in result.shape:
        return None
    return b.full(result.shape, 0, result.dtype)


def _window(node: Node) -> list[tuple[Any, Any, Any]]:
    """Start, count and step on each axis of what a node reads or writes."""
    op: Any = node.op
    reads = op.name == "slice"
    size = op.size if reads else node.operands[1].shape
    return list(zip(op.start, size, op.step, strict=True))
