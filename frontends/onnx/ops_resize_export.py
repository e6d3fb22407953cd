"""Resampling on its way to ONNX."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphwright.frontends.onnx.exporting import Export, Exported
from graphwright.frontends.onnx.registry import exporter
from graphwright.ir.dim import Dim, floordiv
from graphwright.ir.dtype import float32
from graphwright.ir.ops.resize import exact_scale


@exporter("resize")
def resize(e: Export) -> Exported:
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
    return e.add("Resize", e[0], _roi(e, x.rank), *names, **fields, **more)


def _nearest(op: Any) -> str | None:
    """How positions are rounded; None where that differs from axis to axis."""
    if op.nearest != "simple":
        return str(op.nearest)
    if all(s >= 1 for s in op.scales):
        return "floor"
    return "ceil" if all(0 < s < 1 for s in op.scales) else None


def _roi(e: Export, rank: int) -> str:
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
    if all(_scaled(op, shape, i) == op.sizes[i] for i in range(len(op.axes))):
        scales = [1.0] * len(shape)
        for axis, scale in zip(op.axes, op.scales, strict=True):
            scales[axis] = scale
        return [e.constant(scales, float32)], {}
    return _limited(e, shape)


def _scaled(op: Any, shape: Sequence[Dim], i: int) -> Dim:
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
