"""A stand-in for CuPy on machines without a GPU: NumPy behind CuPy's borders.

Its arrays are no NumPy arrays: NumPy refuses them, and it refuses NumPy's, as CuPy does
(docs.cupy.dev, "Differences between CuPy and NumPy"). Only names that CuPy 14.2 has are
there (``cupy_names.txt``), and only its dtypes. What it cannot show: times, numerics of
the device, undefined behaviour out of bounds.
"""

from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

import ml_dtypes
import numpy as np

KINDS = "?bhilqBHILQefdFD"
"""Characters of the dtypes that CuPy has; bfloat16 beside them."""


def _names() -> dict[str, frozenset[str]]:
    text = (Path(__file__).parent / "cupy_names.txt").read_text(encoding="utf-8")
    found: dict[str, frozenset[str]] = {}
    for part in text.split("[")[1:]:
        head, _, words = part.partition("]")
        found[head] = frozenset(words.split())
    return found


NAMES = _names()


def _known(dtype: Any) -> None:
    found = np.dtype(dtype)
    if found.char not in KINDS and found != ml_dtypes.bfloat16:
        raise TypeError(f"Unsupported dtype {found}")


class FakeArray:
    """An array "on the device"."""

    __array_priority__ = 100
    __array_ufunc__ = None

    def __init__(self, held: Any) -> None:
        held = np.asarray(held)
        _known(held.dtype)
        self.held = held

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. Please use `.get()`"
            " to construct a NumPy array explicitly."
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name not in NAMES["ndarray"]:
            raise AttributeError(f"'cupy.ndarray' object has no attribute {name!r}")
        found = getattr(self.held, name) if name != "get" else self.held.copy
        if name == "get":
            return found
        return _wrapped(found) if callable(found) else _out(found)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "held":
            object.__setattr__(self, name, value)
        else:
            setattr(self.held, name, _in(value))

    def __getitem__(self, index: Any) -> Any:
        return FakeArray(self.held[_index(index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(value, np.ndarray):  # CuPy takes scalars and its own arrays
            raise TypeError("Unsupported type <class 'numpy.ndarray'>")
        self.held[_index(index)] = _in(value)

    def __len__(self) -> int:
        return len(self.held)

    def __bool__(self) -> bool:
        return bool(self.held)

    def __int__(self) -> int:
        return int(self.held)

    def __float__(self) -> float:
        return float(self.held)

    def __dlpack__(self, **options: Any) -> Any:
        if options.get("dl_device") == (1, 0):  # a copy for the host is asked for
            return self.held.copy().__dlpack__()
        raise BufferError("device memory")

    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, 0)

    def __repr__(self) -> str:
        return f"fake {self.held!r}"


def _operator(name: str) -> Callable[..., Any]:
    def run(self: FakeArray, *others: Any) -> Any:
        found = getattr(self.held, name)(*map(_in, others))
        return found if found is NotImplemented else _out(found)

    return run


for _word in (
    *("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or"),
    *("xor", "lshift", "rshift", "divmod"),
):
    for _side in ("", "r", "i"):
        _name = f"__{_side}{_word}__"
        if hasattr(np.ndarray, _name) and _name != "__imatmul__":
            setattr(FakeArray, _name, _operator(_name))
for _word in ("eq", "ne", "lt", "le", "gt", "ge", "neg", "pos", "abs", "invert"):
    setattr(FakeArray, f"__{_word}__", _operator(f"__{_word}__"))
FakeArray.__hash__ = None  # type: ignore[assignment]


def _index(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(map(_index, index))
    if isinstance(index, FakeArray):
        return index.held
    return index


def _in(x: Any, nested: bool = False) -> Any:
    """An argument as NumPy takes it; NumPy's own arrays are refused."""
    if isinstance(x, FakeArray):
        return x.held
    if isinstance(x, np.ndarray):
        raise TypeError(f"Unsupported type {type(x)}")
    if isinstance(x, (list, tuple)):
        return type(x)(_in(item, True) for item in x)
    return x


def _out(x: Any) -> Any:
    if isinstance(x, np.flatiter):
        return x
    if isinstance(x, (np.ndarray, np.generic)):
        return FakeArray(x)
    if isinstance(x, tuple) and any(isinstance(v, (np.ndarray, np.generic)) for v in x):
        return tuple(map(_out, x))
    if isinstance(x, list) and any(isinstance(v, np.ndarray) for v in x):
        return list(map(_out, x))
    return x


def _wrapped(function: Any, *, takes_host: bool = False) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        if takes_host:
            args = tuple(x if isinstance(x, np.ndarray) else _in(x) for x in args)
        else:
            args = tuple(map(_in, args))
        return _out(function(*args, **{k: _in(v) for k, v in kwargs.items()}))

    return run


class _Ufunc:
    """A ufunc; CuPy's have neither ``where=`` nor most methods."""

    def __init__(self, ufunc: np.ufunc) -> None:
        self._ufunc = ufunc

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if "where" in kwargs:
            raise TypeError("CuPy's ufuncs take no `where`")
        return _wrapped(self._ufunc)(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        allowed = {"add": {"reduce", "accumulate", "at", "reduceat"}}
        allowed |= {"multiply": {"reduce", "accumulate"}}
        allowed |= {"maximum": {"at"}, "minimum": {"at"}}
        known = {"outer", "nin", "nout", "types"} | allowed.get(
            self._ufunc.__name__, set()
        )
        if name not in known:
            raise NotImplementedError(f"CuPy's {self._ufunc.__name__} has no {name}")
        found = getattr(self._ufunc, name)
        return _wrapped(found) if callable(found) else found


_TAKES_HOST = frozenset({"array", "asarray", "ascontiguousarray", "asanyarray"})


class FakeModule(ModuleType):
    """CuPy's namespace, or a part of it."""

    def __init__(self, part: str, source: Any) -> None:
        super().__init__(part)
        self._part, self._source = part, source

    def __getattr__(self, name: str) -> Any:
        if self._part == "cupy" and name in ("linalg", "fft"):
            return FakeModule(name, getattr(np, name))
        if name == "lib":
            return FakeModule("lib", np.lib)
        if name == "stride_tricks":
            return FakeModule("lib.stride_tricks", np.lib.stride_tricks)
        if name not in NAMES[self._part]:
            raise AttributeError(f"module 'cupy' has no attribute {name!r}")
        found = getattr(self._source, name)
        if isinstance(found, np.ufunc):
            return _Ufunc(found)
        if isinstance(found, type) or not callable(found):
            return FakeArray if found is np.ndarray else found
        return _wrapped(found, takes_host=name in _TAKES_HOST)


class _Error(RuntimeError):
    status = 100


class OutOfMemoryError(MemoryError):
    """CuPy's, by its name."""


class _Device:
    def __init__(self, index: int) -> None:
        self.id = index

    def __enter__(self) -> "_Device":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None


class _Runtime:
    CUDARuntimeError = _Error

    def __init__(self, count: int, driver: int) -> None:
        self._count, self._driver = count, driver

    def driverGetVersion(self) -> int:  # noqa: N802 - CuPy's spelling
        return self._driver

    def runtimeGetVersion(self) -> int:  # noqa: N802
        return 13020

    def memGetInfo(self) -> tuple[int, int]:  # noqa: N802
        return 1 << 20, 1 << 30

    def getDeviceCount(self) -> int:  # noqa: N802
        if not self._count:
            raise _Error("cudaErrorNoDevice: no CUDA-capable device is detected")
        return self._count


def fake_cupy(devices: int = 1, driver: int = 13000) -> Any:
    """A module that stands for CuPy on a machine with so many GPUs."""
    module: Any = FakeModule("cupy", np)
    module.__spec__ = ModuleSpec("cupy", None)
    module.ndarray = FakeArray
    module.cuda = ModuleType("cupy.cuda")
    module.cuda.runtime = _Runtime(devices, driver)
    module.cuda.Device = _Device
    module.cuda.memory = ModuleType("cupy.cuda.memory")
    module.cuda.memory.OutOfMemoryError = OutOfMemoryError
    module.asnumpy = lambda x: x.held.copy() if isinstance(x, FakeArray) else x
    module.from_dlpack = lambda x: x if isinstance(x, FakeArray) else FakeArray(x)
    return module
