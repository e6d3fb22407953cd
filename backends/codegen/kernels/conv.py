"""Convolution as it is written: tiles of output positions by panels of filters.

No matrix of windows is made. A row of a tile is an output position; for each tap it has
a pointer to the channels there, or to zeros outside of the image. The panel of filters
stays in cache while the tiles of a work-item pass it. Where all taps of a window lie
one after another (1x1, or images that were padded before), a row has one pointer for
all of them: that suits few channels, too.
"""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphwright.backends.codegen.device import Cpu
from graphwright.backends.codegen.dialect import Dialect
from graphwright.backends.codegen.kernels.finish import (
    Finish,
    out_type,
    size_names,
    size_values,
)
from graphwright.backends.codegen.kernels.launch import (
    Argument,
    Launch,
    Library,
    Local,
    Make,
)
from graphwright.backends.codegen.kernels.shape import ConvShape, pieces
from graphwright.backends.codegen.kernels.sums import FLOATS, Sums
from graphwright.backends.codegen.kernels.text import arguments, block, named
from graphwright.backends.codegen.kernels.tile import (
    ASKED,
    BY_TURNS,
    IN_ONE_PLACE,
    Form,
    Tile,
    asked,
    fitting,
    next_panel,
    packed,
    soon,
)

_FEW_CHANNELS = 16
"""Below it the pointers of a tap cost more than its products."""
_SHORT = 128
"""Products of a sum up to which it pays to find the rows of a tile once for all panels.
"""

_LARGE = 8
"""Parts of the cache, of which large panels of filters take more than one."""
_PANELS = 4
"""Work-items of a core, at least, where each takes all rows by a panel of filters."""

_SIZES = (
    *("height", "width", "image", "line", "pixel", "depth", "high", "wide", "rows"),
    "head",
    *("taps_y", "taps_x", "stride_y", "stride_x", "pad_y", "pad_x", "dil_y", "dil_x"),
    *("filters", "place", "own", "edge", "panels", "parts", "tiles", "longs"),
    *("block", "span", "by_rows", *ASKED),
)
"""In elements: from image to image, line to line, pixel to pixel; depth of a tap; from
``place`` to place of the result. ``own`` filters of a group make ``panels``, the last
from its column ``edge`` on, ``parts`` in all. A work-item computes ``span`` of
these for ``block`` of ``tiles``, of which ``longs`` are whole. Neighbouring work-items
have the same rows, if ``by_rows``, else the same filters: so that each core reads its
own part of what is larger."""


def conv(
    shape: ConvShape,
    finish: Finish,
    machine: Cpu,
    dialect: Dialect,
    order: NDArray[np.int32] | None = None,
    sums: Sums = FLOATS,
) -> Library:
    """A convolution of ``x`` to ``out``.

    Its constants are made of weights ``[filters, channels / groups, *kernel]``.

    Args:
        shape: Its sizes.
        finish: What is done to sums.
        machine: The device.
        dialect: Its language.
        order: Where each channel lies in a pixel, if ``shape.is_product``.
        sums: What is added up; sizes of images are in its elements.
    """
    own, in_order = shape.filters // shape.groups, order is None
    tile = fitting(shape.rows, own, machine.lanes, sums, in_order)
    constants: dict[str, Make] = {
        "w": partial(pack, groups=shape.groups, columns=tile.columns, sums=sums),
        "zeros": partial(outside, shape.depth, sums),
    }
    merged = _merged(shape)
    inner, first = (shape, "x") if merged is None else (merged, "padded")
    indices: dict[str, Make] = {} if order is None else {"order": partial(_same, order)}
    apart = _apart(inner, tile, machine)
    name, source = _source(tile, finish, inner, dialect, bool(indices), apart)
    sizes = _sizes(inner, tile, machine)
    near = [Local(sizes["block"] * tile.rows * tile.columns)] * apart
    arrays: tuple[Argument, ...] = (first, "w", "zeros", *finish.arrays, *indices)
    arrays = (*arrays, "out", *near)
    numbers = (*(sizes[s] for s in _SIZES), *size_values(finish))
    launch = Launch(name, source, (*arrays, *numbers), _items(sizes))
    if merged is None:
        return Library((launch,), constants, indices)
    scratch = {"padded": merged.batch * merged.image}
    padding = _padding(shape, tile, dialect)
    return Library((padding, launch), constants, scratch=scratch)


