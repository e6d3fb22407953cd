"""Launch plans: kernels bound to memory, enqueued one after the other in each run."""

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Protocol, TypeAlias

import numpy as np

from graphwright.backends.arena import Space, aligned
from graphwright.backends.codegen.elements import Array, sizes_of
from graphwright.backends.codegen.hazards import nbytes
from graphwright.backends.codegen.loops import Kernel
from graphwright.backends.codegen.narrow import storage
from graphwright.backends.codegen.over import operands_under
from graphwright.backends.contract import Into, Part, Place
from graphwright.backends.opencl.library import Session, pyopencl, seconds_of
from graphwright.backends.opencl.persistent import Persistent
from graphwright.backends.opencl.programs import Programs
from graphwright.backends.opencl.resident import Resident
from graphwright.ir.dtype import int32
from graphwright.ir.errors import IndexBoundsError
from graphwright.ir.record import record
from graphwright.ir.types import TensorType, Type

FAULT = Array(int32, (1,))
"""Where kernels note that an index was out of range."""


@record(frozen=True, eq=False, slots=True)
class Launch:
    """A kernel, with its name and source."""

    kernel: Kernel
    name: str
    source: str


class LaunchPlan:
    """Launches in order, on memory that is known when they are bound.

    Args:
        session: The device.
        programs: Where the kernels are built.
        launches: What runs, in order.
        ends: Arrays of the results, then of the operands.
        results: How many of these are results.
        constants: Arrays that never change, with their elements.
    """

    def __init__(
        self,
        session: Session,
        programs: Programs,
        launches: Sequence[Launch],
        ends: Sequence[Array],
        results: int,
        constants: Mapping[Array, Resident],
    ) -> None:
        self._session, self._programs = session, programs
        self._launches, self._ends = launches, ends
        self._constants, self._results = constants, results
        self._offsets, size = _arena(launches, {*ends, *constants})
        if size > sys.maxsize:
            raise session.exhausted(size)
        kernels = [launch.kernel for launch in launches]
        self._over = operands_under(kernels, ends[:results], ends[results:])
        self._checks = any(launch.kernel.checks for launch in launches)
        self._fault_at = size
        self.scratch_bytes = size + 64 * self._checks
        self._persistent: Persistent | None = None
        if session.persists and (len(launches) > 1 or session.helpers):
            self._persistent = self._in_one()
        else:
            programs.build([(launch.name, launch.source) for launch in launches])

    def into(self, parts: Sequence[Part], types: Sequence[Type]) -> Into:
        """The plan as a kernel on host arrays, with results of these types.

        ``parts`` describe the launches.
        """
        places = tuple(
            Place(sizes_of(t), t.dtype.numpy, over)
            for t, over in zip(types, self._over, strict=True)
            if isinstance(t, TensorType)
        )
        return Into(
            self.run,
            places,
            bind=self.bind,
            scratch_bytes=self.scratch_bytes,
            parts=tuple(parts),
            timed=self.timed,
            turns=None if self._persistent is None else self._in_turns,
        )

    def run(self, *arrays: Any) -> None:
        """Runs on results and operands, in memory of its own."""
        self._bound_anew(arrays)()

    def timed(self, *arrays: Any) -> list[float]:
        """As ``run``; gives the seconds that each launch takes."""
        return self._bound_anew(arrays).timed()

    def _bound_anew(self, arrays: Sequence[Any]) -> "Runner":
        """The plan on memory of its own; operands may have any layout."""
        rows = [
            x if i < self._results else np.ascontiguousarray(x).reshape(x.shape)
            for i, x in enumerate(arrays)
        ]
        return self.bind(aligned(self.scratch_bytes), *rows)

    def _in_one(self) -> Persistent:
        """All launches as one kernel."""
        sources = {launch.name: launch.source for launch in self._launches}
        kernels = {launch.name: launch.kernel for launch in self._launches}
        functions = self._programs.plan(sources, kernels)
        return Persistent(
            self._session,
            functions,
            [(launch.name, launch.kernel) for launch in self._launches],
            self._offsets | {FAULT: self._fault_at},
            self._ends,
            self._under(),
            {array: x.array for array, x in self._constants.items()},
            FAULT,
        )

    def _under(self) -> dict[Array, list[Array]]:
        """Operands that results may be written over."""
        operands = self._ends[self._results :]
        rows = zip(self._ends, self._over, strict=False)
        return {array: [operands[i] for i in over] for array, over in rows if over}

    def bind(self, scratch: Any, *arrays: Any) -> "Runner":
        """Kernels with all arguments set; gives what enqueues them and waits."""
        session, fault = self._session, self._fault_in(scratch)
        if self._persistent is not None:
            return self._persistent.bound(scratch, arrays, fault)
        arrays = tuple(map(_reals, arrays))
        buffers = {array: x.buffer(session) for array, x in self._constants.items()}
        for array, x in zip(self._ends, arrays, strict=True):
            buffers[array] = session.buffer(x)
        for array, offset in self._offsets.items():
            part = scratch[offset : offset + nbytes(array)]
            buffers[array] = session.buffer(part)
        if fault is not None:
            buffers[FAULT] = session.buffer(fault)
        self._add_parts(buffers, scratch, dict(zip(self._ends, arrays, strict=True)))
        calls = [self._bound(launch, buffers) for launch in self._launches]
        runner = LaunchRunner(session, calls, tuple(buffers.values()), fault)
        if session.shares:
            return runner
        pairs = [
            (x, buffers[array]) for array, x in zip(self._ends, arrays, strict=True)
        ]
        runner.copied(pairs[self._results :], pairs[: self._results], buffers)
        return runner

    def _fault_in(self, scratch: Any) -> Any:
        """Where kernels note failed checks, if any do."""
        if not self._checks:
            return None
        return scratch[self._fault_at : self._fault_at + 4].view(np.int32)

    def _in_turns(self, scratch: Any, *addresses: Any) -> "Runner":
        assert self._persistent is not None
        return self._persistent.in_turns(scratch, addresses, self._fault_in(scratch))

    def _add_parts(
        self, buffers: dict[Array, Any], scratch: Any, ends: Mapping[Array, Any]
    ) -> None:
        """Buffers of arrays that are parts of others."""
        for launch in self._launches:
            for array in (*launch.kernel.inputs, *launch.kernel.outputs):
                if array in buffers:
                    continue
                if array.root in ends:
                    row = ends[array.root].reshape(-1)
                    part = row[array.start : array.start + array.span]
                else:
                    item = storage(array.dtype).itemsize
                    begin = self._offsets[array.root] + array.start * item
                    part = scratch[begin : begin + array.span * item]
                buffers[array] = self._session.buffer(part)

    def _bound(self, launch: Launch, buffers: Mapping[Array, Any]) -> tuple[Any, ...]:
        kernel = launch.kernel
        found = self._programs.kernel(launch.name)
        arrays = [*kernel.inputs, *kernel.outputs, *([FAULT] * kernel.checks)]
        number = kernel.sizes.dtype.numpy.type
        sizes = map(number, kernel.sizes.values)
        near = map(pyopencl().LocalMemory, kernel.near)
        found.set_args(*(buffers[a] for a in arrays), *near, *sizes)
        group = (*kernel.group, 1, 1)[: len(kernel.items)]
        items = tuple(n * g for n, g in zip(kernel.items, group, strict=True))
        return found, items, group


