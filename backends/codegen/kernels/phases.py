"""Strided convolutions as ones without strides: phases of images become channels.

With a stride of ``s`` a tap meets only each ``s``-th line and column. Laid side by
side, the ``s * s`` images of these, *phases*, have windows of an ``s``-th of the size,
which move step by step: so Winograd's algorithm can compute them. A window of 7x7 with
a stride of 2 is one of 4x4 with four times as many channels, whose F(4x4) takes a
quarter of the products; some taps are none of the window's.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphwright.backends.codegen.dialect import Dialect
from graphwright.backends.codegen.kernels.launch import Launch, Library, Make
from graphwright.backends.codegen.kernels.shape import ConvShape
from graphwright.backends.codegen.kernels.text import arguments, block, named

_SIZES = (
    *("height", "size", "up", "left", "stride", "chunk", "whole", "more"),
    *("high", "wide"),
)
"""``size`` floats of a line of the image, of which ``chunk`` make a phase's part of a
pixel: ``whole`` is that in whole vectors. ``more`` zeros fill a pixel up to a vector.
``left`` is in floats, ``up`` in lines."""


def accepts(shape: ConvShape) -> bool:
    """Whether a convolution is strided, the same in both directions, and dense."""
    (stride, across), (high, wide) = shape.strides, shape.kernel
    plain = shape.groups == 1 and shape.dilations == (1, 1)
    square = stride == across > 1 and high == wide >= stride
    return plain and square and shape.step == shape.channels


def inner(shape: ConvShape, lanes: int) -> ConvShape:
    """The convolution of phases of padded images; channels are at least a vector."""
    stride, taps = shape.strides[0], -(-shape.kernel[0] // shape.strides[0])
    high, wide = (n + taps - 1 for n in shape.out)
    return ConvShape(
        shape.batch,
        (high, wide),
        max(stride**2 * shape.channels, lanes),
        shape.filters,
        (taps, taps),
        place=shape.place,
    )


def phased(
    shape: ConvShape,
    lanes: int,
    dialect: Dialect,
    make: Callable[[ConvShape], Library],
) -> Library:
    """A convolution of ``x`` to ``out`` by one of its phases.

    Args:
        shape: Its sizes.
        lanes: Floats of a vector.
        dialect: The device's language.
        make: Makes that one. Its constants ``w...`` are of weights as they are, in
            which what is no tap is NaN; all others have 0 there.
    """
    within = inner(shape, lanes)
    made = make(within)
    launches = (_renamed(launch) for launch in made.launches)

    def filters(make: Make, absent: float) -> Make:
        return partial(_made, make, shape.strides[0], within.channels, absent)

    constants: dict[str, Make] = {
        name: filters(make, np.nan if name[0] == "w" else 0.0)
        for name, make in made.constants.items()
    }
    scratch = {**made.scratch, "phases": within.pixels}
    copying = _copying(shape, within, lanes, dialect)
    return Library((copying, *launches), constants, scratch=scratch)


def _renamed(launch: Launch) -> Launch:
    """A launch that reads the phases."""
    names = ("phases" if a == "x" else a for a in launch.arguments)
    return replace(launch, arguments=tuple(names))


def _made(
    make: Make, stride: int, depth: int, absent: float, weights: NDArray[Any]
) -> NDArray[Any]:
    return make(spread(weights, stride, depth, absent))


def spread(
    weights: NDArray[Any], stride: int, depth: int, absent: float
) -> NDArray[Any]:
    """Filters ``[filters, depth, *taps]`` of the phases, one after the other."""
    filters, channels, size, _ = weights.shape
    taps = -(-size // stride)
    whole = np.full((filters, channels, *[taps * stride] * 2), absent, weights.dtype)
    whole[..., :size, :size] = weights
    cut = whole.reshape(filters, channels, taps, stride, taps, stride)
    found = np.full((filters, depth, taps, taps), absent, weights.dtype)
    own = cut.transpose(0, 3, 5, 1, 2, 4).reshape(filters, -1, taps, taps)
    found[:, : own.shape[1]] = own
    return found


def _copying(
    shape: ConvShape, within: ConvShape, lanes: int, dialect: Dialect
) -> Launch:
    """Writes the phases, a line an item, pixel by pixel.

    What whole vectors write too much is written over by the next ones; so the last
    pixel of a line is copied float by float.
    """
    vectors = f"for (int j = 0; j < chunk; j += {lanes})"
    phase = [
        "int y = oy * stride + p - up, inside = WITHIN(y, height);",
        "const __global float *from = x + ((size_t)n * height + y) * size + q;",
        *block(
            "if (inside && q >= 0 && q + whole <= size && ox + 1 < wide)",
            [f"{vectors} STORE(to + j, LOAD(from + j))"],
        ),
        "else for (int j = 0; j < chunk; j++)",
        "  to[j] = inside && WITHIN(q + j, size) ? from[j] : 0.0f;",
        "to += chunk;",
    ]
    body = [
        "int n = ITEM(0) / high, oy = ITEM(0) % high;",
        "__global float *to =",
        "    phases + (size_t)ITEM(0) * wide * (stride * chunk + more);",
        *block(
            "for (int ox = 0, q = -left; ox < wide; ox++, q += chunk)",
            [
                *block("for (int p = 0; p < stride; p++)", phase),
                "for (int j = 0; j < more; j++) to[j] = 0.0f;",
                "to += more;",
            ],
        ),
    ]
    head = dialect.kernel.format(
        name="NAME", group="1, 1, 1", arguments=arguments(("x",), _SIZES, "phases")
    )
    name, text = named("phases", "\n".join(block(head, body)) + "\n")
    stride, ((up, _), (left, _)) = shape.strides[0], shape.pads
    chunk = stride * shape.channels
    size, whole = shape.size[1] * shape.channels, -(-chunk // lanes) * lanes
    lines = (shape.size[0], size, up, left * shape.channels)
    more = within.channels - stride * chunk
    numbers = (*lines, stride, chunk, whole, more, *within.size)
    return Launch(
        name, text, ("x", "phases", *numbers), (shape.batch * within.size[0],)
    )
