"""Thread count of the BLAS bundled with numpy, where it can be reached.

Our threads run one GEMM each, so BLAS must stay at one thread meanwhile. OpenBLAS
exports a setter, found through ctypes in numpy's own shared library. Elsewhere
(Accelerate, MKL, a system BLAS) `controllable` is false and callers leave the
threading to BLAS.
"""

import ctypes
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

_Setter = Callable[[int], object]
_Getter = Callable[[], int]
_NAMES = [(prefix, suffix) for prefix in ("scipy_", "") for suffix in ("64_", "")]


def _libraries() -> list[Path]:
    package = Path(np.__file__).parent
    folders = [package.parent / "numpy.libs", package / ".dylibs", package / ".libs"]
    return [path for folder in folders for path in sorted(folder.glob("*openblas*"))]


def _functions(path: Path) -> tuple[_Getter, _Setter] | None:
    try:
        # PyDLL keeps the GIL: these calls take nanoseconds.
        library = ctypes.PyDLL(str(path))
    except OSError:
        return None
    for prefix, suffix in _NAMES:
        getter = getattr(library, f"{prefix}openblas_get_num_threads{suffix}", None)
        setter = getattr(library, f"{prefix}openblas_set_num_threads{suffix}", None)
        if getter is not None and setter is not None:
            getter.restype, setter.argtypes = ctypes.c_int, [ctypes.c_int]
            return getter, setter
    return None


def _core(path: Path) -> str:
    """Return the name of the processor that OpenBLAS chose its kernels for."""
    library = ctypes.PyDLL(str(path))
    for prefix, suffix in _NAMES:
        function = getattr(library, f"{prefix}openblas_get_corename{suffix}", None)
        if function is not None:
            function.restype = ctypes.c_char_p
            return str(function().decode())
    return ""


_paths = [path for path in _libraries() if _functions(path)]
_found = _functions(_paths[0]) if _paths else None
_CORES_WITH_SMALL_KERNELS = ("SkylakeX", "Cooperlake", "SapphireRapids")

_small = bool(_paths) and _core(_paths[0]) in _CORES_WITH_SMALL_KERNELS

SMALL_PRODUCT = 1_000_000 if _small else 0
"""Products of m * n * k up to this run without packing, best for prepared weights."""


def controllable() -> bool:
    """Whether BLAS' thread count can be set."""
    return _found is not None


class _Users:
    """How many threads need BLAS at one thread, and the count to go back to."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.count, self.before = 0, 1

    def enter(self) -> None:
        if _found is None:
            return
        get, put = _found
        with self.lock:
            if self.count == 0:
                self.before = get()
                if self.before != 1:
                    put(1)
            self.count += 1

    def leave(self) -> None:
        if _found is None:
            return
        with self.lock:
            self.count -= 1
            if self.count == 0:
                self.restore()

    def restore(self) -> None:
        if _found is not None and self.before != 1:
            _found[1](self.before)

    def forget(self) -> None:
        """After a fork: no user of the parent's threads is left."""
        self.lock = threading.Lock()
        if self.count:
            self.restore()
        self.count = 0


_users = _Users()
enter, leave, forget_users = _users.enter, _users.leave, _users.forget


class OneThread:
    """Context in which BLAS runs on the calling thread alone.

    The setting belongs to the process, so the last user out restores it.
    """

    def __enter__(self) -> None:
        """Set one thread when the first user enters."""
        _users.enter()

    def __exit__(self, *_error: object) -> None:
        """Restore the count when the last user leaves."""
        _users.leave()
