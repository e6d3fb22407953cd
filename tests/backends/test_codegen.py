"""The kernel generator, without a device: its source, its indices, its stages."""

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest

import graphwright as gw
import graphwright.numpy as gnp
from graphwright.backends.codegen.device import Cpu
from graphwright.backends.codegen.dialect import OPENCL
from graphwright.backends.codegen.index import (
    Axis,
    Index,
    Item,
    Quotient,
    Remainder,
    linear,
    of,
    unravelled,
)
from graphwright.backends.codegen.loops import Kernel
from graphwright.backends.codegen.printer import source_of
from graphwright.backends.codegen.schedule_cpu import scheduled
from graphwright.backends.codegen.stages import Loops, split


def kernels(function: Callable[..., Any], *specs: Any) -> list[Kernel]:
    stages, arrays = split(gw.trace(function, *specs))
    found = [s for s in stages if isinstance(s, Loops)]
    return [scheduled(stage, arrays, Cpu(2)) for stage in found]


def sources(function: Callable[..., Any], *specs: Any) -> list[str]:
    return [source_of(k, "k", OPENCL) for k in kernels(function, *specs)]


def chain(x: Any, y: Any) -> Any:
    return gnp.maximum(x * y + 1.0, 0.0)


CHAIN = """\
    const int j5 = (n1 - ((n1 - 0) % 8));
    for (int j3 = 0; j3 < (n1 - 7); j3 += 8) {
      const float8 v4 = ((*(const __global float8u *)(in1 + ((u2 * n2) + j3)) * \
*(const __global float8u *)(in0 + j3)) + (float8)((0x1.0000000000000p+0f)));
      *(__global float8u *)(out0 + ((u2 * n2) + j3)) = \
((((float8)((0x0.0p+0f)) < v4) | (v4 != v4)) ? v4 : (float8)((0x0.0p+0f)));
    }
    for (int j6 = j5; j6 < n1; ++j6) {
      const float v7 = ((in1[((u2 * n2) + j6)] * in0[j6]) + (0x1.0000000000000p+0f));
      out0[((u2 * n2) + j6)] = \
((((0x0.0p+0f) < v7) | (v7 != v7)) ? v7 : (0x0.0p+0f));
    }
"""


def test_chain_is_one_loop_of_vectors_and_a_rest() -> None:
    (source,) = sources(chain, gw.spec("float32", (5, 37)), gw.spec("float32", (37,)))
    assert CHAIN in source
    assert source.startswith("KERNEL(1, 1, 1) void k(")


def test_sizes_are_arguments() -> None:
    def text(rows: int, columns: int) -> list[str]:
        wide = gw.spec("float32", (rows, columns))
        return sources(chain, wide, gw.spec("float32", (columns,)))

    assert text(5, 37) == text(9, 64) == text(100, 1000)


def softmax(x: Any) -> Any:
    e = gnp.exp(x - gnp.max(x, axis=-1, keepdims=True))
    return e / gnp.sum(e, axis=-1, keepdims=True)


def test_softmax_is_one_kernel() -> None:
    (kernel,) = kernels(softmax, gw.spec("float32", (8, 12, 128)))
    assert len(kernel.inputs) == len(kernel.outputs) == 1


def test_names_of_a_model_reach_no_source() -> None:
    b = gw.Builder("evil")
    x = b.input(
        '"; system("', gw.trace(chain, *[gw.spec("float32", (4,))] * 2).inputs[0].type
    )
    graph = b.finish([b.add(x, x)], ["*/ int main() { /*"])
    stages, arrays = split(graph)
    (stage,) = [s for s in stages if isinstance(s, Loops)]
    source = source_of(scheduled(stage, arrays, Cpu(1)), "k", OPENCL)
    assert "system" not in source
    assert "main" not in source


def valued(index: Index, at: dict[Axis, int]) -> int:
    total = index.start
    for term, factor in index.terms:
        match term:
            case Axis():
                value = at[term]
            case Quotient(inner, divisor):
                value = valued(inner, at) // divisor
            case Remainder(inner, divisor):
                value = valued(inner, at) % divisor
            case Item():
                raise AssertionError("no items here")
        total += factor * value
    return total


SHAPES = [
    ((2, 3, 4), (6, 4)),
    ((2, 3, 4), (2, 12)),
    ((4, 6), (3, 8)),
    ((5, 7), (35,)),
    ((12,), (2, 2, 3)),
    ((3, 1, 4), (2, 6)),
]


@pytest.mark.parametrize(("before", "after"), SHAPES)
def test_reshaped_positions(before: tuple[int, ...], after: tuple[int, ...]) -> None:
    axes = [Axis(n) for n in after]
    moved = unravelled(linear([of(a) for a in axes], after), before)
    for numbers in product(*(range(n) for n in after)):
        at = dict(zip(axes, numbers, strict=True))
        want = np.unravel_index(np.ravel_multi_index(numbers, after), before)
        assert [valued(x, at) for x in moved] == [int(n) for n in want]


def test_reshapes_that_keep_axes_divide_nothing() -> None:
    axes = Axis(2), Axis(3), Axis(4)
    whole = linear([of(a) for a in axes], (2, 3, 4))
    for shape in ((6, 4), (2, 12), (24,)):
        back = linear(unravelled(whole, shape), shape)
        assert back == whole
        assert not list(back.divisions())
