"""PyOpenCL and the devices: loaded when first needed, and what is missing named."""

import os
import warnings
from collections.abc import Callable
from functools import cache, cached_property
from importlib.util import find_spec
from threading import local
from typing import Any

import numpy as np

from graphwright.backends.codegen.dialect import OPENCL
from graphwright.backends.codegen.kernels.amx import LANES
from graphwright.backends.codegen.kernels.sums import DOTS
from graphwright.backends.codegen.kernels.text import prelude
from graphwright.backends.codegen.turns import LED, THREADS
from graphwright.backends.contract import BuildError
from graphwright.backends.opencl.cache import key_of, load, store
from graphwright.backends.opencl.helpers import Helpers
from graphwright.backends.opencl.objects import Code, code_at, packed, unpacked
from graphwright.backends.opencl.processor import grants_amx, has_dots
from graphwright.backends.opencl.target import Schedule, schedule_of, width_of
from graphwright.backends.progress import Progress
from graphwright.ir.errors import BackendUnavailable, DeviceMemoryError
from graphwright.ir.record import record

INSTALL = 'pip install "graphwright[opencl]"'


@cache
def pyopencl() -> Any:
    """The library.

    Raises:
        ImportError: If it is not installed.
    """
    import pyopencl

    return pyopencl


def has_library() -> bool:
    """Whether PyOpenCL is installed; it is not loaded for that."""
    return find_spec("pyopencl") is not None


_FORKED = (
    "this process was forked from one that had used OpenCL, whose driver has no threads"
    ' here: start it in another way ("spawn" or "forkserver" of multiprocessing), or'
    " before OpenCL is used"
)


@record(frozen=True, slots=True)
class Found:
    """Devices of this machine, and what went wrong in looking for them.

    Attributes:
        devices: Of all platforms, in their order.
        problems: One line each.
        process: Who looked.
    """

    devices: tuple[Any, ...]
    problems: tuple[str, ...]
    process: int


@cache
def found() -> Found:
    """The devices; a platform that fails is passed over and named."""
    process = os.getpid()
    try:
        library = pyopencl()
        platforms = library.get_platforms()
    except Exception as error:  # a broken loader raises what it likes
        return Found((), (f"OpenCL has no platforms: {_line(error)}",), process)
    devices: list[Any] = []
    problems: list[str] = []
    for platform in platforms:
        try:
            own = platform.get_devices()
        except library.Error as error:
            problems.append(f"platform {platform.name!r}: {_line(error)}")
            continue
        if not own:
            problems.append(_without(platform.name))
        devices += own
    return Found(tuple(devices), tuple(problems), process)


def forked() -> bool:
    """Whether this process was forked from one that had looked for devices.

    Nothing can be launched then: nobody would be there to do it.
    """
    return found().process != os.getpid()


_POCL_NEEDS = "PoCL needs a folder to write to: $POCL_CACHE_DIR, or ~/.cache"


def _without(platform: str) -> str:
    is_pocl = platform == "Portable Computing Language"
    return _POCL_NEEDS if is_pocl else f"platform {platform!r} has none"


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def missing(number: int) -> str | None:
    """What stands between this machine and a run on a device, with its cure."""
    if not has_library():
        return f"PyOpenCL is not installed: {INSTALL}"
    devices, problems = found().devices, "; ".join(found().problems)
    if number < len(devices):
        return None
    if devices:
        names = ", ".join(f"opencl:{i} ({d.name})" for i, d in enumerate(devices))
        return f"there is no OpenCL device {number}: this machine has {names}"
    words = f"no OpenCL device is found{': ' if problems else ''}{problems}"
    if _POCL_NEEDS in problems:
        return words
    return f"{words}; {INSTALL} brings PoCL, which runs on the CPU (Linux, x86-64)"


_EXHAUSTED = (
    "INVALID_BUFFER_SIZE",
    "MEM_OBJECT_ALLOCATION_FAILURE",
    "OUT_OF_HOST_MEMORY",
    "OUT_OF_RESOURCES",
)
"""What drivers say where memory does not suffice, at once or when it is used."""


def _check_launches() -> None:
    """Raises where what is enqueued would never be done."""
    if forked():
        raise BackendUnavailable(_FORKED)


