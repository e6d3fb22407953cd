"""Operators of other domains: op classes defined outside this library, as they are."""

from collections.abc import Sequence
from typing import Any

from graphwright.frontends.onnx.context import Context
from graphwright.frontends.onnx.exporting import Export
from graphwright.frontends.onnx.registry import CONVERTERS
from graphwright.ir.emitter import Value
from graphwright.ir.errors import ModelError
from graphwright.ir.op import OPS, Op

_NUMBERS = {1: "f", 2: "i", 3: "s", 6: "floats", 7: "ints", 8: "strings"}
"""AttributeProto's types that fields have, and where the proto holds them."""


def custom_op(domain: str, op_type: str) -> type[Op] | None:
    """The op class of a domain with this name, or None."""
    if not domain:
        return None
    rows = (c for c in OPS.values() if c.domain == domain and c.__name__ == op_type)
    return next(rows, None)


def unknown_cure(domain: str) -> str:
    """What to do about an operator of a domain that nobody knows."""
    if not domain or any(held == domain for held, _ in CONVERTERS):
        return "see docs/operators.md for the list"
    known = sorted(c.__name__ for c in OPS.values() if c.domain == domain)
    has = f"; {domain} has {', '.join(known[:5])}" if known else ""
    return f"a class of that name and domain defines it (examples/custom_op.py){has}"


def import_custom(cls: type[Op], c: Context) -> Sequence[Value]:
    """A node as its op, attributes as fields of the same names.

    Raises:
        ModelError: If attributes or operands do not fit the op.
    """
    fields = {name: _field(cls, name, c.attributes[name]) for name in c.attributes}
    operands = [c[i] for i in range(len(c.inputs))]
    try:
        return c.b.emit_all(cls.name, *operands, **fields)
    except TypeError as error:
        raise ModelError(f"{c.op_type}: {error}") from error


def _field(cls: type[Op], name: str, attribute: Any) -> Any:
    """An attribute's value, of the type of the field's default where it has one."""
    held = _NUMBERS.get(attribute.type)
    if held is None:
        raise ModelError(f"attribute {name!r} of {cls.__name__} is no number or string")
    found = getattr(attribute, held)
    values = [_plain(x) for x in found] if held.endswith("s") and held != "s" else None
    if values is not None:
        return tuple(values)
    plain = _plain(found)
    return bool(plain) if isinstance(getattr(cls, name, None), bool) else plain


def _plain(x: Any) -> Any:
    return x.decode("utf-8", "surrogateescape") if isinstance(x, bytes) else x


def export_custom(e: Export) -> list[str]:
    """The op as a node of its domain, fields as attributes of the same names."""
    op = e.op
    e.needs(op.version, op.domain)
    names = [e[i] for i in range(len(e.operands))]
    fields = {n: int(v) if isinstance(v, bool) else v for n, v in op.fields.items()}
    count = len(e.node.results)
    kind = type(op).__name__
    return e.all(kind, *names, outputs=count, domain=op.domain, **fields)
