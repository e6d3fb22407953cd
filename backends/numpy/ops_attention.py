"""Kernels of attention, alone and with the views around it."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from graphwright.backends.contract import Kernel, Request
from graphwright.backends.numpy.kernels import scratch
from graphwright.backends.numpy.kernels.attention import AttentionPlan
from graphwright.backends.numpy.table import kernel_for, writing
from graphwright.ir.dtype import float32, float64
from graphwright.ir.graph import Graph, Node
from graphwright.ir.ops.attention import Attention
from graphwright.ir.ops.fused import Fused
from graphwright.ir.ops.movement import Reshape, Transpose
from graphwright.ir.types import TensorType

View: TypeAlias = Callable[[Any], Any]


@kernel_for("attention")
def attention(request: Request) -> Kernel | None:
    """``softmax(q k^T * scale + mask) v``."""
    assert isinstance(request.op, Attention)
    types = [t for t in request.types if isinstance(t, TensorType)]
    plan = _plan(request.op, types)
    if plan is None:
        return None
    count = len(types)
    return _kernel(request, plan, [(i, _same) for i in range(count)], _same)


def attention_region(op: Fused, request: Request) -> Kernel | None:
    """Attention of strided views into a strided view."""
    body: Graph = op.body
    number, root = next(
        (i, n) for i, n in enumerate(body.nodes) if n.op.name == "attention"
    )
    assert isinstance(root.op, Attention)
    types = [v.type for v in root.operands if isinstance(v.type, TensorType)]
    plan = _plan(root.op, types)
    if plan is None:
        return None
    makers = body.producers()
    sources: list[tuple[int, View]] = []
    for v in root.operands:
        chain: list[Node] = []
        while v in makers:
            chain.append(makers[v])
            v = chain[-1].operands[0]  # noqa: PLW2901
        if v not in body.inputs:  # a constant of the body: nobody feeds it
            return None
        sources.append((body.inputs.index(v), _forward(chain[::-1])))
    return _kernel(request, plan, sources, _backward(body.nodes[number + 1 :]))


def _plan(op: Attention, types: list[TensorType]) -> AttentionPlan | None:
    """The plan for sizes and dtypes, or None where no kernel fits."""
    q, k, v = types[:3]
    if op.lengths or op.precision or any(0 in t.dims for t in types):
        return None
    if q.dtype not in (float32, float64) or not k.dtype is v.dtype is q.dtype:
        return None
    above = [x for x in (0 if op.causal else -1, op.right) if x >= 0]
    names = ("batch", "heads", "groups", "rows", "columns", "depth", "width")
    n, heads, rows, depth = q.dims
    sizes = (n, heads, k.dims[1], rows, k.dims[2], depth, v.dims[3])
    fields: dict[str, Any] = dict(zip(names, sizes, strict=True))
    return AttentionPlan(
        dtype=q.dtype.numpy,
        scale=op.scale,
        softcap=op.softcap,
        below=op.left if op.left >= 0 else None,
        above=min(above) if above else None,
        **fields,
        offset=op.offset,  # type: ignore[arg-type]
    )


def _kernel(
    request: Request,
    plan: AttentionPlan,
    sources: "list[tuple[int, View]]",
    target: View,
) -> Kernel:
    def bound(memory: Any, out: Any, *operands: Any) -> Any:
        values = [view(operands[i]) for i, view in sources]
        return plan.bind(memory, target(out), *values), values

    def run(out: Any, *operands: Any) -> None:
        memory = scratch.take(plan.scratch_bytes)
        bound(memory, out, *operands)[0]()
        scratch.give(memory)

    def bind(memory: Any, out: Any, *operands: Any) -> Any:
        call, values = bound(memory, out, *operands)
        pairs = zip(sources, values, strict=True)
        same = [np.may_share_memory(operands[i], v) for (i, _), v in pairs]
        return call if all(same) else partial(run, out, *operands)

    more: Any = {"strided": tuple(range(len(request.types)))}
    return writing(request, run, bind=bind, scratch_bytes=plan.scratch_bytes, **more)


# Views --------------------------------------------------------------------------------


def _same(x: Any) -> Any:
    return x


def _forward(nodes: list[Node]) -> View:
    """What views do to an array."""

    def view(x: Any) -> Any:
        for node in nodes:
            x = node.op.compute(np, x)
        return x

    return view


def _backward(nodes: "tuple[Node, ...]") -> View:
    """A view of the result of views that is their operand."""

    def view(x: Any) -> Any:
        for node in reversed(nodes):
            if isinstance(node.op, Transpose):
                x = x.transpose(np.argsort(node.op.perm))
            else:
                assert isinstance(node.op, Reshape)
                shape: Any = node.operands[0].shape
                x = x.reshape(shape)
        return x

    return view
