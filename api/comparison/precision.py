"""A graph with other floats: every float in it becomes one dtype, where ops allow."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphwright.ir.builder import Builder
from graphwright.ir.constant import Constant
from graphwright.ir.dtype import DTYPES, DType
from graphwright.ir.emitter import Value
from graphwright.ir.errors import DTypeError, ShapeError
from graphwright.ir.graph import Graph, Node
from graphwright.ir.op import Op
from graphwright.ir.types import TensorType

_FROM = ("float16", "bfloat16", "float32", "float64")


def with_float(graph: Graph, dtype: str) -> Graph:
    """The graph computed in another float dtype, weights and inputs included.

    Raises:
        DTypeError: If there is no such float dtype.
    """
    if dtype not in _FROM:
        raise DTypeError(f"dtype {dtype!r} is none of {', '.join(_FROM)}")
    return _converted(graph, DTYPES[dtype])


def _converted(graph: Graph, to: DType) -> Graph:
    b = Builder.extending(graph)
    b.nodes, b.constants, b.origins = [], {}, {}
    b._inputs, b._input_names = [], []
    names: dict[Value, Value] = {}
    for v, name in zip(graph.inputs, graph.input_names, strict=True):
        names[v] = b.input(name, _retyped(v.type, to))
    for v, constant in graph.constants.items():
        names[v] = b.constant_of(_constant(constant, to))
    b.variables = {n: _constant(c, to) for n, c in graph.variables.items()}
    for node in graph.nodes:
        b.source = node.source
        fields = {k: _field(x, to) for k, x in node.op.fields.items()}
        changed = any(fields[k] is not x for k, x in node.op.fields.items())
        op = node.op.replace(**fields) if changed else node.op
        results = _applied(b, node, op, [names[v] for v in node.operands])
        made = (_cast(b, v, to) for v in results)
        names.update(zip(node.results, made, strict=True))
    for v, origins in graph.origins.items():
        if v in names:
            b.origins[names[v]] = (*b.origins.get(names[v], ()), *origins)
    return b.finish([names[v] for v in graph.outputs], graph.output_names)


def _applied(b: Builder, node: Node, op: Op, operands: Sequence[Value]) -> list[Value]:
    """Results of a node; where an op has no such dtype, as it was, between casts."""
    try:
        return list(b.apply(op, operands))
    except (DTypeError, ShapeError):
        rows = zip(operands, node.operands, strict=True)
        own = [_cast(b, x, v.dtype) if _is_float(v) else x for x, v in rows]
        return list(b.apply(node.op, own))


def _cast(b: Builder, v: Value, to: DType) -> Value:
    return b.cast(v, to) if _is_float(v) and v.dtype is not to else v


def _is_float(v: Value) -> bool:
    return isinstance(v.type, TensorType) and v.dtype.name in _FROM


def _retyped(type_: Any, to: DType) -> Any:
    if isinstance(type_, TensorType):
        return TensorType(to, type_.shape) if type_.dtype.name in _FROM else type_
    inner = getattr(type_, "element", None)
    return type_ if inner is None else type(type_)(_retyped(inner, to))


def _constant(constant: Constant, to: DType) -> Constant:
    if constant.dtype.name not in _FROM or constant.dtype is to:
        return constant
    with np.errstate(all="ignore"):
        return Constant.of(constant.array().astype(to.numpy), to)


def _field(x: Any, to: DType) -> Any:
    """A field with floats replaced in dtypes, types, sub-graphs and tuples of them."""
    if isinstance(x, DType):
        return to if x.name in _FROM else x
    if isinstance(x, Graph):
        return _converted(x, to)
    if isinstance(x, tuple):
        items: tuple[Any, ...] = tuple(_field(each, to) for each in x)
        same = all(a is b for a, b in zip(items, x, strict=True))
        return x if same else items
    if isinstance(x, TensorType) or hasattr(x, "element"):
        return _retyped(x, to)
    return x
