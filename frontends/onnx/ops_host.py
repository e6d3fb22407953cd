"""Operators that run on the host: Unique, Det."""

from typing import Any

import numpy as np

from graphwright.frontends.onnx.context import Context
from graphwright.frontends.onnx.exporting import Export, Exported
from graphwright.frontends.onnx.kernels import holder
from graphwright.frontends.onnx.registry import converter, exporter
from graphwright.ir.constant import Constant
from graphwright.ir.emitter import Value


@converter("Unique", since=11)
def unique(c: Context) -> tuple[Value, ...]:
    """Distinct elements or slices, where they are, and how often they occur."""
    axis = c.integer("axis", None)
    return c.b.emit_all(
        "unique",
        c[0],
        axis=None if axis is None else c.axis(axis, c[0].rank),
        sorted=bool(c.integer("sorted", 1)),
        count=c.b.fresh_symbol(),
    )


@converter("Det", since=11)
def det(c: Context) -> Value:
    """Determinants of square matrices."""
    return c.b.emit("det", c[0])


# Export -------------------------------------------------------------------------------


@exporter("unique")
def export_unique(e: Export) -> Exported:
    """``Unique``."""
    op, (x,) = e.op, e.operands
    wide = holder("Unique", x.dtype, e.version)
    fields: dict[str, Any] = {"sorted": int(op.sorted), "axis": op.axis}
    given = e[0] if wide is x.dtype else e.cast(e[0], wide)
    kept, *places = e.all("Unique", given, outputs=4, **fields)
    return [kept if wide is x.dtype else e.cast(kept, x.dtype), *places]


@exporter("det")
def export_det(e: Export) -> str:
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
