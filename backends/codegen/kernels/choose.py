"""The algorithm of a convolution, by what each one costs on its shape."""

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphwright.backends.codegen.device import Cpu
from graphwright.backends.codegen.dialect import Dialect
from graphwright.backends.codegen.kernels import amx_gemm, depthwise, phases, winograd
from graphwright.backends.codegen.kernels.conv import conv
from graphwright.backends.codegen.kernels.division import Division
from graphwright.backends.codegen.kernels.finish import Finish
from graphwright.backends.codegen.kernels.gemm import GemmShape
from graphwright.backends.codegen.kernels.launch import Library
from graphwright.backends.codegen.kernels.shape import ConvShape
from graphwright.backends.codegen.kernels.tile import Tile, heights, tall
from graphwright.backends.mapped import release_part
from graphwright.ir.constant import Constant

_BALANCE = 3 / 8
"""Operations of a lane in the time of a byte of weights: they come from memory in each
run, but most of that is waited for behind products."""
_TRANSFORMS = {4: (40, 40), 5: (85, 85), 6: (140, 145), 7: (180, 350), 8: (220, 560)}
"""Cycles to transform a tile of a vector of channels, there and back, by its points."""
_CYCLE = 4
"""Operations of a cycle, of each lane."""
_COPIED = 5
"""Operations of a lane in the time of a float of phases."""
_RESIDENT = 5 << 19
"""Bytes of transformed filters that each span of few tiles may read again."""
_WIDE = 16
"""Lanes from which on products are so fast that caches are waited for."""
_PASSES = 5
"""Register tiles of a span there, at most."""
_MOVED, _AGAIN = 10, 4
"""Operations in the time of a byte, there: that is kept from step to step, beyond half
of the caches; of filters that each span reads again, beyond half of one."""
_STEPS = 2e6
"""Operations in the time that two steps more take there."""
_SHAPES = 1024
"""Of which it is remembered how they are cut."""
_PART = 1 << 20
"""Weights that are looked at before their pages are given back."""
_LARGEST_WEIGHT = 1e12
"""Weights below it, transformed, have products that stay finite, as a rule."""


def convolution(
    shape: ConvShape,
    finish: Finish,
    machine: Cpu,
    dialect: Dialect,
    cut: Division | None,
    order: NDArray[np.int32] | None = None,
) -> Library:
    """A convolution of ``x`` to ``out``.

    Args:
        shape: Its sizes.
        finish: What is done to sums.
        machine: The device.
        dialect: Its language.
        cut: How Winograd's algorithm is cut, if that is to be used: `division`, where
            other sums of products than those as written will do.
        order: Where each channel lies in a pixel, if ``takes_any_order``.
    """
    if order is not None:
        return conv(shape, finish, machine, dialect, order)
    if depthwise.accepts(shape, machine.lanes):
        return depthwise.depthwise(shape, finish, machine, dialect)
    if cut is None:
        return _as_written(shape, finish, machine, dialect)

    def made(shape: ConvShape) -> Library:
        return winograd.winograd(shape, finish, machine, dialect, cut)

    if phases.accepts(shape):
        return phases.phased(shape, machine.lanes, dialect, made)
    return made(shape)


def _as_written(
    shape: ConvShape, finish: Finish, machine: Cpu, dialect: Dialect
) -> Library:
    """The direct algorithm: a product, if that is all and tiles are faster."""
    product = product_of(shape)
    if product is None or not amx_gemm.pays(product, machine):
        return conv(shape, finish, machine, dialect)
    library = amx_gemm.amx_gemm(product, True, finish, machine, dialect)
    return library.behind(matrix_of)


def product_of(shape: ConvShape) -> GemmShape | None:
    """The product that a convolution is; None if it is none."""
    if not shape.is_product or shape.groups > 1:
        return None
    size = shape.rows, shape.depth, shape.filters
    pitch, place = shape.step, shape.out_step
    return GemmShape(1, *size, pitch=pitch, place=place, parts=shape.parts)


def matrix_of(weights: NDArray[Any]) -> NDArray[Any]:
    """Filters as the right operand of that product."""
    return weights.reshape(len(weights), -1).T[None]


