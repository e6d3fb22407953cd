"""One kernel for a whole plan: work-items stay, and take the plan's work by turns.

Kernels become functions; ``plan`` runs all of them, in as many work-items as there are
cores. A table says for each step which function it is, how many work-items it would
have, and with which arguments. A ticket from a counter is a few of these. Tickets come
in the order of steps, and a ticket waits until all steps that its own hangs on are
done. No other progress is needed than that of those who hold tickets: so any number of
work-items, even one alone, ends the plan.

Whoever leaves last sets the counters back, so that the next run can follow at once.

Nothing has to be woken between two steps, and small steps that do not hang on one
another run side by side.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graphwright.backends.codegen.dialect import Dialect
from graphwright.backends.codegen.kernels.text import block
from graphwright.backends.codegen.loops import Kernel
from graphwright.backends.codegen.narrow import storage

PLAN = "plan"
HEADER = 8
"""Numbers of a step in the table, before all arguments."""
STRIDE = 16
"""Counters lie so many numbers apart: each in a line of cache of its own."""
_TURNS = 16
"""Tickets of a step for each core."""

_SPINS = 1 << 14
"""Looks at a counter before a work-item rests: who holds the ticket that it waits for
may have to share its core with other processes, and comes to ours when it is free."""

FUNCTIONS = """\
#define KERNEL(...) static __attribute__((noinline))
#define ITEM_ARGUMENTS , uint item0, uint item1, uint item2, uint items
#define ITEM(axis) item##axis
#define ITEMS items
"""
"""What makes functions of the sources of kernels."""

_KERNEL = f"""\
#ifdef __has_builtin
#if __has_builtin(__builtin_ia32_pause)
#define PAUSE __builtin_ia32_pause();
#endif
#endif
#ifndef PAUSE
#define PAUSE
#endif
#if defined(__x86_64__) && defined(__linux__)
static void rest(void) {{
  long few[2] = {{0, 20000}}, nanosleep = 35;
  __asm__ volatile("syscall" : "+a"(nanosleep) : "D"(few), "S"(0L)
                   : "rcx", "r11", "memory");
}}
#else
static void rest(void) {{}}
#endif
__kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void {PLAN}(const __global ulong *restrict table, volatile __global int *done,
            __local char *near, int first, int last)
{{
  const __global ulong *steps = table + {HEADER};
  int s = first, known = first;
  for (;;) {{
    const uint ticket = atomic_inc(done);
    while (s < last && ticket >= (uint)steps[{HEADER} * s + 1]) s++;
    if (s >= last) {{
      if (atomic_inc(done + 1) + 1 < (int)get_global_size(0)) return;
      for (int i = 0; i <= last; i++) done[{STRIDE} * i] = 0;
      done[1] = 0;
      return;
    }}
    const __global ulong *step = steps + {HEADER} * s;
    const int wait = (int)step[6];
    for (; known < wait; known++) {{
      const int all = (int)steps[{HEADER} * known + 2];
      for (int i = 0; done[{STRIDE} * (known + 1)] < all; i++) {{
        if (i < {_SPINS}) {{ PAUSE }} else rest();
      }}
    }}
    mem_fence(CLK_GLOBAL_MEM_FENCE);
    const uint all = (uint)step[2], few = (uint)step[3];
    const uint across = (uint)step[4], down = (uint)step[5];
    const uint begin = (ticket - (uint)step[-{HEADER} + 1]) * few;
    const uint end = begin + few < all ? begin + few : all;
    for (uint i = begin; i < end; i++)
      run((uint)step[0], table + step[7], near, i % across, i / across % down,
          i / (across * down), across);
    mem_fence(CLK_GLOBAL_MEM_FENCE);
    atomic_add(done + {STRIDE} * (s + 1), (int)(end - begin));
  }}
}}
"""


def plan_source(kernels: Mapping[str, Kernel], dialect: Dialect) -> str:
    """The text behind the functions of some kernels, by name: what runs them all."""
    cases: list[str] = []
    for number, (name, kernel) in enumerate(kernels.items()):
        call = ", ".join(_arguments(kernel, dialect))
        items = "item0, item1, item2, items"
        cases.append(f"case {number}: {name}({call}, {items}); break;")
    head = (
        "static void run(uint function, const __global ulong *a, __local char *near,\n"
        "                uint item0, uint item1, uint item2, uint items)"
    )
    lines = block(head, block("switch (function)", cases))
    return "\n".join([*lines, _KERNEL])


def _arguments(kernel: Kernel, dialect: Dialect) -> Iterator[str]:
    """The arguments of a function, read from the table."""
    arrays = (*kernel.inputs, *kernel.outputs)
    words = [dialect.types[storage(a.dtype).name] for a in arrays]
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


@dataclass(frozen=True, slots=True)
class Step:
    """A kernel in a plan.

    Attributes:
        function: Its number among the functions of the program.
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
            rows += [step.function, end, items, few, across, down, step.wait, at]
        self.numbers: NDArray[np.uint64] = np.array([*rows, *arguments], np.uint64)
        self.count = len(steps)


def _offsets(sizes: Sequence[int]) -> tuple[list[int], int]:
    """Where parts of local memory begin, and the bytes of all."""
    found, end = list[int](), 0
    for size in sizes:
        found.append(end)
        end += -(-size // 64) * 64
    return found, end
