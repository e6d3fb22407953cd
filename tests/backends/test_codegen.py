"""The kernel generator, without a device: its source, its indices, its stages."""

import re
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest

import graphwright as gw
import graphwright.numpy as gnp
from graphwright.backends.codegen import models
from graphwright.backends.codegen.device import Cpu
from graphwright.backends.codegen.dialect import OPENCL
from graphwright.backends.codegen.expr import const
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
from graphwright.backends.codegen.lower import lowered
from graphwright.backends.codegen.printer import source_of
from graphwright.backends.codegen.schedule import scheduled
from graphwright.backends.codegen.stages import Loops, split
from graphwright.backends.compile import arrange
from graphwright.backends.opencl.backend import OpenCLBackend
from graphwright.ir.builder import Builder
from graphwright.ir.dtype import float32, int64
from graphwright.ir.graph import Graph
from graphwright.ir.ops.fused import Fused
from graphwright.ir.types import TensorType

CPU = Cpu(2)


def kernels(
    function: Callable[..., Any], *specs: Any, target: Cpu = CPU
) -> list[Kernel]:
    stages, arrays = split(gw.trace(function, *specs))
    found = [s for s in stages if isinstance(s, Loops)]
    return [scheduled(stage, arrays, target) for stage in found]


def sources(function: Callable[..., Any], *specs: Any, target: Cpu = CPU) -> list[str]:
    found = kernels(function, *specs, target=target)
    return [source_of(k, "k", OPENCL) for k in found]


def chain(x: Any, y: Any) -> Any:
    return gnp.maximum(x * y + 1.0, 0.0)


CHAIN = """\
    const int j3 = (n1 - ((n1 - 0) % 8));
    const int j4 = (n1 - 8);
    float8 a6 = (float8)((0x0.0p+0f));
    if ((j3 < n1)) {
      const float8 v5 = ((*(const __global float8u *)(in1 + ((u2 * n2) + j4)) * \
*(const __global float8u *)(in0 + j4)) + (float8)((0x1.0000000000000p+0f)));
      a6 = ((((float8)((0x0.0p+0f)) < v5) | (v5 != v5)) ? v5 : (float8)((0x0.0p+0f)));
    }
    for (int j7 = 0; j7 < (n1 - 7); j7 += 8) {
      const float8 v8 = ((*(const __global float8u *)(in1 + ((u2 * n2) + j7)) * \
*(const __global float8u *)(in0 + j7)) + (float8)((0x1.0000000000000p+0f)));
      *(__global float8u *)(out0 + ((u2 * n2) + j7)) = \
((((float8)((0x0.0p+0f)) < v8) | (v8 != v8)) ? v8 : (float8)((0x0.0p+0f)));
    }
    if ((j3 < n1)) {
      *(__global float8u *)(out0 + ((u2 * n2) + j4)) = a6;
    }
"""


def test_chain_is_one_loop_of_vectors_and_one_that_ends_the_row() -> None:
    (source,) = sources(chain, gw.spec("float32", (5, 37)), gw.spec("float32", (37,)))
    assert CHAIN in source
    assert source.startswith("KERNEL(1, 1, 1) void k(")


def test_sizes_are_arguments() -> None:
    def text(rows: int, columns: int) -> list[str]:
        wide = gw.spec("float32", (rows, columns))
        return sources(chain, wide, gw.spec("float32", (columns,)))

    assert text(5, 37) == text(9, 64) == text(100, 1000)


@pytest.mark.parametrize(
    ("columns", "dtype", "vector"),
    [
        (37, "float32", "float16u"),
        (24, "float32", "float8u"),
        (12, "float32", "float8u"),
        (37, "float64", "double8u"),
    ],
)
def test_vectors_fill_registers_that_are_not_most_of_a_row(
    columns: int, dtype: str, vector: str
) -> None:
    spec = gw.spec(dtype, (5, columns))
    (source,) = sources(lambda x: x * x[:1], spec, target=Cpu(2, lanes=16))
    assert set(re.findall(r"\w+\d+u\b", source)) == {vector}


@pytest.mark.parametrize("lanes", [8, 16])
def test_memory_is_asked_ahead_by_vectors_of_a_line(lanes: int) -> None:
    specs = gw.spec("float32", (5, 64)), gw.spec("float32", (64,))
    (source,) = sources(chain, *specs, target=Cpu(2, lanes=lanes))
    found = re.findall(r"GW_SOON\((\w+) .* 512\), (\d)\)", source)
    assert found == [("in0", "0"), ("in1", "0"), ("out0", "1")] * (lanes == 16)


