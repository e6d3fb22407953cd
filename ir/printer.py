"""The text form: one generic syntax for every op; ``parser`` reads it back.

``graphwright.ir 1``, then a graph::

    graph "name" {
      input %0 "x" : float32[n, 3]
      variable "w" = float32[2] [1.0, 2.0]
      metadata "producer" = "text"
      %1 = constant int64[1] [0]
      %2 = gather.1(%0, %1) {axis=0, batch_dims=0} : float32[1, 3]
      guard 1 <= n "Gather 'take'"
      output %2 "y"
    }

A node names its op with the version of its meaning. Field values are ``1``, ``1.5``,
``true``, ``none``, ``"text"``, ``[a, b]``, ``float32``, ``float32[n, 3]`` (a type),
``(2*n + 1)`` (a dim) and ``graph "g" {...}``. Small constants show their elements,
others ``@`` and their digest. Values are numbered anew in each graph, in order of
appearance.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from html import escape
from itertools import islice
from math import isnan
from operator import index
from sys import byteorder
from typing import Any

import numpy as np

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

_HTML_LINES = 200

Name = Callable[[Any], str]


def quote(text: str) -> str:
    """A string as JSON spells it, ASCII only."""
    return json.dumps(text)


def print_graph(graph: Any) -> str:
    """The text form of a graph, header included."""
    return HEADER + "\n" + "\n".join(_graph_lines(graph, "")) + "\n"


def graph_html(graph: Any) -> str:
    """A table of inputs and outputs, and the text form to fold out; for notebooks."""
    ends = [("input", graph.input_names, graph.inputs)]
    ends += [("output", graph.output_names, graph.outputs)]
    cells = "".join(
        f"<tr><td>{kind}</td><td>{escape(name)}</td><td>{escape(str(v.type))}</td></tr>"
        for kind, names, values in ends
        for name, v in zip(names, values, strict=True)
    )
    lines = list(islice(_graph_lines(graph, ""), _HTML_LINES))
    text = escape("\n".join(lines)) + ("\n…" if len(lines) == _HTML_LINES else "")
    return (
        f"<b>Graph</b> {escape(graph.name)}, {len(graph.nodes)} nodes"
        f"<table>{cells}</table><details><summary>text</summary><pre>{text}</pre></details>"
    )


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
        yield _node_text(node, name, inner)
    yield from _constants(graph.outputs, constants, name, inner)
    for guard in graph.guards:
        yield f"{inner}guard {guard} {quote(guard.place)}"
    for value, label in zip(graph.outputs, graph.output_names, strict=True):
        yield f"{inner}output {name(value)} {quote(label)}"
    yield indent + "}"


def _constants(
    values: Iterable[Any], constants: dict[Any, Constant], name: Name, indent: str
) -> Iterator[str]:
    """Each constant before its first use."""
    for value in values:
        constant = constants.pop(value, None)
        if constant is not None:
            yield f"{indent}{name(value)} = constant {constant_text(constant)}"


def constant_text(constant: Constant) -> str:
    """``float32[2] [1.0, 2.0]`` where small, else ``float32[64, 3] @digest``."""
    dims = ", ".join(map(str, constant.shape))
    head = f"{constant.dtype.name}[{dims}]"
    if not constant.inline:
        return f"{head} @{constant.digest}"
    words = map(_element_text(constant.dtype), constant.array().ravel())
    return f"{head} [{', '.join(words)}]"


def _element_text(dtype: DType) -> Callable[[Any], str]:
    match dtype.kind:
        case "c":
            return lambda x: f"[{_real_text(x.real)}, {_real_text(x.imag)}]"
        case "f":
            return _real_text
        case "b":
            return _flag_text
        case _:
            return lambda x: str(int(x))


def _flag_text(flag: object) -> str:
    return "true" if flag else "false"


def _real_text(x: Any) -> str:
    """The shortest decimal that gives a NumPy float back; odd NaNs by their bits."""
    value = float(x)
    if isnan(value):
        usual = x.tobytes() == x.dtype.type(np.nan).tobytes()
        return (
            "nan"
            if usual
            else _bits_text(int.from_bytes(x.tobytes(), byteorder), x.nbytes)
        )
    short = str(x)
    same = x.dtype.name in ("float16", "float32") and x.dtype.type(float(short)) == x
    return short if same else repr(value)


def float_text(value: float) -> str:
    """``1.5``, ``inf``, ``nan``; another NaN than Python's own by its bits."""
    return _real_text(np.float64(value)) if isnan(value) else float.__repr__(value)


def _bits_text(bits: int, size: int) -> str:
    return f"nan(0x{bits:0{2 * size}x})"


def _node_text(node: Any, name: Name, indent: str) -> str:
    operands = ", ".join(map(name, node.operands))
    results = ", ".join(map(name, node.results))
    op = node.op
    call = f"{op.name}.{op.version}({operands}){_fields_text(op, indent)}"
    if not results:
        return indent + call
    types = ", ".join([str(v.type) for v in node.results])
    return f"{indent}{results} = {call} : {types}"


def _fields_text(op: Any, indent: str) -> str:
    if not op.field_names:
        return ""
    words = [f"{k}={field_text(v, indent)}" for k, v in op.fields.items()]
    return " {" + ", ".join(words) + "}"


def field_text(value: Any, indent: str = "") -> str:
    """A field's value in the text form."""
    match value:
        case None:
            return "none"
        case bool() | np.bool():
            return _flag_text(value)
        case float():
            return float_text(value)
        case int() | np.integer():
            return str(index(value))
        case str():
            return quote(value)
        case DType():
            return value.name
        case Expr():
            return f"({value})"
        case tuple():
            words: list[str] = [field_text(v, indent) for v in value]  # pyright: ignore
            return f"[{', '.join(words)}]"
        case _ if isinstance(value, _TYPES):
            return str(value)
        case _:
            return "\n".join(_graph_lines(value, indent + "  ")).lstrip()
