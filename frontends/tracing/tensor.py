"""``Tensor``: the array that programs compute with, eagerly, lazily or traced."""

from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from graphwright.backends.contract import Backend
from graphwright.backends.registry import choose_backend
from graphwright.frontends.tracing import arithmetic, custom, parts, state
from graphwright.frontends.tracing.lazy import Deferred, leaf, materialise
from graphwright.frontends.tracing.methods import Methods, namespace
from graphwright.frontends.tracing.placement import default
from graphwright.frontends.tracing.promotion import (
    WeakValue,
    as_dtype,
    result_dtype,
    same_kind,
)
from graphwright.frontends.tracing.pytree import map_leaves
from graphwright.frontends.tracing.storage import (
    Cell,
    Handle,
    array_value,
    has_tensors,
    operand_of,
)
from graphwright.frontends.tracing.wrap import strong
from graphwright.ir.arguments import checked
from graphwright.ir.dim import Dim, Expr, product
from graphwright.ir.dtype import dtype
from graphwright.ir.emitter import broadcast_shape
from graphwright.ir.errors import ArgumentError, DTypeError, ShapeError, TraceError
from graphwright.ir.ops.effects import CopyTo
from graphwright.ir.types import TensorType

Function = Callable[..., Any]


def _binary(function: Function) -> tuple[Function, Function]:
    """An operator and its reflection."""

    def forward(self: "Tensor", other: Any) -> Any:
        if not _is_operand(other):
            return NotImplemented
        found = function(self, other)
        weak = type(self._cell.value) is WeakValue and _is_weak(other)
        return _weakened(found) if weak else found

    def backward(self: "Tensor", other: Any) -> Any:
        if not _is_operand(other):
            return NotImplemented
        found = function(other, self)
        weak = type(self._cell.value) is WeakValue and _is_weak(other)
        return _weakened(found) if weak else found

    return forward, backward


def _unary(function: Function) -> Function:
    """An operator of one operand."""

    def apply(self: "Tensor") -> Any:
        found = function(self)
        return _weakened(found) if type(self._cell.value) is WeakValue else found

    return apply


def _is_weak(x: Any) -> bool:
    """Whether an operand promotes as a Python number."""
    if isinstance(x, Handle):
        return type(x._cell.value) is WeakValue
    return isinstance(x, (int, float, complex)) and not isinstance(x, np.generic)


def _weakened(found: Any) -> Any:
    """What Python numbers give is a Python number again."""
    trace = state.current.get()
    if trace is None or not isinstance(found, Handle):
        return found
    return Handle.make(trace.weakened(found.read()))


def _inplace(function: Function) -> Function:
    """An augmented assignment: the result is written to the left operand.

    What NumPy has as a scalar is not written to: the name gets the result, and whoever
    else holds the tensor keeps the old value.
    """

    def update(self: "Tensor", other: Any) -> Any:
        if not _is_operand(other):
            return NotImplemented
        updated = function(self, other)
        result, have = updated.read(), self.read()
        if not have.rank and not self._boxed:
            return updated
        if tuple(result.shape) != tuple(have.shape):
            raise ShapeError(
                f"non-broadcastable output operand with shape {have.shape} doesn't"
                f" match the broadcast shape {result.shape}"
            )
        if not same_kind(result.dtype, have.dtype):
            raise DTypeError(
                f"cannot cast the result from {result.dtype} to {have.dtype} by the"
                " rule same_kind: write x = x + y, or cast with astype"
            )
        self.write(as_dtype(state.emitter("assign"), result, have.dtype))
        return self

    return update


def _is_operand(x: Any) -> bool:
    return isinstance(
        x, (Handle, np.ndarray, np.generic, int, float, complex, Expr, list, tuple)
    ) or hasattr(x, "__dlpack__")