class Session:
    """A device with a context, and a queue for each thread that calls.

    Attributes:
        device: The device.
        context: Its context.
        shares: Whether it works in the host's memory: then nothing is copied.
        schedule: How kernels are scheduled, by default as suits the device.
    """

    def __init__(self, device: Any, schedule: Schedule | None = None) -> None:
        library = pyopencl()
        self.device, self.context = device, library.Context([device])
        cpu = bool(device.type & library.device_type.CPU)
        self.shares = cpu and bool(device.host_unified_memory)
        self.schedule = schedule or schedule_of(device, library.device_type.CPU)
        self._local = local()

    @property
    def identity(self) -> tuple[str, ...]:
        """What a binary is for: platform, device, driver and their versions."""
        d, p = self.device, self.device.platform
        return p.name, p.version, d.name, d.version, d.driver_version

    @property
    def doubles(self) -> bool:
        """Whether it computes in float64, which some GPUs do not."""
        return "cl_khr_fp64" in str(self.device.extensions).split()

    @property
    def lanes(self) -> int:
        """Elements of 32 bits of a vector of a kernel for CPUs."""
        return width_of(self.device)

    @property
    def persists(self) -> bool:
        """Whether one kernel can run a whole plan.

        It can where work-items are threads of this process, and no groups: they see
        the memory that is shared with them at the addresses at which it is here.
        """
        return self._probed is not None

    @cached_property
    def _probed(self) -> Code | None:
        """What threads of the host run; None where memory is not shared so."""
        if not self.shares or self.schedule != "cpu":
            return None
        try:
            return self._led()
        except (pyopencl().Error, BuildError):
            return None

    def _probe(self, program: Any) -> Code | None:
        """The same, of its program."""
        seen = self.told(program, THREADS, 3)
        place, *addresses = map(int, seen)
        return code_at(addresses) if place == seen.ctypes.data else None

    def told(self, program: Any, name: str, count: int) -> Any:
        """The numbers that a kernel tells, by a launch."""
        library, seen = pyopencl(), np.zeros(count, np.uint64)
        kernel = library.Kernel(program, name)
        buffer = self.buffer(seen)  # which the kernel does not keep alive
        kernel.set_args(buffer, library.LocalMemory(64))
        library.enqueue_nd_range_kernel(self.queue, kernel, (1,), (1,))
        self.queue.finish()
        return seen

    @cached_property
    def dots(self) -> bool:
        """Whether kernels may use the instruction for products of bytes.

        Only where work-items are threads of this process can we know the processor.
        """
        if not self.persists or not has_dots():
            return False
        text = OPENCL.preamble + prelude(OPENCL, self.lanes) + DOTS
        key = self.key("dots", text)
        if load(key) is None:
            try:
                self.compiled(text)
            except BuildError:
                return False
            store({key: b"builds"})
        return True

    @cached_property
    def amx(self) -> bool:
        """Whether kernels may use tiles; as of `dots`, and if the system grants it."""
        return self.persists and self.lanes == LANES and grants_amx()

    @cached_property
    def helpers(self) -> Helpers | None:
        """Who helps threads that lead plans; None where plans are launched."""
        if self._probed is None or self._probed.library is None:
            return None
        device = self.device
        count, near = int(device.max_compute_units) - 1, int(device.local_mem_size)
        return Helpers(self._probed, count, near)

    def key(self, *parts: str) -> bytes:
        """What something is kept by that is built for this device."""
        return key_of(*parts, *self.identity)

    def _led(self) -> Code | None:
        """The functions of `LED`: from disk if they were built before."""
        key = self.key("code", LED)
        kept = load(key)
        found = None if kept is None else unpacked(kept)
        if found is None:
            found = self._probe(self._waited(LED))
            data = None if found is None else packed(found)
            if data is not None:
                store({key: data})
        return found

    def program(self, text: str) -> Any:
        """The program of a source: from disk if it was built before.

        Raises:
            BuildError: If the compiler refuses it.
        """
        key = self.key(text)
        kept = load(key)
        program = None if kept is None else self._from_binary(kept)
        if program is None:
            program = self._waited(text)
            store({key: program.get_info(pyopencl().program_info.BINARIES)[0]})
        return program

    def _waited(self, text: str) -> Any:
        with Progress("building kernels").waiting():
            return self.compiled(text)

    def _from_binary(self, binary: bytes) -> Any:
        """The program of a binary; None if the driver does not take it."""
        library = pyopencl()
        try:
            return library.Program(self.context, [self.device], [binary]).build()
        except library.Error:
            return None

    def compiled(self, text: str) -> Any:
        """The program of a source, built now.

        Raises:
            BuildError: If the compiler refuses it, or nothing could be launched.
        """
        if forked():
            raise BuildError(_FORKED)
        library = pyopencl()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the compiler's remarks
                return library.Program(self.context, text).build()
        except library.RuntimeError as error:
            raise self._refused(error, text) from error

    def _refused(self, error: Exception, text: str) -> BuildError:
        name = self.device.name
        made = BuildError(f"{name} does not build a generated kernel: see the notes")
        made.add_note(str(error))
        made.add_note(text)
        return made

    @property
    def queue(self) -> Any:
        """The queue of the calling thread.

        Raises:
            BackendUnavailable: If what is enqueued would never be done.
        """
        _check_launches()
        found = getattr(self._local, "queue", None)
        if found is None:
            found = self._local.queue = pyopencl().CommandQueue(self.context)
        return found

    def timing_queue(self) -> Any:
        """A new queue whose events say when they began and ended."""
        _check_launches()
        library = pyopencl()
        timing = library.command_queue_properties.PROFILING_ENABLE
        return library.CommandQueue(self.context, properties=timing)

    def buffer(self, array: Any) -> Any:
        """A buffer over a contiguous host array, or for its elements elsewhere.

        Where the device does not work in the host's memory, the elements are copied
        now; ``upload`` and ``download`` copy them later.
        """
        library, flags = pyopencl(), pyopencl().mem_flags
        if not array.size:  # nothing is read there, but arguments are buffers
            return library.Buffer(self.context, flags.READ_WRITE, 1)
        mode = flags.READ_WRITE if array.flags.writeable else flags.READ_ONLY
        mode |= flags.USE_HOST_PTR if self.shares else flags.COPY_HOST_PTR
        try:
            return library.Buffer(self.context, mode, hostbuf=_bytes_of(array))
        except library.Error as error:
            self.check_memory(error, array.nbytes)
            raise

    def check_memory(self, error: Any, nbytes: int) -> None:
        """Looks at the library's error where so much memory was asked for.

        Raises:
            DeviceMemoryError: If the error is that there is not enough.
        """
        codes = pyopencl().status_code
        if error.code in {getattr(codes, name) for name in _EXHAUSTED}:
            raise self.exhausted(nbytes) from error

    def exhausted(self, nbytes: int) -> DeviceMemoryError:
        """The error of asking for more bytes than there are."""
        d = self.device
        return DeviceMemoryError(
            f"{d.name} does not give {nbytes:,} bytes: it has {d.global_mem_size:,} in"
            f" all and gives at most {d.max_mem_alloc_size:,} at once: use smaller"
            " inputs, or free arrays that are still held"
        )

    def upload(self, buffer: Any, array: Any) -> None:
        """Copies a host array to its buffer, in the order of the thread's queue."""
        if array.size:
            held = _bytes_of(array)
            pyopencl().enqueue_copy(self.queue, buffer, held, is_blocking=False)

    def download(self, array: Any, buffer: Any) -> None:
        """Copies a buffer to its host array, when the queue has come to it."""
        if array.size:
            held = _bytes_of(array)
            pyopencl().enqueue_copy(self.queue, held, buffer, is_blocking=False)


TIMED = 3
"""Runs of a launch of which the shortest counts."""


def seconds_of(enqueue: Callable[[], Any]) -> float:
    """The seconds that a launch takes, on a queue that times."""
    found: list[int] = []
    for _ in range(TIMED):
        event = enqueue()
        event.wait()
        found.append(event.profile.end - event.profile.start)
    return 1e-9 * min(found)


def _bytes_of(array: Any) -> Any:
    """The memory of an array, whatever its dtype is."""
    return array.view(f"V{array.itemsize}")


def session(number: int, schedule: Schedule | None = None) -> Session:
    """The session of a device and a schedule, one for all of its users."""
    return _session(number, schedule)


@cache
def _session(number: int, schedule: Schedule | None) -> Session:
    return Session(found().devices[number], schedule)
