"""The methods that tensors have as numpy's arrays do: functions of the namespace."""

from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

NAMESPACE = "graphwright.frontends.tracing.numpy"


@cache
def namespace() -> ModuleType:
    """The array functions' namespace, ``graphwright.numpy``."""
    return import_module(NAMESPACE)


def _method(name: str) -> Any:
    def call(self: Any, *args: Any, **options: Any) -> Any:
        return getattr(namespace(), name)(self, *args, **options)

    call.__name__ = name
    call.__doc__ = f"``numpy.{name}(t, ...)``."
    return call


class Flat:
    """A tensor's elements in C order: read, iterated over and written by position."""

    __slots__ = ("base",)

    def __init__(self, base: Any) -> None:
        self.base = base if base._boxed or base.ndim else base.copy()  # of a scalar

    def __tensor__(self) -> Any:
        """A vector of the elements."""
        return self.base.flatten()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return self.__tensor__().__array__(dtype, copy)

    def __len__(self) -> Any:
        return self.base.size

    def __iter__(self) -> Any:
        return iter(self.__tensor__())

    def __getitem__(self, index: Any) -> Any:
        return self.__tensor__()[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        """Writes; too few values are repeated, as NumPy does."""
        line = self.__tensor__()
        part = line[index]
        line[index] = namespace().resize(value, part.shape) if part.ndim else value
        self.base[...] = line.reshape(self.base.shape)

    def copy(self) -> Any:
        """A vector of the elements."""
        return self.__tensor__()


class Methods:
    """What numpy's arrays can do, by calling the namespace's function of that name."""

    __slots__ = ()

    all = _method("all")
    any = _method("any")
    argmax = _method("argmax")
    argmin = _method("argmin")
    argpartition = _method("argpartition")
    argsort = _method("argsort")
    clip = _method("clip")
    compress = _method("compress")
    cumprod = _method("cumprod")
    cumsum = _method("cumsum")
    diagonal = _method("diagonal")
    dot = _method("dot")
    max = _method("max")
    mean = _method("mean")
    min = _method("min")
    nonzero = _method("nonzero")
    prod = _method("prod")
    ravel = _method("ravel")
    repeat = _method("repeat")
    round = _method("round")
    searchsorted = _method("searchsorted")
    squeeze = _method("squeeze")
    std = _method("std")
    sum = _method("sum")
    swapaxes = _method("swapaxes")
    take = _method("take")
    trace = _method("trace")
    var = _method("var")

    def reshape(self: Any, *shape: Any, order: str = "C", copy: Any = None) -> Any:
        """The same elements in another shape: a view where NumPy's would be one."""
        wanted = shape[0] if len(shape) == 1 else shape
        return namespace().reshape(self, wanted, order=order, copy=copy)

    def transpose(self: Any, *axes: Any) -> Any:
        """A view with the axes in another order, the opposite one by default."""
        if not axes or axes == (None,):
            return namespace().transpose(self)
        return namespace().transpose(
            self, axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
        )

    @property
    def T(self: Any) -> Any:  # noqa: N802
        """A view with the axes in the opposite order."""
        return namespace().transpose(self)

    @property
    def mT(self: Any) -> Any:  # noqa: N802
        """A view with the last two axes exchanged."""
        if self.ndim < 2:
            raise ValueError("matrix transpose with ndim < 2 is undefined")
        return namespace().swapaxes(self, -1, -2)

    @property
    def real(self: Any) -> Any:
        """The real part: a view."""
        return namespace().real(self)

    @real.setter
    def real(self: Any, value: Any) -> None:
        namespace().real(self)[...] = value

    @property
    def imag(self: Any) -> Any:
        """The imaginary part: a view, of a complex tensor."""
        return namespace().imag(self)

    @imag.setter
    def imag(self: Any, value: Any) -> None:
        if self.dtype.kind != "c":
            raise TypeError("array does not have imaginary part to set")
        namespace().imag(self)[...] = value

    @property
    def flat(self: Any) -> Any:
        """The elements in C order, as a vector that writes to them."""
        return Flat(self)

    @flat.setter
    def flat(self: Any, value: Any) -> None:
        Flat(self)[:] = value

    def conj(self: Any) -> Any:
        """The complex conjugate; itself if it is not complex."""
        return namespace().conj(self) if self.dtype.kind == "c" else self

    conjugate = conj

    def astype(self: Any, dtype: Any, *_: Any, copy: bool = True, **__: Any) -> Any:
        """Another element type."""
        return self.same_kind_of(namespace().astype(self, dtype, copy=copy))

    def copy(self: Any, order: str = "C") -> Any:
        """The same elements in storage of their own."""
        return self.same_kind_of(type(self).make(self.read()))

    def flatten(self: Any, order: str = "C") -> Any:
        """A copy as a vector."""
        return namespace().ravel(self, order=order).copy()

    def fill(self: Any, value: Any) -> None:
        """Writes one value to all elements; to no scalar, as NumPy."""
        if self.ndim or self._boxed:
            self[...] = value

    def sort(self: Any, axis: int = -1, **options: Any) -> None:
        """Sorts in place."""
        self[...] = namespace().sort(self, axis=axis, **options)

    def put(self: Any, indices: Any, values: Any) -> None:
        """Writes at positions of the flattened tensor."""
        namespace().put(self, indices, values)

    def view(self: Any, dtype: Any = None) -> Any:
        """The same storage; with a dtype, its bits as that."""
        if dtype is None:
            return self[...] if self._boxed or self.ndim else self
        return namespace().view(self, dtype)
