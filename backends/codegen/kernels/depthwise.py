"""Depthwise convolution: each channel by a filter of its own, vectors along channels.

A work-item takes lines of the output, or strips of these. Some neighbouring positions
go together: for each line of taps the inputs under all of their windows are read once.
Of volumes, lines of taps are those of all planes, one plane after another.

Groups of few channels, and as many filters, lie in one vector: each of its turns puts
another channel of the group in a filter's lane.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphwright.backends.codegen.device import Cpu
from graphwright.backends.codegen.dialect import Dialect
from graphwright.backends.codegen.kernels.conv import outside
from graphwright.backends.codegen.kernels.finish import (
    Finish,
    out_type,
    size_names,
    size_values,
)
from graphwright.backends.codegen.kernels.launch import Launch, Library, Make
from graphwright.backends.codegen.kernels.shape import ConvShape
from graphwright.backends.codegen.kernels.sums import FLOATS
from graphwright.backends.codegen.kernels.text import arguments, block, named, read
from graphwright.ir.record import record

_SIZES = (
    *("height", "width", "channels", "high", "wide", "stride_y", "pad_y", "pad_x"),
    *("dil_y", "taps_y", "units", "strips", "strip", "span", "step", "place"),
)
_PLANES = ("planes", "deep", "stride_z", "pad_z", "dil_z")
_SUMS = 8
"""Sums at once: more would not fit in registers with what they are made of."""
_MOST_TAPS = 16
"""Taps in a line that are written out."""
_LINE = 16
"""Floats of a line of cache."""
_MOST_TURNS = 32
"""And of all turns."""


def accepts(shape: ConvShape, lanes: int) -> bool:
    """Whether groups have few channels and as many filters, with few taps in a line.

    Filters of a group fill half of a vector at most, in which others are computed.
    """
    depth, wide = shape.depth, shape.kernel[1]
    if shape.channels != shape.filters or wide > _MOST_TAPS:
        return False
    turns = not shape.is_product and wide * depth <= _MOST_TURNS
    return depth == 1 or (turns and 2 * depth <= lanes and lanes % depth == 0)


def depthwise(
    shape: ConvShape,
    finish: Finish,
    machine: Cpu,
    dialect: Dialect,
) -> Library:
    """A convolution of ``x`` to ``out``; see `conv`."""
    reach = (shape.kernel[1] - 1) * shape.dilations[1] + 1
    count = max(1, min(_SUMS, shape.out[1], 14 - reach))
    far = 4 * shape.pixels > machine.cache * shape.strides[0]
    writer = _Writer(shape, finish, count, far, dialect, machine.lanes)
    name, source = writer.kernel()
    lines, deep = shape.batch * shape.out[0], shape.planes
    strip = count * _blocks(-(-shape.out[1] // count), lines, machine)
    strips = -(-shape.out[1] // strip)
    units = lines * strips
    span = max(1, units // (16 * machine.cores))
    numbers = (
        *(*shape.size, shape.channels, *shape.out, shape.strides[0]),
        *(shape.pads[0][0], shape.pads[1][0], shape.dilations[0], writer.high),
        *(units, strips, strip, span, shape.step, shape.out_step),
        *(() if deep is None else (deep.count, deep.out, deep.stride)),
        *(() if deep is None else (deep.pad, deep.dilation)),
        *size_values(finish),
    )
    launch = Launch(
        name,
        source,
        ("x", "w", "zeros", *finish.arrays, "out", *numbers),
        (-(-units // span),),
    )
    zeros = partial(outside, shape.channels, FLOATS)
    constants: dict[str, Make] = {"w": _taps, "zeros": zeros}
    return Library((launch,), constants)


def _blocks(most: int, lines: int, machine: Cpu) -> int:
    """Blocks of positions in a strip: few lines are cut, for all cores to have some."""
    strips = min(most, -(-machine.cores * machine.items // lines))
    return -(-most // strips)


def _taps(weights: NDArray[Any]) -> NDArray[np.float32]:
    """Tap by tap, turn by turn, all filters; see `_turned`."""
    filters, depth = weights.shape[:2]
    each = np.arange(filters)
    turns = [weights[each, each % depth ^ turn] for turn in range(depth)]
    rows = np.stack(turns, -1).reshape(filters, -1)
    return np.ascontiguousarray(rows.T, np.float32)


def _turned(vector: str, turn: int, lanes: int) -> str:
    """A vector with channels of each group exchanged: another one for each turn."""
    order = "".join(f"{lane ^ turn:x}" for lane in range(lanes))
    return f"{vector}.s{order}" if turn else vector


@record(frozen=True, slots=True)
class _Writer:
    shape: ConvShape
    finish: Finish
    count: int
    far: bool
    dialect: Dialect
    lanes: int

    @property
    def high(self) -> int:
        """Lines of taps."""
        planes = self.shape.planes
        return self.shape.kernel[0] * (1 if planes is None else planes.taps)

    def kernel(self) -> tuple[str, str]:
        """Its name and text."""
        arrays, deep = ("x", "w", "zeros", *self.finish.arrays), self.shape.planes
        own = (*_SIZES, *(() if deep is None else _PLANES))
        sizes, types = (*own, *size_names(self.finish)), self.finish.types
        head = self.dialect.kernel.format(
            name="NAME",
            group="1, 1, 1",
            arguments=arguments(arrays, sizes, "out", types),
        )
        line = [
            "int l = u / strips, first = u % strips * strip;",
            "int last = first + strip < wide ? first + strip : wide;",
            "int n = l / high, oy = l % high;",
            *(
                []
                if self.shape.planes is None
                else ["int v = n / deep, oz = n % deep;"]
            ),
            *block(
                f"for (int ox = first; ox < last; ox += {self.count})",
                self._positions(),
            ),
        ]
        body = [
            "int u = ITEM(0) * span;",
            "int end = u + span < units ? u + span : units;",
            *block("for (; u < end; u++)", line),
        ]
        return named("depthwise", "\n".join(block(head, body)) + "\n")

    @property
    def _columns(self) -> list[int]:
        """Columns under the windows, from where the first one begins."""
        step, dilation = self.shape.strides[1], self.shape.dilations[1]
        taps = range(self.shape.kernel[1])
        return sorted(
            {i * step + k * dilation for i in range(self.count) for k in taps}
        )

    def _positions(self) -> list[str]:
        """All channels of some neighbouring positions."""
        step, columns = self.shape.strides[1], self._columns
        high, flat = self.high, self.shape.planes is None
        tap = "ky" if flat else f"ky % {self.shape.kernel[0]}"
        plane = f"oz * stride_z - pad_z + ky / {self.shape.kernel[0]} * dil_z"
        pointers = [
            f"int y = oy * stride_y - pad_y + {tap} * dil_y;",
            *([] if flat else [f"int z = {plane};"]),
            "const __global float *line =",
            f"    x + ((size_t){'n' if flat else '(v * planes + z)'} * height + y)"
            " * width * step;",
        ]
        for q, column in enumerate(columns):
            at = f"ox * {step} - pad_x + {column}"
            inside = f"WITHIN(y, height) && WITHIN({at}, width)"
            inside += "" if flat else " && WITHIN(z, planes)"
            place = f"line + (long)({at}) * step"
            pointers.append(
                f"from[ky * {len(columns)} + {q}] = {inside} ? {place} : zeros;"
            )
        loop = f"for (int c = 0; c < channels; c += {self.lanes})"
        return [
            f"const __global float *from[{high * len(columns)}];",
            *block(f"for (int ky = 0; ky < {high}; ky++)", pointers),
            *block(loop, self._vector()),
        ]

    def _vector(self) -> list[str]:
        """A vector of channels."""
        columns = self._columns
        left = "channels - c" if self.shape.channels % self.lanes else None
        taps = [
            f"vec x{q} = {read(f'from[ky * {len(columns)} + {q}] + c', left)};"
            for q in range(len(columns))
        ]
        for turn in range(self.shape.depth):
            taps += self._turn(turn, left)
        return [
            *(self._ahead() if self.far else []),
            *(f"vec s{i} = SPLAT(0.0f);" for i in range(self.count)),
            *block("for (int ky = 0; ky < taps_y; ky++)", taps),
            *self._stores(left),
        ]

    def _turn(self, turn: int, left: str | None) -> list[str]:
        """Adds products of a line of taps by one channel of each group."""
        step, dilation = self.shape.strides[1], self.shape.dilations[1]
        wide, depth, lines = self.shape.kernel[1], self.shape.depth, list[str]()
        for q in range(len(self._columns)):
            lines.append(f"vec t{q} = {_turned(f'x{q}', turn, self.lanes)};")
        for k in range(wide):
            at = f"w + ((ky * {wide} + {k}) * {depth} + {turn}) * channels + c"
            lines.append(f"vec w{k} = {read(at, left)};")
            for i in range(self.count):
                t = self._columns.index(i * step + k * dilation)
                lines.append(f"s{i} = t{t} * w{k} + s{i};")
        return lines if depth == 1 else ["{", *lines, "}"]

    def _ahead(self) -> list[str]:
        """Asks for what is new under the next windows of this line.

        It pays where images do not lie near: all lines but these were read before.
        """
        every, high = len(self._columns), self.high
        new = min(self.count * self.shape.strides[1], every)
        lines = range(max(0, high - self.shape.strides[0]), high)
        asked = [
            f"AHEAD(from[{ky * every + q}] + {new} * step + c)"
            for ky in lines
            for q in range(every - new, every)
        ]
        return block(f"if (c % {_LINE} == 0)", asked)

    def _stores(self, left: str | None) -> Sequence[str]:
        lines: list[str] = []
        out = out_type(self.finish)
        for i in range(self.count):
            body = [
                f"size_t row = (size_t)l * wide + ox + {i}, at = row * channels + c;",
                f"__global {out} *to = out + row * place + c;",
                *self.finish.statements(
                    f"s{i}", "at", f"l * wide + ox + {i}", "c", left
                ),
                self.finish.write("to", f"s{i}", left),
            ]
            lines += block(f"if (ox + {i} < wide)", body)
        return lines
