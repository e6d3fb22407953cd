"""Straight-line programs of elementwise functions, run block by block in cache.

A `Program` has registers of any dtype. Its operands have any strides and broadcast to
one shape; axes that all of them walk alike are merged, so that inner loops are long.
Results are whole arrays, windows of arrays, or reductions.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphwright.backends.numpy.kernels import scratch, threads
from graphwright.backends.numpy.kernels.axes import folded, longest_last, merged
from graphwright.backends.numpy.kernels.fold import Fold
from graphwright.backends.numpy.kernels.geometry import Block, blocks
from graphwright.backends.numpy.kernels.pitch import COPIES, Pitch, constant, pitch_of
from graphwright.backends.numpy.kernels.repeat import Repeat, repeat_of
from graphwright.backends.numpy.kernels.window import Window, around, part_of
from graphwright.ir.record import record

Array = NDArray[Any]
Shape = tuple[int, ...]
Function = Callable[..., object]
"""Called with its operands, then with the result's array, which may be an operand."""
Call = Callable[[], object]

_BLOCK_BYTES = 1 << 18  # less, and calls cost more than a faster cache saves
_WIDE = 512  # elements of a part of a row that are worth a loop
_MOST_BLOCKS = 2048
_ASKS = True  # whether a second thread has to pay
_NAMED = (np.maximum, np.minimum)  # NumPy deprecates their `out` by position
_BITS = {1: np.int8, 2: np.int16, 4: np.int32, 8: np.int64}


@record(frozen=True, slots=True, eq=False)
class Operand:
    """What an instruction reads.

    Attributes:
        source: The number of a source, one less than minus that of an earlier
            instruction, or a 0-d array.
        dtype: The element type.
        bits: Whether the instruction takes it as integers of the same size.
        spread: Whether a number is repeated to an array, which some functions take far
            sooner.
    """

    source: "int | Array"
    dtype: "np.dtype[Any]"
    bits: bool = False
    spread: bool = False

    @property
    def as_bits(self) -> "Operand":
        """The same, taken as integers."""
        if isinstance(self.source, int):
            return Operand(self.source, self.dtype, bits=True)
        return Operand(self.source.view(_BITS[self.dtype.itemsize]), self.dtype)

    @property
    def key(self) -> tuple[int, bool]:
        """What tells operands apart that are not constants."""
        assert isinstance(self.source, int)
        return self.source, self.bits


@record(frozen=True, slots=True, eq=False)
class Instruction:
    """`target = function(*operands)`; `cost` is in nanoseconds an element."""

    function: Function
    operands: tuple[Operand, ...]
    dtype: "np.dtype[Any]"
    cost: float = 0.3
    bits: bool = False


@record(frozen=True, slots=True)
class Source:
    """An input, or a window of it, as it broadcasts to the program's shape.

    Attributes:
        number: The input's.
        window: The window of it.
        beside: Whether no result is written into the input where this window is.
    """

    number: int
    window: Window | None = None
    beside: bool = False


@record(frozen=True, slots=True, eq=False)
class Result:
    """Where a value goes.

    Attributes:
        value: The value.
        base: The input that a window is written into, None for a whole array.
        window: That window.
        reduce: The universal function that reduces it, or None.
        axes: The axes that are reduced.
    """

    value: Operand
    base: int | None = None
    window: Window | None = None
    reduce: Any = None
    axes: tuple[int, ...] = ()


@dataclass(slots=True)
class _Registers:
    """Chooses a register for each instruction; one is free after its last use."""

    sizes: list[int] = field(default_factory=list)
    _free: list[int] = field(default_factory=list)

    def take(self, size: int, dying: list[int]) -> int:
        """A register of so many bytes an element, that of a dying operand if it fits.

        Of another size it could be overwritten before it is read.
        """
        for at in dying:
            if self.sizes[at] == size:
                dying.remove(at)
                return at
        for at in self._free:
            if self.sizes[at] == size:
                self._free.remove(at)
                return at
        self.sizes.append(size)
        return len(self.sizes) - 1

    def give(self, registers: Sequence[int]) -> None:
        """Takes registers back."""
        self._free += registers


