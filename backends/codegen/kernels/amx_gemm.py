"""Matrix products by tiles of bfloat16 numbers: see `amx.py`."""

from dataclasses import replace
from functools import partial

from graphwright.backends.codegen.device import Cpu
from graphwright.backends.codegen.dialect import Dialect
from graphwright.backends.codegen.kernels import amx
from graphwright.backends.codegen.kernels.finish import (
    Finish,
    out_type,
    size_names,
    size_values,
)
from graphwright.backends.codegen.kernels.gemm import (
    GemmShape,
    is_near,
    packing,
    panels_of,
    places,
)
from graphwright.backends.codegen.kernels.launch import Launch, Library, Local
from graphwright.backends.codegen.kernels.sums import FLOATS, Sums
from graphwright.backends.codegen.kernels.text import arguments, block, named
from graphwright.backends.codegen.kernels.tile import Form, Tile

_FAR = 1 << 12
"""Floats that memory is asked for ahead."""
_SIZES = (
    *("rows", "depth", "columns", "x_step", "out_step", "w_step", "pitch", "place"),
    *("panels", "panel_step", "row_step", "edge", "tiles", "ahead", *amx.SIZES),
)
"""As of `gemm.py`."""


def _merged(shape: GemmShape) -> GemmShape:
    """Rows of all products by one operand are rows of one."""
    if not shape.shared or shape.batch == 1:
        return shape
    return replace(shape, batch=1, rows=shape.batch * shape.rows, shared=False)


def pays(shape: GemmShape, machine: Cpu) -> bool:
    """Whether that is faster than by vectors."""
    return _share(_merged(shape), machine) is not None


def _share(shape: GemmShape, machine: Cpu) -> amx.Share | None:
    size = shape.rows, shape.depth, shape.columns
    return amx.share_of(*size, shape.batch, shape.parts, machine)


def amx_gemm(
    shape: GemmShape,
    constant: bool,
    finish: Finish,
    machine: Cpu,
    dialect: Dialect,
    sums: Sums = FLOATS,
) -> Library:
    """A product of ``x`` and ``w`` to ``out``; see `gemm.gemm`."""
    shape = _merged(shape)
    tile = replace(amx.panel_tile(shape.columns), sums_of=sums)
    share = _share(shape, machine)
    assert share is not None
    lies = not constant and is_near(shape)
    sizes = _sizes(shape, tile, share, lies)
    items = (
        -(-sizes["tiles"] // share.tiles),
        -(-sizes["panels"] // share.panels),
        shape.batch,
    )
    arrays = ("x", "w" if lies or constant else "panels_of_w", *finish.arrays, "out")
    numbers = (*(sizes[name] for name in _SIZES), *size_values(finish))
    source = _source(tile, shape.parts, finish, dialect)
    launch = Launch(*source, (*arrays, Local(share.near), *numbers), items)
    if constant:
        return Library((launch,), {"w": partial(panels_of, tile)})
    if lies:
        return Library((launch,))
    scratch = {"panels_of_w": shape.matrices * sizes["w_step"]}
    return Library((packing(shape, tile, sizes, dialect), launch), scratch=scratch)


def _sizes(
    shape: GemmShape, tile: Tile, share: amx.Share, lies: bool
) -> dict[str, int]:
    return {
        **places(shape, tile, lies),
        "tiles": amx.tiles_of(shape.rows),
        "ahead": tile.columns if lies else _FAR,
        **share.sizes,
    }


def _source(
    tile: Tile, parts: amx.Parts, finish: Finish, dialect: Dialect
) -> tuple[str, str]:
    """The kernel's name and text."""
    arrays, numbers = ("x", "w", *finish.arrays), (*_SIZES, *size_names(finish))
    types = {"w": tile.sums_of.panel} | dict(finish.types)
    own = arguments(arrays, numbers, "out", types, ("near",))
    head = dialect.kernel.format(name="NAME", group="1, 1, 1", arguments=own)
    body = [
        "const size_t z = ITEM(2), from_base = z * out_step;",
        "const __global float *mine = x + z * x_step;",
        f"__global {out_type(finish)} *results = out + from_base;",
        "int first = ITEM(0) * block;",
        "int last = first + block < tiles ? first + block : tiles;",
        "size_t from = ITEM(1) * span;",
        "size_t end = from + span < panels ? from + span : panels;",
        *amx.items(tile, _row, partial(_panel, tile), _stores(finish), parts),
    ]
    return named("amx_gemm", "\n".join(block(head, body)) + "\n")


def _row(number: str) -> str:
    return f"mine + (size_t){number} * pitch"


def _panel(tile: Tile, number: str) -> str:
    column = tile.column(number, "edge")
    place = f"(row_step == columns ? (size_t)({column}) : {number} * panel_step)"
    return f"w + z * w_step + {place}"


def _stores(finish: Finish) -> Form:
    def store(j: str) -> list[str]:
        return [
            f"size_t at = from_base + (size_t)r * columns + column + {j};",
            *finish.statements("sum", "at", "(int)z * rows + r", f"column + {j}", None),
            finish.write(f"results + (size_t)r * place + column + {j}", "sum", None),
        ]

    return store
