"""Operators that run on the host: Unique, Det."""

from graphwright.frontends.onnx.context import Context
from graphwright.frontends.onnx.registry import converter
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
