"""Parts of small tensors: read and written at once, as indexing did the time before.

What an index of integers and slices means hangs on the shape alone. So its path into
the storage is kept, with a function that follows it in a NumPy array. Reading a part
then makes no expression, and writing to it copies the few bytes of the storage.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from graphwright.frontends.tracing import state
from graphwright.frontends.tracing.indexing import assign_index, take_index
from graphwright.frontends.tracing.lazy import Deferred, leaf
from graphwright.frontends.tracing.placement import default
from graphwright.frontends.tracing.small import numpy_backend
from graphwright.frontends.tracing.storage import SMALL, Cell, Handle
from graphwright.frontends.tracing.views import Path
from graphwright.ir.types import TensorType

_Array: TypeAlias = "np.ndarray[Any, Any]"
_MAX_PARTS = 4096
_ENDS = frozenset((int, type(None)))
_PLAIN = frozenset((int, type(None), type(Ellipsis)))


class _Part(NamedTuple):
    """Where an index leads.

    Attributes:
        start: The path that it was followed from; held, so that no other has its id.
        path: The path from the storage.
        follow: Gives the part of the storage's array, as a view.
        type: Its type.
        scalar: Whether NumPy gives a number that is no view.
    """

    start: Path
    path: Path
    follow: Callable[[_Array], _Array]
    type: TensorType
    scalar: bool


_parts: dict[Any, _Part | None] = {}


def take(x: Handle, index: Any) -> Handle:
    """``x[index]``."""
    part = _found(x, index)
    if part is None:
        return take_index(x, index)
    cell = x._cell
    whole = cell.value
    assert isinstance(whole, Deferred)
    array = part.follow(whole.data)
    if part.scalar:
        array = array.copy()
        array.flags.writeable = False
        return Handle.concrete.on(Cell(leaf(array, part.type, whole.home), None))
    made = Handle.concrete.on(cell, part.path)
    made._value, made._version = leaf(array, part.type, whole.home), cell.version
    return made.boxed()


def assign(x: Handle, index: Any, value: Any) -> None:
    """``x[index] = value``."""
    part = _found(x, index)
    new = None if part is None else _small(value)
    if part is not None and _is(value, x, part):
        return  # what x[index] += 1 ends with: it is written already
    if part is None or new is None or not _written(x, part, new):
        assign_index(x, index, value)


def _is(value: Any, x: Handle, part: _Part) -> bool:
    """Whether a value is this very part."""
    if not isinstance(value, Handle):
        return False
    return value._cell is x._cell and value._path is part.path


def _written(x: Handle, part: _Part, new: Any) -> bool:
    """Writes to a part; False, and nothing is written, where NumPy would not."""
    cell = x._cell
    whole = cell.value
    assert isinstance(whole, Deferred)
    array = whole.data.copy()
    try:
        with np.errstate(all="ignore"):
            part.follow(array)[...] = new
    except (ArithmeticError, TypeError, ValueError):
        return False
    array.flags.writeable = False
    x.boxed()
    cell.set(leaf(array, whole.tensor, whole.home))
    return True


def _small(value: Any) -> Any:
    """What is written, if it is known and NumPy writes it as tensors are written."""
    if type(value) in (bool, int, float):
        return value
    if isinstance(value, Handle):
        known = value.small_value(SMALL)
        own = known is not None and known.home in (None, numpy_backend())
        value = known.data if known is not None and own else None
    plain = isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biuf"
    return value if plain else None


def _found(x: Handle, index: Any) -> _Part | None:
    """The part that an index leads to, if it is one of a small known tensor."""
    whole = x._cell.value
    if state.current.get() is not None or type(whole) is not Deferred:
        return None
    data = whole.data
    if type(data) is not np.ndarray or data.nbytes > SMALL or x._cell.owner is not None:
        return None
    home = default()
    if home is not numpy_backend() or whole.home not in (None, home):
        return None
    key = _key(index)
    if key is None:
        return None
    key = (id(x._path), data.dtype, data.shape, key)
    try:
        return _parts[key]
    except KeyError:
        part = _learnt(x, index)
        if len(_parts) >= _MAX_PARTS:
            _parts.clear()
        _parts[key] = part
        return part


def _key(index: Any) -> Any:
    """What tells an index of integers, slices, None and dots from others, or None."""
    items = index if type(index) is tuple else (index,)
    found: list[Any] = []
    for item in items:
        if type(item) in _PLAIN:
            found.append(item)
        elif type(item) is slice:
            start, stop, step = item.start, item.stop, item.step
            if not (
                type(start) in _ENDS and type(stop) in _ENDS and type(step) in _ENDS
            ):
                return None
            found.append((start, stop, step))
        else:
            return None
    return tuple(found)


def _learnt(x: Handle, index: Any) -> _Part | None:
    """Follows an index as an expression, and sees where that leads."""
    items = index if type(index) is tuple else (index,)
    dots = any(item is Ellipsis for item in items)
    full = items if dots else (*items, Ellipsis)
    if not x.type_of().dims:
        return None
    view = take_index(x, full)
    if view._cell is not x._cell:
        return None
    follow = partial(_followed, x._path, full)
    trial: _Array = np.empty(x._cell.value.shape, x._cell.value.tensor.dtype.numpy)
    part = follow(trial)
    if part.size and not np.shares_memory(part, trial):
        return None
    type_ = view.type_of()
    kind = TensorType(type_.dtype, type_.dims)
    return _Part(x._path, view._path, follow, kind, not part.ndim and not dots)


def _followed(path: Path, index: Any, array: _Array) -> _Array:
    for op in path:
        array = op.compute(np, array)
    part: _Array = array[index]
    return part
