"""One kernel for a whole plan: work-items stay, and take the plan's work by turns.

Kernels become functions, which as many work-items call as there are cores. A table says
for each step which function it is, how many work-items it would have, and with which
arguments. A ticket is a few of these. Tickets come in the order of steps, and a ticket
waits until all steps that its own hangs on are done. No other progress is needed than
that of those who hold tickets: so any number of work-items, even one alone, ends the
plan. Some take the tickets of the first half of a step, others those of the second,
until one is through: each finds much of what it reads in its own cache, since it wrote
it, and what it reads next lies behind what it reads now. With the last of them it asks
memory for the weights of the next step.

A plan is launched, or led by the thread that asks for it, if that can call it (see
`turns.py`). Nothing has to be woken between two steps, and small steps that do not hang
on one another run side by side.
"""

from collections.abc import Iterator, Mapping, Sequence
from copy import copy

import numpy as np
from numpy.typing import NDArray

from graphwright.backends.codegen.dialect import Dialect
from graphwright.backends.codegen.kernels.text import block
from graphwright.backends.codegen.loops import Kernel, Written
from graphwright.backends.codegen.narrow import storage
from graphwright.backends.codegen.turns import ADDRESS, HEADER, ROW, RUN, TEXT
from graphwright.ir.record import record

_END, _WAIT, _PLACE = map(ROW.index, ("end", "wait", "place"))
_TURNS = 16
"""Tickets of a step for each core."""
_LARGE = 1 << 16
"""Bytes of weights that are asked of memory while the step before is computed."""

FUNCTIONS = """\
#ifdef __has_attribute
#if __has_attribute(min_vector_width)
#define KERNEL(...) static __attribute__((noinline, min_vector_width(512)))
#endif
#endif
#ifndef KERNEL
#define KERNEL(...) static __attribute__((noinline))
#endif
#define ITEM_ARGUMENTS , uint item0, uint item1, uint item2, uint items, \
    const __global char *after_item
#define AFTER(type, p) (after_item ? (const __global type *)after_item : (p))
#define ITEM(axis) item##axis
#define ITEMS items
"""
"""What makes functions of the sources of kernels. Clang splits vectors of 512 bits for
processors that it takes to be slower by them, but where a function asks for them.
"""


def plan_source(kernels: Mapping[str, Kernel], dialect: Dialect) -> str:
    """The text behind the functions of some kernels, by name: what runs them all."""
    cases = [
        f"case {number}: {_call(name, kernel, dialect)} break;"
        for number, (name, kernel) in enumerate(kernels.items())
    ]
    lines = block(f"static {RUN}", block("switch (function)", cases))
    return "\n".join([*lines, TEXT])


TELL = "tell"


def part_source(kernels: Mapping[str, Kernel], dialect: Dialect) -> str:
    """The text behind the functions of some kernels, by name: where they begin.

    Its kernel tells addresses of functions of one type, one for each kernel.
    """
    made: list[str] = [ADDRESS]
    told, kept = ["ulong at;"], list[str]()
    for number, (name, kernel) in enumerate(kernels.items()):
        head = RUN.replace("run", f"run{number}", 1)
        call = _call(name, kernel, dialect)
        made += block(f"static __attribute__((noinline, used)) {head}", [call])
        told += [f"ADDRESS(run{number}, at)", f"seen[{number}] = at;"]
        kept.append(f"run{number}(0, seen, near, 0, 0, 0, 0, 0);")
    never = block("if (seen[0])", kept)  # but else they would be left out
    head = f"__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void {TELL}"
    body = [*never, *told]
    made += block(f"{head}(__global ulong *seen, __local char *near)", body)
    return "\n".join(made)


def _call(name: str, kernel: Kernel, dialect: Dialect) -> str:
    """A call of a kernel's function by one that has the arguments of ``RUN``."""
    arguments = ", ".join(_arguments(kernel, dialect))
    return f"{name}({arguments}, item0, item1, item2, items, after_item);"


