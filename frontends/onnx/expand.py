"""Expands operations that were kept as ONNX nodes until their operands were known."""

import base64
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import onnx

from graphwright.frontends.onnx.context import NeedsValue
from graphwright.frontends.onnx.importer import GraphImporter, ModelImporter, Scope
from graphwright.ir.builder import Builder
from graphwright.ir.constant import Constant
from graphwright.ir.dtype import dtype
from graphwright.ir.errors import UnsupportedOpError
from graphwright.ir.graph import Graph
from graphwright.ir.ops.foreign import EXPANDERS, Foreign
from graphwright.ir.types import TensorType, Type

_BAKED_SIZE = 1024


@lru_cache(maxsize=256)
def _parsed(payload: str) -> Any:
    return onnx.ModelProto.FromString(base64.b64decode(payload))


def expand(op: Foreign, operands: Sequence[Any]) -> Graph:
    """A graph that computes ``op`` for operands like these.

    Values that conversion asks for are taken from the operands and baked in.
    """
    model = _parsed(op.payload)
    baked: set[int] = set()
    while True:
        try:
            return _expand(model, operands, baked)
        except NeedsValue as need:
            index = _operand_index(need)
            if index is None or index in baked:
                raise UnsupportedOpError(
                    f"{op.kind} needs the value of something computed inside it"
                ) from None
            baked.add(index)


def _operand_index(need: NeedsValue) -> int | None:
    return getattr(need, "index", None)


def _type(x: Any) -> Type:
    return TensorType(dtype(x.dtype), x.shape)


def _expand(model: Any, operands: Sequence[Any], baked: set[int]) -> Graph:
    (node,) = model.graph.node
    opsets = {o.domain: o.version for o in model.opset_import}
    importer = ModelImporter(opsets, {})
    importer.depth = -1
    builder = Builder(node.op_type)
    run = GraphImporter(importer, builder, Scope())
    names = [n for n in node.input if n]
    inputs = [builder.input(n, _type(x)) for n, x in zip(names, operands, strict=True)]
    for i, (name, x) in enumerate(zip(names, operands, strict=True)):
        value = inputs[i]
        if i in baked:
            value = builder.constant_of(Constant.of(np.array(x), dtype(x.dtype)))
        run.scope.values[name] = value
    try:
        run.add_nodes([node])
    except NeedsValue as need:
        need.index = inputs.index(need.value) if need.value in inputs else None  # type: ignore[attr-defined]
        raise
    outputs = [run.lookup(n) for n in node.output if n]
    return builder.finish(outputs, [n for n in node.output if n])


EXPANDERS["onnx"] = expand