_Pairs: TypeAlias = Sequence[tuple[Any, Any]]
"""Host arrays and their buffers."""


class Runner(Protocol):
    """Runs a plan on memory that is known."""

    def __call__(self) -> object:
        """Runs it and waits for its end."""

    def timed(self) -> list[float]:
        """Runs it launch by launch; gives the seconds of each."""


class LaunchRunner:
    """Enqueues bound kernels on the calling thread's queue, and waits once.

    It holds the buffers: a kernel does not keep its arguments alive.
    """

    __slots__ = (
        *("_buffers", "_calls", "_enqueue", "_fault", "_session"),
        *("_inputs", "_outputs"),
    )

    def __init__(
        self,
        session: Session,
        calls: Sequence[tuple[Any, ...]],
        buffers: tuple[Any, ...],
        fault: Any,
    ) -> None:
        self._session, self._calls = session, calls
        self._buffers, self._fault = buffers, fault
        self._enqueue = pyopencl().enqueue_nd_range_kernel
        self._inputs: _Pairs = ()
        self._outputs: _Pairs = ()

    def copied(
        self, inputs: _Pairs, outputs: _Pairs, buffers: Mapping[Array, Any]
    ) -> None:
        """Notes what is copied before and after, to and from a memory apart."""
        noted = [] if self._fault is None else [(self._fault, buffers[FAULT])]
        self._inputs, self._outputs = [*inputs, *noted], [*outputs, *noted]

    def __call__(self) -> None:
        """Runs it, and waits for its end.

        Raises:
            DeviceMemoryError: If there is no memory for the buffers, which some
                drivers see only now.
        """
        try:
            self._before()
            self.start()
            self._after()
        except pyopencl().Error as error:
            self._session.check_memory(error, sum(b.size for b in self._buffers))
            raise

    @property
    def deferrable(self) -> bool:
        """Whether nothing is to be done before and after a run."""
        return self._fault is None and self._session.shares

    def start(self) -> None:
        """Enqueues it on the calling thread's queue."""
        queue, enqueue = self._session.queue, self._enqueue
        for kernel, items, group in self._calls:
            enqueue(queue, kernel, items, group)

    def wait(self) -> None:
        """Waits for all that was started."""
        self._session.queue.finish()

    def timed(self) -> list[float]:
        """Runs it launch by launch; gives the seconds of each."""
        queue = self._session.timing_queue()
        self._before()
        self._session.queue.finish()  # the launches are in another one
        found = [
            seconds_of(partial(self._enqueue, queue, *call)) for call in self._calls
        ]
        self._after()
        return found

    def _before(self) -> None:
        if self._fault is not None:
            self._fault[0] = 0
        for array, buffer in self._inputs:
            self._session.upload(buffer, array)

    def _after(self) -> None:
        session, fault = self._session, self._fault
        for array, buffer in self._outputs:
            session.download(array, buffer)
        session.queue.finish()
        if fault is not None and fault[0]:
            raise IndexBoundsError("an index is outside its axis")


def _reals(x: Any) -> Any:
    """Parts of complex numbers, side by side; other arrays as they are."""
    return x.reshape(-1).view(x.real.dtype) if x.dtype.kind == "c" else x


def _arena(
    launches: Sequence[Launch], outside: set[Array]
) -> tuple[dict[Array, int], int]:
    """Offsets of what lies between launches, and the bytes that suffice."""
    used = [
        {a.root for a in (*launch.kernel.inputs, *launch.kernel.outputs)}
        for launch in launches
    ]
    last = {array: number for number, arrays in enumerate(used) for array in arrays}
    space, offsets = Space(), dict[Array, int]()
    for number, launch in enumerate(launches):
        for array in dict.fromkeys(a.root for a in launch.kernel.outputs):
            if array not in outside and array not in offsets:
                offsets[array] = space.take(nbytes(array))
        for array in used[number]:
            if array in offsets and last[array] == number:
                space.give(offsets[array], nbytes(array))
    empty = {array for array in last if not array.size} - outside  # no launch makes it
    return dict.fromkeys(empty, 0) | offsets, space.size
