"""Loops on the host's arrays: turns bound to memory, as steps of a plan are.

What a loop carries lies in buffers of its own. A turn reads some and writes others; the
next one may find them in other places. There are few such ways to lie, so the steps of
each are bound once, and a turn only calls them: nothing is allocated, or copied that
the body does not copy.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeAlias

import numpy as np

from graphwright.backends.arena import Step
from graphwright.backends.contract import Deferred, Into, Place
from graphwright.backends.frame import Binding, Call, Frame
from graphwright.backends.limits import Limits, Meter
from graphwright.backends.steps import Run, StepFunction, blamed, block_of
from graphwright.ir.errors import BudgetError, GraphwrightError, ShapeError
from graphwright.ir.graph import Graph, Node
from graphwright.ir.ops.control import Scan, WhileLoop
from graphwright.ir.ops.effects import Effect

Env: TypeAlias = dict[str, int]
Array: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"

_FREE = Limits()
_MOST_STARTED = 256
"""Calls that a device is given before it has ended the first ones."""


class Planned(Protocol):
    """A plan of a loop's body."""

    @property
    def inputs(self) -> Sequence[int]:
        """Slots of what a turn takes."""
        ...

    @property
    def outputs(self) -> Sequence[int]:
        """Slots of what it gives."""
        ...

    @property
    def steps(self) -> Sequence[Step]:
        """What it does."""
        ...


class Turning(Planned, Protocol):
    """What a loop asks of a plan that it runs turn after turn."""

    @property
    def updated(self) -> Mapping[int, int]:
        """What ``in_place`` found."""
        ...

    def frame(self) -> Frame:
        """A frame that no other run uses."""
        ...

    def run_segments(
        self, binding: Binding, slots: list[Any], frame: Frame, env: Env, run: Run
    ) -> None:
        """Runs all steps, those that are not bound too."""
        ...


@dataclass(frozen=True, slots=True)
class LoopKernel(Into):
    """A loop that writes its results where it is told.

    Attributes:
        careful: Runs it turn by turn, each observed, and counted against a limit.
    """

    careful: StepFunction | None = None


class Loop:
    """A ``while_loop`` on arrays of the host, of sizes known before it runs.

    Args:
        node: The loop.
        plan: The plan of its body.
        env: The symbols' values.
        limit: How many turns there may be.
    """

    def __init__(self, node: Node, plan: Turning, env: Env, limit: int) -> None:
        self.node, self.plan, self.env, self.limit = node, plan, env, limit
        assert isinstance(node.op, WhileLoop)
        self.op = node.op
        body: Graph = self.op.body
        self.blocks: list[Any] = [block_of(v.type, env) for v in body.outputs]
        self.counted = always_goes_on(body)
        self.defers = (
            self.counted
            and len(self.op.types) == self.op.carried
            and all(plan.inputs[0] not in step.inputs for step in plan.steps)
        )
        self._idle: list[_Turns] = []

    def kernel(self, careful: StepFunction) -> LoopKernel:
        """What runs it as a step of a plan."""
        blocks: list[Any] = [block_of(t, self.env) for t in self.op.types]
        places = tuple([Place(b.shape, b.dtype) for b in blocks])
        count = len(self.node.operands)
        return LoopKernel(
            self._run,
            places,
            bind=self._bind,
            strided=tuple(range(count)),
            careful=careful,
        )

    def _run(self, *arrays: Array) -> None:
        turns = self._idle.pop() if self._idle else _Turns(self)
        try:
            turns.run(arrays)
        finally:
            self._idle.append(turns)

    def _bind(self, _: Any, *arrays: Array) -> Call:
        return partial(_Turns(self).run, arrays)


def fits(op: WhileLoop | Scan, env: Mapping[str, int]) -> bool:
    """Whether all arrays of a loop have sizes that are known before it runs."""
    body: Graph = op.body
    types = [v.type for v in body.inputs] + list(op.types)
    types += [v.type for n in body.nodes for v in n.results]
    if any(block_of(t, env) is None for t in types):
        return False
    stacks = len(op.types) > op.carried
    stacks = stacks and isinstance(op, WhileLoop)
    return not any(isinstance(n.op, Effect) for n in body.walk()) and (
        not stacks or always_goes_on(body)
    )


def always_goes_on(body: Graph) -> bool:
    """Whether a body always asks for another turn: only their number ends the loop."""
    constant = body.constants.get(body.outputs[0])
    return constant is not None and bool(constant.array())


