"""Resize and Upsample of ONNX."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from graphwright.frontends.onnx.context import Context, NeedsValue
from graphwright.frontends.onnx.exporting import Export, Exported
from graphwright.frontends.onnx.registry import converter, exporter
from graphwright.ir.dim import Dim, floordiv
from graphwright.ir.dtype import float32
from graphwright.ir.emitter import Value
from graphwright.ir.errors import ModelError
from graphwright.ir.ops.resize import exact_scale

_LINEAR = {"bilinear": "linear", "trilinear": "linear"}
_CROP = "tf_crop_and_resize"


def _scaled(dim: Dim, scale: float) -> Dim:
    """``floor(dim * scale)``."""
    ratio = exact_scale(scale)
    return floordiv(dim * ratio.numerator, ratio.denominator)


def _check_scales(c: Context, scales: Sequence[float], count: int) -> None:
    fits = len(scales) == count and all(s > 0 and math.isfinite(s) for s in scales)
    if not fits:
        raise ModelError(f"{c.op_type}: scales {list(scales)} for {count} axes")


def _old(c: Context, scales: Sequence[float]) -> Value:
    """Before Resize-11: asymmetric, and rounded as ONNX Runtime does."""
    x = c[0]
    mode = c.string("mode", "nearest")
    _check_scales(c, scales, x.rank)
    axes = tuple(i for i, s in enumerate(scales) if s != 1)
    return c.b.emit(
        "resize",
        x,
        mode=_LINEAR.get(mode, mode),
        coordinates="asymmetric",
        nearest="simple",
        cubic=-0.75,
        antialias=False,
        exclude_outside=False,
        axes=axes,
        sizes=tuple(_scaled(x.shape[i], scales[i]) for i in axes),
        scales=tuple(scales[i] for i in axes),
    )


@converter("Upsample")
def upsample_1(c: Context) -> Value:
    """Scales of the last two axes as attributes."""
    scales = (c.real("height_scale"), c.real("width_scale"))
    return _old(c, (1.0, 1.0, *scales))


@converter("Upsample", since=7)
def upsample_7(c: Context) -> Value:
    """Scales as an attribute."""
    return _old(c, c.reals("scales"))


@converter("Upsample", since=9)
@converter("Resize", since=10)
def upsample(c: Context) -> Value:
    """Scales as an operand."""
    return _old(c, [float(s) for s in c.array(c[1]).ravel()])


@converter("Resize", since=11)
def resize(c: Context) -> Value:
    """To sizes or by scales, of all axes or some."""
    x = c[0]
    axes = c.axes(c.integers("axes", list(range(x.rank))), x.rank)
    sizes, scales = _targets(c, [x.shape[a] for a in axes])
    coordinates = c.string("coordinate_transformation_mode", "half_pixel")
    roi = _roi(c, len(axes)) if coordinates == _CROP else None
    used = [
        i for i, a in enumerate(axes) if _moves(x.shape[a], sizes[i], scales[i], roi)
    ]
    if not used:
        return c.b.reshape(x, x.shape)
    return c.b.emit(
        "resize",
        x,
        mode=c.string("mode", "nearest"),
        coordinates=coordinates,
        nearest=c.string("nearest_mode", "round_prefer_floor"),
        cubic=c.real("cubic_coeff_a", -0.75),
        antialias=c.integer("antialias", 0) != 0,
        exclude_outside=c.integer("exclude_outside", 0) != 0,
        axes=tuple(axes[i] for i in used),
        sizes=tuple(sizes[i] for i in used),
        scales=tuple(scales[i] for i in used),
        roi=() if roi is None else tuple(roi[i] for i in used),
        outside=c.real("extrapolation_value", 0.0),
    )


def _moves(before: Dim, after: Dim, scale: float, roi: object) -> bool:
    """Whether an axis changes at all."""
    return roi is not None or before != after or scale not in (0.0, 1.0)


def _roi(c: Context, rank: int) -> list[tuple[float, float]]:
    values = [float(v) for v in c.array(c[1]).ravel()]
    if len(values) != 2 * rank:
        raise ModelError(f"Resize: roi of {len(values)} numbers for {rank} axes")
    return list(zip(values[:rank], values[rank:], strict=True))


def _targets(c: Context, dims: Sequence[Dim]) -> tuple[list[Dim], list[float]]:
    """Sizes of the result, and scales; 0 where those are the ratio of the sizes."""
    scales, sizes = c.optional(2), c.optional(3)
    if sizes is not None and sizes.shape != (0,):
        return _from_sizes(c, dims, sizes)
    if scales is None or scales.shape == (0,):
        raise ModelError("Resize takes scales or sizes, and neither is given")
    found = [float(s) for s in c.array(scales).ravel()]
    _check_scales(c, found, len(dims))
    return _from_scales(c, dims, found)


def _from_scales(
    c: Context, dims: Sequence[Dim], scales: list[float]
) -> tuple[list[Dim], list[float]]:
    rows = zip(dims, scales, strict=True)
    if c.string("coordinate_transformation_mode", "half_pixel") != _CROP:
        return [_scaled(d, s) for d, s in rows], scales
    spans = [high - low for low, high in _roi(c, len(dims))]
    whole = zip(dims, scales, spans, strict=True)
    return [_scaled(d, s * span) for d, s, span in whole], scales


def _from_sizes(
    c: Context, dims: Sequence[Dim], sizes: Value
) -> tuple[list[Dim], list[float]]:
    policy = c.string("keep_aspect_ratio_policy", "stretch")
    if policy == "stretch":
        return list(c.dims(sizes, 0)), [0.0] * len(dims)
    wanted, known = c.int_list(sizes), [d for d in dims if isinstance(d, int)]
    if len(known) != len(dims):
        raise NeedsValue(c[0])
    ratios = [s / max(d, 1) for s, d in zip(wanted, known, strict=True)]
    scale = min(ratios) if policy == "not_larger" else max(ratios)
    return [int(scale * d + 0.5) for d in known], [scale] * len(dims)


# Export -------------------------------------------------------------------------------


@exporter("resize")
def export_resize(e: Export) -> Exported:
    """``Resize`` of all axes, those that stay included."""
    op, (x,) = e.op, e.operands
    wider = e.lifted("Resize")
    if wider is not None:
        return wider
    nearest = _nearest(op)
    target = _target(e, x.shape)
    if nearest is None or target is None:
        return op.decompose(e.b, x)  # type: ignore[no-any-return]
    if op.coordinates == "half_pixel_symmetric":
        e.needs(19)
    fields: dict[str, Any] = {
        "mode": op.mode,
        "coordinate_transformation_mode": op.coordinates,
        "nearest_mode": nearest if op.mode == "nearest" else None,
    }
    if op.mode == "cubic":
        fields["cubic_coeff_a"] = float(op.cubic)
    if op.antialias:
        e.needs(18)
        fields["antialias"] = 1
    if op.exclude_outside:
        fields["exclude_outside"] = 1
    if op.roi:
        fields["extrapolation_value"] = float(op.outside)
    names, more = target
    return e.add("Resize", e[0], _whole_roi(e, x.rank), *names, **fields, **more)


def _nearest(op: Any) -> str | None:
    """How positions are rounded; None where that differs from axis to axis."""
    if op.nearest != "simple":
        return str(op.nearest)
    if all(s >= 1 for s in op.scales):
        return "floor"
    return "ceil" if all(0 < s < 1 for s in op.scales) else None


def _whole_roi(e: Export, rank: int) -> str:
    if not e.op.roi:
        return ""
    low, high = [0.0] * rank, [1.0] * rank
    for axis, (start, end) in zip(e.op.axes, e.op.roi, strict=True):
        low[axis], high[axis] = start, end
    return e.constant([*low, *high], float32)


def _target(e: Export, shape: Sequence[Dim]) -> tuple[list[str], dict[str, str]] | None:
    """Scales, or sizes, of all axes."""
    op = e.op
    if all(s == 0 for s in op.scales):
        return ["", e.dims(e.result.shape)], {}
    if not all(op.scales):
        return None
    if all(_scaled_size(op, shape, i) == op.sizes[i] for i in range(len(op.axes))):
        scales = [1.0] * len(shape)
        for axis, scale in zip(op.axes, op.scales, strict=True):
            scales[axis] = scale
        return [e.constant(scales, float32)], {}
    return _limited(e, shape)


def _scaled_size(op: Any, shape: Sequence[Dim], i: int) -> Dim:
    spans = [high - low for low, high in op.roi] or [1.0] * len(op.axes)
    ratio = exact_scale(op.scales[i] * spans[i])
    return floordiv(shape[op.axes[i]] * ratio.numerator, ratio.denominator)


def _limited(
    e: Export, shape: Sequence[Dim]
) -> tuple[list[str], dict[str, str]] | None:
    """One scale for all axes, that of the axis which it makes a whole size of."""
    op = e.op
    sizes: list[Dim] = list(shape)
    for axis, size, scale in zip(op.axes, op.sizes, op.scales, strict=True):
        before = shape[axis]
        if not isinstance(before, int) or not isinstance(size, int):
            return None
        exact = np.float32(size) == np.float32(scale * before)
        sizes[axis] = size if exact else size + 1
    if len(op.axes) != len(shape):
        e.needs(18)
        chosen = [sizes[a] for a in op.axes]
        more: dict[str, Any] = {"axes": list(op.axes)}
        return ["", e.dims(chosen)], {**more, "keep_aspect_ratio_policy": "not_larger"}
    return ["", e.dims(sizes)], {"keep_aspect_ratio_policy": "not_larger"}
