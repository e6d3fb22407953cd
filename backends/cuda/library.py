"""CuPy and the driver: loaded when first needed, and what is missing named."""

import ctypes
import sys
from functools import cache
from importlib.util import find_spec
from typing import Any

_DRIVER = {"win32": "nvcuda.dll"}.get(sys.platform, "libcuda.so.1")
_INSTALL = 'pip install "graphwright[cuda]"'


@cache
def cupy() -> Any:
    """The library.

    Raises:
        ImportError: If it is not installed.
    """
    import cupy

    return cupy


def has_library() -> bool:
    """Whether CuPy is installed; it is not loaded for that."""
    return find_spec("cupy") is not None


@cache
def has_driver() -> bool:
    """Whether NVIDIA's driver is installed."""
    try:
        ctypes.CDLL(_DRIVER)
    except OSError:
        return False
    return True


def device_count() -> int:
    """How many GPUs the driver shows; 0 if it shows none or is too old."""
    runtime = cupy().cuda.runtime
    try:
        return int(runtime.getDeviceCount())
    except runtime.CUDARuntimeError:
        return 0


def missing(device: int) -> str | None:
    """What stands between this machine and a run on a GPU, each with its cure."""
    found: list[str] = []
    if not has_library():
        found.append(f"CuPy is not installed: {_INSTALL}")
    if not has_driver():
        found.append(
            f"NVIDIA's driver ({_DRIVER}) is not installed: it comes with the GPU's"
            " vendor or the system's packages"
        )
    if found:
        return "; ".join(found)
    count = device_count()
    if count > device:
        return None
    if count:
        names = ", ".join(f"cuda:{i}" for i in range(count))
        return f"there is no GPU {device}: this machine has {names}"
    return _no_gpu()


def _no_gpu() -> str:
    runtime = cupy().cuda.runtime
    have, need = (_version(v) for v in (runtime.driverGetVersion(), _built_for()))
    if have < need:
        words = ".".join(map(str, have)), ".".join(map(str, need))
        return (
            f"NVIDIA's driver knows CUDA {words[0]}, CuPy needs {words[1]}: update the"
            " driver, or install the CuPy package of its CUDA version"
        )
    return "NVIDIA's driver shows no GPU: check `nvidia-smi` and CUDA_VISIBLE_DEVICES"


def _built_for() -> int:
    runtime = cupy().cuda.runtime
    return int(runtime.runtimeGetVersion()) // 1000 * 1000


def _version(number: int) -> tuple[int, int]:
    return int(number) // 1000, int(number) % 1000 // 10
