"""Kernels of convolutions and products against the reference, on an OpenCL CPU."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import pytest
from library_runs import run
from widths import BOTH

from graphwright.backends.codegen.device import Cpu
from graphwright.backends.codegen.dialect import OPENCL
from graphwright.backends.codegen.kernels.choose import (
    are_small,
    convolution,
    division,
)
from graphwright.backends.codegen.kernels.conv import conv
from graphwright.backends.codegen.kernels.depthwise import depthwise
from graphwright.backends.codegen.kernels.division import Division
from graphwright.backends.codegen.kernels.finish import Affine
from graphwright.backends.codegen.kernels.gemm import GemmShape, gemm
from graphwright.backends.codegen.kernels.launch import Library, Local
from graphwright.backends.codegen.kernels.shape import ConvShape
from graphwright.backends.codegen.kernels.tile import Tile, tall
from graphwright.backends.codegen.kernels.toom import Matrix, toom
from graphwright.backends.codegen.kernels.winograd import winograd
from graphwright.ir.constant import Constant
from graphwright.ir.ops.linalg import Conv

Make: TypeAlias = Callable[[ConvShape, Affine, Cpu], Library]

MACHINE = Cpu(2, 1 << 20)
SAME = ((1, 1), (1, 1))
WIDE = ((2, 2), (3, 1))


def _random(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def _reference(shape: ConvShape, x: Any, w: Any) -> Any:
    """In float64 by the op itself, channels last."""
    op = Conv(
        strides=shape.strides,
        padding=shape.pads,
        lhs_dilation=(1, 1),
        rhs_dilation=shape.dilations,
        groups=shape.groups,
    )
    planar = np.moveaxis(x.astype(np.float64), -1, 1)
    return np.moveaxis(op.compute(np, planar, w.astype(np.float64)), 1, -1)


def _operands(shape: ConvShape) -> tuple[Any, Any]:
    x = _random(shape.batch, *shape.size, shape.channels)
    return x, _random(shape.filters, shape.depth, *shape.kernel, seed=1)


def _check(
    shape: ConvShape, make: Make, bound: float = 1e-6, machine: Cpu = MACHINE
) -> None:
    """With all that a finish can do."""
    x, w = _operands(shape)
    want = _reference(shape, x, w)
    scale = float(np.abs(want).max())
    bias, residual = _random(shape.filters, seed=2), _random(*want.shape, seed=3)
    finish = Affine(bias=True, residual=True, low=-2.0, high=9.0)
    known = {"x": x, "bias": bias, "residual": residual}
    got = run(make(shape, finish, machine), known, want.shape, w, machine.lanes)
    want = np.clip(want + bias + residual, -2, 9)
    assert np.abs(got - want).max() <= bound * scale


def _direct(shape: ConvShape, finish: Affine, machine: Cpu = MACHINE) -> Library:
    return conv(shape, finish, machine, OPENCL)


DIRECT = [
    ConvShape(1, (9, 11), 16, 20, (3, 3), pads=SAME),
    ConvShape(2, (9, 11), 24, 33, (3, 2), pads=((0, 2), (3, 1))),
    ConvShape(2, (12, 11), 20, 40, (3, 3), (2, 1), ((-1, 2), (3, -1)), (2, 1)),
    ConvShape(2, (12, 11), 20, 40, (3, 3), (2, 1), ((1, 2), (3, 1)), groups=2),
    ConvShape(1, (5, 4), 6, 9, (2, 3), (1, 1), SAME, groups=3),
    ConvShape(2, (31, 33), 3, 24, (7, 7), (2, 2), ((3, 3), (2, 4))),
    ConvShape(1, (31, 33), 1, 8, (11, 5), (4, 3)),
    ConvShape(1, (12, 11), 2, 16, (3, 3), (1, 1), SAME, (1, 2)),
    ConvShape(2, (12, 11), 20, 40, (1, 1)),
    ConvShape(2, (12, 11), 20, 41, (1, 1), (2, 3)),
    ConvShape(1, (6, 5), 17, 7, (1, 1), pads=SAME),
    ConvShape(3, (1, 1), 100, 130, (1, 1)),
    ConvShape(1, (5, 4), 136, 136, (1, 1), groups=4),
    ConvShape(1, (7, 7), 16, 24, (1, 1)),
    ConvShape(1, (3, 3), 64, 24, (3, 3), pads=SAME),
]


@pytest.mark.parametrize("groups", [1, 3])
def test_channels_may_lie_in_any_order(groups: int) -> None:
    shape = ConvShape(2, (5, 4), 30, 51, (1, 1), groups=groups)
    x, w = _operands(shape)
    order = np.random.default_rng(4).permutation(30).astype(np.int32)
    library = conv(shape, Affine(), MACHINE, OPENCL, order)
    got = run(library, {"x": x}, (2, 5, 4, 51), w)
    want = _reference(shape, x[..., order], w)
    assert np.abs(got - want).max() <= 1e-6 * np.abs(want).max()


@pytest.mark.parametrize("seed", range(6))
def test_random_convolutions_are_the_reference(seed: int) -> None:
    pick = np.random.default_rng(seed).integers
    groups, (high, wide) = int(pick(1, 4)), map(int, pick(1, 4, 2))
    up, down, left, right = map(int, pick(0, 3, 4))
    channels, filters = (groups * int(n) for n in pick(1, 40, 2))
    size = int(pick(4, 17)), int(pick(4, 17))
    pads = ((up, down), (left, right))
    shape = ConvShape(
        *(int(pick(1, 3)), size, channels, filters, (high, wide)),
        strides=(int(pick(1, 3)), int(pick(1, 3))),
        pads=pads,
        groups=groups,
    )
    _check(shape, _direct)


@pytest.mark.parametrize("lanes", BOTH)
@pytest.mark.parametrize("shape", DIRECT, ids=str)
def test_direct_convolution_is_the_reference(shape: ConvShape, lanes: int) -> None:
    _check(shape, _direct, machine=replace(MACHINE, lanes=lanes))


@pytest.mark.parametrize(
    ("filters", "items"),
    [
        (256, (8, 2)),  # weights as large as the image: rows of its own for each core
        (512, (1, 16)),  # twice as large: panels
    ],
)
def test_cores_share_rows_or_filters(filters: int, items: tuple[int, int]) -> None:
    shape = ConvShape(1, (14, 14), 1024, filters, (1, 1))
    machine = Cpu(2, 1 << 21, lanes=16)
    assert _direct(shape, Affine(), machine).launches[0].items == items


WINOGRAD = [
    (Division(outputs, span), ConvShape(1, (9, 11), 8, 20, (3, 3), pads=SAME))
    for outputs in (2, 4, 6)
    for span in (0, 4, 5, 6)
] + [
    (Division(4, 6), ConvShape(2, (13, 14), 24, 20, (3, 3), pads=((0, 2), (3, 1)))),
    (Division(4), ConvShape(2, (13, 14), 24, 20, (3, 3), pads=((0, 2), (3, 1)))),
    (Division(4, 12), ConvShape(2, (8, 20), 16, 32, (3, 3))),
    (Division(4), ConvShape(1, (3, 3), 8, 1, (3, 3))),
    *(
        (Division(4, span), ConvShape(1, (9, 11), 32, 40, (3, 3), pads=SAME, groups=2))
        for span in (0, 6)
    ),
    *(
        (
            Division(outputs, span, 5),
            ConvShape(2, (13, 14), 24, 60, (5, 5), pads=WIDE, groups=groups),
        )
        for outputs in (2, 4)
        for span, groups in ((0, 1), (6, 1), (0, 3), (6, 3))
    ),
]


OFTEN = {0, 3, 5, 7, 10, 12, 14, 15, 17, 19, 20, 23}
"""Those that run always: each way at least once."""


@pytest.mark.parametrize("lanes", BOTH)
@pytest.mark.parametrize("groups", [1, 2])
def test_lines_of_large_panels_go_one_after_another(groups: int, lanes: int) -> None:
    machine = replace(MACHINE, cache=1 << 15, lanes=lanes)
    pads = ((1, 2), (3, 1))
    shape = ConvShape(2, (12, 11), 120, 70, (3, 3), (2, 1), pads, groups=groups)
    arguments = _direct(shape, Affine(), machine).launches[0].arguments
    assert any(isinstance(argument, Local) for argument in arguments)
    _check(shape, _direct, machine=machine)


@pytest.mark.parametrize(
    ("cut", "shape"),
    [
        pytest.param(*case, marks=() if number in OFTEN else pytest.mark.full)
        for number, case in enumerate(WINOGRAD)
    ],
    ids=str,
)
@pytest.mark.parametrize("lanes", BOTH)
def test_winograd_is_the_reference(cut: Division, shape: ConvShape, lanes: int) -> None:
    def make(shape: ConvShape, finish: Affine, machine: Cpu) -> Library:
        return winograd(shape, finish, machine, OPENCL, cut)

    _check(_deep(shape, lanes), make, 1e-5, replace(MACHINE, lanes=lanes))


def _deep(shape: ConvShape, lanes: int) -> ConvShape:
    """A shape with channels enough for vectors of so many lanes."""
    return replace(shape, channels=2 * shape.channels) if shape.depth < lanes else shape


@pytest.mark.parametrize("span", [0, 6])
@pytest.mark.parametrize(
    "odd",
    [
        *(np.nan, 3e38),
        *(pytest.param(n, marks=pytest.mark.full) for n in (np.inf, -np.inf)),
    ],
)
@pytest.mark.parametrize(("taps", "groups"), [(3, 1), (5, 1), (3, 2)])
def test_winograd_spreads_no_odd_numbers(
    odd: float, span: int, taps: int, groups: int
) -> None:
    pads = ((taps // 2, taps // 2),) * 2
    shape = ConvShape(
        1, (12, 12), 8 * groups, 20, (taps, taps), pads=pads, groups=groups
    )
    x, w = _operands(shape)
    x[0, 5, 6, 3] = odd
    library = winograd(shape, Affine(), MACHINE, OPENCL, Division(4, span, taps))
    got = run(library, {"x": x}, (1, 12, 12, 20), w)
    want = run(_direct(shape, Affine()), {"x": x}, (1, 12, 12, 20), w)
    clean = np.isfinite(want)
    assert np.array_equal(np.isnan(got), np.isnan(want))
    assert np.array_equal(got[np.isinf(want)], want[np.isinf(want)])
    assert np.allclose(got[clean], want[clean], rtol=1e-4, atol=1e-4)


SEVEN = ConvShape(2, (31, 33), 3, 24, (7, 7), (2, 2), ((3, 3), (2, 4)))
ELEVEN = ConvShape(1, (43, 47), 3, 20, (11, 11), (4, 4), ((2, 1), (0, 3)))
FIVE = ConvShape(1, (26, 27), 24, 32, (5, 5), (2, 2), ((1, 1), (-1, 2)))
STRIDED = [
    *((Division(5, span, 4), SEVEN) for span in (0, 6)),
    *((Division(4, span), shape) for shape in (ELEVEN, FIVE) for span in (0, 5)),
    (Division(3, 4, 4), ConvShape(1, (20, 9), 2, 16, (8, 8), (2, 2))),
    (Division(2, 6), ConvShape(1, (17, 16), 2, 16, (7, 7), (3, 3), SAME)),
]


def _chosen(cut: Division) -> Make:
    def make(shape: ConvShape, finish: Affine, machine: Cpu) -> Library:
        return convolution(shape, finish, machine, OPENCL, cut)

    return make


@pytest.mark.parametrize("lanes", BOTH)
@pytest.mark.parametrize(("cut", "shape"), STRIDED, ids=str)
def test_strided_convolutions_are_ones_of_phases(
    cut: Division, shape: ConvShape, lanes: int
) -> None:
    machine = replace(MACHINE, lanes=lanes)
    _check(shape, _chosen(cut), 1e-5, machine)
    library = _chosen(cut)(shape, Affine(), machine)
    assert library.launches[0].kernel.startswith("phases")


@pytest.mark.parametrize("span", [0, 6])
@pytest.mark.parametrize("odd", [np.inf, np.nan])
def test_what_is_no_tap_of_a_strided_window_is_not_read(odd: float, span: int) -> None:
    shape = replace(SEVEN, batch=1, strides=(3, 3))  # each 9 phases of 3x3
    x, w = _operands(shape)
    x[0, 10] = odd
    got = run(
        _chosen(Division(4, span))(shape, Affine(), MACHINE),
        {"x": x},
        (1, 11, 12, 24),
        w,
    )
    want = run(_direct(shape, Affine()), {"x": x}, (1, 11, 12, 24), w)
    clean = np.isfinite(want)
    assert clean.any()
    assert not clean.all()
    assert np.array_equal(np.isfinite(got), clean)
    assert np.allclose(got[clean], want[clean], rtol=1e-4, atol=1e-4)


DEPTHWISE = [
    ConvShape(2, (9, 11), 20, 20, (3, 3), (2, 1), SAME, (2, 1), 20),
    ConvShape(1, (9, 31), 24, 24, (5, 3), (2, 1), ((2, 2), (0, 3)), (1, 3), 24),
    ConvShape(1, (3, 2), 5, 5, (2, 2), (1, 1), SAME, (1, 1), 5),
    ConvShape(1, (9, 9), 8, 8, (7, 7), (1, 1), ((3, 3), (3, 3)), (1, 1), 8),
    ConvShape(1, (70, 70), 60, 60, (3, 3), (1, 1), SAME, (1, 1), 60),
    ConvShape(1, (67, 66), 132, 132, (3, 3), (2, 2), SAME, (1, 1), 132),
    ConvShape(1, (1, 99), 9, 9, (1, 5), (1, 2), ((0, 0), (2, 1)), (1, 1), 9),
    ConvShape(2, (6, 7), 40, 40, (3, 3), (1, 1), SAME, (1, 1), 10),
    ConvShape(1, (7, 9), 40, 40, (3, 2), (2, 1), SAME, (1, 2), 5),
]


def test_depthwise_convolutions_ask_ahead_where_images_do_not_lie_near() -> None:
    near, far = (
        depthwise(shape, Affine(), MACHINE, OPENCL).launches[0].source
        for shape in DEPTHWISE[3:5]
    )
    assert "AHEAD" in far
    assert "AHEAD" not in near


@pytest.mark.parametrize("lanes", BOTH)
@pytest.mark.parametrize("shape", DEPTHWISE, ids=str)
def test_depthwise_convolution_is_the_reference(shape: ConvShape, lanes: int) -> None:
    def make(shape: ConvShape, finish: Affine, machine: Cpu) -> Library:
        return depthwise(shape, finish, machine, OPENCL)

    _check(shape, make, machine=replace(MACHINE, lanes=lanes))


def test_a_depthwise_convolution_of_one_line_is_shared_by_cores() -> None:
    line = ConvShape(1, (1, 99), 8, 8, (1, 5), groups=8)
    (launch,) = depthwise(line, Affine(), MACHINE, OPENCL).launches
    assert launch.items[0] > MACHINE.cores


def _kind(shape: ConvShape) -> str:
    cut = division(shape, MACHINE)
    made = convolution(shape, Affine(), MACHINE, OPENCL, cut)
    return made.launches[-1].kernel.split("_")[0]


def test_the_algorithm_is_chosen_by_the_shape() -> None:
    wide = ConvShape(1, (56, 56), 64, 64, (3, 3), pads=SAME)
    assert _kind(wide) == "winograd"
    assert _kind(ConvShape(1, (56, 56), 64, 64, (3, 3), (2, 2), SAME)) == "conv"
    assert _kind(ConvShape(1, (14, 14), 8, 8, (3, 3), groups=8)) == "depthwise"
    assert _kind(ConvShape(1, (14, 14), 32, 32, (3, 3), groups=8)) == "depthwise"
    assert _kind(ConvShape(1, (14, 14), 96, 96, (3, 3), groups=6)) == "conv"
    larger = ConvShape(1, (27, 27), 96, 256, (5, 5), pads=((2, 2), (2, 2)), groups=2)
    assert division(larger, MACHINE) == Division(4, 5, 5)
    assert _kind(ConvShape(1, (3, 3), 64, 64, (5, 5), pads=WIDE)) == "conv"
    for size, filters, outputs in ((28, 512, 4), (14, 256, 3)):
        many = ConvShape(1, (size, size), filters, filters, (3, 3), pads=SAME)
        assert division(many, MACHINE) == Division(outputs)  # weights: 4 or 2.8 times
    first = ConvShape(1, (224, 224), 3, 64, (7, 7), (2, 2), ((3, 3), (3, 3)))
    assert _kind(first) == "winograd"
    assert _kind(replace(first, pixel=4)) == "conv"
    few = ConvShape(1, (56, 56), 128, 32, (3, 3), pads=SAME)
    assert division(few, Cpu(2, 1 << 19)) == Division(6, 5)


def test_tiles_go_together_so_that_cores_end_at_one_time() -> None:
    def cut(size: int, cores: int) -> Division | None:
        shape = ConvShape(1, (size, size), 64, 64, (3, 3), pads=SAME)
        return division(shape, Cpu(cores, 1 << 20))

    assert cut(56, 2) == Division(4, 6)
    assert cut(28, 2) == Division(4, 5)  # 49 tiles: 25 for one core, not 30
    assert cut(28, 3) == Division(4, 6)


def test_more_tiles_go_together_where_vectors_are_wide() -> None:
    machine = Cpu(2, 1 << 21, lanes=16)

    def cut(size: int, channels: int, filters: int) -> Division | None:
        shape = ConvShape(1, (size, size), channels, filters, (3, 3), pads=SAME)
        return division(shape, machine)

    assert cut(56, 64, 64) == Division(4, 9)
    assert cut(56, 64, 192) == Division(4, 50)  # else 7 MB are kept between steps
    assert cut(28, 128, 128) == Division(4)  # whose parts stay in caches
    assert cut(14, 256, 256) == Division(3)


def test_large_weights_are_multiplied_as_written() -> None:
    weights = np.full((64, 64, 3, 3), 0.5, np.float32)
    assert are_small(Constant.of(weights))
    for large in (1e20, -1e20, np.nan, np.inf):
        changed = weights.copy()
        changed[1, 2, 0, 1] = large
        assert not are_small(Constant.of(changed))


def test_multiples_of_weights_are_known_to_be_small_without_computing_them() -> None:
    weights = Constant.of(np.full((64, 64, 3, 3), -0.5, np.float32))

    def scaled(source: Constant, growth: float) -> Constant:
        def compute() -> Any:
            raise AssertionError("it is computed")

        shape = weights.shape
        return Constant.derived(weights.dtype, shape, compute, source, growth=growth)

    twice = scaled(scaled(weights, 3.0), 1e3)
    assert twice.scaled_from() == (weights, 3e3)
    assert are_small(twice)
    assert not are_small(scaled(twice, 1e20))


def _filtered(matrices: tuple[Matrix, Matrix, Matrix], g: Any, d: Any) -> list[Any]:
    up, filters, down = matrices

    def by(matrix: Matrix, x: Any) -> list[Any]:
        return [sum(a * b for a, b in zip(row, x, strict=True)) for row in matrix]

    products = [a * b for a, b in zip(by(filters, g), by(down, d), strict=True)]
    return by(up, products)


@pytest.mark.parametrize(
    ("outputs", "taps"),
    [(2, 3), (4, 3), (5, 3), (6, 3), (3, 4), (4, 4), (5, 4), (4, 5)],
)
def test_minimal_filtering_is_exact(outputs: int, taps: int) -> None:
    found = toom(outputs, taps)
    g = [3, -5, 7, 4, -9][:taps]
    d = [i * i - 3 * i + 2 for i in range(outputs + taps - 1)]
    want = [sum(g[k] * d[i + k] for k in range(taps)) for i in range(outputs)]
    assert _filtered((found.up, found.filter, found.down), g, d) == want


PRODUCTS = [
    GemmShape(1, 1, 7, 5),
    GemmShape(1, 1, 33, 200),
    GemmShape(2, 3, 50, 64),
    GemmShape(2, 4, 50, 24),
    GemmShape(3, 5, 70, 33),
    GemmShape(1, 13, 300, 303),
    GemmShape(2, 100, 64, 16),
    GemmShape(1, 2, 600, 603),
    GemmShape(3, 7, 60, 40, shared=True),
    GemmShape(1, 64, 300, 24),
    GemmShape(1, 9, 2000, 71),
]


@pytest.mark.parametrize("shape", PRODUCTS, ids=str)
@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("lanes", BOTH)
def test_products_are_those_of_numpy(
    shape: GemmShape, constant: bool, lanes: int
) -> None:
    x = _random(shape.batch, shape.rows, shape.depth)
    w = _random(shape.matrices, shape.depth, shape.columns, seed=1)
    bias = _random(shape.columns, seed=2)
    finish = Affine(bias=True, low=0.0)
    machine = replace(MACHINE, lanes=lanes)
    library = gemm(shape, constant, finish, machine, OPENCL)
    known = {"x": x, "bias": bias} | ({} if constant else {"w": w})
    want = np.maximum(x.astype(np.float64) @ w + bias, 0)
    got = run(library, known, want.shape, w, lanes)
    assert np.abs(got - want).max() <= 1e-5 * np.abs(want).max()


@pytest.mark.parametrize("lanes", BOTH)
@pytest.mark.parametrize("constant", [False, True])
def test_deep_products_are_added_up_in_pieces(constant: bool, lanes: int) -> None:
    shape = GemmShape(2, 41, 2100, 131)
    machine = replace(MACHINE, cache=1 << 16, lanes=lanes)
    x = _random(shape.batch, shape.rows, shape.depth)
    w = _random(shape.matrices, shape.depth, shape.columns, seed=1)
    residual = _random(shape.batch * shape.rows, shape.columns, seed=2)
    library = gemm(shape, constant, Affine(residual=True, low=0.0), machine, OPENCL)
    (near,) = (a for a in library.launches[-1].arguments if isinstance(a, Local))
    assert near.floats > lanes  # sums that are not whole yet
    known = {"x": x, "residual": residual} | ({} if constant else {"w": w})
    want = np.maximum(x.astype(np.float64) @ w + residual.reshape(2, 41, 131), 0)
    got = run(library, known, want.shape, w, lanes)
    assert np.abs(got - want).max() <= 1e-5 * np.abs(want).max()


@pytest.mark.parametrize("high", [6, 8, 9, 10])
@pytest.mark.parametrize("rows", [*range(1, 40), 49, 128, 197])
def test_tiles_cover_all_rows_and_few_that_are_not_there(rows: int, high: int) -> None:
    tile = Tile(high)
    assert rows <= tile.computed_rows(rows) < rows + high
    tiles, longs = tile.split(rows)
    lengths = [tile.rows] * longs + [tile.rows - 1] * (tiles - longs)
    assert rows <= sum(lengths) < rows + tile.rows
    assert sum(lengths) == rows or rows < tile.rows * (tile.rows - 1)


def test_tiles_are_as_high_as_registers_and_rows_allow() -> None:
    assert {tall(rows, 8).rows for rows in range(1, 400)} == {6}
    heights = {7: 8, 16: 9, 25: 9, 49: 10, 128: 10, 196: 10}
    assert {rows: tall(rows, 16).rows for rows in heights} == heights


@pytest.mark.parametrize(
    ("lanes", "in_order", "high", "turns"),
    [(8, True, True, True), (8, False, False, False), (16, False, False, False)],
)
def test_tiles_leave_registers_for_places(
    lanes: int, in_order: bool, high: bool, turns: bool
) -> None:
    shape = ConvShape(1, (28, 28), 136, 136, (1, 1), groups=4)
    order = None if in_order else np.arange(136, dtype=np.int32)
    machine = Cpu(2, 1 << 20, lanes=lanes)
    (launch,) = conv(shape, Affine(), machine, OPENCL, order).launches
    assert ("vec c6_0" in launch.source) == high
    assert ("soon = then" in launch.source) == turns


def test_sizes_are_no_part_of_the_source() -> None:
    sources = set[str]()
    for size, channels in ((9, 16), (20, 48)):
        shape = ConvShape(1, (size, size), channels, 32, (3, 3), pads=SAME)
        sources.add(_direct(shape, Affine()).launches[0].source)
    assert len(sources) == 1


@pytest.mark.parametrize(
    ("rows", "lanes", "lines"), [(1, 16, 8), (1, 8, 4), (8, 16, 2), (20, 16, 0)]
)
def test_products_of_one_tile_of_rows_ask_for_all_lines(
    rows: int, lanes: int, lines: int
) -> None:
    machine, shape = Cpu(2, 1 << 20, lanes=lanes), GemmShape(1, rows, 1024, 1024)
    (launch,) = gemm(shape, True, Affine(), machine, OPENCL).launches
    assert len(set(re.findall(r"AHEAD\(far \+ \d+\)", launch.source))) == lines
    assert ("AHEAD(soon)" in launch.source) == (lines == 0)


@pytest.mark.parametrize(("span", "lines"), [(8, 2), (16, 1)])
def test_tiles_of_a_span_ask_for_all_lines_together(span: int, lines: int) -> None:
    shape = ConvShape(1, (28, 28), 32, 32, (3, 3), pads=SAME)
    machine, division = Cpu(2, 1 << 20, lanes=16), Division(4, span)
    (launch,) = winograd(shape, Affine(), machine, OPENCL, division).launches
    assert launch.source.count("AHEAD(soon") == lines
    assert (f"t / 8 % {2 // lines}") in launch.source
