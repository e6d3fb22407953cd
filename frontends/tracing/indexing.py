"""Indexing with NumPy's rules, onto ``slice``, ``gather`` and ``scatter``.

Integers, slices, None and Ellipsis give views. Arrays and lists of integers broadcast
together; masks count as the positions of their true elements. Arrays that stand side by
side put their axes where the first stands, else in front.
"""

from collections.abc import Sequence
from operator import index as as_int
from typing import Any

import numpy as np

from graphwright.frontends.tracing import state
from graphwright.frontends.tracing.lazy import Deferred
from graphwright.frontends.tracing.promotion import as_dtype
from graphwright.frontends.tracing.storage import Handle, known_value, operand_of
from graphwright.frontends.tracing.wrap import strong
from graphwright.ir.builder import Builder
from graphwright.ir.constant import Constant
from graphwright.ir.dim import Dim, Expr, ceildiv, maximum, minimum, product
from graphwright.ir.dtype import bool_, int64
from graphwright.ir.emitter import Emitter, Value, broadcast_shape
from graphwright.ir.errors import IndexBoundsError, ShapeError
from graphwright.ir.op import Trait

_RECENT, _DEEP = 8, 4
"""With how many masks a new one is compared, and how many operations of each."""
_ANEW = frozenset({Trait.EFFECT, Trait.RANDOM})


class _Array:
    """An index that is an array: which axis it indexes, and its values."""

    __slots__ = ("axis", "value")

    def __init__(self, axis: int, value: Value) -> None:
        self.axis, self.value = axis, value