@pytest.mark.parametrize(
    ("dtype", "part"), [("float32", "float4u"), ("int64", "long2u")]
)
def test_what_lies_the_other_way_round_is_read_in_parts_of_registers(
    dtype: str, part: str
) -> None:
    (source,) = sources(lambda x: x.T, gw.spec(dtype, (50, 40)))
    assert part in source


def test_what_may_not_be_there_is_not_read_before_it_is_known() -> None:
    specs = gw.spec("float32", (50, 20)), gw.spec("float32", (50, 21))
    (source,) = sources(lambda x, y: gnp.concatenate([x.T, y.T]) * 2, *specs)
    assert "float4u" not in source


@pytest.mark.parametrize(("last", "checked"), [(8, False), (9, True), (-1, True)])
def test_indices_that_are_known_are_not_checked_in_the_run(
    last: int, checked: bool
) -> None:
    b = Builder("picked")
    x = b.input("x", TensorType(float32, (9, 4)))
    at = b.constant(np.array([0, 3, last]))
    stages, arrays = split(b.finish([b.gather(x, at, 0)]))
    (stage,) = (s for s in stages if isinstance(s, Loops))
    assert scheduled(stage, arrays, CPU).checks == checked


@pytest.mark.parametrize(("rows", "past"), [(7, 0), (8, 1)])
def test_large_results_are_written_past_the_caches_but_over_operands(
    rows: int, past: int
) -> None:
    row = gw.spec("float32", (1 << 20,))
    specs = gw.spec("float32", (rows, 1 << 20)), row
    (source,) = sources(chain, *specs, target=Cpu(2, lanes=16))
    assert len(re.findall(r"GW_PAST\(float16, out0 ", source)) == past
    tests = re.findall(
        r"GW_LINE\(out0 .*\) && \(size_t\)out0 != \(size_t\)in1\)", source
    )
    assert len(tests) == past
    far = re.findall(r"GW_SOON\(in1 \+ .* \+ 2048\), 0\)", source)
    assert len(far) == past  # operands are asked for further ahead there
    (source,) = sources(softmax, gw.spec("float32", (1 << 14, 1 << 10)), target=CPU)
    assert "GW_PAST" not in source  # results are read again


@pytest.mark.parametrize(
    ("columns", "lanes", "beside"), [(1024, 16, 16), (1023, 16, 8), (1024, 8, 8)]
)
def test_long_columns_are_reduced_side_by_side(
    columns: int, lanes: int, beside: int
) -> None:
    spec = gw.spec("float32", (5, columns))
    target = Cpu(2, lanes=lanes)
    (source,) = sources(lambda x: gnp.sum(x, axis=0), spec, target=target)
    assert f" += {lanes * beside})" in source


def bent(x: Any, y: Any) -> Any:
    return y * gnp.tanh(x)


@pytest.mark.parametrize(
    ("function", "columns", "lanes", "step"),
    [
        (bent, 1024, 16, 64),
        (bent, 1024, 8, 8),
        (bent, 1023, 16, 16),
        (chain, 1024, 16, 16),
        (lambda x, y: bent(x, y).astype("float16"), 1024, 16, 16),
        (lambda x, y: bent(bent(x, y), y + 1.0), 1024, 16, 16),
    ],
)
def test_vectors_of_long_chains_go_abreast(
    function: Callable[..., Any], columns: int, lanes: int, step: int
) -> None:
    specs = gw.spec("float32", (5, columns)), gw.spec("float32", (columns,))
    (source,) = sources(function, *specs, target=Cpu(2, lanes=lanes))
    steps = [int(by) for by in re.findall(r"for \(.* \+= (\d+)\)", source)]
    assert steps == ([step, lanes] if step > lanes else [lanes])
    lines = re.findall(r"GW_SOON\(in0 .* (\d+)\), 0\)", source)
    assert lines == (["512", "528", "544", "560"] * (step > 16) + ["512"]) * (lanes > 8)


def softmax(x: Any) -> Any:
    e = gnp.exp(x - gnp.max(x, axis=-1, keepdims=True))
    return e / gnp.sum(e, axis=-1, keepdims=True)


def test_softmax_is_one_kernel() -> None:
    (kernel,) = kernels(softmax, gw.spec("float32", (8, 12, 128)))
    assert len(kernel.inputs) == len(kernel.outputs) == 1