def _arguments(kernel: Kernel, dialect: Dialect) -> Iterator[str]:
    """The arguments of a function, read from the table."""
    arrays = (*kernel.inputs, *kernel.outputs)
    words = [dialect.types[storage(a.dtype).name] for a in arrays]
    if isinstance(kernel, Written):  # what types its arrays have, it says itself
        words = ["void"] * len(arrays)
    words += ["int"] * kernel.checks
    number = 0
    for word in words:
        yield f"(__global {word} *)a[{number}]"
        number += 1
    for _ in kernel.near:
        yield f"(__local float *)(near + a[{number}])"
        number += 1
    word = dialect.types[kernel.sizes.dtype.name]
    for _ in kernel.sizes.values:
        yield f"({word})a[{number}]"
        number += 1


@record(frozen=True, slots=True)
class Step:
    """A kernel in a plan.

    Attributes:
        function: Its number among the functions of the program, or its address.
        kernel: The kernel.
        wait: How many steps, counted from the first, are done before it begins.
    """

    function: int
    kernel: Kernel
    wait: int


class Table:
    """The steps of a plan as the numbers that the kernel reads.

    Attributes:
        numbers: The table; where addresses go, it is 0.
        places: For each step, where in it the address of its first array goes.
        near: Bytes of local memory.
        ends: Tickets up to each step, that included.
        widest: Tickets of the step that has most: more work-items would only wait.
    """

    def __init__(self, steps: Sequence[Step], cores: int) -> None:
        head = HEADER * (len(steps) + 1)  # a row of zeros comes before the first
        rows, arguments = [0] * HEADER, list[int]()
        self.places: list[int] = []
        self.ends: list[int] = []
        self.near = self.widest = end = 0
        for step in steps:
            kernel, at = step.kernel, head + len(arguments)
            arrays = len(kernel.inputs) + len(kernel.outputs) + kernel.checks
            offsets, near = _offsets(kernel.near)
            self.near = max(self.near, near)
            self.places.append(at)
            arguments += [0] * arrays + offsets
            arguments += [n % (1 << 64) for n in kernel.sizes.values]
            across, down, deep = (*kernel.items, 1, 1)[:3]
            items = across * down * deep
            few = max(1, items // (_TURNS * cores))
            tickets = -(-items // few)
            self.widest = max(self.widest, tickets)
            end += tickets
            self.ends.append(end)
            rows += [step.function, end, items, few, across, down, step.wait, at, 0, 0]
        self.numbers: NDArray[np.uint64] = np.array([*rows, *arguments], np.uint64)
        self.count = len(steps)

    def in_turns(self, numbers: NDArray[np.uint64]) -> "Table":
        """The table of a plan that runs the steps again and again.

        Each turn has a row of ``numbers``, as its own table would be, and waits for
        the whole turn before it.
        """
        turns, head = len(numbers), HEADER * (self.count + 1)
        rows = numbers[:, HEADER:head].reshape(turns, self.count, HEADER).copy()
        begun = np.arange(turns, dtype=np.uint64)[:, None]
        own = np.uint64(numbers.shape[1] - head)
        rows[:, :, _END] += begun * np.uint64(self.ends[-1])
        rows[:, :, _WAIT] += begun * np.uint64(self.count)
        shift = np.uint64(HEADER * (turns * self.count + 1)) - np.uint64(head)
        rows[:, :, _PLACE] += shift + begun * own
        parts = (np.zeros(HEADER, np.uint64), rows, numbers[:, head:])
        found = copy(self)
        found.numbers = np.concatenate([part.reshape(-1) for part in parts])
        found.count = turns * self.count
        return found

    def weigh(self, step: int, address: int, size: int) -> None:
        """Notes where constants of a step lie, of so many bytes: its largest count."""
        row = self.numbers[HEADER * (step + 1) :][:HEADER]
        if size > max(_LARGE, row[-1]):
            row[-2:] = address, size

    def alone(self, numbers: NDArray[np.uint64], step: int) -> NDArray[np.uint64]:
        """The numbers of a plan of one step, of those of the whole plan."""
        found = numbers.copy()
        before, own = numbers[HEADER * step :][: 2 * HEADER].reshape(2, HEADER)
        found[:HEADER], found[HEADER : 2 * HEADER] = 0, own
        found[HEADER + 1] -= before[1]  # its tickets
        found[HEADER + 6] = 0  # it waits for none
        return found


def _offsets(sizes: Sequence[int]) -> tuple[list[int], int]:
    """Where parts of local memory begin, and the bytes of all."""
    found, end = list[int](), 0
    for size in sizes:
        found.append(end)
        end += -(-size // 64) * 64
    return found, end