def pack(
    weights: NDArray[Any], groups: int, columns: int, sums: Sums = FLOATS
) -> NDArray[Any]:
    """Panels ``[groups, panels, taps * channels, columns]`` of filters."""
    filters, depth = weights.shape[:2]
    own = filters // groups
    cut = weights.reshape(groups, own, depth, -1).transpose(0, 3, 2, 1)
    if sums is not FLOATS:
        return packed(sums.rows(cut), columns, sums.dtype)
    found = packed(cut, columns, axes=2)  # reads weights once, where they lie
    return found.reshape(groups, -1, cut.shape[1] * depth, columns)


def _same(order: NDArray[np.int32], weights: NDArray[Any]) -> NDArray[np.int32]:
    return order


def outside(count: int, sums: Sums, weights: NDArray[Any]) -> NDArray[Any]:
    """What is read outside of an image, whatever the weights are."""
    return np.full(count, sums.border, np.int32).view(sums.dtype)


# Sizes ------------------------------------------------------------------------------


def _merged(shape: ConvShape) -> ConvShape | None:
    """The convolution on padded images, taps of a line merged; None if that loses."""
    few = shape.depth < _FEW_CHANNELS and shape.groups == 1 and not shape.pixel
    if not few or shape.kernel == (1, 1) or shape.dilations[1] != 1:
        return None
    if any(low < 0 or high < 0 for low, high in shape.pads):
        return None
    pairs = zip(shape.size, shape.pads, strict=True)
    high, wide = (n + sum(pads) for n, pads in pairs)
    return replace(shape, size=(high, wide), pads=((0, 0), (0, 0)), merged=True)


def _apart(shape: ConvShape, tile: Tile, machine: Cpu) -> bool:
    """Whether lines of taps go one after another through all rows of a work-item.

    Then what stays in cache is a line of a panel and what is asked ahead, not two
    panels; sums wait in local memory.
    """
    if shape.kernel[0] == 1 or shape.merged or tile.sums_of.head:
        return False
    depth = shape.taps * shape.depth
    return depth > _SHORT and 4 * depth * tile.columns > machine.cache // _LARGE


