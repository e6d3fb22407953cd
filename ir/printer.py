"""The text form: one generic syntax for every op.

``graphwright.ir 1``, then a graph: inputs, constants, nodes, outputs, one a line. Field
values are spelled ``1``, ``1.5``, ``true``, ``none``, ``"text"``, ``[a, b]``, ``float32``,
``float32[n, 3]`` (a type), ``(2*n + 1)`` (a dim) and ``graph "g" {...}``.
"""

import json
from collections.abc import Iterator
from typing import Any

from graphwright.ir.constant import Constant
from graphwright.ir.dim import Expr
from graphwright.ir.dtype import DType
from graphwright.ir.types import (
    MapType,
    OptionalType,
    SequenceType,
    TensorType,
    TokenType,
)

HEADER = "graphwright.ir 1"
_TYPES = (TensorType, SequenceType, OptionalType, MapType, TokenType)


def quote(text: str) -> str:
    """A string as JSON spells it, ASCII only."""
    return json.dumps(text)


def print_graph(graph: Any) -> str:
    """The text form of a graph, header included."""
    return HEADER + "\n" + "\n".join(_graph_lines(graph, "")) + "\n"


def _graph_lines(graph: Any, indent: str) -> Iterator[str]:
    names: dict[Any, str] = {}

    def name(value: Any) -> str:
        return names.setdefault(value, f"%{len(names)}")

    inner = indent + "  "
    yield f"{indent}graph {quote(graph.name)} {{"
    for value, label in zip(graph.inputs, graph.input_names, strict=True):
        yield f"{inner}input {name(value)} {quote(label)} : {value.type}"
    for label, constant in graph.variables.items():
        yield f"{inner}variable {quote(label)} = {constant_text(constant)}"
    for key, text in graph.metadata.items():
        yield f"{inner}metadata {quote(key)} = {quote(text)}"
    constants = dict(graph.constants)
    for node in graph.nodes:
        yield from _constants(node.operands, constants, name, inner)
        yield from _node_lines(node, name, inner)
    yield from _constants(graph.outputs, constants, name, inner)
    for guard in graph.guards:
        yield f"{inner}guard {guard} {quote(guard.place)}"
    for value, label in zip(graph.outputs, graph.output_names, strict=True):
        yield f"{inner}output {name(value)} {quote(label)}"
    yield indent + "}"


def _constants(values: Any, constants: Any, name: Any, indent: str) -> Iterator[str]:
    for value in values:
        constant = constants.pop(value, None)
        if constant is not None:
            text = constant_text(constant)
            yield f"{indent}{name(value)} = constant {text}"


def constant_text(constant: Constant) -> str:
    """``float32[2] [1.0, 2.0]`` where small, else ``float32[64, 3] @digest``."""
    dims = ", ".join(map(str, constant.shape))
    head = f"{constant.dtype.name}[{dims}]"
    if not constant.inline:
        return f"{head} @{constant.digest}"
    items = constant.array().ravel()
    if constant.dtype.kind == "c":
        words = [f"[{float(v.real)!r}, {float(v.imag)!r}]" for v in items]
    elif constant.dtype.is_float:
        words = [_number(float(v), v) for v in items]
    else:
        words = [str(int(v)) for v in items]
    return f"{head} [{', '.join(words)}]"


def _number(value: float, raw: Any) -> str:
    """The shortest decimal that gives the element back; NaN by its bits."""
    if value != value:
        return f"nan({raw.tobytes().hex()})"
    if raw.dtype.kind == "f":
        text = str(raw)
        return repr(value) if raw.dtype.itemsize == 8 else text
    return repr(value)


def _node_lines(node: Any, name: Any, indent: str) -> Iterator[str]:
    operands = ", ".join(map(name, node.operands))
    results = ", ".join(map(name, node.results))
    types = ", ".join(str(v.type) for v in node.results)
    fields = _fields(node.op, indent)
    start = f"{results} = " if results else ""
    end = f" : {types}" if results else ""
    yield f"{indent}{start}{node.op.name}.{node.op.version}({operands}){fields}{end}"


def _fields(op: Any, indent: str) -> str:
    if not op.field_names:
        return ""
    words = (f"{k}={field_text(v, indent)}" for k, v in op.fields.items())
    return " {" + ", ".join(words) + "}"


def field_text(value: Any, indent: str = "") -> str:
    """A field's value in the text form."""
    match value:
        case None:
            return "none"
        case bool():
            return "true" if value else "false"
        case float() | int():
            return repr(value)
        case str():
            return quote(value)
        case DType():
            return value.name
        case Expr():
            return f"({value})"
        case tuple():
            return "[" + ", ".join(field_text(v, indent) for v in value) + "]"  # type: ignore[reportUnknownArgumentType]
        case _ if isinstance(value, _TYPES):
            return str(value)
        case _:
            return "\n".join(_graph_lines(value, indent + "  ")).lstrip()