class _Index:
    """An index taken apart.

    Attributes:
        start, size, step: What each axis of the tensor keeps.
        shape: The shape after that, new axes put in and integers' axes dropped; those
            of a mask that is the only array count as one.
        merged: Where that one is, and the sizes of the mask's axes.
        arrays: Index arrays, by their axis in that shape; an axis of -1 is none.
        place: Where the arrays' axes go in the result.
    """

    def __init__(self, b: Emitter, shape: Sequence[Dim], index: Any) -> None:
        self.b, self.full = b, tuple(shape)
        items = _expanded(index, b, len(shape))
        self.start: list[Dim] = []
        self.size: list[Dim] = []
        self.step: list[Dim] = []
        self.shape: list[Dim] = []
        self.arrays: list[_Array] = []
        self.place = 0
        self.merged: tuple[slice, tuple[Dim, ...]] | None = None
        arrays = sum(isinstance(item, Value) for item in items)
        self._advanced, self._alone = arrays > 0, arrays == 1
        self._together(items)
        for item in items:
            self._add(item)

    def _together(self, items: Sequence[Any]) -> None:
        """Whether the arrays (and integers among them) stand side by side."""
        at = [i for i, x in enumerate(items) if isinstance(x, (Value, int))]
        self._adjacent = bool(at) and at[-1] - at[0] == len(at) - 1

    def _keep(self, start: Dim, size: Dim, step: Dim) -> None:
        self.start.append(start)
        self.size.append(size)
        self.step.append(step)

    def _add(self, item: Any) -> None:
        axis = len(self.start)
        if item is None:
            self.shape.append(1)
        elif isinstance(item, slice):
            start, size, step = slice_of(item, self.full[axis])
            self._keep(start, size, step)
            self.shape.append(size)
        elif isinstance(item, (int, Expr)):
            at = _position(item, self.full[axis], axis)
            self._keep(at, 1, 1)
            if self._advanced:  # it broadcasts with the arrays
                self._put(self.b.constant(np.int64(0)), 1)
        elif item.dtype is bool_:
            self._add_mask(item, axis)
        else:
            n = self.full[axis]
            self._keep(0, n, 1)
            self._put(resolved(self.b, item, n, axis), n)

    def _put(self, value: Value, size: Dim) -> None:
        if not self.arrays and self._adjacent:
            self.place = len(self.shape)
        self.arrays.append(_Array(len(self.shape), value))
        self.shape.append(size)

    def _add_mask(self, mask: Value, axis: int) -> None:
        sizes = self.full[axis : axis + mask.rank]
        for i, (n, m) in enumerate(zip(sizes, mask.shape, strict=True)):
            if isinstance(n, int) and isinstance(m, int) and m not in (n, 0):
                raise IndexError(
                    f"boolean index did not match indexed array along axis {axis + i};"
                    f" size of axis is {n} but size of corresponding boolean axis is"
                    f" {m}"
                )
        if self._alone and mask.rank:
            self._add_line(mask, sizes)
            return
        found = positions(self.b, mask)
        if not mask.rank:
            if not self.arrays and self._adjacent:
                self.place = len(self.shape)
            count = found.shape[1]
            self.arrays.append(_Array(-1, self.b.full((count,), 0, int64)))
        for i, n in enumerate(sizes):
            self._keep(0, n, 1)
            row = self.b.slice(found, (i, 0), (1, found.shape[1]))
            self._put(self.b.squeeze(row, [0]), n)

    def _add_line(self, mask: Value, sizes: Sequence[Dim]) -> None:
        """The one index array is a mask: its axes count as one."""
        at = positions(self.b, mask, flat=True)
        for n in sizes:
            self._keep(0, n, 1)
        self.merged = slice(len(self.shape), len(self.shape) + 1), tuple(sizes)
        self._put(self.b.reshape(at, (at.shape[1],)), product(sizes))

    def basic(self, x: Value) -> Value:
        """What slices, integers and new axes alone leave."""
        kept = self.b.slice(x, self.start, self.size, self.step)
        shape = [*self.shape]
        if self.merged is not None:
            at, sizes = self.merged
            shape[at] = sizes
        return self.b.reshape(kept, shape)

    # Arrays ---------------------------------------------------------------------------

    def line(self) -> tuple[list[int], list[int], tuple[Dim, ...], Value]:
        """Indexed axes, the others, the arrays' broadcast shape, and flat positions."""
        b = self.b
        lead = broadcast_shape(*[a.value.shape for a in self.arrays])
        used = [a for a in self.arrays if a.axis >= 0]
        axes = [a.axis for a in used]
        rest = [i for i in range(len(self.shape)) if i not in axes]
        flat: Value | None = None
        stride: Dim = 1
        for a in reversed(used):
            step = a.value
            if stride != 1:
                step = b.mul(step, b.dim_scalar(stride, int64))
            flat = step if flat is None else b.add(flat, step)
            stride = stride * self.shape[a.axis]
        if flat is None:
            flat = b.constant(np.int64(0))
        if len(used) > 1:
            flat = self._checked(flat, used)
        return axes, rest, lead, b.broadcast_to(flat, lead)

    def _checked(self, flat: Value, used: Sequence[_Array]) -> Value:
        """-1 where an index, hidden in the flat position, is outside its own axis."""
        b = self.b
        for a in used:
            if _fixed(b, a.value) is None:
                n = b.dim_scalar(self.shape[a.axis], int64)
                below = b.lt(a.value, b.scalar(0, int64))
                flat = b.where(b.or_(*b.align(below, b.ge(a.value, n))), -1, flat)
        return flat

    def rows(self, x: Value) -> tuple[Value, Value, list[int]]:
        """``x`` with the indexed axes as one first axis, positions, and axes' order."""
        b = self.b
        axes, rest, _, flat = self.line()
        moved = b.transpose(x, [*axes, *rest])
        sizes = [self.shape[i] for i in rest]
        lead = product([self.shape[i] for i in axes])
        return b.reshape(moved, (lead, *sizes)), flat, [*axes, *rest]

    def order(self, lead: int, rest: int) -> list[int]:
        """Where axes (first the arrays', then the rest) go in the result."""
        at = self.place if self._adjacent else 0
        first = [lead + i for i in range(at)]
        return [*first, *range(lead), *(lead + i for i in range(at, rest))]

    def take(self, x: Value) -> Value:
        """The elements at the index of what ``basic`` leaves."""
        b = self.b
        x = b.reshape(x, self.shape)
        if len(self.arrays) == 1 and self.arrays[0].axis >= 0:
            only = self.arrays[0]
            found = b.gather(x, only.value, only.axis)
            return found if self._adjacent else self._to_front(found, only)
        table, flat, _ = self.rows(x)
        found = b.gather(table, flat, 0)
        return b.transpose(found, self.order(flat.rank, found.rank - flat.rank))

    def _to_front(self, found: Value, only: _Array) -> Value:
        inner = range(only.axis, only.axis + only.value.rank)
        rest = [i for i in range(found.rank) if i not in inner]
        return self.b.transpose(found, [*inner, *rest])

    def result_shape(self) -> tuple[Dim, ...]:
        """The shape of the elements at the index."""
        axes = [a.axis for a in self.arrays]
        lead = broadcast_shape(*[a.value.shape for a in self.arrays])
        rest = [d for i, d in enumerate(self.shape) if i not in axes]
        at = self.place if self._adjacent else 0
        return (*rest[:at], *lead, *rest[at:])

    def put(self, x: Value, value: Value, mode: str = "set") -> Value:
        """``x`` (what ``basic`` leaves) with a value of the result's shape written."""
        new = self._put_into(self.b.reshape(x, self.shape), value, mode)
        return self.b.reshape(new, x.shape)

    def _put_into(self, x: Value, value: Value, mode: str) -> Value:
        b = self.b
        if len(self.arrays) == 1 and self._adjacent and self.arrays[0].axis >= 0:
            only = self.arrays[0]
            return b.scatter(x, only.value, value, only.axis, mode)
        table, flat, axes = self.rows(x)
        order = self.order(flat.rank, table.rank - 1)
        inverse = sorted(range(len(order)), key=order.__getitem__)
        table = b.scatter(table, flat, b.transpose(value, inverse), 0, mode)
        shape = [self.shape[i] for i in axes]
        back = sorted(range(len(axes)), key=axes.__getitem__)
        return b.transpose(b.reshape(table, shape), back)


