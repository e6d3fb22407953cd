"""Convolutions of volumes as ones of images, channels last.

A plane of the result is the convolution of an image whose pixels have the channels of
all planes that the filter's taps fall on, one plane after the other in each group.
Where each channel has one filter, planes are read where they lie.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphwright.backends.codegen.elements import Array, Within, within
from graphwright.backends.codegen.expr import choose, const
from graphwright.backends.codegen.index import Axis, of
from graphwright.backends.codegen.kernels.shape import ConvShape, Planes
from graphwright.backends.codegen.kernels.table import Site
from graphwright.backends.codegen.loops import Kernel
from graphwright.backends.codegen.schedule import looped
from graphwright.ir.dtype import float32
from graphwright.ir.ops.linalg import Conv

_FEW = 8
"""Filters of a group below which most of a tile's columns would be lost."""


def shape_of(
    conv: Conv, x: Sequence[int], w: Sequence[int], y: Sequence[int]
) -> ConvShape | None:
    """The images of ``[N, D, H, W, C]``; None where loops must do."""
    alone = conv.groups == w[0] == x[4]
    if w[0] // conv.groups < _FEW and conv.groups > 1 and not alone:
        return None
    rest: dict[str, Any] = {
        "kernel": tuple(w[3:]),
        "strides": conv.strides[1:],
        "pads": conv.padding[1:],
        "dilations": conv.rhs_dilation[1:],
    }
    size = (x[2], x[3])
    if alone and conv.groups > 1:
        pad, _ = conv.padding[0]
        assert isinstance(pad, int)
        planes = Planes(x[1], y[1], w[2], conv.strides[0], pad, conv.rhs_dilation[0])
        rest["planes"] = planes
        return ConvShape(y[0] * y[1], size, x[4], w[0], groups=conv.groups, **rest)
    return ConvShape(y[0] * y[1], size, w[2] * x[4], w[0], groups=conv.groups, **rest)


def is_read_as_it_lies(conv: Conv, w: Sequence[int]) -> bool:
    """Whether a plane of the result is made of the same one of the volume."""
    return (w[2], conv.strides[0], *conv.padding[0]) == (1, 1, 0, 0)


def images(site: Site, conv: Conv, shape: ConvShape) -> tuple[Array, Kernel]:
    """The images, and what makes them of the volume."""
    x, taps = site.shape(0), site.shape(1)[2]
    depth = x[4] // conv.groups
    batch, plane = x[0], shape.batch // x[0]
    sizes = (batch, plane, *x[2:4], conv.groups, taps, depth)
    axes = tuple(map(Axis, sizes))
    n, d, h, w, group, tap, channel = map(of, axes)
    low, _ = conv.padding[0]
    assert isinstance(low, int)
    place = d * conv.strides[0] + tap * conv.rhs_dilation[0] + -low
    inside = Within(place, 0, x[1])
    at = n, place, h, w, group * depth + channel
    value = site.operand(0, at, (inside,))
    first, last = place.bounds
    if first < 0 or last >= x[1]:
        value = choose(within(inside), value, const(0, value.dtype))
    found = Array(float32, sizes)
    return found, looped(axes, [value], [found], site.target)


def filters(w: Any) -> Any:
    """Of volumes ``[M, C, D, H, W]`` as those of the images."""
    m, c, *kernel = w.shape
    turned = np.swapaxes(w, 1, 2)
    return np.ascontiguousarray(turned).reshape(m, kernel[0] * c, *kernel[1:])
