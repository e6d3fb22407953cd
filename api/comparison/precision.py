"""A graph with other floats: every float32 and float64 in it becomes one dtype."""

from typing import Any

import numpy as np

from graphwright.ir.builder import Builder
from graphwright.ir.constant import Constant
from graphwright.ir.dtype import DTYPES, DType
from graphwright.ir.emitter import Value
from graphwright.ir.errors import DTypeError
from graphwright.ir.graph import Graph
from graphwright.ir.types import TensorType

_FROM = ("float16", "bfloat16", "float32", "float64")


def with_float(graph: Graph, dtype: str) -> Graph:
    """The graph computed in another float dtype, weights and inputs included.

    Raises:
        DTypeError: If there is no such float dtype, or an op does not take it.
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
        results = b.apply(op, [names[v] for v in node.operands])
        names.update(zip(node.results, results, strict=True))
    for v, origins in graph.origins.items():
        if v in names:
            b.origins[names[v]] = (*b.origins.get(names[v], ()), *origins)
    return b.finish([names[v] for v in graph.outputs], graph.output_names)


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