def _deferred(calls: Sequence[object]) -> Sequence[Deferred]:
    """Calls if all of them are such, else nothing."""
    found = [c for c in calls if isinstance(c, Deferred) and c.deferrable]
    return found if len(found) == len(calls) else []


class _Way:
    """A turn bound to what it reads and writes.

    Attributes:
        after: What is carried then.
        copies: What has to be copied at the end: to where, and from where.
        found: What has to be copied from slots of the plan.
    """

    __slots__ = (
        *("_deferred", "after", "binding", "calls", "copies", "filled", "following"),
        "found",
    )

    def __init__(self, binding: Binding, filled: dict[int, Any]) -> None:
        self.binding, self.filled = binding, filled
        bound = len(binding.segments) == 1
        self.calls: Sequence[Call] | None = binding.segments[0][0] if bound else None
        self.after: list[Array] = []
        self.copies: list[tuple[Array, Any]] = []
        self.found: list[tuple[Array, int]] = []
        self.following: _Way | None = None
        self._deferred: Sequence[Deferred] | None = None

    def deferred(self) -> Sequence[Deferred]:
        """Its calls if none has to be waited for before the next turn, else nothing."""
        if self._deferred is None:
            alone = self.calls is not None and not self.copies
            self._deferred = _deferred(self.calls or ()) if alone else []
        return self._deferred

    def copy(self, slot: int, place: Array) -> None:
        """Notes a result that lies where the next turn writes, or nobody knows yet."""
        source = self.filled.get(slot, self.binding.slots[slot])
        if source is not None:
            self.copies.append((place, source))
        else:
            self.found.append((place, slot))
            self.calls = None