def _expanded(index: Any, b: Emitter, rank: int) -> list[Any]:
    """Items of an index, arrays as values, the ellipsis as full slices."""
    items = [_item(b, x) for x in (index if isinstance(index, tuple) else (index,))]
    count = sum(_consumes(x) for x in items)
    if count > rank:
        raise IndexError(
            f"too many indices for array: array is {rank}-dimensional, but {count} were"
            " indexed"
        )
    dots = [i for i, x in enumerate(items) if x is Ellipsis]
    if len(dots) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    at = dots[0] if dots else len(items)
    fill = [slice(None)] * (rank - count)
    return [*items[:at], *fill, *items[at + 1 :]]


def _consumes(item: Any) -> int:
    if item is None or item is Ellipsis:
        return 0
    if isinstance(item, Value):
        return item.rank if item.dtype is bool_ else 1
    return 1


def _item(b: Emitter, x: Any) -> Any:
    """An item of an index: None, Ellipsis, a slice, an integer, or a value."""
    if x is None or x is Ellipsis or isinstance(x, (slice, Expr)):
        return x
    if isinstance(x, (bool, np.bool_)):
        return b.constant(np.asarray(x))
    if isinstance(x, (int, np.integer)):
        return int(x)
    if isinstance(x, (list, tuple)) and not len(x):
        return b.constant(np.zeros(0, np.int64))
    if not isinstance(x, (Handle, np.ndarray, list, tuple)):
        raise IndexError(
            "only integers, slices (`:`), ellipsis (`...`), numpy.newaxis (`None`) and"
            f" integer or boolean arrays are valid indices, not {type(x).__name__}"
        )
    known = _plain(x) and not isinstance(x, np.ndarray)
    value = known_value(np.asarray(x)) if known else strong(b, operand_of(b, x))
    if value.dtype.kind not in "biu":
        raise IndexError("arrays used as indices must be of integer (or boolean) type")
    fixed = _fixed(b, value)
    if value.rank == 0 and fixed is not None and value.dtype is not bool_:
        return int(fixed)
    return value if value.dtype is bool_ else b.cast(value, int64)


