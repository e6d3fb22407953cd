"""Expands operations that were kept as ONNX nodes until their operands were known."""

import base64
import itertools
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import onnx

from graphwright.frontends.onnx.context import NeedsValue
from graphwright.frontends.onnx.importer import GraphImporter, ModelImporter, Scope
from graphwright.frontends.onnx.types import type_of_proto
from graphwright.ir.builder import Builder
from graphwright.ir.constant import Constant
from graphwright.ir.dtype import dtype
from graphwright.ir.emitter import Value
from graphwright.ir.errors import UnsupportedOpError
from graphwright.ir.graph import Graph
from graphwright.ir.ops.foreign import EXPANDERS, Foreign
from graphwright.ir.types import TensorType, Type

Baked = tuple[tuple[int, Constant], ...]
Asked = tuple[str, tuple[Type, ...]]

_CACHED = 256
_asked: dict[Asked, frozenset[int]] = {}
_blocks = itertools.count(1)


@lru_cache(maxsize=_CACHED)
def _parsed(payload: str) -> Any:
    return onnx.ModelProto.FromString(base64.b64decode(payload))


def expand(op: Foreign, operands: Sequence[Any]) -> Graph:
    """A graph that computes ``op`` for operands like these.

    Values that conversion asks for are taken from the operands and baked in; which ones
    those are, and the graphs, are remembered.
    """
    infos = _parsed(op.payload).graph.input
    types = tuple(_type(x, info) for x, info in zip(operands, infos, strict=True))
    asked = _asked.get((op.payload, types), frozenset())
    while True:
        try:
            found = _expanded(op.payload, types, _bake(operands, asked))
        except NeedsValue as need:
            more = asked | _wanted(need, types)
            if more == asked:
                raise UnsupportedOpError(
                    f"{op.kind} needs the value of something computed inside it"
                ) from None
            asked = more
            continue
        if len(_asked) >= _CACHED:
            _asked.clear()
        _asked[op.payload, types] = asked
        return found


def _type(x: Any, info: Any) -> Type:
    if isinstance(x, (np.ndarray, np.generic)):
        return TensorType(dtype(x.dtype), x.shape)
    return type_of_proto(info.type)


def _wanted(need: NeedsValue, types: Sequence[Type]) -> frozenset[int]:
    """The operand whose value is needed; all of them if it is computed from them."""
    if need.index is not None:
        return frozenset([need.index])
    return frozenset(i for i, t in enumerate(types) if isinstance(t, TensorType))


def _bake(operands: Sequence[Any], asked: frozenset[int]) -> Baked:
    return tuple(
        (i, Constant.of(np.array(operands[i]), dtype(operands[i].dtype)))
        for i in sorted(asked)
    )


@lru_cache(maxsize=_CACHED)
def _expanded(payload: str, types: tuple[Type, ...], baked: Baked) -> Graph:
    model = _parsed(payload)
    (node,) = model.graph.node
    opsets = {o.domain: o.version for o in model.opset_import}
    functions = {(f.domain, f.name, f.overload): f for f in model.functions}
    builder = Builder(node.op_type)
    builder.number_symbols_from(next(_blocks) << 32)  # unlike those of graphs around it
    scope = Scope()
    run = GraphImporter(
        ModelImporter(opsets, functions), builder, scope, expanding=True
    )
    names = [info.name for info in model.graph.input]
    inputs = [builder.input(n, t) for n, t in zip(names, types, strict=True)]
    scope.values.update(zip(names, inputs, strict=True))
    scope.values.update((names[i], builder.constant_of(c)) for i, c in baked)
    try:
        run.add_nodes([node])
    except NeedsValue as need:
        need.index = _index(inputs, need.value)
        raise
    wanted = [n for n in node.output if n]
    return builder.finish(map(run.lookup, wanted), wanted)


def _index(inputs: Sequence[Value], value: Value) -> int | None:
    return inputs.index(value) if value in inputs else None


EXPANDERS["onnx"] = expand