class _Turns:
    """The memory of one run of a loop at a time."""

    def __init__(self, loop: Loop) -> None:
        self._loop, self._plan = loop, loop.plan
        self._frame = loop.plan.frame()
        self._turn = np.zeros((), np.int64)
        self._going = np.ones((), np.bool_)
        self._buffers: dict[Any, list[Array]] = {}
        self._ways: dict[tuple[int, ...], _Way] = {}
        self._started: list[Deferred] = []
        self._fixed: Any = None
        self._slots_of_fixed = loop.plan.inputs[2 + loop.op.carried :]

    def run(self, arrays: Sequence[Array]) -> None:
        """All turns, on results and then operands.

        Raises:
            BudgetError: If there are too many.
        """
        try:
            try:
                self._all(arrays)
            finally:
                self._wait()
        except GraphwrightError as error:
            raise blamed(error, self._loop.node) from error

    def _all(self, arrays: Sequence[Array]) -> None:
        loop, carried, count = (
            self._loop,
            self._loop.op.carried,
            len(self._loop.op.types),
        )
        places, rows, operands = arrays[:carried], arrays[carried:count], arrays[count:]
        trips, going = operands[0].item(), operands[1].item()
        if any(len(row) != max(trips, 0) for row in rows):
            raise ShapeError(f"a loop of {trips} turns stacks {len(rows[0])} results")
        fixed = operands[2 + carried :]
        self._settle(fixed)
        state = self._begin(operands[2 : 2 + carried])
        turn, way = 0, self._way(state, fixed)
        while going and (trips < 0 or turn < trips):
            if turn >= loop.limit:
                raise BudgetError(
                    f"a loop ran {turn} iterations: raise max_loop_iterations"
                )
            self._turn[...] = turn
            self._run(way, fixed)
            going = loop.counted or way.after[0].item()
            state = way.after[1 : 1 + carried]
            for row, item in zip(rows, way.after[1 + carried :], strict=True):
                row[turn] = item
            turn += 1
            if way.following is None:
                way.following = self._way(state, fixed)
            way = way.following
        self._wait()
        for place, array in zip(places, state, strict=True):
            place[...] = array

    def _wait(self) -> None:
        """Waits for turns that were only started."""
        started, self._started = self._started, []
        for call in started[-1:]:
            call.wait()

    def _run(self, way: _Way, fixed: Sequence[Array]) -> None:
        if self._loop.defers and (begun := way.deferred()):
            for deferred in begun:
                deferred.start()
            self._started += begun
            if len(self._started) > _MOST_STARTED:
                self._wait()
            return
        self._wait()
        if way.calls is not None:
            for call in way.calls:
                call()
        else:
            slots = list(way.binding.slots)
            for slot, array in way.filled.items():
                slots[slot] = array
            for slot, array in zip(self._slots_of_fixed, fixed, strict=True):
                slots[slot] = array
            env, run = dict(self._loop.env), Run({}, Meter(_FREE), None)
            self._plan.run_segments(way.binding, slots, self._frame, env, run)
            for place, slot in way.found:
                place[...] = slots[slot]
        for place, source in way.copies:
            place[...] = source

    # Memory ---------------------------------------------------------------------------

    def _settle(self, fixed: Sequence[Array]) -> None:
        """Forgets what is bound to other invariants."""
        where = [(x.__array_interface__["data"][0], x.strides) for x in fixed]
        if where != self._fixed:
            self._fixed = where
            self._ways.clear()

    def _begin(self, arrays: Sequence[Array]) -> list[Array]:
        taken: list[Array] = []
        for x in arrays:
            self._buffer(x.shape, x.dtype, taken)[...] = x
        return taken

    def _buffer(self, shape: Any, dtype: Any, taken: list[Array]) -> Array:
        """Memory that is not taken, and is then."""
        have = self._buffers.setdefault((shape, dtype), [])
        used = set(map(id, taken))
        free = next((x for x in have if id(x) not in used), None)
        if free is None:
            free = np.empty(shape, dtype)
            have.append(free)
        taken.append(free)
        return free

    def _way(self, state: Sequence[Array], fixed: Sequence[Array]) -> _Way:
        """The turn that begins with this."""
        key = tuple(map(id, state))
        found = self._ways.get(key)
        if found is None:
            found = self._ways[key] = self._bound(state, fixed)
        return found

    def _bound(self, state: Sequence[Array], fixed: Sequence[Array]) -> _Way:
        plan, frame = self._plan, self._frame
        feeds = [self._turn, self._going, *state]
        filled: dict[int, Any] = dict(zip(plan.inputs, feeds, strict=False))
        taken = list(state)
        once = [x for x in state if sum(x is y for y in state) == 1]
        for slot, lender in frame.outliving.items():
            place = lender.place
            old = filled.get(plan.updated.get(slot, -1))
            if old is None or not any(old is x for x in once):
                old = self._buffer(place.shape, place.dtype, taken)
            filled[slot] = old
        outside = dict(zip(self._slots_of_fixed, fixed, strict=True))
        way = _Way(frame.bound({**filled, **outside}), filled)
        kept = set(map(id, taken))
        rows = list(zip(plan.outputs, self._loop.blocks, strict=True))
        if self._loop.counted:  # nobody looks whether it goes on
            way.after.append(self._going)
            rows = rows[1:]
        for slot, block in rows:
            array = filled.get(slot)
            if array is None or id(array) not in kept:
                array = self._buffer(block.shape, block.dtype, taken)
                way.copy(slot, array)
            way.after.append(array)
        return way


def in_place(
    steps: Sequence[Step], carried: Collection[int], outputs: Sequence[int]
) -> dict[int, int]:
    """Results that may lie where a carried value lay, by slot: a turn updates it.

    From an output back, each step must be able to write over an operand that nothing
    else reads later, until this is a carried value.
    """
    reads: dict[int, list[tuple[int, int]]] = {}
    makers: dict[int, tuple[int, int]] = {}
    viewed: set[int] = set()
    for number, step in enumerate(steps):
        for index, slot in enumerate(step.inputs):
            reads.setdefault(slot, []).append((number, index))
        makers.update({slot: (number, k) for k, slot in enumerate(step.outputs)})
        if step.into is None:  # its results may share memory with its operands
            viewed.update(step.inputs, step.outputs)

    def before(slot: int) -> int | None:
        """The operand that a result may be written over."""
        number, k = makers.get(slot, (-1, 0))
        kernel = steps[number].into if number >= 0 else None
        for index in () if kernel is None else kernel.places[k].over:
            operand = steps[number].inputs[index]
            if max(reads[operand]) == (number, index) and all(
                n < number for n, i in reads[operand] if i != index
            ):
                return operand
        return None

    found: dict[int, int] = {}
    for output in outputs:
        chain: list[int] = []
        at: int | None = output
        while at is not None and at not in carried and at not in viewed:
            chain.append(at)
            at = before(at)
            if at in outputs or at in found:
                at = None
        if at is None or at in viewed or at not in carried or at in found.values():
            continue
        found.update(dict.fromkeys(chain, at))
    return found
