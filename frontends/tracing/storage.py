"""Storage cells, handles on them, and the trace that owns them.

A tensor is a handle: a storage cell and a path into it. A cell holds the present value
of all of the storage; a write makes a new value and counts the version up, so that
every other handle on the cell sees it. In a trace, cells belong to it: a tensor from
outside comes in as an input, a tensor that got out is an error.
"""

import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Self

import numpy as np

from graphwright.backends.contract import Backend
from graphwright.frontends.tracing import state
from graphwright.frontends.tracing.lazy import Deferred, host, leaf
from graphwright.frontends.tracing.promotion import Operand, WeakValue
from graphwright.frontends.tracing.views import (
    Path,
    check_writable,
    is_dense,
    is_view,
    path_between,
    read_path,
    write_path,
)
from graphwright.ir.builder import Builder
from graphwright.ir.dim import Expr
from graphwright.ir.dlpack import from_dlpack
from graphwright.ir.dtype import dtype
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import TraceError
from graphwright.ir.op import OPS
from graphwright.ir.types import TensorType, Type

_CURES = {
    "`if t`": "use gw.cond or np.where for if, gw.while_loop for while, & | ~ for and,"
    " or, not",
    "an index": "index with the tensor itself, loop by gw.fori_loop or gw.scan, or make"
    " it a static argument",
    "a shape": "shapes must be known when tracing: make it a static argument, or take"
    " the largest size and mask with np.where",
    "float(": "keep it a tensor (np.sin(t), not math.sin(t)), or make it a static"
    " argument",
    "repr": "return it, and print it after the call",
}
_CURES |= dict.fromkeys(("int(", "complex("), _CURES["float("])
_CURE = "keep it a tensor in the function, and read the result after the call"
"""What to do instead, by what asks for a value."""


SMALL = 1 << 15
"""Bytes of an operand up to which a function runs at once."""


class Cell:
    """Storage: its present value, how often it was written, and whose it is."""

    __slots__ = ("__weakref__", "owner", "value", "version")

    owner: "Trace | Donated | None"

    def __init__(self, value: Value, owner: "Trace | None") -> None:
        self.value, self.owner, self.version = value, owner, 0
        self._keep(value)

    def _keep(self, value: Value) -> None:
        if type(value) is Deferred and value.call is not None:
            value.keeper = weakref.ref(self)

    def set(self, value: Value) -> None:
        """Writes all of it."""
        self.value = value
        self.version += 1
        self._keep(value)


