"""Ops that run on the host on their way to ONNX: sets, boxes, images, sequences."""

from typing import Any

import numpy as np

from graphwright.frontends.onnx.exporting import Export, Exported
from graphwright.frontends.onnx.kernels import holder
from graphwright.frontends.onnx.ops_random import KEY
from graphwright.frontends.onnx.registry import exporter
from graphwright.frontends.onnx.tensors import element_of
from graphwright.frontends.onnx.types import proto_of_type
from graphwright.ir.constant import Constant
from graphwright.ir.dtype import DTYPES, float32, int64, uint32
from graphwright.ir.types import TensorType


@exporter("unique")
def unique(e: Export) -> Exported:
    """``Unique``."""
    op, (x,) = e.op, e.operands
    wide = holder("Unique", x.dtype, e.version)
    fields: dict[str, Any] = {"sorted": int(op.sorted), "axis": op.axis}
    given = e[0] if wide is x.dtype else e.cast(e[0], wide)
    kept, *places = e.all("Unique", given, outputs=4, **fields)
    return [kept if wide is x.dtype else e.cast(kept, x.dtype), *places]


@exporter("det")
def det(e: Export) -> str:
    """``Det``."""
    return e.add("Det", e[0])


@exporter("inverse")
def inverse(e: Export) -> str:
    """``com.microsoft.Inverse``: the standard has none."""
    e.needs(1, "com.microsoft")
    return e.add("Inverse", e[0], domain="com.microsoft")


@exporter("mersenne_twister_uniform", "resample_table")
def stored(e: Export) -> Exported:
    """What follows from the fields alone is stored."""
    if e.op.has_symbols():
        raise e.unsupported("its sizes are not known before the run")
    found = e.op.compute(np)
    rows = found if isinstance(found, tuple) else (found,)
    pairs = zip(rows, e.node.results, strict=True)
    return [e.b.constant_of(Constant.of(r, v.dtype)) for r, v in pairs]


# Images -------------------------------------------------------------------------------


@exporter("max_roi_pool")
def max_roi_pool(e: Export) -> str:
    """``MaxRoiPool``."""
    fields: dict[str, Any] = {
        "pooled_shape": list(e.op.shape),
        "spatial_scale": float(e.op.scale),
    }
    return e.add("MaxRoiPool", e[0], e[1], **fields)


@exporter("roi_align")
def roi_align(e: Export) -> str:
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
def non_max_suppression(e: Export) -> str:
    """``NonMaxSuppression``."""
    boxes, scores, most, overlap, least = e.operands
    b = e.b
    given = [e.name(boxes), e.name(scores), e.name(b.cast(most, int64))]
    given += [e.name(b.cast(v, float32)) for v in (overlap, least)]
    return e.add("NonMaxSuppression", *given, center_point_box=int(e.op.centred))


@exporter("image_decoder")
def image_decoder(e: Export) -> str:
    """``ImageDecoder``."""
    e.needs(20)
    return e.add("ImageDecoder", e[0], pixel_format=e.op.pixels)


# State --------------------------------------------------------------------------------


@exporter("token", "write")
def order(e: Export) -> str:
    """Nothing: a model keeps no state but that of its random operators."""
    if e.op.name == "write" and e.op.variable != KEY:
        raise e.unsupported(f"a model cannot keep the variable {e.op.variable!r}")
    return ""


@exporter("read")
def read(e: Export) -> Exported:
    """The key of a session's random numbers comes from a random operator of ONNX."""
    if e.op.variable != KEY:
        raise e.unsupported(f"a model cannot keep the variable {e.op.variable!r}")
    fields: dict[str, Any] = {
        "shape": [2],
        "high": 2.0**32,
        "dtype": element_of(DTYPES["float64"]),
    }
    return [e.cast(e.add("RandomUniform", **fields), uint32), ""]


# Sequences and optionals --------------------------------------------------------------

_SEQUENCE = {
    "sequence_construct": "SequenceConstruct",
    "sequence_insert": "SequenceInsert",
    "sequence_erase": "SequenceErase",
    "sequence_at": "SequenceAt",
    "sequence_length": "SequenceLength",
    "optional_has": "OptionalHasElement",
    "optional_get": "OptionalGetElement",
}


@exporter(*_SEQUENCE)
def sequence(e: Export) -> str:
    """An operator of the same meaning."""
    e.takes(_SEQUENCE[e.op.name], e.operands[0].type)
    return e.add(_SEQUENCE[e.op.name], *e.names())


@exporter("sequence_empty")
def sequence_empty(e: Export) -> str:
    """A sequence of one element with that element taken out, where none is a tensor."""
    element = e.op.element
    if not isinstance(element, TensorType):
        raise e.unsupported(f"an empty sequence of {element}")
    e.takes("SequenceConstruct", element)
    return e.add("SequenceEmpty", dtype=element_of(element.dtype))


@exporter("split_to_sequence")
def split_to_sequence(e: Export) -> str:
    """``SplitToSequence``."""
    e.takes("SplitToSequence", e.operands[0].type)
    return e.add(
        "SplitToSequence", *e.names(), axis=e.op.axis, keepdims=int(e.op.keepdims)
    )


@exporter("concat_from_sequence")
def concat_from_sequence(e: Export) -> str:
    """``ConcatFromSequence``."""
    fields: dict[str, Any] = {"axis": e.op.axis, "new_axis": int(e.op.new_axis)}
    return e.add("ConcatFromSequence", e[0], **fields)


@exporter("optional")
def optional(e: Export) -> str:
    """``Optional``."""
    e.takes("Optional", e.op.element)
    if e.operands:
        return e.add("Optional", e[0])
    return e.add("Optional", type=proto_of_type(e.op.element))