def _plain(x: Any) -> bool:
    if isinstance(x, (list, tuple)):
        return all(map(_plain, x))
    return not isinstance(x, (Handle, Expr, np.ndarray))


def _fixed(b: Emitter, value: Value) -> Any:
    """What is known of a value now, without waiting for it; else None."""
    if isinstance(value, Deferred):
        return value.data if value.call is None and value.home is None else None
    constant = b.constants.get(value) if isinstance(b, Builder) else None
    return None if constant is None else constant.array()


def slice_of(item: slice, n: Dim) -> tuple[Dim, Dim, Dim]:
    """Start, size and step of a slice of an axis of ``n`` elements, clipped."""
    parts = [x if x is None or isinstance(x, Expr) else as_int(x) for x in _ends(item)]
    step = 1 if parts[2] is None else parts[2]
    if not isinstance(step, int):
        raise ShapeError("the step of a slice must be an integer")
    if step == 0:
        raise ValueError("slice step cannot be zero")
    if isinstance(n, int) and not any(isinstance(p, Expr) for p in parts):
        start, stop, step = slice(*parts).indices(n)
        return start, len(range(start, stop, step)), step
    low, high = (0, n) if step > 0 else (-1, n - 1)
    start_, stop_ = parts[0], parts[1]
    begin = _clipped(start_, n, low, high) if start_ is not None else _first(step, n)
    end = _clipped(stop_, n, low, high) if stop_ is not None else _last(step, n)
    gap, by = (end - begin, step) if step > 0 else (begin - end, -step)
    return begin, maximum(0, ceildiv(gap, by)), step


def _ends(item: slice) -> tuple[Any, Any, Any]:
    return item.start, item.stop, item.step


def _first(step: int, n: Dim) -> Dim:
    return 0 if step > 0 else n - 1


def _last(step: int, n: Dim) -> Dim:
    return n if step > 0 else -1


def _clipped(at: Any, n: Dim, low: Dim, high: Dim) -> Dim:
    """An end of a slice, counted from the end where negative, inside its bounds."""
    if isinstance(at, int):
        return maximum(at + n, low) if at < 0 else minimum(at, high)
    return minimum(maximum(at, low), high)


def _position(at: Any, n: Dim, axis: int) -> Dim:
    if isinstance(at, int) and isinstance(n, int) and not -n <= at < n:
        raise IndexBoundsError(
            f"index {at} is out of bounds for axis {axis} with size {n}"
        )
    return at + n if isinstance(at, int) and at < 0 else at


def resolved(b: Emitter, index: Value, n: Dim, axis: int) -> Value:
    """Indices counted from the end where negative, as nonnegative ones.

    Raises:
        IndexBoundsError: If one is known to be outside.
    """
    known = _fixed(b, index)
    if known is None or not isinstance(n, int):
        wrapped = b.add(index, b.dim_scalar(n, int64))
        return b.where(b.lt(index, b.scalar(0, int64)), wrapped, index)
    if known.size and not -n <= known.min() <= known.max() < n:
        bad = known.min() if known.min() < -n else known.max()
        raise IndexBoundsError(
            f"index {bad} is out of bounds for axis {axis} with size {n}"
        )
    if not known.size or known.min() >= 0:
        return index
    return b.constant(np.where(known < 0, known + n, known))


def positions(b: Emitter, mask: Value, *, flat: bool = False) -> Value:
    """int64[rank, count]: where a mask holds, found once for each mask.

    With ``flat`` it is ``[1, count]``, as if the mask had one axis.
    """
    trace = state.current.get()
    known = {} if trace is None else trace.masks
    for other, kind in [(mask, flat), *[*known][: -_RECENT - 1 : -1]]:
        if kind == flat and (other, kind) in known and _alike(b, mask, other):
            return known[other, kind]
    line = b.reshape(mask, (product(mask.shape),)) if flat else mask
    found = known[mask, flat] = b.emit("nonzero", line, count=b.fresh_symbol())
    return found