class Handle:
    """A tensor as a cell and a path into it; the class users see derives from it.

    ``_boxed`` tells a 0-d tensor that NumPy has as an array, which writes change, from
    one that it has as a scalar, which ``+=`` replaces.
    """

    __slots__ = ("_boxed", "_cell", "_path", "_value", "_version")

    concrete: ClassVar["type[Handle]"]

    _boxed: bool
    _cell: Cell
    _path: Path
    _value: Value | None
    _version: int

    def __init_subclass__(cls) -> None:
        Handle.concrete = cls

    @classmethod
    def on(cls, cell: Cell, path: Path = ()) -> Self:
        """The handle on a part of a cell."""
        self = cls.__new__(cls)
        self._cell, self._path, self._value, self._version = cell, path, None, -1
        self._boxed = bool(path)
        return self

    def boxed(self) -> Self:
        """The same; if it is 0-d, it is an array and no scalar."""
        self._boxed = True
        return self

    def same_kind_of(self, other: "Handle") -> "Handle":
        """Another tensor as an array if this is one; a scalar stays what it is."""
        return other.boxed() if self._boxed else other

    @staticmethod
    def stacked(rows: Sequence[Any]) -> "Handle":
        """The tensor of nested lists that hold tensors."""
        return Handle.concrete.stacked(rows)

    @staticmethod
    def make(value: Value) -> "Handle":
        """A tensor of a value, with storage of its own."""
        return Handle.concrete.on(Cell(value, state.current.get()))

    @staticmethod
    def known(array: Any, home: Backend | None = None) -> "Handle":
        """A tensor of an array that nobody will write to."""
        type_ = TensorType(dtype(array.dtype), tuple(array.shape))
        return Handle.concrete.on(Cell(leaf(array, type_, home), None))

    @staticmethod
    def typed(array: Any, type_: TensorType, home: Backend) -> "Handle":
        """The same for a backend's array whose type is known."""
        return Handle.concrete.on(Cell(Deferred(type_, None, 0, array, home), None))

    def read(self) -> Value:
        """Its present value, for the trace that is running.

        Raises:
            TraceError: If it belongs to a trace that is over.
        """
        trace, cell = state.current.get(), self._cell
        if cell.owner is not trace:
            if trace is None:
                raise _leaked(cell)
            return trace.import_handle(self).read()
        if not self._path:
            return cell.value
        if self._value is None or self._version != cell.version:
            b = state.emitter("view")
            self._value = read_path(b, cell.value, self._path)
            self._version = cell.version
        return self._value

    def write(self, value: Value) -> None:
        """Replaces all its elements: by a value of its dtype and shape.

        Raises:
            TraceError: If it comes from outside the trace that is running.
            ValueError: If it is a broadcast view.
        """
        trace, cell = state.current.get(), self._cell
        if cell.owner is not trace:
            if trace is None:
                raise _leaked(cell)
            trace.import_handle(self).write(value)
            return
        if trace is not None:
            trace.check_written(cell)
        elif self._path and self._written(value):
            return
        check_writable(self._path)
        b = state.emitter("assign")
        cell.set(write_path(b, cell.value, self._path, value))

    def _written(self, value: Value) -> bool:
        """Writes a known value to its part of a small known array of NumPy's."""
        whole = self._cell.value
        if type(whole) is not Deferred or type(value) is not Deferred:
            return False
        data, new = whole.data, value.data
        if not (type(data) is type(new) is np.ndarray and data.nbytes <= SMALL):
            return False
        array = part = data.copy()
        for op in self._path:
            part = op.compute(np, part)
        if not part.flags.writeable or not np.may_share_memory(part, array):
            return False
        part[...] = new
        array.flags.writeable = False
        self._cell.set(leaf(array, whole.tensor, whole.home))
        return True

    def donate(self, name: str) -> None:
        """Gives its storage to a function: nobody reads it any more."""
        cell = self._cell
        cell.set(Deferred(cell.value.type))
        cell.owner = Donated(name)

    def view_of(self, found: Value) -> "Handle":
        """A tensor of a value that was made from this one's: a view where it can be."""
        view = self.viewed(found)
        return Handle.make(found).boxed() if view is None else view

    def viewed(self, found: Value, *, dense: bool = False) -> "Handle | None":
        """The view that a value is of this tensor, or None if it is none.

        With ``dense`` it is one only if this one's elements lie side by side.
        """
        trace = state.current.get()
        source = self
        if self._cell.owner is not trace and trace is not None:
            source = trace.import_handle(self)
        b = state.emitter("view")
        steps = path_between(b, source.read(), found)
        scalar = not self._boxed and not source.read().rank
        whole = source._cell.value.shape
        if steps is None or scalar or (dense and not is_dense(whole, source._path)):
            return None
        path = (*source._path, *steps)
        if not is_view(source._cell.value.shape, path):
            return None
        made = Handle.concrete.on(source._cell, path)
        made._value, made._version = found, source._cell.version
        return made.boxed()

    def small_value(self, most: int) -> Deferred | None:
        """Its value if that is known, an array of NumPy's of at most so many bytes."""
        cell = self._cell
        value = cell.value
        if cell.owner is not None or type(value) is not Deferred:
            return None
        data = value.data
        if type(data) is not np.ndarray or data.nbytes > most:
            return None
        if not self._path:
            return value
        part = self._value
        if self._version != cell.version or type(part) is not Deferred:
            for op in self._path:
                data = op.compute(np, data)
            kind = TensorType(dtype(data.dtype), data.shape)
            self._value = part = leaf(data, kind, value.home)
            self._version = cell.version
        return None if part.call is not None else part

    def is_dense(self) -> bool:
        """Whether its elements lie side by side in C order."""
        return is_dense(self._cell.value.shape, self._path)

    def type_of(self) -> TensorType:
        """Its type, readable wherever it is."""
        if not self._path:
            return self._cell.value.tensor
        if self._cell.owner is state.current.get():
            return self.read().tensor
        b = Builder()
        start = b.input("x", self._cell.value.type)
        return read_path(b, start, self._path).tensor

    def data(self, what: str) -> "np.ndarray[Any, Any]":
        """Its value as a numpy array that must not be written to.

        Raises:
            TraceError: If it is traced; ``what`` says what asked.
        """
        owner, value = self._cell.owner, self._cell.value
        if owner is not None:
            if isinstance(owner, Donated) or not owner.is_active():
                raise _leaked(self._cell)
            names = owner.numbers_below(value)
            raise NeedsStatic(names, what, value) if names else unreadable(what, value)
        trace = state.current.get()
        if trace is None:
            return host(self.read())
        token = state.current.set(None)
        try:
            return host(self.read())
        finally:
            state.current.reset(token)


