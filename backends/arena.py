"""Where results lie: offsets in one buffer, planned from when each is needed."""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from graphwright.backends.contract import Into, Place
from graphwright.ir.record import record

_ALIGN = 64
_MOST_PINNED = 4 << 20
SMALL = 1 << 14
"""Bytes of an input or output that are copied sooner than steps are bound anew."""


class Step(Protocol):
    """What planning asks of a step: the slots it reads and writes, and its kernel."""

    @property
    def inputs(self) -> tuple[int, ...]:
        """Slots of the operands."""
        ...

    @property
    def outputs(self) -> tuple[int, ...]:
        """Slots of the results."""
        ...

    @property
    def into(self) -> Into | None:
        """The kernel, if it writes where it is told."""
        ...

    @property
    def views(self) -> bool:
        """Whether it only views its operand, which takes no memory, or copies it."""
        ...

    @property
    def run(self) -> Callable[..., Sequence[Any]]:
        """Called with operands, symbols and the run where there is no ``into``."""
        ...


@record(frozen=True, slots=True)
class Block:
    """A result's place: its shape, dtype and offset."""

    shape: tuple[int, ...]
    dtype: "np.dtype[Any]"
    offset: int

    @property
    def nbytes(self) -> int:
        """Bytes of the result."""
        return math.prod(self.shape) * self.dtype.itemsize

    def view(self, buffer: "np.ndarray[Any, Any]") -> Any:
        """The array at that place of a buffer of bytes."""
        part = buffer[self.offset : self.offset + self.nbytes]
        return part.view(self.dtype).reshape(self.shape)