def are_small(weights: Constant) -> bool:
    """Whether products of what they are transformed to stay finite, as a rule."""
    root, growth = weights.scaled_from()
    array = root.array()
    step = max(1, _PART * len(array) // max(1, array.size))
    parts = (array[low : low + step] for low in range(0, len(array), step))
    return all(_largest(part) * growth < _LARGEST_WEIGHT for part in parts)


def _largest(part: NDArray[np.float32]) -> float:
    """The largest magnitude, without a copy; of a part with NaN, that."""
    found = max(float(part.max(initial=0)), -float(part.min(initial=0)))
    release_part(part)
    return found


def takes_any_order(shape: ConvShape, machine: Cpu) -> bool:
    """Whether channels need not lie in order."""
    return shape.is_product and not depthwise.accepts(shape, machine.lanes)


@lru_cache(_SHAPES)
def division(shape: ConvShape, machine: Cpu) -> Division | None:
    """How to cut Winograd's algorithm; None where the direct one is faster."""
    own = _unstrided(shape, machine)
    if not winograd.accepts(own, machine.lanes):
        return None
    costs = {d: _cost(own, d, machine) for d in _divisions(own, machine)}
    best = min(costs, key=lambda d: costs[d])
    copied = _COPIED * machine.lanes * own.pixels if own is not shape else 0
    return best if costs[best] + copied < _direct(shape, machine) else None


def _unstrided(shape: ConvShape, machine: Cpu) -> ConvShape:
    """What Winograd's algorithm is to compute."""
    return phases.inner(shape, machine.lanes) if phases.accepts(shape) else shape


def _divisions(shape: ConvShape, machine: Cpu) -> Iterator[Division]:
    for outputs in _outputs(shape):
        apart, own = Division(outputs, 0, shape.kernel[0]), shape.group
        filters = 4 * apart.frequencies * own.channels * own.filters
        spans = (replace(apart, span=span) for span in _spans(machine.lanes))
        most = machine.cache // 2 if machine.lanes >= _WIDE else machine.cache
        fit = [d for d in spans if d.near(shape, machine.lanes) <= most]
        if machine.lanes >= _WIDE:
            yield from (apart, *fit)
        elif filters > _RESIDENT or not fit:
            yield apart
        else:
            yield min(fit, key=lambda d: _rows(shape, d, machine))


def _spans(lanes: int) -> list[int]:
    """Tiles that may go together."""
    passes = range(1, (_PASSES if lanes >= _WIDE else 1) + 1)
    return sorted({n * rows for n in passes for rows in heights(lanes)})


def _rows(shape: ConvShape, cut: Division, machine: Cpu) -> float:
    """Rows of products on all cores, until the last one is done with its own."""
    tiles = cut.tiles(shape)
    if not cut.span:
        return _computed(tiles, machine)
    turns = -(-shape.groups * -(-tiles // cut.span) // machine.cores)
    each = heights(machine.lanes)[cut.tile(machine.lanes).rows]
    return turns * machine.cores * cut.span * each / shape.groups


def _waited(shape: ConvShape, cut: Division, machine: Cpu) -> float:
    """Operations of a group in the time in which caches are waited for."""
    if machine.lanes < _WIDE:
        return 0
    own, tiles, half = shape.group, cut.tiles(shape), machine.cache // 2
    if not cut.span:
        kept = 4 * cut.frequencies * tiles * (own.channels + own.filters)
        return _MOVED * max(0, kept - machine.cores * half) + _STEPS
    filters = 4 * cut.frequencies * own.channels * own.filters
    return _AGAIN * max(0, filters - half) * -(-tiles // cut.span)


def _outputs(shape: ConvShape) -> Iterator[int]:
    """Of tiles, in each direction."""
    found = (points - shape.kernel[0] + 1 for points in _TRANSFORMS)
    return (outputs for outputs in found if outputs > 1)


def cuts(shape: ConvShape, machine: Cpu) -> list[Division | None]:
    """How a convolution can be cut, None for not at all: first what should be best."""
    best = division(shape, machine)
    shape = _unstrided(shape, machine)
    if not winograd.accepts(shape, machine.lanes):
        return [best]
    high = heights(machine.lanes)
    spans, taps = (0, *high, 2 * max(high)), shape.kernel[0]
    every = (Division(m, span, taps) for m in _outputs(shape) for span in spans)
    fit = [cut for cut in every if cut.near(shape, machine.lanes) <= machine.cache]
    return [best, *(cut for cut in (None, *fit) if cut != best)]


def _rounded(n: int, step: int) -> int:
    return -(-n // step) * step


def _computed(rows: int, machine: Cpu) -> float:
    """Rows of register tiles, in the time of those of a whole tile."""
    return tall(rows, machine.lanes).time_of_rows(rows)


def _direct(shape: ConvShape, machine: Cpu) -> float:
    own, tile = shape.group, Tile(lanes=machine.lanes)
    rows, columns = _computed(own.rows, machine), _rounded(own.filters, tile.columns)
    depth = own.taps * own.depth
    return shape.groups * (
        2 * rows * columns * depth + 4 * _BALANCE * machine.lanes * depth * own.filters
    )


def _cost(shape: ConvShape, cut: Division, machine: Cpu) -> float:
    own, tiles = shape.group, cut.tiles(shape)
    rows, tile = _rows(shape, cut, machine), Tile(lanes=machine.lanes)
    columns = _rounded(own.filters, tile.columns)
    weights = cut.frequencies * own.channels
    down, up = _TRANSFORMS[cut.points]
    transforms = tiles * (down * own.channels + up * own.filters)
    return shape.groups * (
        2 * weights * rows * columns
        + 4 * _BALANCE * machine.lanes * weights * own.filters
        + _CYCLE * transforms
        + _waited(shape, cut, machine)
    )
