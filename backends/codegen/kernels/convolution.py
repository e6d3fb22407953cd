"""Convolutions with channels last, by `choose.convolution`."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from graphwright.backends.codegen.dialect import OPENCL
from graphwright.backends.codegen.elements import Array
from graphwright.backends.codegen.index import Axis, of
from graphwright.backends.codegen.kernels.behind import Behind
from graphwright.backends.codegen.kernels.choose import are_small, convolution, division
from graphwright.backends.codegen.kernels.launched import MOST, launched
from graphwright.backends.codegen.kernels.shape import ConvShape
from graphwright.backends.codegen.kernels.table import Site, kernel_for
from graphwright.backends.codegen.loops import Kernel
from graphwright.backends.codegen.schedule_cpu import looped
from graphwright.ir.dtype import float32
from graphwright.ir.ops.linalg import Conv


@kernel_for("fused")
def conv_last(site: Site) -> Sequence[Kernel] | None:
    """A convolution between transpositions; None where loops must do."""
    shape = _shape(site)
    if shape is None or len(site.stage.results) != 1:
        return None
    finish = Behind(site, OPENCL)
    weights = site.constant(1)
    if not finish.is_plain or weights is None:
        return None
    machine = site.target
    pixel, place = _pitch(site.arrays.get(site.node.operands[0])), _pitch(site.output)
    if pixel is None or place is None:
        return None
    shape = replace(shape, pixel=pixel, place=place)
    cut = None if machine.strict else division(shape, machine)
    if cut is not None and not are_small(weights.array()):
        cut = None
    library = convolution(shape, finish, machine, OPENCL, cut)
    x, before = _operand(site)
    key = str(shape.groups)
    return [*before, *launched(site, library, finish, {"x": x}, key)]


def _shape(site: Site) -> ConvShape | None:
    """Its sizes; lines are images of height 1."""
    body: Any = site.node.op
    nodes = body.body.nodes
    conv = next((n.op for n in nodes if isinstance(n.op, Conv)), None)
    x, w, y = site.shape(0), site.shape(1), site.output.shape
    if conv is None or len(nodes) != 3 or len(x) not in (3, 4):
        return None
    floats = all(v.dtype is float32 for v in (*site.node.operands, *site.node.results))
    plain = conv.batch_groups == 1 and set(conv.lhs_dilation) == {1}
    sizes = map(np.prod, (x, w, y))
    if not floats or not plain or not all(0 < n < MOST for n in sizes):
        return None
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


def _operand(site: Site) -> tuple[Array, Sequence[Kernel]]:
    """What is convolved, and what makes it if it does not lie in memory as it is."""
    known = site.arrays.get(site.node.operands[0])
    if known is not None:
        return known, ()
    x = Array(float32, site.shape(0))
    axes = tuple(map(Axis, x.shape))
    value = site.operand(0, tuple(map(of, axes)))
    return x, (looped(axes, [value], [x], site.target),)