class NeedsStatic(TraceError):
    """Python numbers among the arguments whose value the function reads.

    Attributes:
        names: The arguments' names.
    """

    def __init__(self, names: list[str], what: str, value: Value) -> None:
        super().__init__(str(unreadable(what, value)))
        self.names = names


def unreadable(what: str, value: Value) -> TraceError:
    """The error for asking the value of a traced tensor."""
    cure = next((c for k, c in _CURES.items() if what.startswith(k)), _CURE)
    return TraceError(
        f"{state.where()}: {what} needs the value of a traced {value.type}: {cure}"
    )


class Donated:
    """The owner of storage that was given to a function."""

    def __init__(self, name: str) -> None:
        self.name = name


def _leaked(cell: Cell) -> TraceError:
    owner = cell.owner
    if isinstance(owner, Donated):
        return TraceError(
            f"{state.where()}: this tensor was donated to {owner.name!r}, which may"
            " reuse its memory: pass a copy, or take the argument out of donate"
        )
    made = owner.builder.producer(cell.value) if owner is not None else None
    place = f", made at {made.source}" if made is not None and made.source else ""
    name = owner.builder.name if owner is not None else "?"
    return TraceError(
        f"{state.where()}: this tensor belongs to the trace of {name!r}, which is over"
        f"{place}: return it from the traced function instead of storing it"
    )


def concrete(b: Emitter, x: Value, what: str) -> "np.ndarray[Any, Any]":
    """The value of ``x``, which a function must know now.

    Raises:
        TraceError: If it is traced and no constant; ``what`` says who asks.
    """
    found = known_array(b, x)
    if found is None:
        raise unreadable(what, x)
    return found


def known_array(b: Emitter, x: Value) -> "np.ndarray[Any, Any] | None":
    """The value of ``x``, or None if it is traced and no constant."""
    if isinstance(x, Deferred):
        return host(x)
    known = b.known(x)
    return None if known is None else known.array()


def operand_of(b: Emitter, x: Any) -> Operand:
    """An argument as a value; Python numbers and dims stay as they are.

    Raises:
        TraceError: If it is nothing that an array can be made of.
    """
    if isinstance(x, Handle):
        return x.read()
    if isinstance(x, np.ndarray):
        return array_value(x)
    if isinstance(x, np.generic):
        return array_value(np.asarray(x))
    if isinstance(x, (bool, int, float, complex, Expr, Value)):
        return x
    if isinstance(x, (list, tuple)) and has_tensors(x):
        return Handle.concrete.stacked(x).read()
    if hasattr(x, "__tensor__"):
        return operand_of(b, x.__tensor__())
    if hasattr(x, "__dlpack__"):
        return array_value(from_dlpack(x))
    array = np.asarray(x)
    if array.dtype == object:
        raise TraceError(
            f"{state.where()}: no tensor can be made of {_of_what(x, array)}"
        )
    return known_value(array)


def _of_what(x: Any, array: "np.ndarray[Any, Any]") -> str:
    """What an object that is no array is, or what it holds."""
    odd = next(iter(array.flat)) if array.ndim and array.size else None
    inner = "" if odd is None else f" of {type(odd).__name__} objects"
    return f"a {type(x).__name__}{inner}: numbers, booleans and strings are known"


def has_tensors(x: Any) -> bool:
    """Whether nested lists hold tensors (or dims), which numpy could not read."""
    if isinstance(x, (list, tuple)):
        return any(map(has_tensors, x))
    return isinstance(x, (Handle, Expr))


def array_value(array: "np.ndarray[Any, Any]") -> Value:
    """A numpy array as a value: an input of the trace, or a copy of what it holds."""
    trace = state.current.get()
    if trace is not None and array.ndim:
        return trace.import_array(array).read()
    return known_value(array)


def known_value(array: "np.ndarray[Any, Any]") -> Value:
    """What a numpy array holds now, as a value: a constant of the trace, or a leaf."""
    trace = state.current.get()
    kind = dtype(array.dtype)
    copy = np.array(array, dtype=kind.numpy, order="C", ndmin=array.ndim)
    copy.flags.writeable = False
    if trace is not None:
        return trace.builder.constant(copy, kind)
    return leaf(copy, TensorType(kind, copy.shape))


class Hidden:
    """An input that a trace found by itself: an array or a tensor from outside.

    Attributes:
        origin: The array, or the cell.
        handle: What stands for it in the trace.
        outer: What stands for it in the trace around; None if that is no trace.
    """

    __slots__ = ("handle", "origin", "outer", "value")

    def __init__(self, origin: Any, handle: Handle, outer: Handle | None) -> None:
        self.origin, self.handle, self.outer = origin, handle, outer
        self.value = handle._cell.value

    @property
    def written(self) -> bool:
        """Whether the traced program wrote to it."""
        return self.handle._cell.version > 0

    def operand(self) -> Value:
        """What a body's operand is, in the trace around."""
        if self.outer is not None:
            return self.outer._cell.value
        if isinstance(self.origin, Cell):
            return self.origin.value
        return array_value(self.origin)