@pytest.mark.parametrize("logarithm", [False, True])
def test_softmax_leaves_nan_to_its_sum(logarithm: bool) -> None:
    def function(x: Any) -> Any:
        less = x - gnp.max(x, axis=-1, keepdims=True)
        total = gnp.sum(gnp.exp(less), axis=-1, keepdims=True)
        return less - gnp.log(total) if logarithm else gnp.exp(less) / total

    row = gw.spec("float32", (8, 128))
    (source,) = sources(function, row)
    assert "!=" not in source
    assert source.count("0x1.0000000000000p+23f") <= 2  # one logarithm of each row
    (source,) = sources(function, row, target=Cpu(2, strict=True))
    assert "!=" in source


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_what_moves_narrow_floats_keeps_their_bits(dtype: str) -> None:
    def moved(x: Any, y: Any) -> Any:
        return gnp.concatenate([x.T, gnp.flip(y, 0)], axis=1)

    both = gw.spec(dtype, (40, 50)), gw.spec(dtype, (50, 60))
    for source in sources(moved, *both):
        assert "float" not in source.replace("float8u", "")


def test_every_second_element_is_read_as_vectors() -> None:
    (source,) = sources(lambda x: x[:, ::2] * 2.0, gw.spec("float32", (4, 90)))
    assert source.count(".even") == source.count(".odd") == 2


def test_elements_of_a_flattened_array_are_not_divided_by_its_sizes() -> None:
    places = gw.spec("int32", (50,))
    source = sources(
        lambda x, i: gnp.take(gnp.reshape(x, -1), i), gw.spec("float32", (6, 7)), places
    )[-1]
    assert not re.search(r"v\d+ [/%]", source)


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4), (5, 1, 2, 3)])
def test_what_is_divided_and_put_together_again_is_as_it_was(
    shape: tuple[int, ...],
) -> None:
    item = of(Item(const(0, int64), int(np.prod(shape))))
    assert linear(unravelled(item, shape), shape) == item


LOG2_E = "0x1.71547652b82fep"


def test_exponentials_that_are_summed_are_kept_in_the_result() -> None:
    row = gw.spec("float32", (8, 128))
    (source,) = sources(softmax, row)
    assert source.count(LOG2_E) == 2  # vectors, and the last one
    (source,) = sources(lambda x, y: softmax(x) * y, row, row)
    assert source.count(LOG2_E) == 4  # the result may lie where y does


@pytest.mark.parametrize("strict", [False, True])
def test_quotients_by_sums_of_rows_are_products_if_rounding_may_change(
    strict: bool,
) -> None:
    target = Cpu(2, strict=strict)
    (source,) = sources(softmax, gw.spec("float32", (8, 128)), target=target)
    assert bool(re.search(r"\? \(v\d+ \* \(float8\)\(v\d+\)\) :", source)) != strict


def region(function: Callable[..., Any], *specs: Any) -> Graph:
    """A function as the device computes it, in one region."""
    made, _ = arrange(gw.trace(function, *specs), [OpenCLBackend()])
    (op,) = [n.op for n in made.nodes if isinstance(n.op, Fused)]
    body: Graph = op.body
    return body


def heat(size: int, steps: int) -> Graph:
    """Steps of a stencil."""

    def run(x: Any) -> Any:
        u = x.copy()
        for _ in range(steps):
            u[1:-1] = u[1:-1] + 0.25 * (u[2:] - 2.0 * u[1:-1] + u[:-2])
        return u

    return region(run, gw.spec("float64", (size,)))


def test_what_neighbours_read_is_computed_once() -> None:
    stages, _ = split(heat(5000, 6))
    assert len(stages) == 6


@pytest.mark.parametrize(("count", "expected"), [(10, 1), (1000, 2)])
def test_rows_that_are_often_picked_lie_side_by_side(count: int, expected: int) -> None:
    def run(x: Any, at: Any) -> Any:
        return gnp.take(x.T, at, axis=0) * 2.0

    specs = gw.spec("float32", (8, 50)), gw.spec("int64", (count,))
    stages, _ = split(region(run, *specs))
    assert len(stages) == expected


def test_all_but_the_borders_of_a_part_written_asks_nothing() -> None:
    steps = lowered(heat(5000, 1), Cpu(2)).steps
    texts = [source_of(step.kernel, "k", OPENCL) for step in steps]
    assert sum("double8u" in text for text in texts) == 1
    assert not any("(0 <=" in text for text in texts)


def test_borders_are_not_worth_kernels_in_a_small_array() -> None:
    assert len(lowered(heat(50, 1), Cpu(2)).steps) == 1