class Tensor(Methods, Handle):
    """An array of numbers, with NumPy's operators, indexing, methods and aliasing.

    Outside a trace it is lazy: an expression that is evaluated when its value is read.
    Under ``gw.trace`` and ``gw.jit`` it stands for a value that a run will know.
    Writing to it is seen by all views of its storage.

    Args:
        array: A numpy array, or one of the backend's, that nobody writes to any more.
        backend: The backend whose array it is.
    """

    __slots__ = ("__weakref__",)
    __array_priority__ = 1000

    def __init__(self, array: Any, backend: Backend | None = None) -> None:
        if not hasattr(array, "dtype"):
            raise ArgumentError(f"no array: gw.asarray takes {type(array).__name__}")
        type_ = TensorType(dtype(array.dtype), tuple(array.shape))
        self._cell, self._path = Cell(leaf(array, type_, backend), None), ()
        self._value, self._version, self._boxed = None, -1, True

    @staticmethod
    def stacked(rows: Sequence[Any]) -> "Tensor":
        """The tensor of nested lists that hold tensors."""
        b = state.emitter("array")
        parts = [
            Tensor.stacked(r) if isinstance(r, (list, tuple)) and has_tensors(r) else r
            for r in rows
        ]
        values = [strong(b, operand_of(b, p)) for p in parts]
        common = result_dtype(*[operand_of(b, p) for p in parts])
        shape = broadcast_shape(*[v.shape for v in values])
        if any(len(v.shape) != len(shape) for v in values):
            raise ValueError("nested lists of different depths make no array")
        wide = [b.broadcast_to(as_dtype(b, v, common), shape) for v in values]
        made = Handle.make(b.stack(wide, 0))
        assert isinstance(made, Tensor)
        return made

    # What it is -----------------------------------------------------------------------

    @property
    def shape(self) -> tuple[Any, ...]:
        """Sizes of its axes: integers, or dims under a trace with named ones."""
        return self.type_of().dims

    @shape.setter
    def shape(self, shape: Any) -> None:
        trace = state.current.get()
        if trace is not None and any(handle is self for handle in trace.given):
            raise TraceError(
                f"{state.where()}: an array from outside would keep its shape: write"
                " x = x.reshape(shape), which is a view"
            )
        view = self.reshape(shape)
        if view._cell is not self._cell:
            raise AttributeError("no view of the elements has this shape: use reshape")
        self._path, self._value, self._version = view._path, None, -1
        self._boxed = True

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.type_of().dims)

    @property
    def size(self) -> Any:
        """Number of elements."""
        return product(self.type_of().dims)

    @property
    def dtype(self) -> "np.dtype[Any]":
        """Element type, as numpy's."""
        return self.type_of().dtype.numpy

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> Any:
        """Bytes of all elements."""
        return self.size * self.itemsize

    @property
    def backend(self) -> str:
        """Name of the backend that holds it."""
        return self._home().name

    @property
    def device(self) -> str:
        """The same, by the Array API's name."""
        return self.backend

    def _home(self) -> Backend:
        value = self._cell.value
        if isinstance(value, Deferred) and value.home is not None:
            return value.home
        return default()

    @property
    def array(self) -> Any:
        """The backend's own array, which must not be written to."""
        value = self.read()
        if not isinstance(value, Deferred):
            return self.data("array")
        materialise((value,))
        return value.data

    # Reading it -----------------------------------------------------------------------

    def numpy(self) -> "np.ndarray[Any, Any]":
        """Its value as a numpy array, without a copy where the backend allows.

        It is read-only where expressions may share its memory; what an executable or a
        compiled function returned is the caller's.

        Raises:
            TraceError: If it is traced.
        """
        return self.data("Tensor.numpy()")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        array = self.data("np.asarray(t)")
        if dtype is None and not copy:
            return array
        return np.array(array, dtype=dtype, copy=copy)

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: Any = None,
        copy: bool | None = None,
    ) -> Any:
        kept = self.data("DLPack").dtype
        if kept.kind not in "biufc":
            cure = (
                f": give t.view('uint{8 * kept.itemsize}') and view it as {kept} there"
            )
            words = cure if kept.kind == "V" else ""
            raise BufferError(f"NumPy has no DLPack of {self.type_of().dtype}{words}")
        array = self.array
        old = max_version is None or max_version[0] < 1
        if old and isinstance(array, np.ndarray):  # it cannot say "read-only"
            array = self._own() if copy is False else array.copy()
        return array.__dlpack__(
            stream=stream, max_version=max_version, dl_device=dl_device, copy=copy
        )

    def _own(self) -> "np.ndarray[Any, Any]":
        """Memory that other storage does not share: whoever gets it may write to it."""
        whole = Handle.on(self._cell)
        base = array = np.array(whole.data("DLPack"))
        for op in self._path:
            array = op.compute(np, array)
        if array.size and not np.shares_memory(array, base):
            raise BufferError("this view has no memory of its own: copy the tensor")
        self._cell.set(leaf(base, whole.type_of(), default()))
        return array

    def __dlpack_device__(self) -> Any:
        self.data("DLPack")
        return self.array.__dlpack_device__()

    def item(self, *index: Any) -> Any:
        """One element as a Python number: the only one, or that at an index."""
        return self.data("t.item()").item(*index)

    def tolist(self) -> Any:
        """Nested lists of Python numbers."""
        return self.data("t.tolist()").tolist()

    def tobytes(self) -> bytes:
        """Its elements' bytes, in C order."""
        return self.data("t.tobytes()").tobytes()

    def __bool__(self) -> bool:
        return bool(self.data("`if t` (bool)"))

    def __int__(self) -> int:
        return int(self.data("int(t)"))

    def __float__(self) -> float:
        return float(self.data("float(t)"))

    def __complex__(self) -> complex:
        return complex(self.data("complex(t)"))

    def __index__(self) -> int:
        return self.data("an index, range or size").__index__()

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else str(self)

    def __len__(self) -> int:
        shape = self.shape
        if not shape:
            raise TypeError("len() of unsized object")
        return _known(shape[0], "len(t)")

    def __iter__(self) -> Iterator["Tensor"]:
        shape = self.shape
        if not shape:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(_known(shape[0], "iterating over t")))

    def __contains__(self, x: Any) -> bool:
        return bool((self == x).any())

    def __hash__(self) -> int:
        raise TypeError("unhashable type: 'Tensor'")

    # Where it is ----------------------------------------------------------------------

    @checked
    def to(self, backend: "str | Backend | Sequence[str]") -> "Tensor":
        """The same values on a backend's device.

        In a traced function it says where what reads them runs: on that backend, until
        another ``to``, whatever the rest of the graph is compiled for.
        """
        if state.current.get() is not None:
            if not isinstance(backend, str):
                backend = choose_backend(backend).name
            noted: Tensor = custom.apply(CopyTo(device=backend), self)
            return noted
        chosen = choose_backend(backend)
        return Tensor(chosen.to_device(np.array(self.data("t.to()"))), chosen)

    def to_device(self, device: Any, /, *, stream: Any = None) -> "Tensor":
        """The Array API's name of ``to``."""
        return self.to(device)

    def __array_namespace__(self, *, api_version: str | None = None) -> ModuleType:
        return namespace()

    def __array_ufunc__(
        self, ufunc: Any, method: str, *inputs: Any, **options: Any
    ) -> Any:
        function = find(ufunc.__name__)
        function = None if function is ufunc else function
        if function is not None and method != "__call__":
            function = getattr(function, method, None)
        if function is None:
            name = (
                ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
            )
            raise _unsupported(f"numpy.{name}")
        out = options.pop("out", None)
        if out is not None:
            options["out"] = out[0] if len(out) == 1 else out
        return function(*inputs, **options)

    def __array_function__(
        self, function: Any, types: Any, args: Any, options: Any
    ) -> Any:
        module = function.__module__.removeprefix("numpy").removeprefix(".")
        name = f"{module}.{function.__name__}" if module else function.__name__
        found = find(name)
        listed = name.partition(".")[0] in namespace().__all__
        if found is None or (found is function and not listed):
            raise _unsupported(f"numpy.{name}")
        if found is function:  # NumPy's own, such as save: it works on arrays
            args, options = _as_arrays(f"numpy.{name}", (args, options))
        return found(*args, **options)

    # Copies, text ---------------------------------------------------------------------

    def __copy__(self) -> Any:
        return self.copy()

    def __deepcopy__(self, memo: Any) -> Any:
        return self.copy()

    def __reduce__(self) -> Any:
        return _revived, (np.array(self.data("pickling")), self.type_of().dtype)

    def __repr__(self) -> str:
        type_ = self.type_of()
        words = f"{type_.dtype}[{', '.join(map(str, type_.dims))}]"
        if self._cell.owner is not None:
            return f"Tensor(<traced>, {words})"
        body = np.array2string(self.data("repr"), separator=", ", prefix="Tensor(")
        return f"Tensor({body}, {words})"

    def _repr_html_(self) -> str:
        type_ = self.type_of()
        head = f"{type_.dtype}[{', '.join(map(str, type_.dims))}]"
        if self._cell.owner is not None:
            return f"<b>Tensor</b> {head}, traced"
        body = np.array2string(self.data("repr"), threshold=100, precision=4)
        return f"<b>Tensor</b> {head} on {self.backend}<pre>{body}</pre>"

    # Indexing and operators -----------------------------------------------------------

    def __getitem__(self, index: Any) -> Any:
        return parts.take(self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        parts.assign(self, index, value)

    __add__, __radd__ = _binary(arithmetic.add)
    __sub__, __rsub__ = _binary(arithmetic.subtract)
    __mul__, __rmul__ = _binary(arithmetic.multiply)
    __truediv__, __rtruediv__ = _binary(arithmetic.divide)
    __floordiv__, __rfloordiv__ = _binary(arithmetic.floor_divide)
    __mod__, __rmod__ = _binary(arithmetic.remainder)
    __divmod__, __rdivmod__ = _binary(arithmetic.divmod_)
    __pow__, __rpow__ = _binary(arithmetic.power_operator)
    __and__, __rand__ = _binary(arithmetic.bitwise_and)
    __or__, __ror__ = _binary(arithmetic.bitwise_or)
    __xor__, __rxor__ = _binary(arithmetic.bitwise_xor)
    __lshift__, __rlshift__ = _binary(arithmetic.left_shift)
    __rshift__, __rrshift__ = _binary(arithmetic.right_shift)
    __matmul__, __rmatmul__ = _binary(arithmetic.matmul)
    __lt__, __gt__ = _binary(arithmetic.less)[0], _binary(arithmetic.greater)[0]
    __le__ = _binary(arithmetic.less_equal)[0]
    __ge__ = _binary(arithmetic.greater_equal)[0]
    __eq__ = _binary(arithmetic.equal)[0]
    __ne__ = _binary(arithmetic.not_equal)[0]
    __iadd__, __isub__ = _inplace(arithmetic.add), _inplace(arithmetic.subtract)
    __imul__, __itruediv__ = _inplace(arithmetic.multiply), _inplace(arithmetic.divide)
    __ifloordiv__ = _inplace(arithmetic.floor_divide)
    __imod__ = _inplace(arithmetic.remainder)
    __ipow__ = _inplace(arithmetic.power_operator)
    __iand__ = _inplace(arithmetic.bitwise_and)
    __ior__, __ixor__ = (
        _inplace(arithmetic.bitwise_or),
        _inplace(arithmetic.bitwise_xor),
    )
    __ilshift__ = _inplace(arithmetic.left_shift)
    __irshift__ = _inplace(arithmetic.right_shift)
    __imatmul__ = _inplace(arithmetic.matmul)

    __neg__ = _unary(arithmetic.negative)
    __pos__ = _unary(arithmetic.positive)
    __abs__ = _unary(arithmetic.absolute)
    __invert__ = _unary(arithmetic.invert)


def _known(dim: Dim, what: str) -> int:
    if isinstance(dim, int):
        return dim
    raise TraceError(
        f"{state.where()}: {what} needs the size {dim}, which every call gives anew:"
        " use gw.scan or gw.fori_loop, or trace with a fixed size"
    )


def _as_arrays(what: str, tree: Any) -> Any:
    """A tree with numpy arrays in place of tensors."""
    return map_leaves(lambda x: x.data(what) if isinstance(x, Tensor) else x, tree)


def _revived(array: Any, type_: Any) -> Tensor:
    return Tensor(np.asarray(array, type_.numpy))


def _unsupported(name: str) -> TraceError:
    return TraceError(
        f"{state.where()}: {name} is not supported on tensors: write it with functions"
        " of graphwright.numpy, or compute on np.asarray(t) outside the traced function"
    )


def find(name: str) -> Any:
    """The namespace's object of a dotted name, or None."""
    found: Any = namespace()
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def asarray(x: Any, dtype: Any = None, *, copy: bool | None = None) -> Tensor:
    """A tensor of anything array-like: a copy, so that later writes to it are not seen.

    Args:
        x: A tensor (returned as it is unless ``dtype`` or ``copy`` ask otherwise),
            numpy array, DLPack or buffer object, nested lists, or a number.
        dtype: Element type; that of ``x`` if None.
        copy: Whether a tensor is copied as well.
    """
    if isinstance(x, Tensor):
        same = dtype is None or x.dtype == np.dtype(dtype)
        return x if same and not copy else x.astype(dtype or x.dtype)
    b = state.emitter("asarray")
    value = array_value(x) if isinstance(x, np.ndarray) else strong(b, operand_of(b, x))
    made = Handle.make(value)
    assert isinstance(made, Tensor)
    return (made if dtype is None else made.astype(dtype)).boxed()