def _alike(b: Emitter, x: Value, y: Value, depth: int = _DEEP) -> bool:
    """Whether two values are computed alike, as far as one looks: ``a > 0`` twice."""
    if x is y or depth == 0 or x.type != y.type or not isinstance(b, Builder):
        return x is y
    first, second = b.producer(x), b.producer(y)
    if first is None or second is None:
        return _equal_numbers(b.constants.get(x), b.constants.get(y))
    if first.op != second.op or first.op.traits & _ANEW or first.op.defined_symbols():
        return False
    pairs = zip(first.operands, second.operands, strict=True)
    return all(_alike(b, *pair, depth - 1) for pair in pairs)


def _equal_numbers(x: Constant | None, y: Constant | None) -> bool:
    if x is None or y is None or x.size != 1:
        return False
    return x.dtype is y.dtype and x.array().tobytes() == y.array().tobytes()


# What tensors call --------------------------------------------------------------------


def take_index(x: Handle, index: Any) -> Handle:
    """``x[index]``: a view for integers, slices, None and Ellipsis, else a copy."""
    b = state.emitter("getitem")
    value = x.read()
    parsed = _Index(b, value.shape, index)
    found = parsed.basic(value)
    if parsed.arrays:
        return Handle.make(parsed.take(found))
    if not found.rank and not _has_dots(index):  # NumPy gives a scalar, not a view
        return Handle.make(found)
    return x.view_of(found)


def _has_dots(index: Any) -> bool:
    return any(x is Ellipsis for x in (index if isinstance(index, tuple) else (index,)))


def _fitted(
    b: Emitter,
    value: Any,
    shape: Sequence[Dim],
    like: Value,
    *,
    advanced: bool = False,
) -> Value:
    """A value to be assigned: of the target's dtype, broadcast to the shape.

    Raises:
        ValueError: If it does not broadcast.
    """
    operand = operand_of(b, value)
    have = as_dtype(b, operand, like.dtype)
    extra = have.rank - len(shape)
    if extra > 0 and all(d == 1 for d in have.shape[:extra]):
        have = b.reshape(have, have.shape[extra:])
    try:
        return b.broadcast_to(have, shape)
    except ShapeError:
        if 0 in shape and 0 in have.shape and advanced:
            return b.full(shape, 0, like.dtype)  # nothing is written: NumPy allows it
        raise ShapeError(
            f"could not broadcast input array from shape {_words(have.shape)} into"
            f" shape {_words(shape)}"
        ) from None


def _words(shape: Sequence[Dim]) -> str:
    return f"({', '.join(map(str, shape))})"


def assign_index(x: Handle, index: Any, value: Any) -> None:
    """``x[index] = value``; of several writes to one element the last stays."""
    b = state.emitter("setitem")
    whole = x.read()
    if isinstance(index, (Handle, np.ndarray)) and _masked(b, x, whole, index, value):
        return
    parsed = _Index(b, whole.shape, index)
    part = parsed.basic(whole)
    x.boxed()  # it is written to, as no scalar of NumPy's could be
    if not parsed.arrays:
        view = x.view_of(part)
        view.write(_fitted(b, value, part.shape, whole))
        return
    view = x if part is whole else x.view_of(part)  # while it is known how it came
    shape = parsed.result_shape()
    view.write(parsed.put(part, _fitted(b, value, shape, whole, advanced=True)))


def _masked(b: Emitter, x: Handle, whole: Value, index: Any, value: Any) -> bool:
    """``x[mask] = value`` where the value does not depend on how many are true."""
    mask = strong(b, operand_of(b, index))
    if mask.dtype is not bool_ or mask.rank > whole.rank:
        return False
    inner = whole.shape[mask.rank :]
    new = as_dtype(b, operand_of(b, value), whole.dtype)
    if new.tensor.size == 1:
        new = b.reshape(new, ())
    if new.rank > len(inner):
        return False
    if mask.shape != whole.shape[: mask.rank]:  # it may be empty: NumPy lets it
        return False
    wide = b.reshape(mask, (*mask.shape, *(1 for _ in inner)))
    new = b.broadcast_to(new, whole.shape)
    x.write(b.where(wide, new, whole))
    return True