def _sizes(shape: ConvShape, tile: Tile, machine: Cpu) -> dict[str, int]:
    """The numbers that the kernel takes, by name."""
    high, wide = shape.out
    own = shape.filters // shape.groups
    panels = -(-own // tile.columns)
    block, span = _division(shape, tile, machine, panels * shape.groups)
    tiles, longs = tile.split(shape.rows)
    taps_y, taps_x = (shape.kernel[0], 1) if shape.merged else shape.kernel
    panel = (tile.sums_of.head + shape.taps * shape.depth) * tile.columns
    panel //= shape.kernel[0] if _apart(shape, tile, machine) else 1
    return {
        "height": shape.size[0],
        "width": shape.size[1],
        "image": shape.image,
        "line": shape.size[1] * shape.step,
        "pixel": shape.step,
        "depth": shape.depth * (shape.kernel[1] if shape.merged else 1),
        "high": high,
        "wide": wide,
        "rows": shape.rows,
        "head": int(tile.sums_of.head),
        "taps_y": taps_y,
        "taps_x": taps_x,
        "stride_y": shape.strides[0],
        "stride_x": shape.strides[1],
        "pad_y": shape.pads[0][0],
        "pad_x": shape.pads[1][0],
        "dil_y": shape.dilations[0],
        "dil_x": shape.dilations[1],
        "filters": shape.filters,
        "place": shape.out_step,
        "own": own,
        "edge": tile.edge(own),
        "panels": panels,
        "parts": panels * shape.groups,
        "tiles": tiles,
        "longs": longs,
        "block": block // tile.rows,
        "span": span,
        "by_rows": int(_by_rows(shape, machine)),
        **asked(panel, tile.columns, min(tiles, block // tile.rows), machine),
    }


def _are_few(shape: ConvShape, machine: Cpu) -> bool:
    """Whether weights stay in cache with what is read beside them."""
    return 3 * 4 * shape.filters * shape.taps * shape.depth <= machine.cache


def _by_rows(shape: ConvShape, machine: Cpu) -> bool:
    """Whether each core has rows of its own, not filters: then it reads all weights.

    More of them than of the image is still better: they are asked of memory ahead,
    rows that another core wrote are waited for.
    """
    weights = shape.filters * shape.taps * shape.depth
    return 2 * weights <= (2 if _are_few(shape, machine) else 3) * shape.pixels


def _division(
    shape: ConvShape, tile: Tile, machine: Cpu, parts: int
) -> tuple[int, int]:
    """Rows and panels of a work-item: what it reads again and again stays in cache."""
    wanted = machine.cores * machine.items
    row = 4 * shape.strides[0] * shape.strides[1] * shape.channels
    most = max(tile.rows, machine.cache // (2 * row))
    if not _by_rows(shape, machine):
        least = -(-shape.rows * parts // (_PANELS * machine.cores))
    elif _are_few(shape, machine):
        least = -(-shape.rows // wanted)
    else:
        least, wanted = -(-shape.rows // machine.cores), parts * machine.cores
    most = min(most, max(2 * tile.rows, least))
    block = pieces(shape.rows, most, tile.rows)
    blocks = -(-shape.rows // block)
    return block, pieces(parts, max(1, parts * blocks // wanted))


def _items(sizes: dict[str, int]) -> tuple[int, int]:
    blocks = -(-sizes["tiles"] // sizes["block"])
    spans = -(-sizes["parts"] // sizes["span"])
    return (spans, blocks) if sizes["by_rows"] else (blocks, spans)


def _leaves(shape: ConvShape) -> bool:
    """Whether windows reach out of the image."""
    return any(low > 0 or high > 0 for low, high in shape.pads)


# Source -----------------------------------------------------------------------------


def _source(
    tile: Tile,
    finish: Finish,
    shape: ConvShape,
    dialect: Dialect,
    ordered: bool,
    apart: bool,
) -> tuple[str, str]:
    """The kernel's name and text."""
    word = tile.sums_of.word
    types = dict.fromkeys(("x", "w", "zeros"), word) | {"order": "int", **finish.types}
    ragged = tile.ragged(shape.filters // shape.groups)
    arrays = ("x", "w", "zeros", *finish.arrays, *["order"] * ordered)
    numbers = (*_SIZES, *size_names(finish))
    own = arguments(arrays, numbers, "out", types, ("held",) * apart)
    head = dialect.kernel.format(name="NAME", group="1, 1, 1", arguments=own)
    panel = [
        "int group = p / panels, offset = group * depth, left = own;",
        f"int column = group * own + ({tile.column('p % panels', 'edge')});",
        f"size_t every = (head + (size_t)taps_y * taps_x * depth) * {tile.columns};",
        f"const __global {word} *panel = w + p * every;",
    ]

    def sums(tile: Tile) -> list[str]:
        own = _channels if shape.is_product else partial(_taps, apart=apart)
        return [*soon(word), *own(tile, shape, ordered)]

    places = [*tile.place("t"), *(_same_places if shape.is_product else _places)(tile)]
    store = _stores(finish, ragged)
    if apart:
        store = _added(tile, store)
    product = tile.computed(sums, store, finish.is_long)
    rows = "for (int t = first; t < last; t++)"
    panels = "for (int p = begin; p < end; p++)"
    if shape.taps * shape.depth <= _SHORT:
        inner = block(panels, [*panel, *next_panel(word), *product])
        loops = block(rows, [*places, *inner])
    else:
        inner = block(rows, [*places, *product])
        loops = block(panels, [*panel, *_passed(word, tile, inner, apart)])
    body = [
        "int near = ITEM(0), far = ITEM(1);",
        "int first = (by_rows ? far : near) * block;",
        "int last = first + block < tiles ? first + block : tiles;",
        f"int top = {tile.row('first')};",
        "int begin = (by_rows ? near : far) * span;",
        "int end = begin + span < parts ? begin + span : parts;",
        *loops,
    ]
    return named("conv", "\n".join(block(head, body)) + "\n")


def _passed(word: str, tile: Tile, rows: list[str], apart: bool) -> list[str]:
    """All rows of a work-item by a panel, or by a line of it after the other."""
    if not apart:
        return [*next_panel(word), *rows]
    own = [*next_panel(word, "ky + 1 < taps_y ? panel + ask : 0"), *rows]
    step = f"panel += taps_x * depth * {tile.columns}"
    return block(f"for (int ky = 0; ky < taps_y; ky++, {step})", own)


def _same_places(tile: Tile) -> list[str]:
    """The pixel of each row."""
    return [
        f"const __global {tile.sums_of.word} *p{i} = "
        f"x + (size_t)(r + {i} < rows ? r + {i} : rows - 1) * pixel;"
        for i in range(tile.rows)
    ]


def _channels(tile: Tile, shape: ConvShape, ordered: bool) -> list[str]:
    """Sums over the channels of one tap."""
    own, first, at = range(tile.rows), "offset", "k"
    lines: list[str] = []
    if ordered:
        lines, first, at = ["const __global int *at = order + offset;"], "0", "at[k]"
    word = tile.sums_of.word
    lines += (f"const __global {word} *a{i} = p{i} + {first};" for i in own)
    asks = IN_ONE_PLACE if ordered else BY_TURNS
    return [*lines, *tile.multiply("depth", asks=asks, at=at)]


def _places(tile: Tile) -> list[str]:
    """Where the window of each row begins."""
    lines = [
        "int n = r / (high * wide), oy = r / wide % high, ox = r % wide;",
    ]
    for i in range(tile.rows):
        lines += [
            f"int y{i} = oy * stride_y - pad_y, x{i} = ox * stride_x - pad_x;",
            f"const __global {tile.sums_of.word} *p{i} =",
            f"    x + (size_t)n * image + (long)y{i} * line + (long)x{i} * pixel;",
        ]
        if i + 1 < tile.rows:
            lines += block(
                f"if (r + {i + 1} < rows && ++ox == wide)",
                ["ox = 0;", "if (++oy == high) { oy = 0; n++; }"],
            )
    return lines


def _added(tile: Tile, whole: Form) -> Form:
    """Adds sums to those of lines before, and is done with those of the last line."""

    def store(j: str) -> list[str]:
        return [
            f"__local float *sums = held + (r - top + i) * {tile.columns} + {j};",
            "if (ky > 0) sum += NEAR_LOAD(sums);",
            *block("if (ky < taps_y - 1)", ["NEAR_STORE(sums, sum)"]),
            *block("else", [*whole(j)]),
        ]

    return store


def _taps(tile: Tile, shape: ConvShape, ordered: bool, apart: bool) -> list[str]:
    """Sums over the channels of all taps, or of a line of them."""
    checked = _leaves(shape)
    step = "offset + (long)ky * dil_y * line + (long)kx * dil_x * pixel"
    lines = [f"long step = {step};"]
    if checked:
        lines.append("int dy = ky * dil_y, dx = kx * dil_x;")
    for i in range(tile.rows):
        at = f"p{i} + step"
        if checked:
            inside = f"WITHIN(y{i} + dy, height) && WITHIN(x{i} + dx, width)"
            at = f"{inside} ? {at} : zeros"
        lines.append(f"const __global {tile.sums_of.word} *a{i} = {at};")
    lines += tile.multiply("depth", asks=BY_TURNS)
    columns = block("for (int kx = 0; kx < taps_x; kx++)", lines)
    return columns if apart else block("for (int ky = 0; ky < taps_y; ky++)", columns)


def _stores(finish: Finish, ragged: bool) -> Form:
    def store(j: str) -> list[str]:
        left = f"left - {j}" if ragged else None
        column = f"column + {j}"
        return [
            f"size_t at = (size_t)(r + i) * filters + {column};",
            f"__global {out_type(finish)} *to =",
            f"    out + (size_t)(r + i) * place + {column};",
            *finish.statements("sum", "at", "r + i", column, left),
            finish.write("to", "sum", left),
        ]

    return store


def _padding(shape: ConvShape, tile: Tile, dialect: Dialect) -> Launch:
    """Copies images into larger ones with zeros around."""
    sums, lanes = tile.sums_of, tile.lanes
    word, types = sums.word, dict.fromkeys(("x", "padded"), sums.word)
    put = f"{sums.store}(to + i, {sums.load}(from + i))"
    names = ("height", "width", "channels", "up", "left", "high", "wide")
    head = dialect.kernel.format(
        name="NAME",
        group="1, 1, 1",
        arguments=arguments(("x",), names, "padded", types),
    )
    body = [
        "int n = ITEM(0) / high, y = ITEM(0) % high - up;",
        f"__global {word} *to = padded + (size_t)ITEM(0) * wide * channels;",
        "int size = wide * channels, begin = left * channels;",
        "int end = WITHIN(y, height) ? begin + width * channels : 0;",
        f"const __global {word} *from =",
        "    x + ((size_t)n * height + y) * width * channels - begin;",
        "if (end == 0) begin = 0;",
        f"for (int i = 0; i < begin; i++) to[i] = {sums.border};",
        "int i = begin;",
        f"for (; i + {lanes} <= end; i += {lanes}) {put}",
        "for (; i < end; i++) to[i] = from[i];",
        f"for (i = end; i < size; i++) to[i] = {sums.border};",
    ]
    name, text = named("pad", "\n".join(block(head, body)) + "\n")
    (up, down), (left, right) = shape.pads
    high, wide = shape.size[0] + up + down, shape.size[1] + left + right
    numbers = (*shape.size, shape.channels, up, left, high, wide)
    return Launch(name, text, ("x", "padded", *numbers), (shape.batch * high,))
