"""Loops whose turns are all known before they run: a device is told of many at once.

What a turn reads and writes has an address that is known beforehand. So the kernel of
the body is given all of them, and runs turn by turn; nothing comes back to Python in
between. Nothing is copied: items are read where they lie, results are stacked where
they are written, and the last turn writes what the loop gives.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np

from graphwright.backends.arena import Step, aligned, empty
from graphwright.backends.contract import Into, Place
from graphwright.backends.frame import Call
from graphwright.backends.loop import (
    Array,
    Env,
    LoopKernel,
    Planned,
    always_goes_on,
    fits,
)
from graphwright.backends.steps import Resident, StepFunction, block_of
from graphwright.ir.constant import Constant
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Node
from graphwright.ir.ops.control import Scan, WhileLoop

Addresses: TypeAlias = "np.ndarray[Any, np.dtype[np.uint64]]"
"""Of each turn."""

_AT_ONCE = 1024
"""Kernels of a call."""
_MOST = 1 << 15
"""Kernels of all turns, whose addresses are kept."""


class Known(Planned, Protocol):
    """What is asked of a plan whose turns are bound at once."""

    @property
    def initial(self) -> Sequence[tuple[int, Resident]]:
        """Constants, by their slots."""
        ...


def turns_of(
    node: Node, env: Mapping[str, int], constants: Mapping[Value, Constant]
) -> int | None:
    """How many turns a loop has, where that and all sizes are known before it runs."""
    op: Any = node.op
    if not isinstance(op, Scan | WhileLoop) or not fits(op, env):
        return None
    if isinstance(op, WhileLoop):
        return _counted(op, node.operands, constants)
    lines = node.operands[op.carried : op.carried + op.scanned]
    blocks = [block_of(v.type, env) for v in lines]
    sizes = {
        -1 if block is None else block.shape[axis]
        for block, axis in zip(blocks, op.in_axes, strict=True)
    }
    return sizes.pop() if len(sizes) == 1 and min(sizes) > 0 else None


def _counted(
    op: WhileLoop, operands: Sequence[Value], constants: Mapping[Value, Constant]
) -> int | None:
    """Turns of a loop that nothing but their number ends."""
    trips, going = (constants.get(v) for v in operands[:2])
    if trips is None or going is None or not always_goes_on(op.body):
        return None
    count = int(trips.array().item())
    return count if going.array().item() and 0 < count <= op.max_iterations else None


def loop_in_turns(node: Node, plan: Known, env: Env, turns: int) -> "Turns | None":
    """What runs a loop so; None where its body is not one kernel that can."""
    (step, *rest), ends = plan.steps, _Ends(node.op)
    kernel = step.into
    if rest or kernel is None or kernel.turns is None or not kernel.parts:
        return None
    known = {*plan.inputs, *(slot for slot, _ in plan.initial)}
    stacked = plan.outputs[ends.items :]
    fit = {*step.outputs} == {*plan.outputs[ends.carried_out :]}
    fit = fit and known >= {*step.inputs}
    many = turns * len(kernel.parts) > _MOST
    if not fit or many or len(set(stacked)) < len(stacked):
        return None
    if any(axis != 0 for axis in (*ends.in_axes, *ends.out_axes)):
        return None
    return Turns(node, plan, step, env, turns)


class _Ends:
    """Where the parts of a loop are among operands and outputs of the body."""

    def __init__(self, op: Any) -> None:
        whole = isinstance(op, Scan)
        count = len(op.types) - op.carried
        self.carried = op.carried
        self.carried_in, self.carried_out = (0, 0) if whole else (2, 1)
        self.items = self.carried_out + op.carried
        self.in_axes = op.in_axes if whole else ()
        self.out_axes = op.out_axes if whole else (0,) * count
        self.backwards = op.reverse if whole else ()
        self.out_backwards = op.out_reverse if whole else (False,) * count


class Turns:
    """A loop, all turns of which are bound to memory at once."""

    def __init__(
        self, node: Node, plan: Known, step: Step, env: Env, turns: int
    ) -> None:
        op: Any = node.op
        assert step.into is not None
        assert step.into.turns is not None
        self._kernel: Into = step.into
        self._turns_of = step.into.turns
        self._plan, self._step, self._ends = plan, step, _Ends(op)
        self._turns, self._counts = turns, isinstance(op, WhileLoop)
        self._blocks: list[Any] = [block_of(t, env) for t in op.types]

    def kernel(self, careful: StepFunction) -> LoopKernel:
        """What runs it as a step of a plan."""
        places = tuple([Place(b.shape, b.dtype) for b in self._blocks])
        return LoopKernel(self._run, places, bind=self._bind, careful=careful)

    def _run(self, *arrays: Array) -> None:
        count = len(self._blocks)
        rows = [np.ascontiguousarray(x).reshape(x.shape) for x in arrays[count:]]
        self._bind(None, *arrays[:count], *rows)()

    def _bind(self, _: Any, *arrays: Array) -> Call:
        memory = _Memory(self._turns)
        results, operands = arrays[: len(self._blocks)], arrays[len(self._blocks) :]
        copies = self._write(memory, results)
        self._read(memory, operands)
        slots = (*self._step.outputs, *self._step.inputs)
        where = [memory.at(slot) for slot in slots]
        scratch = aligned(self._kernel.scratch_bytes)
        each = max(1, _AT_ONCE // len(self._kernel.parts))
        calls = [
            self._turns_of(scratch, *(line[begin : begin + each] for line in where))
            for begin in range(0, self._turns, each)
        ]
        return _Bound(calls, copies, (memory, scratch))

    def _write(
        self, memory: "_Memory", results: Sequence[Array]
    ) -> list[tuple[Array, Array]]:
        """Where turns write; what is to be copied in the end: to where, and what."""
        ends, outputs = self._ends, self._plan.outputs
        last: dict[int, Array] = {}
        rows = zip(
            outputs[ends.items :],
            results[ends.carried :],
            ends.out_backwards,
            strict=True,
        )
        for slot, stack, back in rows:
            memory.line(slot, stack, back)
            last[slot] = stack[0 if back else -1, ...]
        copies: list[tuple[Array, Array]] = []
        carried = outputs[ends.carried_out : ends.items]
        for slot, result in zip(carried, results, strict=False):
            if slot in last:
                copies.append((result, last[slot]))
            else:
                memory.by_turns(slot, result)
                last[slot] = result
        return copies

    def _read(self, memory: "_Memory", operands: Sequence[Array]) -> None:
        """Where turns read; what they write is known."""
        ends, plan = self._ends, self._plan
        carried = plan.outputs[ends.carried_out : ends.items]
        lines = len(ends.in_axes)
        for k, (slot, x) in enumerate(zip(plan.inputs, operands, strict=True)):
            number = k - ends.carried_in
            if number < 0:
                continue
            if number < ends.carried:
                memory.after(slot, x, carried[number])
            elif number < ends.carried + lines:
                memory.line(slot, x, ends.backwards[number - ends.carried])
            else:
                memory.same(slot, x)
        if self._counts:
            memory.line(plan.inputs[0], np.arange(self._turns, dtype=np.int64), False)
            memory.same(plan.inputs[1], np.ones((), np.bool_))
        unread = {self._step.inputs[i] for i in self._kernel.unread}
        for slot, constant in plan.initial:
            if slot in self._step.inputs and slot not in unread:
                memory.same(slot, constant.value)


class _Bound:
    """All turns, bound."""

    __slots__ = ("_calls", "_copies", "_held")

    def __init__(
        self, calls: Sequence[Call], copies: Sequence[tuple[Array, Array]], held: object
    ) -> None:
        self._calls, self._copies, self._held = calls, copies, held

    def __call__(self) -> None:
        for call in self._calls:
            call()
        for place, array in self._copies:
            place[...] = array


class _Memory:
    """Addresses of slots in each turn, and the memory that is the loop's own."""

    def __init__(self, turns: int) -> None:
        self._count, self._found = turns, dict[int, Addresses]()
        self._held: list[Array] = []

    def at(self, slot: int) -> Addresses:
        """Those of a slot; zeros for what nobody reads."""
        return self._found.get(slot, np.zeros(self._count, np.uint64))

    def same(self, slot: int, array: Array) -> None:
        """An array that each turn finds at its place."""
        self._held.append(array)
        self._found[slot] = np.full(self._count, _address(array), np.uint64)

    def line(self, slot: int, array: Array, backwards: bool) -> None:
        """An array of which each turn has a row."""
        self._held.append(array)
        row = array.strides[0] * np.arange(self._count, dtype=np.uint64)
        self._found[slot] = _address(array) + (row[::-1] if backwards else row)

    def by_turns(self, slot: int, result: Array) -> None:
        """What lies in two places by turns; the last one in that of the result."""
        pair = [empty(result.shape, result.dtype) for _ in range(2)]
        self._held += pair
        where = np.array([_address(x) for x in pair], np.uint64)
        self._found[slot] = np.resize(where, self._count)
        self._found[slot][-1] = _address(result)

    def after(self, slot: int, first: Array, written: int) -> None:
        """What the turn before has written; in the first one, an array."""
        self._held.append(first)
        self._found[slot] = np.roll(self._found[written], 1)
        self._found[slot][0] = _address(first)


def _address(array: Array) -> int:
    return int(array.__array_interface__["data"][0])
