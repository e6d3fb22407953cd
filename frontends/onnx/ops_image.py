"""Sampling, regions, boxes and files of images in ONNX."""

import math
from typing import Any

from graphwright.frontends.onnx.context import Context
from graphwright.frontends.onnx.exporting import Export
from graphwright.frontends.onnx.registry import converter, exporter
from graphwright.frontends.onnx.sampling import interpolate
from graphwright.ir.dim import Dim, product
from graphwright.ir.dtype import DType, float32, int64
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import ModelError

_MODES = {"bilinear": "linear", "bicubic": "cubic"}
_PADDINGS = ("zeros", "border", "reflection")


@converter("GridSample", since=16)
def grid_sample(c: Context) -> Value:
    """Images read at positions of -1 to 1 along each axis, the last axis first."""
    b, x, grid = c.b, c[0], c[1]
    mode = c.string("mode", "linear" if c.version >= 20 else "bilinear")
    mode = _MODES.get(mode, mode)
    padding = c.string("padding_mode", "zeros")
    spatial = x.rank - 2
    if mode not in ("nearest", "linear", "cubic") or padding not in _PADDINGS:
        raise ModelError(f"GridSample has no mode {mode!r} with padding {padding!r}")
    if grid.rank != x.rank or grid.shape[-1] != spatial:
        raise ModelError(f"GridSample of {x.type} at {grid.type}")
    align = c.integer("align_corners", 0) != 0
    out, n = grid.shape[1:-1], x.shape[0]
    wide = b.cast(grid, grid.dtype.accumulate)
    places: list[Value] = []
    for axis in range(spatial):
        own = b.slice_axis(wide, grid.rank - 1, spatial - 1 - axis, spatial - axis)
        place = _pixels(b, b.reshape(own, (n, product(out))), x.shape[axis + 2], align)
        places.append(place)
    y = interpolate(b, x, places, mode=mode, padding=padding, align_corners=align)
    return b.reshape(y, (*x.shape[:2], *out))


def _pixels(b: Emitter, place: Value, size: Dim, align: bool) -> Value:
    """From -1 to 1, at the outer pixels' centres or edges, to pixels."""
    count, up = b.dim_scalar(size, place.dtype), b.add(place, 1)
    if align:
        return b.mul(b.mul(up, 0.5), b.sub(count, 1))
    return b.mul(b.sub(b.mul(up, count), 1), 0.5)


@converter("AffineGrid", since=20)
def affine_grid(c: Context) -> Value:
    """Positions of -1 to 1 of a regular grid, moved by an affine map."""
    b, theta = c.b, c[0]
    align = c.integer("align_corners", 0) != 0
    out = c.dims(c[1], 0)[2:]
    wide = theta.dtype.accumulate
    lines = [_line(b, out, axis, align, wide) for axis in reversed(range(len(out)))]
    lines.append(b.full((product(out),), 1, wide))
    points = b.stack(lines, 0)
    moved = b.matmul(b.cast(theta, wide), points)
    grid = b.cast(b.transpose(moved, (0, 2, 1)), theta.dtype)
    return b.reshape(grid, (theta.shape[0], *out, len(out)))


def _line(
    b: Emitter, shape: tuple[Dim, ...], axis: int, align: bool, dtype: DType
) -> Value:
    """The coordinate along one axis, for all points in C order."""
    step, count = b.iota(shape, axis, dtype), b.dim_scalar(shape[axis], dtype)
    if align:
        place = b.sub(b.div(b.mul(step, 2), b.max(b.sub(count, 1), 1)), 1)
    else:
        place = b.sub(b.div(b.add(b.mul(step, 2), 1), count), 1)
    return b.reshape(place, (product(shape),))


def _roi_align(c: Context, transform: str) -> Value:
    shape = (c.integer("output_height", 1), c.integer("output_width", 1))
    half = c.string("coordinate_transformation_mode", transform) == "half_pixel"
    return c.b.emit(
        "roi_align",
        c[0],
        c[1],
        c[2],
        shape=shape,
        scale=c.real("spatial_scale", 1.0),
        kind=c.string("mode", "avg"),
        ratio=c.integer("sampling_ratio", 0),
        half_pixel=half,
    )


@converter("RoiAlign", since=10)
def roi_align_10(c: Context) -> Value:
    """Pixels at whole coordinates."""
    return _roi_align(c, "output_half_pixel")


@converter("RoiAlign", since=16)
def roi_align(c: Context) -> Value:
    """Pixels at half coordinates, unless told."""
    return _roi_align(c, "half_pixel")


@converter("NonMaxSuppression", since=10)
def non_max_suppression(c: Context) -> Value:
    """The boxes kept, best first, of each class of each image."""
    b = c.b
    defaults = ((2, 0, int64), (3, 0.0, float32), (4, -math.inf, float32))
    limits = [c.optional(i) or b.scalar(value, d) for i, value, d in defaults]
    centred = c.integer("center_point_box", 0) != 0
    count = b.fresh_symbol()
    name = "non_max_suppression"
    return b.emit(name, c[0], c[1], *limits, count=count, centred=centred)


@converter("ImageDecoder", since=20)
def image_decoder(c: Context) -> Value:
    """Pixels of an encoded image."""
    b = c.b
    pixels = c.string("pixel_format", "RGB")
    height, width = b.fresh_symbol(), b.fresh_symbol()
    return b.emit("image_decoder", c[0], pixels=pixels, height=height, width=width)


# Export -------------------------------------------------------------------------------


@exporter("max_roi_pool")
def max_roi_pool(e: Export) -> str:
    """``MaxRoiPool``."""
    fields: dict[str, Any] = {
        "pooled_shape": list(e.op.shape),
        "spatial_scale": float(e.op.scale),
    }
    return e.add("MaxRoiPool", e[0], e[1], **fields)


@exporter("roi_align")
def export_roi_align(e: Export) -> str:
    """``RoiAlign``."""
    op = e.op
    if op.half_pixel:
        e.needs(16)
    way = "half_pixel" if op.half_pixel else "output_half_pixel"
    return e.add(
        "RoiAlign",
        e[0],
        e[1],
        e.name(e.b.cast(e.operands[2], int64)),
        mode=op.kind,
        output_height=op.shape[0],
        output_width=op.shape[1],
        sampling_ratio=op.ratio,
        spatial_scale=float(op.scale),
        coordinate_transformation_mode=way if e.version >= 16 else None,
    )


@exporter("non_max_suppression")
def export_non_max_suppression(e: Export) -> str:
    """``NonMaxSuppression``."""
    boxes, scores, most, overlap, least = e.operands
    b = e.b
    given = [e.name(boxes), e.name(scores), e.name(b.cast(most, int64))]
    given += [e.name(b.cast(v, float32)) for v in (overlap, least)]
    return e.add("NonMaxSuppression", *given, center_point_box=int(e.op.centred))


@exporter("image_decoder")
def export_image_decoder(e: Export) -> str:
    """``ImageDecoder``."""
    e.needs(20)
    return e.add("ImageDecoder", e[0], pixel_format=e.op.pixels)
