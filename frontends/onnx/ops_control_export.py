"""Control flow on its way to ONNX.

Sub-graphs of the IR are isolated; ONNX's read values of the graphs around them, so that
operands which only pass through are read from there.
"""

import base64
from typing import Any

import numpy as np
import onnx

from graphwright.frontends.onnx.exporting import Export, Exported, NeedsOpset
from graphwright.frontends.onnx.registry import exporter
from graphwright.frontends.onnx.tensors import constant_of_proto
from graphwright.frontends.onnx.writing import Written, graph_names, rename_node
from graphwright.ir.dtype import int64
from graphwright.ir.emitter import Value
from graphwright.ir.errors import UnsupportedOpError


@exporter("cond")
def cond(e: Export) -> list[str]:
    """``If``."""
    branches: dict[str, Any] = {}
    for word in ("then", "else"):
        graph = getattr(e.op, f"{word}_graph")
        given = list(zip(graph.inputs, e.operands[1:], strict=True))
        branches[f"{word}_branch"] = e.body(graph, (), given)
    return e.all("If", e[0], outputs=len(e.node.results), **branches)


@exporter("while_loop")
def while_loop(e: Export) -> list[str]:
    """``Loop``; a trip count below 0 is none."""
    op, body = e.op, e.op.body
    end = 2 + op.carried
    given = list(zip(body.inputs[end:], e.operands[end:], strict=True))
    scope = e.body(body, body.inputs[:end], given)
    names = [_trips(e, e.operands[0]), *(e[i] for i in range(1, end))]
    return e.all("Loop", *names, outputs=len(e.node.results), body=scope)


def _trips(e: Export, count: Value) -> str:
    known = e.b.known(count)
    if known is not None:
        return "" if int(known.array().reshape(())) < 0 else e.name(count)
    node = e.made_by(count, "max")
    if node is not None and any(e.is_scalar(v, 0) for v in node.operands):
        return e.name(count)
    endless = e.b.scalar(int(np.iinfo(np.int64).max), int64)
    return e.name(e.b.where(e.b.lt(count, 0), endless, count))


@exporter("scan")
def scan(e: Export) -> list[str]:
    """``Scan``."""
    op, body = e.op, e.op.body
    end = op.carried + op.scanned
    given = list(zip(body.inputs[end:], e.operands[end:], strict=True))
    return e.all(
        "Scan",
        *(e[i] for i in range(end)),
        outputs=len(e.node.results),
        body=e.body(body, body.inputs[:end], given),
        num_scan_inputs=op.scanned,
        scan_input_axes=list(op.in_axes),
        scan_input_directions=[int(v) for v in op.reverse],
        scan_output_axes=list(op.out_axes) or None,
        scan_output_directions=[int(v) for v in op.out_reverse] or None,
    )


@exporter("fused", "placed")
def fused(e: Export) -> list[Value]:
    """The ops of the region."""
    return e.writer.inline(e.op.body, e.operands)


@exporter("call")
def call(e: Export) -> list[Value]:
    """The body of the function."""
    return e.writer.inline(e.op.graph, e.operands)


@exporter("refine_shape")
def refine_shape(e: Export) -> Value:
    """The operand; outputs say their shapes, and of others nothing depends on it."""
    return e.operands[0]


# Nodes kept as they were --------------------------------------------------------------


@exporter("foreign")
def foreign(e: Export) -> Exported:
    """The node that it holds, and the functions that it calls."""
    if e.op.format != "onnx":
        raise UnsupportedOpError(f"ONNX cannot express {e.op.kind} of {e.op.format}")
    model = onnx.ModelProto.FromString(base64.b64decode(e.op.payload))
    imports = {_STANDARD.get(o.domain, o.domain): o.version for o in model.opset_import}
    node = model.graph.node[0]
    results = [name for name in node.output if name]
    own, since = _versions(e, node, imports)
    if since:
        model = _converted(e, model, since if since > e.version else own)
    imports.pop("", None)
    e.writer.opsets.update(imports)
    have = {(f.domain, f.name) for f in e.writer.functions}
    e.writer.functions += [f for f in model.functions if (f.domain, f.name) not in have]
    given = dict(zip((i.name for i in model.graph.input), e.names(), strict=True))
    return _kept(e, model.graph, given, results)


_STANDARD = {"ai.onnx": ""}


def _versions(e: Export, node: Any, imports: dict[str, int]) -> tuple[int, int]:
    """The node's opset, and the oldest of the same meaning; 0 if this one has that."""
    own = imports.get("", 1)
    if _STANDARD.get(node.domain, node.domain):
        return own, 0
    since = onnx.defs.get_schema(node.op_type, own, "").since_version
    try:
        here = onnx.defs.get_schema(node.op_type, e.version, "").since_version
    except onnx.defs.SchemaError:
        return own, since
    return own, 0 if here == since else since


def _converted(e: Export, model: Any, needed: int) -> Any:
    """The model of one node in this opset, by onnx's own converter.

    Raises:
        NeedsOpset: If that does not know how.
    """
    for name in model.graph.node[0].output:
        if name:
            model.graph.output.add(name=name)
    model.ir_version = onnx.IR_VERSION
    try:
        found = onnx.version_converter.convert_version(model, e.version)
    except Exception:  # whatever the native converter raises
        raise NeedsOpset("", needed, e.op.kind) from None
    if len(found.graph.input) != len(model.graph.input):
        raise NeedsOpset("", needed, e.op.kind)
    return found


def _kept(
    e: Export, graph: Any, given: dict[str, str], results: list[str]
) -> list[str]:
    """Nodes as they were read, their names replaced."""
    change = {n: e.writer.placeholder(n) for n in graph_names(graph)} | given
    change |= {n: e.writer.placeholder(n) for n in results}
    for tensor in graph.initializer:
        scope = e.writer.scope
        scope.initializers[change[tensor.name]] = constant_of_proto(tensor)
    for node in graph.node:
        inputs = [change[n] for n in node.input if n] + list(given.values())
        outputs = [change[n] for n in node.output if n]

        def proto(final: Any, node: Any = node) -> Any:
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            rename_node(copy, {word: final(name) for word, name in change.items()})
            return copy

        e.writer.scope.nodes.append(
            Written(node.op_type, inputs, outputs, {}, proto=proto)
        )
    return [change[n] for n in results]