def test_what_loops_of_several_levels_read_is_stored() -> None:
    """Each step reads what the one before stored, not what that was computed from."""

    def run(x: Any) -> Any:
        for _ in range(12):
            x = x - x * x * gnp.sum(x)
        return x

    graph = region(run, gw.spec("float64", (5000,)))
    steps = lowered(graph, Cpu(1)).steps
    assert max(len(step.nodes) for step in steps) <= 12


def test_what_is_written_in_parts_is_stored_before_it_is_reduced() -> None:
    def run(x: Any) -> Any:
        u = x * 2.0
        u[1:-1] = u[1:-1] + x[2:]
        return gnp.sum(u)

    steps = lowered(region(run, gw.spec("float64", (5000,))), Cpu(1)).steps
    texts = [source_of(step.kernel, "k", OPENCL) for step in steps]
    assert not any("(0 <=" in text for text in texts)


def test_long_rows_are_shared_though_a_short_reduction_is_repeated() -> None:
    graph = region(lambda x: x / gnp.sum(x), gw.spec("float64", (1 << 16,)))
    steps = lowered(graph, Cpu(2)).steps
    assert [step.kernel.items[0] > 4 for step in steps] == [True, True]


def test_bounds_are_arguments() -> None:
    """Parts of other sizes, written into arrays, are no other source."""

    def text(size: int, part: int) -> list[str]:
        def run(x: Any) -> Any:
            u = x * 2.0
            u[3:part] = u[2 : part - 1] + 1.0
            return u

        graph = region(run, gw.spec("float64", (size,)))
        return [source_of(s.kernel, "k", OPENCL) for s in lowered(graph, Cpu(2)).steps]

    assert text(100, 50) == text(200, 70) == text(333, 300)


def test_much_behind_short_sums_has_a_kernel_with_vectors() -> None:
    def run(x: Any, w: Any) -> Any:
        return gnp.tanh(x @ w)

    def many(rows: int, columns: int) -> int:
        specs = gw.spec("float32", (rows, columns)), gw.spec("float32", (columns, 1))
        return len(lowered(region(run, *specs), Cpu(2)).steps)

    assert many(4096, 32) == 2
    assert many(4096, 500) == many(64, 32) == 1


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


def moving(x: Any, y: Any, steps: int) -> Any:
    """Each step uses both results of the one before several times."""
    for _ in range(steps):
        x, y = x + 0.1 * x * (1.1 - y), y + 0.1 * y * (x - 0.4)
    return x, y


def test_long_chains_are_cut_where_they_grow_too_long() -> None:
    row = gw.spec("float32", (4096,))
    found = kernels(lambda x, y: moving(x, y, 30), row, row)
    assert len(found) > 1
    assert sum(len(k.outputs) for k in found) < 40  # of 360 nodes


def windows(size: int, low: int, high: int) -> list[Kernel]:
    """Kernels of slices, parts written into arrays, reductions and transposes."""

    def run(x: Any, y: Any) -> Any:
        best = gnp.zeros(size)
        part = gnp.maximum(x[low:high] + y[low - 1 : high - 1], x[: high - low] - 1.0)
        best[low:high] = gnp.where(y[low + 1 : high + 1] > 0, part, 0.0)
        table = gnp.reshape(x[: low * 4], (low, 4))
        sums = gnp.swapaxes(table, 0, 1) / gnp.max(table[:, 1:])
        return best, gnp.exp(part) / gnp.sum(gnp.exp(part)), sums, gnp.flip(part)

    spec = gw.spec("float64", (size,))
    return [s.kernel for s in lowered(region(run, spec, spec), Cpu(2)).steps]


def shown(kernel: Kernel) -> tuple[object, ...]:
    arrays = [(a.dtype, a.shape, a.start) for a in (*kernel.inputs, *kernel.outputs)]
    return source_of(kernel, "k", OPENCL), kernel.sizes.values, kernel.items, arrays


SIZES = [(100, 20, 60), (101, 21, 60), (5000, 700, 4000), (5001, 2, 4999), (16, 3, 5)]


@pytest.mark.parametrize("sizes", [*SIZES, (90, 1, 30), (400, 40, 41), (70, 8, 16)])
def test_kernels_that_have_a_model_are_what_they_would_be_without(
    sizes: tuple[int, int, int],
) -> None:
    for size in SIZES:
        windows(*size)
    found = windows(*sizes)
    models.MODELS.clear()
    assert list(map(shown, found)) == list(map(shown, windows(*sizes)))


def test_kernels_of_one_form_are_scheduled_once() -> None:
    windows(100, 20, 60)
    assert all(kernel.model is not None for kernel in windows(120, 25, 63))
