"""Runs library kernels by PyOpenCL alone, without a backend."""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import numpy as np
import pytest

from graphwright.backends.codegen.dialect import OPENCL
from graphwright.backends.codegen.kernels.launch import Library, Local, Make
from graphwright.backends.codegen.kernels.text import prelude

cl = pytest.importorskip("pyopencl", reason="PyOpenCL runs these kernels")


@cache
def queue() -> Any:
    """A queue of the first CPU device."""
    cpu = cl.device_type.CPU
    found = [d for p in cl.get_platforms() for d in p.get_devices(cpu)]
    if not found:
        pytest.skip("no OpenCL device is a CPU")
    return cl.CommandQueue(cl.Context(found[:1]))


@cache
def program(source: str, lanes: int) -> Any:
    """A program of kernels for vectors of so many lanes."""
    text = OPENCL.preamble + prelude(OPENCL, lanes) + source
    return cl.Program(queue().context, text).build()


def _makes(library: Library) -> Iterable[tuple[str, Make]]:
    return (*library.constants.items(), *library.indices.items())


def run(
    library: Library,
    arrays: Mapping[str, Any],
    shape: tuple[int, ...],
    weights: Any = None,
    lanes: int = 8,
) -> Any:
    """The array ``out`` after all launches, filled with NaN before.

    Kernels are for vectors of so many ``lanes``.
    """
    context, flags = queue().context, cl.mem_flags
    out = np.full(shape, np.nan, np.float32)

    def buffer(array: Any) -> Any:
        mode = flags.READ_WRITE | flags.COPY_HOST_PTR
        return cl.Buffer(context, mode, hostbuf=np.ascontiguousarray(array))

    packed = {name: make(weights) for name, make in _makes(library)}
    known = {**packed, **arrays, "out": out}
    buffers = {name: buffer(array) for name, array in known.items()}
    for name, floats in library.scratch.items():
        buffers[name] = buffer(np.full(floats, np.nan, np.float32))

    def argument(found: Any) -> Any:
        if isinstance(found, Local):
            return cl.LocalMemory(4 * found.floats)
        return buffers[found] if isinstance(found, str) else np.int32(found)

    for launch in library.launches:
        kernel = cl.Kernel(program(launch.source, lanes), launch.kernel)
        kernel.set_args(*map(argument, launch.arguments))
        group = (1,) * len(launch.items)
        cl.enqueue_nd_range_kernel(queue(), kernel, launch.items, group)
    cl.enqueue_copy(queue(), out, buffers["out"])
    return out
