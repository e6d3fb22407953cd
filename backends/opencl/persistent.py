"""Plans that one kernel runs: their table, and the memory that it names."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from graphwright.backends.arena import aligned
from graphwright.backends.codegen.elements import Array
from graphwright.backends.codegen.hazards import waits
from graphwright.backends.codegen.loops import Kernel
from graphwright.backends.codegen.narrow import storage
from graphwright.backends.codegen.persistent import Step, Table
from graphwright.backends.codegen.turns import PLAN, STRIDE
from graphwright.backends.opencl.helpers import Helpers, job_of
from graphwright.backends.opencl.library import TIMED, Session, pyopencl, seconds_of
from graphwright.backends.opencl.programs import Functions
from graphwright.backends.trial import Trial
from graphwright.ir.errors import IndexBoundsError

Named: TypeAlias = tuple[str, Kernel]
"""A kernel and the name of its function."""


_Runner: TypeAlias = "LedRunner | PlanRunner"

_Argument: TypeAlias = tuple[int, int, int]
"""Where in the table an address goes; of which array it is, and how far behind."""


class Persistent:
    """A plan for one kernel.

    Args:
        session: The device.
        functions: What it calls.
        kernels: What runs, in order.
        offsets: Where arrays lie in a run's own memory.
        ends: Arrays that a caller brings.
        under: Those of them that results may be written over.
        constants: Elements of arrays that never change.
        fault: The array in which kernels note failed checks.
    """

    def __init__(
        self,
        session: Session,
        functions: Functions,
        kernels: Sequence[Named],
        offsets: Mapping[Array, int],
        ends: Sequence[Array],
        under: Mapping[Array, Sequence[Array]],
        constants: Mapping[Array, Any],
        fault: Array,
    ) -> None:
        self._session, self._functions = session, functions
        self._held = list(constants.values())
        befores = waits([kernel for _, kernel in kernels], offsets, under)
        steps = [
            Step(functions.numbers[name], kernel, wait)
            for (name, kernel), wait in zip(kernels, befores, strict=True)
        ]
        cores = int(session.device.max_compute_units)
        self._table, self._cores = Table(steps, cores), cores
        order = {array: i for i, array in enumerate(ends)}
        own: list[_Argument] = []
        given: list[_Argument] = []
        for i, (step, place) in enumerate(zip(steps, self._table.places, strict=True)):
            kernel = step.kernel
            arrays = [*kernel.inputs, *kernel.outputs, *([fault] * kernel.checks)]
            for at, array in enumerate(arrays, place):
                begin = array.start * storage(array.dtype).itemsize
                if array.root in order:
                    given.append((at, order[array.root], begin))
                elif array.root in offsets:
                    own.append((at, 0, offsets[array.root] + begin))
                else:
                    held = constants[array]
                    self._table.numbers[at] = _address(held)
                    self._table.weigh(i, _address(held), held.nbytes)
        self._own, _, self._offsets = _columns(own)
        self._given, self._ends, self._begins = _columns(given)
        self._trial = Trial()

    def bound(self, scratch: Any, arrays: Sequence[Any], fault: Any) -> "_Runner":
        """What runs it on some memory."""
        addresses = np.array([_address(x) for x in arrays], np.uint64)
        numbers = self._addressed(self._table.numbers.copy(), scratch, addresses)
        return self._runner(self._table, numbers, fault, (scratch, arrays))

    def in_turns(self, scratch: Any, addresses: Sequence[Any], fault: Any) -> "_Runner":
        """What runs it some times, with the arrays at these addresses in each turn."""
        table, rows = self._table, np.stack(addresses, axis=-1)
        numbers = np.tile(table.numbers, (len(rows), 1))
        self._addressed(numbers, scratch, rows)
        table = table.in_turns(numbers)
        return self._runner(table, table.numbers, fault, scratch)

    def _addressed(self, numbers: Any, scratch: Any, addresses: Any) -> Any:
        """Tables filled with where arrays lie."""
        numbers[..., self._own] = self._offsets + np.uint64(_address(scratch))
        numbers[..., self._given] = addresses[..., self._ends] + self._begins
        return numbers

    def _runner(self, table: Table, numbers: Any, fault: Any, held: Any) -> "_Runner":
        """What runs a table."""
        plan = table, numbers, fault, (held, self._held)
        helpers, program = self._session.helpers, self._functions.program
        if helpers is None or program is not None:
            return PlanRunner(self._session, program, *plan)
        return LedRunner(helpers, self._trial, *plan)


def _columns(rows: Sequence[_Argument]) -> tuple[Any, Any, Any]:
    found = np.array(rows, np.uint64).reshape(-1, 3)
    return found[:, 0], found[:, 1], found[:, 2]


def _address(array: Any) -> int:
    return int(array.__array_interface__["data"][0])


class LedRunner:
    """Runs a plan on the calling thread, and on those that help it where they pay."""

    __slots__ = (
        *("_alone", "_fault", "_held", "_helpers", "_job", "_numbers", "_table"),
        *("_together", "_trial"),
    )

    def __init__(
        self,
        helpers: Helpers,
        trial: Trial,
        table: Table,
        numbers: Any,
        fault: Any,
        held: object,
    ) -> None:
        done, near = _counters(table), aligned(table.near)
        self._helpers, self._fault = helpers, fault
        self._table, self._numbers = table, numbers
        self._trial = trial if table.widest > 1 else None
        self._job = {
            "table": _address(numbers),
            "done": _address(done),
            "near": _address(near),
            "last": table.count,
            "desk": helpers.desk,
        }
        jobs = [job_of({**self._job, "open": few}) for few in (0, 1)]
        self._held = held, done, near, jobs
        self._alone, self._together = map(self._led, jobs)

    def _led(self, job: Any) -> Callable[[], None]:
        """What does a job, which the caller keeps alive."""
        return partial(self._helpers.lead, _address(job), self._helpers.desk)

    def __call__(self) -> None:
        """Runs it."""
        if self._fault is not None:
            self._fault[0] = 0
        trial = self._trial
        if trial is None:
            self._alone()
        elif trial.timed:
            self._tried(trial)
        else:
            (self._alone if trial.alone else self._together)()
            trial.rested()
        if self._fault is not None:
            _check(self._fault)

    def _tried(self, trial: Trial) -> None:
        """Runs it, and tells how long that took."""
        alone, begin = trial.alone, time.perf_counter()
        (self._alone if alone else self._together)()
        trial.book(time.perf_counter() - begin, alone=alone)

    def timed(self) -> list[float]:
        """Runs it step by step; gives the seconds of each."""
        if self._fault is not None:
            self._fault[0] = 0
        found = [self._seconds(step) for step in range(self._table.count)]
        _check(self._fault)
        return found

    def _seconds(self, step: int) -> float:
        """The shortest of some runs of a step."""
        numbers, found = self._table.alone(self._numbers, step), list[float]()
        job = job_of({**self._job, "table": _address(numbers), "last": 1, "open": 1})
        run = self._led(job)
        for _ in range(TIMED):
            begin = time.perf_counter()
            run()
            found.append(time.perf_counter() - begin)
        return min(found)


def _counters(table: Table) -> Any:
    return np.zeros(STRIDE * (table.count + 1), np.int32)


def _check(fault: Any) -> None:
    if fault is not None and fault[0]:
        raise IndexBoundsError("an index is outside its axis")


class PlanRunner:
    """Launches a plan on memory that is known."""

    __slots__ = (
        *("_cores", "_done", "_enqueue", "_fault", "_held", "_kernel", "_session"),
        "_table",
    )

    def __init__(
        self,
        session: Session,
        program: Any,
        table: Table,
        numbers: Any,
        fault: Any,
        held: object,
    ) -> None:
        library = pyopencl()
        self._session, self._table, self._fault = session, table, fault
        self._done = _counters(table)
        cores = int(session.device.max_compute_units)
        self._cores = (max(1, min(cores, table.widest)),)
        self._kernel = library.Kernel(program, PLAN)
        buffers = session.buffer(numbers), session.buffer(self._done)
        near = library.LocalMemory(max(table.near, 64))
        self._kernel.set_args(*buffers, near, *map(np.int32, (0, table.count)))
        self._held = held, numbers, buffers
        self._enqueue = library.enqueue_nd_range_kernel

    def __call__(self) -> None:
        """Runs it, on the calling thread's queue, and waits for its end."""
        self._before()
        self.start()
        self._session.queue.finish()
        self._after()

    @property
    def deferrable(self) -> bool:
        """Whether nothing is to be looked at after a run."""
        return self._fault is None

    def start(self) -> None:
        """Enqueues it on the calling thread's queue."""
        self._enqueue(self._session.queue, self._kernel, self._cores, (1,))

    def wait(self) -> None:
        """Waits for all that was started."""
        self._session.queue.finish()

    def timed(self) -> list[float]:
        """Runs it step by step; gives the seconds of each."""
        queue, found = self._session.timing_queue(), list[float]()
        self._before()
        for step in range(self._table.count):

            def enqueue(step: int = step) -> Any:
                self._range(step, step + 1)
                return self._enqueue(queue, self._kernel, self._cores, (1,))

            found.append(seconds_of(enqueue))
        self._range(0, self._table.count)
        self._after()
        return found

    def _range(self, first: int, last: int) -> None:
        """Says which steps to run."""
        self._kernel.set_arg(3, np.int32(first))
        self._kernel.set_arg(4, np.int32(last))

    def _before(self) -> None:
        if self._fault is not None:
            self._fault[0] = 0

    def _after(self) -> None:
        _check(self._fault)