class Program:
    """Instructions planned for a shape; `bind` makes the views of given arrays."""

    def __init__(
        self,
        shape: Shape,
        sources: Sequence[Source],
        instructions: Sequence[Instruction],
        results: Sequence[Result],
    ) -> None:
        """Plan registers and where results are written."""
        self.shape, self.sources = shape, sources
        self.instructions, self.results = instructions, results
        self.single = math.prod(shape) == 1  # in place that takes NumPy twice as long
        self.direct = self._written_directly()
        self.where, self.sizes = self._registers()
        size = math.prod(shape)
        widest = max((i.dtype.itemsize for i in instructions), default=8)
        target = max(_BLOCK_BYTES // widest, size // _MOST_BLOCKS)
        cost = size * (0.3 * len(results) + sum(i.cost for i in instructions))
        calls = (len(instructions) + len(results)) * max(2, -(-size // target))
        shared = not _ASKS or threads.joins(cost * 1e-9, calls)
        self.slots = threads.get_num_threads() if shared else 1
        self.seconds, self.calls = cost * 1e-9, calls
        if self.slots == 1 and not instructions:  # nothing stays in a faster cache
            target = max(1, size)
        rounds = -(-size // (target * self.slots))
        self.target = max(1, min(target, -(-size // max(1, rounds * self.slots))))
        self.room = min(size, self.target)
        self.staged = 0
        if len(shape) > 1 and all(r.reduce is None for r in results):
            self.room += self.room // 8  # for what lies between rows at a pitch
            self.staged = len(results) + COPIES

    def _written_directly(self) -> dict[int, int]:
        """Instructions whose result is a result's memory, and which."""
        found: dict[int, int] = {}
        for number, result in enumerate(self.results):
            at = result.value.source
            if isinstance(at, int) and at < 0 and result.reduce is None:
                found.setdefault(-at - 1, number)
        return found

    def _registers(self) -> tuple[dict[int, int], list[int]]:
        last: dict[int, int] = {}
        for number, instruction in enumerate(self.instructions):
            for x in instruction.operands:
                if isinstance(x.source, int) and x.source < 0:
                    last[-x.source - 1] = number
        for result in self.results:
            if isinstance(result.value.source, int) and result.value.source < 0:
                last[-result.value.source - 1] = len(self.instructions)
        dying: dict[int, list[int]] = {}
        for value, number in last.items():
            if value not in self.direct:
                dying.setdefault(number, []).append(value)
        registers, where = _Registers(), dict[int, int]()
        for number, instruction in enumerate(self.instructions):
            free = [where[v] for v in dying.get(number, ())]
            over = [] if self.single else free
            if number not in self.direct:
                where[number] = registers.take(instruction.dtype.itemsize, over)
            registers.give(free)
        return where, registers.sizes

    def over(self, number: int) -> tuple[int, ...]:
        """Inputs over whose memory a result may be written.

        They are not read after it has been written to, and a window only over its base.
        """
        result = self.results[number]
        if result.reduce is not None or (self.single and result.base is None):
            return ()
        wanted = [i for i, n in self.direct.items() if n == number]
        first = min(wanted, default=len(self.instructions))
        later = {
            x.source
            for i in self.instructions[first + 1 :]
            for x in i.operands
            if isinstance(x.source, int)
        }
        later.update(
            r.value.source
            for r in self.results
            if isinstance(r.value.source, int) and r is not result
        )
        read = {
            self.sources[s].number
            for s in later
            if s >= 0 and not self.sources[s].beside
        }
        if result.base is not None:
            same = all(
                s.beside or s.window == result.window
                for s in self.sources
                if s.number == result.base
            )
            return (result.base,) if same and result.base not in read else ()
        parts = {s.number for s in self.sources if s.window is not None}
        whole = {s.number for s in self.sources} - parts - read
        return tuple(sorted(whole))

    @property
    def scratch_bytes(self) -> int:
        """Bytes of the rooms of all slots."""
        return self.slots * sum(
            scratch.nbytes((self.room,), f"V{n}") for n in self.rooms
        )

    @property
    def rooms(self) -> list[int]:
        """Bytes an element of the registers, and of arrays with rows at a pitch."""
        read = [x for i in self.instructions for x in i.operands]
        dtypes = [x.dtype for x in (*read, *(r.value for r in self.results))]
        widest = max(dtype.itemsize for dtype in dtypes)
        return [*self.sizes, *[widest] * self.staged]

    def run(self, *arrays: Array) -> None:
        """Compute results from inputs: results first, as in `bind`."""
        if self._lone():
            (only,), (out, *inputs) = self.instructions, arrays
            operands = [
                inputs[self.sources[x.source].number]
                if isinstance(x.source, int)
                else x.source
                for x in only.operands
            ]
            _bound(only.function, operands, out)()
            return
        buffer = scratch.take(self.scratch_bytes)
        self.bind(buffer, *arrays)()
        scratch.give(buffer)

    def _lone(self) -> bool:
        """Whether it is one function of whole arrays, too little work to be shared."""
        if len(self.instructions) != 1 or len(self.results) != 1 or self.slots > 1:
            return False
        (only,) = self.instructions
        plain = not only.bits and not any(
            x.bits or (x.spread and self.room > _WIDE) for x in only.operands
        )
        whole = all(s.window is None for s in self.sources)
        return plain and whole and 0 in self.direct and self.results[0].base is None

    def bind(self, buffer: NDArray[np.uint8], *arrays: Array) -> Call:
        """Return what computes results from inputs again and again."""
        return _Bound(self, buffer, arrays).call()


class _Bound:
    """A program with the views of the arrays that it works on."""

    def __init__(
        self, program: Program, buffer: NDArray[np.uint8], arrays: Sequence[Array]
    ) -> None:
        self.program = program
        count = len(program.results)
        outs, inputs = arrays[:count], arrays[count:]
        views = [
            np.broadcast_to(part_of(inputs[s.number], s.window), program.shape)
            for s in program.sources
        ]
        targets = [
            None if r.reduce is not None else part_of(out, r.window)
            for r, out in zip(program.results, outs, strict=True)
        ]
        walked = [*views, *(t for t in targets if t is not None)]
        axes = [r.axes for r in program.results if r.reduce is not None]
        self.shape, groups = merged(program.shape, axes, walked)
        self._fold(views, targets, groups)
        self.repeat = self._repeat()
        if self.repeat is None:
            self.shape, groups = longest_last(self.shape, groups, walked)
            self._fold(views, targets, groups)
        self.pitch = self._pitch() if program.staged else None
        if self.pitch is not None:
            self.blocks = self.pitch.blocks(self.shape, program.room, program.slots)
        elif self.repeat is not None:
            self.blocks = self.repeat.blocks(self.shape, program.target)
        else:
            self.blocks = _pieces(program, self.shape, groups)
        self.rooms = self._rooms(buffer)
        self.first = [
            call
            for r, out in zip(program.results, outs, strict=True)
            if r.base is not None and r.window is not None
            for call in around(inputs[r.base], out, r.window)
        ]
        if self.repeat is not None:
            self.first += self.repeat.before
        self.folds = [
            Fold(r.reduce, r.axes, out, self.shape, groups, self.blocks)
            for r, out in zip(program.results, outs, strict=True)
            if r.reduce is not None
        ]

    def _fold(
        self,
        views: Sequence[Array],
        targets: Sequence[Array | None],
        groups: Sequence[Sequence[int]],
    ) -> None:
        """Keeps arrays as they are walked: groups of axes as one each."""
        self.views = [folded(v, groups, self.shape) for v in views]
        self.targets = [
            None if t is None else folded(t, groups, self.shape) for t in targets
        ]

    def _rooms(self, buffer: NDArray[np.uint8]) -> list[list[Array]]:
        arena, program = scratch.Arena(buffer), self.program
        return [
            [arena.array((program.room,), f"V{n}") for n in program.rooms]
            for _ in range(program.slots)
        ]

    def _pitch(self) -> Pitch | None:
        read = [x.source for i in self.program.instructions for x in i.operands]
        sources = [(v, read.count(i)) for i, v in enumerate(self.views)]
        targets = [t for t in self.targets if t is not None]
        return pitch_of(self.shape, sources, targets, self.program.room)

    def _repeat(self) -> Repeat | None:
        """How short rows run together, unless a reduction reads an input as it is."""
        results = self.program.results
        if any(r.reduce is not None and r.value.key[0] >= 0 for r in results):
            return None
        targets = [t for t in self.targets if t is not None]
        return repeat_of(self.shape, self.views, targets, self.program.target)

    def call(self) -> Call:
        """What runs it all."""
        last = [call for fold in self.folds for call in fold.closing]
        if len(self.blocks) == 1:
            return _sequence([*self.first, *self._block(0, 0), *last])
        if self.program.slots == 1:
            threads.announce(self.program.seconds, self.program.calls, blas=False)
            tasks = [self._task(i, 0) for i in range(len(self.blocks))]
            return _sequence([*self.first, *tasks, *last])
        program, count = self.program, len(self.blocks)
        work = threads.Prepared(
            *(self._task, count, program.slots, program.seconds),
            calls=program.calls // count,
            blas=False,
        )
        return _sequence([*self.first, work, *last])

    def _task(self, index: int, slot: int) -> Call:
        return _sequence(self._block(index, slot))

    def _block(self, index: int, slot: int) -> list[Call]:
        """The calls of a block, bound to a slot's registers."""
        block, program = self.blocks[index], self.program
        part = _Part(self, block, self.rooms[slot])
        made: dict[int, Array] = {}
        calls = part.before

        def read(x: Operand) -> Any:
            if not isinstance(x.source, int):
                wide = x.spread and block.size > _WIDE
                return _repeated(x.source, block.size, part.shape) if wide else x.source
            array = part.sources[x.source] if x.source >= 0 else made[-x.source - 1]
            return array.view(_BITS[array.dtype.itemsize]) if x.bits else array

        for number, instruction in enumerate(program.instructions):
            if number in program.direct:
                out: Any = part.targets[program.direct[number]]
            else:
                out = part.register(program.where[number], instruction.dtype)
            made[number] = out
            out = out.view(_BITS[out.dtype.itemsize]) if instruction.bits else out
            operands = [read(x) for x in instruction.operands]
            calls.append(_bound(instruction.function, operands, out))
        for number, result in enumerate(program.results):
            if result.reduce is not None or number in program.direct.values():
                continue
            target: Any = part.targets[number]
            calls.append(partial(np.copyto, target, read(result.value)))
        values = [r.value for r in program.results if r.reduce is not None]
        for fold, value in zip(self.folds, values, strict=True):
            calls.append(fold.block(index, read(value).reshape(part.rows)))
        return calls + part.after


class _Part:
    """What a block reads and writes.

    Attributes:
        rows: The part of the program's shape.
        shape: That of all its arrays.
        sources: Parts of the program's sources.
        targets: Where results are written, None for reductions.
        before: Calls that make sources ready.
        after: Calls that bring results to where they belong.
    """

    def __init__(self, whole: _Bound, block: Block, rooms: list[Array]) -> None:
        self._rooms, self._views = rooms, dict[Any, Array]()
        self._size, self._staged = block.size, len(whole.program.sizes)
        self.before: list[Call] = []
        self.after: list[Call] = []
        sources = [v[block.box] for v in whole.views]
        targets = [None if t is None else t[block.box] for t in whole.targets]
        pitch, repeat = whole.pitch, whole.repeat
        self.rows = self.shape = tuple(part.stop - part.start for part in block.box)
        if repeat is not None:
            shape = self.shape = repeat.shape(*self.rows)
            sources = [repeat.view(i, x, shape) for i, x in enumerate(sources)]
            targets = [None if t is None else t.reshape(shape) for t in targets]
        if pitch is None:
            self.sources, self.targets = sources, targets
            return
        self.shape = (block.size,)
        self.sources = [self._taken(pitch, x) for x in sources]
        self.targets = [self._given(pitch, x) for x in targets]

    def register(self, at: int, dtype: Any) -> Array:
        """A view of a room: one for all that work on it, many would fill the caches."""
        found = self._views.get((at, dtype))
        if found is None:
            room = self._rooms[at][: self._size]
            found = self._views[at, dtype] = room.view(dtype).reshape(self.shape)
        return found

    def _stage(self, like: Array) -> Array:
        room = self._rooms[self._staged].view(np.uint8)[: self._size * like.itemsize]
        self._staged += 1
        return room.view(like.dtype)

    def _taken(self, pitch: Pitch, x: Array) -> Array:
        if pitch.fits(x) or constant(x):
            return pitch.run(x)
        run = self._stage(x)
        self.before.append(partial(np.copyto, pitch.rows(run, x.shape), x))
        return run

    def _given(self, pitch: Pitch, x: Array | None) -> Array:
        assert x is not None  # a program with reductions has no pitch
        run = self._stage(x)
        self.after.append(partial(np.copyto, x, pitch.rows(run, x.shape)))
        return run


@lru_cache(maxsize=64)
def _row(number: bytes, dtype: "np.dtype[Any]", count: int) -> Array:
    return np.full(count, np.frombuffer(number, dtype)[0], dtype)


def _repeated(number: Array, count: int, shape: Shape) -> Array:
    """An array of one number; all of similar size share its memory."""
    row = _row(number.tobytes(), number.dtype, 1 << (count - 1).bit_length())
    found: Array = row[:count].reshape(shape)
    return found


def _sequence(calls: Sequence[Call]) -> Call:
    return calls[0] if len(calls) == 1 else threads.in_turn(calls)


def _bound(function: Function, operands: list[Any], out: Any) -> Call:
    if function in _NAMED:
        return partial(function, *operands, out=out)
    return partial(function, *operands, out)  # by name it takes 160 ns longer


def _pieces(
    program: Program, shape: Shape, groups: Sequence[Sequence[int]]
) -> list[Block]:
    """Cache-sized blocks: across a long last axis where all others are reduced."""
    if 0 in shape:
        return []
    folds = [r.axes for r in program.results if r.reduce is not None]
    lead = math.prod(shape[:-1])
    step = program.target // lead
    across = bool(groups[0]) and any(groups[0][0] in axes for axes in folds)
    if not across or len(shape) == 1 or step < _WIDE or step >= shape[-1]:
        return blocks(shape, program.target)
    whole = tuple(slice(0, n) for n in shape[:-1])
    return [
        Block((*whole, slice(low, high)), lead * low, lead * high)
        for low, high in threads.ranges(shape[-1], step)
    ]
