"""Products and convolutions of 8-bit integers less their zero points, in int32.

With constant weights and one zero point on the left, bytes are multiplied as they lie,
in words of four (`sums.py`). Where rows are no whole words, or lie otherwise, they are
copied first. Weights less a zero point that do not fit a byte are the sum of two or
three that do, each with its own copy of the rows. All else is multiplied in float32,
where that holds every sum exactly.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphwright.backends.codegen.centred import Centred, centred
from graphwright.backends.codegen.device import Cpu
from graphwright.backends.codegen.dialect import OPENCL
from graphwright.backends.codegen.elements import Array
from graphwright.backends.codegen.index import Axis, of
from graphwright.backends.codegen.kernels import amx_bytes
from graphwright.backends.codegen.kernels.behind import Behind
from graphwright.backends.codegen.kernels.choose import (
    convolution,
    matrix_of,
    product_of,
)
from graphwright.backends.codegen.kernels.conv import conv
from graphwright.backends.codegen.kernels.gemm import GemmShape, gemm
from graphwright.backends.codegen.kernels.launch import Library
from graphwright.backends.codegen.kernels.launched import MOST, launched
from graphwright.backends.codegen.kernels.shape import ConvShape
from graphwright.backends.codegen.kernels.sums import FLOATS, WORD, Bytes, Sums
from graphwright.backends.codegen.kernels.table import Site, divided
from graphwright.backends.codegen.loops import Kernel
from graphwright.backends.codegen.schedule import looped
from graphwright.ir.dtype import float32, int32
from graphwright.ir.record import record

_EXACT = 1 << 24
"""Up to it float32 holds all integers."""
_BYTE = -128, 127


def conv_last(site: Site, shape: ConvShape) -> Sequence[Kernel] | None:
    """A convolution with channels last; None where loops must do."""
    x, held = _left(site), site.constant(1)
    if x is None or held is None:
        return None
    weights = held.array()
    count = _parts(weights)
    whole = shape.groups == 1 or (count == 1 and shape.depth % WORD == 0)
    if x.zero is not None and whole:
        rows = _words(site, x, count)
        own = replace(shape, channels=rows.words, pixel=rows.pitch)
        bytes_ = _bytes(site, x)
        split = partial(_split, count, 1)

        def words(machine: Cpu, finish: Behind) -> Library:
            return _convolved(own, finish, machine, bytes_).behind(split)

        return _made(site, f"conv {own}", words, {"x": rows.array}, rows.before, bytes_)
    if _most(x, weights, tuple(range(1, weights.ndim))) > _EXACT:
        return None
    image, before = _as_floats(site, 0)
    own = replace(shape, pixel=0)

    def floats(machine: Cpu, finish: Behind) -> Library:
        return convolution(own, finish, machine, OPENCL, None)

    return _made(site, f"conv {own}", floats, {"x": image}, before, FLOATS)


def dot(site: Site, batch: int, m: int, k: int, n: int) -> Sequence[Kernel] | None:
    """A product of matrices; None where loops must do."""
    x, held, plain = _left(site), site.constant(1), site.output.is_dense
    sizes = batch * m * k, batch * k * n, batch * m * n
    if x is None or not plain or not 0 < min(sizes) <= max(sizes) <= MOST:
        return None
    if held is not None and x.zero is not None:
        weights = held.array()
        count = _parts(weights)
        rows = _words(site, x, count, dense=True)
        shape = GemmShape(batch, m, rows.words, n)
        bytes_ = _bytes(site, x)
        split = partial(_split, count, -2)

        def words(machine: Cpu, finish: Behind) -> Library:
            return _product(shape, finish, machine, bytes_).behind(split)

        return _made(
            site, f"dot {shape}", words, {"x": rows.array}, rows.before, bytes_
        )
    y = centred(site.stage.graph, site.node.operands[1])
    if y is None or k * x.reach * y.reach > _EXACT:
        return None
    (left, one), (right, other) = _as_floats(site, 0), _as_floats(site, 1)
    shape = GemmShape(batch, m, k, n)

    def floats(machine: Cpu, finish: Behind) -> Library:
        return gemm(shape, False, finish, machine, OPENCL)

    arrays = {"x": left, "w": right}
    return _made(site, f"dot {shape}", floats, arrays, [*one, *other], FLOATS)


def _product(shape: GemmShape, finish: Behind, machine: Cpu, sums: Bytes) -> Library:
    if amx_bytes.takes(shape, sums, machine):
        return amx_bytes.amx_bytes(shape, finish, machine, OPENCL, sums)
    return gemm(shape, True, finish, machine, OPENCL, sums)


def _convolved(shape: ConvShape, finish: Behind, machine: Cpu, sums: Bytes) -> Library:
    product = product_of(shape)
    if product is None or not amx_bytes.takes(product, sums, machine):
        return conv(shape, finish, machine, OPENCL, sums=sums)
    library = amx_bytes.amx_bytes(product, finish, machine, OPENCL, sums)
    return library.behind(matrix_of)


def _left(site: Site) -> Centred | None:
    """What is multiplied by weights, if that are bytes and a kernel has one result."""
    if len(site.stage.results) != 1:
        return None
    return centred(site.stage.graph, site.node.operands[0])


def _bytes(site: Site, x: Centred) -> Bytes:
    assert x.zero is not None
    return Bytes(x.source.dtype.kind == "i", x.zero, site.target.dots)


def _made(
    site: Site,
    key: str,
    library: Callable[[Cpu, Behind], Library],
    arrays: Mapping[str, Array],
    before: Sequence[Kernel],
    sums: Sums,
) -> Sequence[Kernel] | None:
    """The kernels of a library, and those that write its operands."""
    finish = Behind(
        site, OPENCL, site.target.lanes, float32 if sums is FLOATS else int32
    )
    if not finish.is_plain:
        return None

    def made(machine: Cpu, own: Site) -> Sequence[Kernel]:
        found = library(machine, finish)
        return [*before, *launched(own, found, finish, arrays, f"{key} {sums}", sums)]

    name = f"{key} of {sums} and {len(finish.arrays)} arrays"
    return site.best(name, [divided("direct", site.target, made)])


# Operands ---------------------------------------------------------------------------


@record(frozen=True, eq=False, slots=True)
class _Rows:
    """Rows of bytes.

    Attributes:
        array: Where they lie.
        words: How many words a row has.
        pitch: Words from row to row; 0 if they lie one after another.
        before: What writes the array.
    """

    array: Array
    words: int
    pitch: int
    before: Sequence[Kernel] = ()


def _words(site: Site, x: Centred, count: int, dense: bool = False) -> _Rows:
    """The left operand as rows of words, copied so many times beside one another."""
    *outer, depth = site.shape(0)
    words = -(-depth // WORD)
    known = None if x.moves or count > 1 else site.arrays.get(x.source)
    if known is not None and depth % WORD == 0:
        pitch = known.pitch
        even = pitch is not None and pitch % WORD == known.start % WORD == 0
        if pitch is not None and even and not (dense and pitch != depth):
            return _Rows(known, words, 0 if pitch == depth else pitch // WORD)
    array = Array(x.source.dtype, (*outer, count * words * WORD))
    axes = tuple(map(Axis, (*outer, depth)))
    at = tuple(map(of, axes))
    value = site.element(x.source, x.place(at))
    before = [
        looped(
            axes, [value], [array], site.target, (*at[:-1], at[-1] + i * words * WORD)
        )
        for i in range(count)
    ]
    return _Rows(array, count * words, 0, before)


def _as_floats(site: Site, number: int) -> tuple[Array, Sequence[Kernel]]:
    """An operand as floats; weights are so when they are packed."""
    axes = tuple(map(Axis, site.shape(number)))
    array = Array(float32, site.shape(number))
    value = site.operand(number, tuple(map(of, axes))).to(float32)
    return array, [looped(axes, [value], [array], site.target)]


# Weights ----------------------------------------------------------------------------


def _most(x: Centred, weights: NDArray[Any], axes: tuple[int, ...]) -> int:
    """No sum of products is larger."""
    sizes = np.abs(weights.astype(np.int32)).sum(axis=axes)
    return x.reach * int(sizes.max(initial=0))


def _parts(weights: NDArray[Any]) -> int:
    """How many bytes add up to any of the weights."""
    low, high = int(weights.min(initial=0)), int(weights.max(initial=0))
    return max(-(low // -_BYTE[0]), -(-high // _BYTE[1]), 1)


def _split(count: int, axis: int, weights: NDArray[Any]) -> NDArray[Any]:
    """Weights as so many bytes each, beside one another along the depth.

    Each part but the last is filled up with zeros to words.
    """
    if count == 1:
        return weights
    rest, parts = weights, list[NDArray[Any]]()
    fill = [(0, 0)] * weights.ndim
    fill[axis] = (0, -weights.shape[axis] % WORD)
    for _ in range(count):
        parts.append(np.pad(np.clip(rest, *_BYTE), fill))
        rest = rest - np.clip(rest, *_BYTE)
    return np.concatenate(parts, axis=axis)
