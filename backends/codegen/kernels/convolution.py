"""Convolutions with channels last, by `choose.convolution`."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from hashlib import blake2s
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphwright.backends.codegen.device import Cpu
from graphwright.backends.codegen.dialect import OPENCL
from graphwright.backends.codegen.elements import Array
from graphwright.backends.codegen.expr import Expr
from graphwright.backends.codegen.index import Axis, Index, linear, numbers, of
from graphwright.backends.codegen.kernels import integers, volume
from graphwright.backends.codegen.kernels.amx import parts_of
from graphwright.backends.codegen.kernels.behind import Behind
from graphwright.backends.codegen.kernels.choose import (
    are_small,
    convolution,
    cuts,
    takes_any_order,
)
from graphwright.backends.codegen.kernels.division import Division
from graphwright.backends.codegen.kernels.launch import once
from graphwright.backends.codegen.kernels.launched import MOST, launched
from graphwright.backends.codegen.kernels.shape import ConvShape
from graphwright.backends.codegen.kernels.table import Site, divided, kernel_for
from graphwright.backends.codegen.loops import Kernel
from graphwright.backends.codegen.schedule import looped
from graphwright.ir.dtype import float32, int16, int32
from graphwright.ir.ops.linalg import Conv
from graphwright.ir.record import record


@kernel_for("fused")
def conv_last(site: Site) -> Sequence[Kernel] | None:
    """A convolution between transpositions; None where loops must do."""
    conv, weights = _conv(site), site.constant(1)
    shape = None if conv is None else _shape(site, conv)
    if conv is None or shape is None or len(site.stage.results) != 1 or weights is None:
        return None
    place = _pitch(site.output)
    if place is None:
        return None
    shape = replace(shape, place=place)
    if site.node.results[0].dtype is int32:
        return integers.conv_last(site, shape)
    finish = Behind(site, OPENCL, site.target.lanes)
    image = _image(site, conv, shape)
    if not finish.is_plain or image is None:
        return None
    machine: Cpu = site.target
    parts = parts_of(site.held_in(0), site.held_in(1))
    shape = replace(shape, pixel=image.pixel, parts=parts)
    found = [None] if machine.strict else cuts(shape, machine)
    if len(found) > 1 and not are_small(weights):
        found = [None]
    order = b"" if image.order is None else image.order.tobytes()
    key = f"{shape.groups} {blake2s(order, digest_size=6).hexdigest()}"

    def made(cut: Division | None, target: Cpu, own: Site) -> Sequence[Kernel]:
        make = partial(convolution, shape, finish, target, OPENCL, cut, image.order)
        library = once((shape, finish.form, target, cut, order), make)
        if len(own.shape(1)) == 5 and shape.planes is None:
            library = library.behind(volume.filters)
        kernels = launched(own, library, finish, {"x": image.array}, key)
        return [*image.before, *kernels]

    ways = [divided(str(cut or "direct"), machine, partial(made, cut)) for cut in found]
    return site.best(f"conv {shape} and {len(finish.arrays)} arrays", ways)


def _conv(site: Site) -> Conv | None:
    """The convolution, if its dtypes and sizes are such as kernels know."""
    body: Any = site.node.op
    nodes = body.body.nodes
    conv = next((n.op for n in nodes if isinstance(n.op, Conv)), None)
    if conv is None or len(nodes) != 3 or len(site.shape(0)) not in (3, 4, 5):
        return None
    dtypes = [v.dtype for v in (*site.node.operands, *site.node.results)]
    images = [int16, int16, int32] if len(site.shape(0)) < 5 else None
    plain = conv.batch_groups == 1 and set(conv.lhs_dilation) == {1}
    return conv if plain and dtypes in ([float32] * 3, images) else None


def _shape(site: Site, conv: Conv) -> ConvShape | None:
    """Its sizes; lines are images of height 1, volumes many images."""
    x, w, y = site.shape(0), site.shape(1), site.output.shape
    planes = y[1] * w[2] if len(x) == 5 else 1
    sizes = map(np.prod, (x, w, y, (planes, *x)))
    if not all(0 < n < MOST for n in sizes):
        return None
    if len(x) == 5:
        return volume.shape_of(conv, x, w, y)
    one: tuple[int, ...] = (1,) * (4 - len(x))
    pads: Any = (*(((0, 0),) * len(one)), *conv.padding)
    size: Any = (*one, *x[1:-1])
    kernel: Any = (*one, *w[2:])
    strides: Any = (*one, *conv.strides)
    dilations: Any = (*one, *conv.rhs_dilation)
    return ConvShape(
        x[0], size, x[-1], w[0], kernel, strides, pads, dilations, conv.groups
    )


def _pitch(array: Array | None) -> int | None:
    """From pixel to pixel, if these are even; 0 if they lie one after another."""
    if array is None:
        return 0
    return 0 if array.pitch == array.shape[-1] else array.pitch


@record(frozen=True, eq=False, slots=True)
class _Image:
    """What is convolved.

    Attributes:
        array: Where it lies.
        pixel: See `ConvShape`.
        order: Where each channel lies in a pixel; None if they lie in order.
        before: What makes the array, if it does not lie in memory as it is.
    """

    array: Array
    pixel: int = 0
    order: NDArray[np.int32] | None = None
    before: Sequence[Kernel] = ()


def _image(site: Site, conv: Conv, shape: ConvShape) -> _Image | None:
    """What is convolved; None where it lies in no way that kernels read."""
    volumes = len(site.shape(0)) == 5 and shape.planes is None
    if volumes and not volume.is_read_as_it_lies(conv, site.shape(1)):
        images, made = volume.images(site, conv, shape)
        return _Image(images, before=(made,))
    known = site.arrays.get(site.node.operands[0])
    if known is not None:
        pixel = _pitch(known)
        return None if pixel is None else _Image(known, pixel)
    axes = tuple(map(Axis, site.shape(0)))
    value = site.operand(0, tuple(map(of, axes)))
    found = _shuffled(value, axes) if takes_any_order(shape, site.target) else None
    if found is not None:
        return found
    x = Array(float32, site.shape(0))
    return _Image(x, before=(looped(axes, [value], [x], site.target),))


def _shuffled(value: Expr, axes: Sequence[Axis]) -> _Image | None:
    """Pixels in order whose channels lie in some other one."""
    *outer, channel = axes
    if value.op != "read" or value.value.guards or value.dtype is not float32:
        return None
    index = value.value.index
    own = {t: f for t, f in index.terms if {*Index(((t, f),)).axes()} == {channel}}
    rows = linear(tuple(map(of, outer)), [axis.extent for axis in outer])
    left = {t: f for t, f in index.terms if t not in own}
    pixel = next((left.get(t, 0) // f for t, f in rows.terms), channel.extent)
    if left != dict((rows * pixel).terms) or any(True for _ in index.items()):
        return None
    order = numbers(Index(tuple(own.items()), index.start), channel)
    return _Image(value.value.array, pixel, order.astype(np.int32))