class Space:
    """Hands out offsets in order of use; what is given back is used again.

    Attributes:
        size: Bytes that suffice for all of them.
    """

    def __init__(self) -> None:
        self.size = 0
        self._free: list[tuple[int, int]] = []

    def take(self, size: int) -> int:
        """The offset of the smallest free range that suffices."""
        size = -(-size // _ALIGN) * _ALIGN
        fitting = [(high - low, low) for low, high in self._free if high - low >= size]
        if fitting:
            have, low = min(fitting)
            self._free.remove((low, low + have))
            if have > size:
                self._free.append((low + size, low + have))
            return low
        return self._grow(size)

    def _grow(self, size: int) -> int:
        """Extends the last range if it is free, else the end."""
        start = self.size
        for low, high in self._free:
            if high == self.size:
                self._free.remove((low, high))
                start = low
                break
        self.size = start + size
        return start

    def give(self, offset: int, size: int) -> None:
        """Takes a range back and joins it with its neighbours."""
        low, high = offset, offset + -(-size // _ALIGN) * _ALIGN
        kept: list[tuple[int, int]] = []
        for begin, end in self._free:
            if end == low:
                low = begin
            elif begin == high:
                high = end
            else:
                kept.append((begin, end))
        self._free = [*kept, (low, high)]


def aligned(size: int) -> Any:
    """New memory of that many bytes, aligned for vector loops."""
    raw = np.empty(size + _ALIGN, np.uint8)
    return raw[-raw.ctypes.data % _ALIGN :][:size]


def empty(shape: tuple[int, ...], dtype: "np.dtype[Any]") -> "np.ndarray[Any, Any]":
    """A new array that begins where a line of cache does: so do all of its vectors.

    Those of 512 bits take twice the time where each lies in two lines (x86).
    """
    found: np.ndarray[Any, Any] = aligned(math.prod(shape) * dtype.itemsize)
    return found.view(dtype).reshape(shape)


@record(frozen=True, slots=True)
class Layout:
    """Places of the results of steps in an arena of ``size`` bytes.

    Attributes:
        steps: What runs, in order.
        blocks: The places of each step's results, None where they lie elsewhere.
        size: Bytes of the arena.
        count: How many slots there are.
        pinned: Memory of inputs that a run copies there.
        targets: Results that may be written over inputs, by slot, and the positions of
            these inputs.
    """

    steps: Sequence[Step]
    blocks: Sequence[Sequence[Block | None]]
    size: int
    count: int
    pinned: Mapping[int, Block]
    targets: Mapping[int, int]

    @property
    def scratch_bytes(self) -> int:
        """The most that a kernel asks for."""
        kernels = [s.into for s in self.steps if s.into is not None]
        return max((k.scratch_bytes for k in kernels), default=0)


class _Lifetimes:
    """When memory is last needed, for slots that may share it.

    What is not written where it is told may be a view of any operand.
    """

    def __init__(self, steps: Sequence[Step], outside: Collection[int]) -> None:
        self._parent: dict[int, int] = {}
        for step in steps:
            if step.into is None:
                shared = [s for s in step.inputs if s not in outside]
                self._join((*step.outputs, *shared))
        self.last: dict[int, int] = {}
        for number, step in enumerate(steps):
            for slot in (*step.inputs, *step.outputs):
                self.last[self.root(slot)] = number

    def root(self, slot: int) -> int:
        """What stands for all slots that may share memory with this one."""
        path: list[int] = []
        while (parent := self._parent.get(slot, slot)) != slot:
            path.append(slot)
            slot = parent
        for passed in path:
            self._parent[passed] = slot
        return slot

    def _join(self, slots: Iterable[int]) -> None:
        roots = [self.root(s) for s in slots]
        for other in roots[1:]:
            if self.root(other) != self.root(roots[0]):
                self._parent[self.root(other)] = self.root(roots[0])


class _Planner:
    """Goes through the steps and gives each result its place."""

    def __init__(
        self, steps: Sequence[Step], ends: "Ends", outside: Collection[int]
    ) -> None:
        self.steps, self.space = steps, Space()
        self.lives = _Lifetimes(steps, outside)
        self.kept = {self.lives.root(s) for s in ends.kept}
        for slot in ends.copied:
            self.lives.last[self.lives.root(slot)] = len(steps)
        self.dying: dict[int, list[int]] = {}
        for root, number in self.lives.last.items():
            self.dying.setdefault(number, []).append(root)
        self.owned: dict[int, list[tuple[int, Block]]] = {}

    def blocks(self) -> list[list[Block | None]]:
        """The places of each step's results, or None."""
        found: list[list[Block | None]] = []
        for number, step in enumerate(self.steps):
            places = () if step.into is None else step.into.places
            rows = zip(step.outputs, places, strict=False)
            found.append([self._place(number, step, *row) for row in rows])
            for root in self.dying.get(number, ()):
                for _, block in self.owned.pop(root, ()):
                    self.space.give(block.offset, block.nbytes)
        return found

    def _place(self, number: int, step: Step, slot: int, place: Place) -> Block | None:
        root = self.lives.root(slot)
        if root in self.kept:
            return None
        block = self._over(number, step, place)
        if block is None:
            block = self.new_block(place)
        self.owned.setdefault(root, []).append((slot, block))
        return block

    def new_block(self, place: Place) -> Block:
        """A block of its own."""
        size = Block(place.shape, place.dtype, 0).nbytes
        return Block(place.shape, place.dtype, self.space.take(size))

    def _over(self, number: int, step: Step, place: Place) -> Block | None:
        """The place of an operand that dies here and may be written over."""
        for index in place.over:
            slot = step.inputs[index]
            root = self.lives.root(slot)
            same = [i for i, s in enumerate(step.inputs) if self.lives.root(s) == root]
            alone = all(i in place.over and step.inputs[i] == slot for i in same)
            rows = self.owned.get(root, [])
            if self.lives.last[root] != number or not alone or len(rows) != 1:
                continue
            owner, block = rows[0]
            new = Block(place.shape, place.dtype, block.offset)
            if owner == slot and block.nbytes == new.nbytes:
                del self.owned[root]
                return new
        return None


def _pinned(
    steps: Sequence[Step], kept: Collection[int], inputs: Mapping[int, Block]
) -> dict[int, Block]:
    """Inputs that are small, or that kernels want at one place and nothing keeps."""
    source = {slot: slot for slot in inputs}
    wanted: set[int] = set()
    leaked = {slot for slot in inputs if slot in kept}
    for step in steps:
        read = {source[s] for s in step.inputs if s in source}
        if step.views and step.into is None:
            source |= {slot: owner for owner in read for slot in step.outputs}
            leaked |= {owner for owner in read for s in step.outputs if s in kept}
        elif step.into is None:
            leaked |= read
        elif step.into.pins and step.into.bind is not None:
            wanted |= read
    few = {s for s, block in inputs.items() if block.nbytes <= _MOST_PINNED}
    small = {s for s, block in inputs.items() if 0 < block.nbytes <= SMALL}
    return {s: inputs[s] for s in (wanted - leaked) & few | small}


@record(frozen=True, slots=True)
class Ends:
    """How values enter and leave a run.

    Attributes:
        inputs: Shapes and dtypes of the inputs that have them, by slot.
        kept: Slots whose memory the caller keeps: they get none of the arena.
        copied: Slots that are copied at the end of the run.
        outputs: Slots of all results.
        targets: Slots of results and of the inputs that they replace, with the
            positions of these.
    """

    inputs: Mapping[int, Block]
    kept: Collection[int] = ()
    copied: Collection[int] = ()
    outputs: Collection[int] = ()
    targets: Sequence[tuple[int, int, int]] = ()


def plan_layout(
    steps: Sequence[Step], ends: Ends, outside: Collection[int], count: int
) -> Layout:
    """Places for the results of steps.

    Args:
        steps: What runs, in order.
        ends: How values enter and leave the run.
        outside: Slots of inputs and constants.
        count: How many slots there are.
    """
    planner = _Planner(steps, ends, outside)
    blocks = planner.blocks()
    hosted = any(step.into is not None for step in steps)
    pinned = _pinned(steps, ends.kept, ends.inputs) if hosted else {}
    targets = {
        result: position
        for result, source, position in ends.targets
        if _replaces(steps, result, source, ends.outputs)
    }
    return Layout(steps, blocks, planner.space.size, count, pinned, targets)


def _replaces(
    steps: Sequence[Step], result: int, source: int, outputs: Collection[int]
) -> bool:
    """Whether a result may be written over an input: nothing reads that any more."""
    shared, made = {source}, False
    for step in steps:
        read = [i for i, slot in enumerate(step.inputs) if slot in shared]
        if read and made:
            return False
        if result in step.outputs:
            if step.into is None:
                return False
            over = step.into.places[step.outputs.index(result)].over
            if any(i not in over or step.inputs[i] != source for i in read):
                return False
            made = True
        elif read and step.into is None:  # perhaps a view
            shared.update(step.outputs)
    return made and shared.isdisjoint(outputs)