class Trace:
    """A graph being traced, or the body of a loop or branch inside one.

    Attributes:
        builder: The graph so far.
        parent: The trace around a body, None for a function's.
        weak: Names of the inputs that are Python numbers.
        masks: Where each mask that indexed something holds.
        rewiring: What copies the functions that it calls; see ``rewire.py``.
        hidden: What it uses from outside, in the order of the inputs they became.
    """

    def __init__(
        self, builder: Builder, parent: "Trace | None" = None, *, nested: bool = False
    ) -> None:
        self.builder, self.parent = builder, parent
        self.nested = nested or parent is not None
        self.hidden: dict[int, Hidden] = {}
        self.given: list[Handle] = []
        self.masks: dict[tuple[Value, bool], Value] = {}
        self.weak: dict[Value, str] = {}
        self.rewiring: Any = None if parent is None else parent.rewiring

    @contextmanager
    def active(self) -> Iterator[None]:
        """Tensor programs in the block add to this trace."""
        token = state.current.set(self)
        try:
            yield
        finally:
            state.current.reset(token)

    def input(self, name: str, type_: Type, *, weak: bool = False) -> Handle:
        """A tensor that stands for the next input."""
        value = self.builder.input(name, type_)
        if not weak:
            self.given.append(Handle.concrete.on(Cell(value, self)).boxed())
            return self.given[-1]
        copy = self.weakened(value)
        self.weak[copy] = name
        return Handle.concrete.on(Cell(copy, self))

    def weakened(self, value: Value) -> Value:
        """The same 0-d value, but it promotes as a Python number."""
        copy = WeakValue(value.type)
        self.builder.add_node(OPS["reshape"](shape=()), [value], (copy,))
        return copy

    def numbers_below(self, value: Value) -> list[str]:
        """Names of the Python numbers that a value is made of; none if of more."""
        names: dict[str, None] = {}
        stack, seen = [value], {value}
        while stack:
            top = stack.pop()
            node = self.builder.producer(top)
            if top in self.weak:
                names[self.weak[top]] = None
            elif node is not None:
                fresh = [v for v in node.operands if v not in seen]
                seen.update(fresh)
                stack += fresh
            elif top not in self.builder.constants:
                return []
        return list(names)

    def _adopt(self, origin: Any, type_: Type, outer: Handle | None = None) -> Handle:
        handle = self.input(f"captured{len(self.hidden)}", type_)
        self.hidden[id(origin)] = Hidden(origin, handle, outer)
        return handle

    def import_array(self, array: "np.ndarray[Any, Any]") -> Handle:
        """The tensor that stands for an array from outside the trace."""
        found = self.hidden.get(id(array))
        if found is not None:
            return found.handle
        outer = None if self.parent is None else self.parent.import_array(array)
        return self._adopt(array, TensorType(dtype(array.dtype), array.shape), outer)

    def check_written(self, cell: Cell) -> None:
        """Raises TraceError if a loop's or branch's body would write outside."""
        if self.nested and any(h.handle._cell is cell for h in self.hidden.values()):
            raise TraceError(
                f"{state.where()}: the body of a loop or branch writes to a tensor from"
                " outside: carry it, and return it from the body"
            )

    def import_handle(self, handle: Handle) -> Handle:
        """The tensor that stands here for one from outside the trace.

        Raises:
            TraceError: If that one belongs to a trace which is over.
        """
        cell = handle._cell
        if cell.owner is not None and cell.owner not in self._ancestors():
            raise _leaked(cell)
        twin = self._twin(cell)
        return Handle.concrete.on(twin._cell, handle._path) if handle._path else twin

    def is_active(self) -> bool:
        """Whether its function is running."""
        trace = state.current.get()
        return trace is not None and (trace is self or self in trace._ancestors())

    def _ancestors(self) -> list["Trace"]:
        found: list[Trace] = []
        trace = self.parent
        while trace is not None:
            found.append(trace)
            trace = trace.parent
        return found

    def _twin(self, cell: Cell) -> Handle:
        found = self.hidden.get(id(cell))
        if found is not None:
            return found.handle
        outer = None
        if self.parent is not None:
            here = cell.owner is self.parent
            outer = Handle.concrete.on(cell) if here else self.parent._twin(cell)
        return self._adopt(cell, cell.value.type, outer)
