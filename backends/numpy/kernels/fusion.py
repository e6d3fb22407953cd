"""Chains of elementwise functions, run block by block so that all stays in cache.

A `Program` is straight-line code over registers. Operands broadcast to the result's
shape; axes that no operand tells apart are merged first, so that inner loops are long.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphwright.backends.numpy.kernels import precision, scratch, threads
from graphwright.backends.numpy.kernels.geometry import blocks

Array = NDArray[Any]
Shape = tuple[int, ...]
Function = Callable[..., object]
"""Called with its operands, then with `out`; the first may be `out` itself."""

_BLOCK = 1 << 15
_MOST_BLOCKS = 4096


@dataclass(frozen=True, slots=True)
class Instruction:
    """`target = function(*operands)`.

    An operand is the number of an input, one less than minus that of an earlier
    instruction, or a scalar.
    """

    function: Function
    operands: tuple["int | np.generic", ...]


@dataclass(frozen=True, slots=True)
class _Step:
    """An instruction whose operands are places in a block's list of arrays."""

    function: Function
    places: tuple["int | np.generic", ...]
    target: int


def merged_axes(shape: Shape, inputs: Sequence[Shape]) -> tuple[Shape, list[Shape]]:
    """The shapes with neighbouring axes merged which all inputs have, or all lack."""
    rank = len(shape)
    full = [(1,) * (rank - len(s)) + tuple(s) for s in inputs]
    sizes: list[int] = []
    rows: list[list[int]] = [[] for _ in full]
    before: list[bool] | None = None
    for axis, size in enumerate(shape):
        if size == 1:
            continue
        present = [s[axis] == size for s in full]
        if present == before:
            sizes[-1] *= size
            for row, some in zip(rows, present, strict=True):
                row[-1] *= size if some else 1
        else:
            sizes.append(size)
            for row, some in zip(rows, present, strict=True):
                row.append(size if some else 1)
        before = present
    if not sizes:
        return (1,), [(1,) for _ in full]
    return tuple(sizes), [tuple(row) for row in rows]


class Program:
    """Instructions ready to run on inputs of given shapes: `program(inputs)`."""

    def __init__(
        self,
        shape: Shape,
        dtype: precision.DType,
        inputs: Sequence[Shape],
        instructions: Sequence[Instruction],
    ) -> None:
        """Plan blocks and registers; the last instruction makes the result."""
        self.shape, self.dtype = shape, dtype
        self.flat, self.views = merged_axes(shape, inputs)
        self.steps, self.registers = _allocated(instructions, len(inputs))
        self.slots = threads.get_num_threads()
        self.over = self._over(len(inputs))
        target = max(_BLOCK, math.prod(shape) // _MOST_BLOCKS)
        self.blocks = blocks(self.flat, target) if 0 not in shape else []
        self.places = [
            [_index(view, self.flat, block.box) for view in self.views]
            for block in self.blocks
        ]
        self.most = max((block.size for block in self.blocks), default=0)

    def _over(self, inputs: int) -> tuple[int, ...]:
        """Inputs that are read before, or by, the first step that writes the result."""
        first = next(i for i, s in enumerate(self.steps) if s.target == inputs)
        later = {p for step in self.steps[first + 1 :] for p in step.places}
        full = [i for i, view in enumerate(self.views) if view == self.flat]
        return tuple(i for i in full if i not in later)

    def __call__(self, inputs: Sequence[Array], out: Array | None = None) -> Array:
        """Run on arrays of the planned shapes."""
        if out is None:
            out = np.empty(self.shape, self.dtype)
        buffer = scratch.take(self.scratch_bytes)
        self.bind(buffer, out, *inputs)()
        scratch.give(buffer)
        return out

    @property
    def scratch_bytes(self) -> int:
        """Bytes of the registers of all slots."""
        room = scratch.nbytes((self.registers - 1, self.most), self.dtype)
        return room * self.slots

    def bind(
        self, buffer: NDArray[np.uint8], out: Array, *inputs: Array
    ) -> Callable[[], None]:
        """Return what computes `out` from `inputs`, all views made."""
        given = [x.reshape(v) for x, v in zip(inputs, self.views, strict=True)]
        result, spare = out.reshape(self.flat), self.registers - 1
        memory = scratch.Arena(buffer)
        rooms = [
            memory.array((spare, self.most), self.dtype) for _ in range(self.slots)
        ]
        rows: list[list[Array]] = []
        for block, places in zip(self.blocks, self.places, strict=True):
            arrays = [x[at] for x, at in zip(given, places, strict=True)]
            rows.append([*arrays, result[block.box]])

        def task(index: int, slot: int) -> None:
            arrays, target = list(rows[index]), rows[index][-1]
            for room in rooms[slot]:
                arrays.append(room[: target.size].reshape(target.shape))
            self._run(arrays)

        return lambda: threads.parallel(task, len(rows), self.slots)

    def _run(self, arrays: list[Array]) -> None:
        for step in self.steps:
            operands = [arrays[p] if type(p) is int else p for p in step.places]
            step.function(*operands, out=arrays[step.target])


def _index(view: Shape, flat: Shape, box: tuple[slice, ...]) -> tuple[slice, ...]:
    whole = slice(None)
    rows = zip(view, flat, box, strict=True)
    return tuple(part if size == full else whole for size, full, part in rows)


class _Registers:
    """Hands out registers; one is free again after its value's last use."""

    def __init__(self, instructions: Sequence[Instruction]) -> None:
        self.where: dict[int, int] = {}
        self.count = 0
        self._free: list[int] = []
        self._last: dict[int, int] = {}
        for number, instruction in enumerate(instructions):
            for operand in instruction.operands:
                if _is_value(operand):
                    self._last[-int(operand) - 1] = number

    def take(self, number: int, instruction: Instruction) -> None:
        """Choose the register of a result: the first operand's if that dies."""
        dying = [n for n, last in self._last.items() if last == number]
        first = instruction.operands[0]
        if _is_value(first) and -int(first) - 1 in dying:
            chosen = self.where[-int(first) - 1]
        elif self._free:
            chosen = self._free.pop()
        else:
            chosen, self.count = self.count, self.count + 1
        # Other operands must not share memory with the result: they go after it.
        self._free += [self.where[n] for n in dying if self.where[n] != chosen]
        for n in dying:
            del self._last[n]
        self.where[number] = chosen


def _is_value(operand: "int | np.generic") -> bool:
    return type(operand) is int and operand < 0


def _allocated(
    instructions: Sequence[Instruction], inputs: int
) -> tuple[list[_Step], int]:
    """Steps on registers, the result's being the first; and how many there are."""
    registers = _Registers(instructions)
    for number, instruction in enumerate(instructions):
        registers.take(number, instruction)
    order = {registers.where[len(instructions) - 1]: inputs}
    for register in range(registers.count):
        order.setdefault(register, inputs + len(order))
    places = {n: order[r] for n, r in registers.where.items()}
    steps = [
        _Step(i.function, tuple(_place(p, places) for p in i.operands), places[n])
        for n, i in enumerate(instructions)
    ]
    return steps, registers.count


def _place(operand: "int | np.generic", places: dict[int, int]) -> "int | np.generic":
    return places[-int(operand) - 1] if _is_value(operand) else operand
