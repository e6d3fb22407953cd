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

SMALL_PRODUCT = 0
"""Products of m * n * k up to this run without packing, best for prepared weights."""
if _paths and _core(_paths[0]) in _CORES_WITH_SMALL_KERNELS:
    SMALL_PRODUCT = 1_000_000
_lock = threading.Lock()
_users = 0
_before = 1


def controllable() -> bool:
    """Whether BLAS' thread count can be set."""
    return _found is not None


class OneThread:
    """Context in which BLAS runs on the calling thread alone; counts its users.

    The setting belongs to the process, so the last user out restores it.
    """

    def __enter__(self) -> None:
        """Set one thread when the first user enters."""
        global _users, _before
        if _found is None:
            return
        with _lock:
            if _users == 0:
                _before = _found[0]()
                if _before != 1:
                    _found[1](1)
            _users += 1

    def __exit__(self, *_error: object) -> None:
        """Restore the count when the last user leaves."""
        global _users
        if _found is None:
            return
        with _lock:
            _users -= 1
            if _users == 0 and _before != 1:
                _found[1](_before)


def forget_users() -> None:
    """After a fork: no user of the parent's threads is left."""
    global _users, _lock
    _lock = threading.Lock()
    if _found is not None and _users and _before != 1:
        _found[1](_before)
    _users = 0
