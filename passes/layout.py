"""Layout assignment: channels come last where convolutions and pooling like it.

Each rule moves a transposition from the operands of an op to its result. A convolution
starts it: `conv(x) = back(conv_last(last(x)))`, where `last` brings channels behind the
spatial axes and `back` is its inverse. Pairs cancel, so transpositions stay at the
borders of a region only. All rules are exact.
"""

import itertools
from collections.abc import Sequence

import numpy as np

from graphwright.ir.builder import Builder
from graphwright.ir.constant import Constant
from graphwright.ir.dim import Dim, product
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph, Node
from graphwright.ir.op import Op, Trait
from graphwright.ir.ops.fused import Fused
from graphwright.ir.ops.linalg import Conv
from graphwright.ir.ops.movement import Concat, Pad, Reshape, Slice, Transpose
from graphwright.ir.ops.reduce import Reduce, ReduceWindow
from graphwright.passes.walk import Rule, Walk

Perm = tuple[int, ...]


def channels_last(graph: Graph) -> Graph:
    """The graph with channels last around its convolutions: exact."""
    if Conv not in graph.op_classes:
        return graph
    rules: dict[str, Sequence[Rule]] = {
        "conv": [_conv],
        "reduce_window": [_window],
        "reduce": [_reduce],
        "concat": [_concat],
        "pad": [_pad],
        "slice": [_slice],
        "reshape": [_reshape],
        "transpose": [_transpose],
    }
    names = {c.name for c in graph.op_classes if Trait.ELEMENTWISE in c.traits}
    rules |= {name: [_elementwise] for name in names}
    rules |= {name: [_linear] for name in ("quantize", "dequantize")}
    return Walk(graph).rebuild(rules)


def to_last(rank: int) -> Perm:
    """``[N, C, *spatial]`` to ``[N, *spatial, C]``."""
    return (0, *range(2, rank), 1)


def inverse(perm: Sequence[int]) -> Perm:
    """The permutation that undoes another."""
    return tuple(sorted(range(len(perm)), key=perm.__getitem__))


def _rotated(perm: Perm) -> bool:
    """Whether axes after the first keep their cyclic order: channels were last."""
    rest = perm[1:]
    if perm[0] != 0 or len(perm) < 3 or rest[0] == 1:
        return False
    return all(b % len(rest) + 1 == n for b, n in itertools.pairwise(rest))


def _source(w: Walk, value: Value) -> tuple[Value, Perm] | None:
    """The channels-last value that this one is a transposition of, and which."""
    node = w.made_by(value, "transpose")
    if node is None or not isinstance(node.op, Transpose):
        return None
    return (node.operands[0], node.op.perm) if _rotated(node.op.perm) else None


def _moved(w: Walk, value: Value, perm: Perm) -> Value:
    """``transpose(value, perm)``, cancelled or done beforehand where possible."""
    if value in w.constants:
        array = w.constants[value].array().transpose(perm)
        return w.constant_of(Constant.of(np.ascontiguousarray(array), value.dtype))
    node = w.made_by(value, "transpose", "broadcast_to")
    if node is None:
        return w.transpose(value, perm)
    inner = node.operands[0]
    if isinstance(node.op, Transpose):
        composed = tuple(node.op.perm[p] for p in perm)
        same = composed == tuple(range(len(perm)))
        return inner if same else w.transpose(inner, composed)
    shape = [value.shape[p] for p in perm]
    if inner.rank == 0:
        return w.broadcast_to(inner, shape)
    full = _reshaped(w, inner, (*(1,) * (value.rank - inner.rank), *inner.shape))
    return w.broadcast_to(_moved(w, full, perm), shape)


def _reshaped(w: Walk, value: Value, shape: Sequence[Dim]) -> Value:
    constant = w.constants.get(value)
    if constant is None or not all(isinstance(d, int) for d in shape):
        return w.reshape(value, shape)
    array = constant.array().reshape(shape)  # type: ignore[arg-type]
    return w.constant_of(Constant.of(array, constant.dtype))


def _back(w: Walk, node: Node, value: Value, perm: Perm) -> list[Value]:
    """The result in the old order; the new one keeps its provenance too."""
    view = f"transpose {list(inverse(perm))}"
    found = [o for o in w.origins.get(node.results[0], ()) if o.view == "identity"]
    if found:
        w.origins[value] = tuple(o._replace(view=view) for o in found)
    return [w.transpose(value, perm)]


def _conv(w: Walk, node: Node) -> list[Value] | None:
    """``conv(x, k) = back(last(conv(back(last(x)), k)))``, the middle as one node."""
    x, k = node.operands
    assert isinstance(node.op, Conv)
    kernel = w.constants.get(k)
    if kernel is None or not _numeric(kernel) or node.op.batch_groups != 1:
        return None
    last = to_last(x.rank)
    data = _moved(w, x, last)
    body = Builder("region")
    body.source = node.source
    inner = body.transpose(body.input("in0", data.type), inverse(last))
    result = body.apply(node.op, (inner, body.input("in1", k.type)))[0]
    graph = body.finish([body.transpose(result, last)])
    (found,) = w.apply(Fused(kind="conv", body=graph), (data, k))
    return _back(w, node, found, inverse(last))


def _numeric(kernel: Constant) -> bool:
    """Whether a kernel has weights of a network: floats, or small integers."""
    return kernel.dtype.is_float or (kernel.dtype.is_int and kernel.dtype.bits <= 16)


def _linear(w: Walk, node: Node) -> list[Value] | None:
    """``quantize(back(x), scale) = back(quantize(x, last(scale)))``."""
    x, *parts = node.operands
    source = _source(w, x)
    if source is None or not all(v in w.constants for v in parts):
        return None
    inner, perm = source
    operands = [inner]
    for v in parts:
        full = _reshaped(w, v, (*(1,) * (x.rank - v.rank), *v.shape))
        operands.append(v if v.rank == 0 else _moved(w, full, inverse(perm)))
    (found,) = w.apply(node.op, operands)
    return _back(w, node, found, perm)


def _elementwise(w: Walk, node: Node) -> list[Value] | None:
    """``f(back(x), y) = back(f(x, last(y)))``."""
    sources = [_source(w, v) for v in node.operands]
    perm = next((s[1] for s in sources if s is not None), None)
    if perm is None or not _one_shape(node) or not _pays(w, node, sources):
        return None
    operands = [_moved(w, v, inverse(perm)) for v in node.operands]
    (found,) = w.apply(node.op, operands)
    return _back(w, node, found, perm)


def _one_shape(node: Node) -> bool:
    """Whether all operands are shaped like the result; a scale need not be."""
    return all(v.shape == node.results[0].shape for v in node.operands)


def _pays(w: Walk, node: Node, sources: Sequence["tuple[Value, Perm] | None"]) -> bool:
    """Whether no more operands would have to be transposed than are now."""
    strangers = 0
    for value, source in zip(node.operands, sources, strict=True):
        spread = value in w.constants or w.made_by(value, "broadcast_to")
        strangers += source is None and not spread
    return strangers <= sum(s is not None for s in sources)


def _concat(w: Walk, node: Node) -> list[Value] | None:
    """``concat(back(x), back(y), i) = back(concat(x, y, perm[i]))``."""
    sources = [_source(w, v) for v in node.operands]
    perm = next((s[1] for s in sources if s is not None), None)
    if perm is None or not _pays(w, node, sources):
        return None
    assert isinstance(node.op, Concat)
    operands = [_moved(w, v, inverse(perm)) for v in node.operands]
    (found,) = w.apply(Concat(axis=perm[node.op.axis]), operands)
    return _back(w, node, found, perm)


def _window(w: Walk, node: Node) -> list[Value] | None:
    """Windows over axes of ``back(x)`` are windows over the same axes of ``x``."""
    source, op = _source(w, node.operands[0]), node.op
    if source is None:
        return None
    assert isinstance(op, ReduceWindow)
    x, perm = source
    lead, places = x.rank - len(op.window), inverse(perm)
    rows = zip(op.window, op.strides, op.dilations, op.padding, strict=True)
    every = [(1, 1, 1, (0, 0))] * lead + list(rows)
    moved = [every[places[axis]] for axis in range(1, x.rank)]
    window, strides, dilations, padding = zip(*moved, strict=True)
    fields = {"window": window, "strides": strides, "dilations": dilations}
    if every[0] != (1, 1, 1, (0, 0)):
        return None
    (found,) = w.apply(op.replace(padding=padding, **fields), (x,))
    return _back(w, node, found, perm)


def _reduce(w: Walk, node: Node) -> list[Value] | None:
    """``reduce(back(x), axes) = transpose(reduce(x, perm[axes]))``."""
    source, op = _source(w, node.operands[0]), node.op
    if source is None:
        return None
    assert isinstance(op, Reduce)
    x, perm = source
    axes = tuple(sorted(perm[a] for a in op.axes))
    (found,) = w.apply(op.replace(axes=axes), (x,))
    left = [a for a in range(x.rank) if a not in axes]
    order = tuple(left.index(perm[a]) for a in range(x.rank) if a not in op.axes)
    same = order == tuple(range(len(order)))
    return [found] if same else _back(w, node, found, order)


def _along(w: Walk, node: Node, make: type[Op], *names: str) -> list[Value] | None:
    """An op whose fields hold a number for each axis, on the transposed operand."""
    source = _source(w, node.operands[0])
    if source is None:
        return None
    x, perm = source
    order = inverse(perm)
    fields = {n: tuple(node.op.fields[n][p] for p in order) for n in names}
    (found,) = w.apply(make(**fields), (x, *node.operands[1:]))
    return _back(w, node, found, perm)


def _pad(w: Walk, node: Node) -> list[Value] | None:
    """``pad(back(x)) = back(pad(x))``, its ends reordered."""
    return _along(w, node, Pad, "low", "high", "interior")


def _slice(w: Walk, node: Node) -> list[Value] | None:
    """``slice(back(x)) = back(slice(x))``, its ends reordered."""
    return _along(w, node, Slice, "start", "size", "step")


def _transpose(w: Walk, node: Node) -> list[Value] | None:
    """``transpose(transpose(x, p), q) = transpose(x, p[q])``.

    Where `q` permutes channel axes only, their order changes first, so that what
    follows finds channels last.
    """
    made, op = w.made_by(node.operands[0], "transpose"), node.op
    if made is None or not isinstance(made.op, Transpose):
        return None
    assert isinstance(op, Transpose)
    perm, rank = made.op.perm, len(op.perm)
    channels = rank - perm[1] if _rotated(perm) else 0
    tail = tuple(range(channels + 1, rank))
    if channels > 1 and op.perm[channels + 1 :] == tail and op.perm[0] == 0:
        spatial = range(rank - channels)
        first = (*spatial, *(perm[p] for p in op.perm[1 : channels + 1]))
        return _back(w, node, w.transpose(made.operands[0], first), perm)
    return [_moved(w, node.operands[0], op.perm)]


def _reshape(w: Walk, node: Node) -> list[Value] | None:
    """``reshape(back(x)) = back(reshape(x))`` where channels stay apart from the rest.

    Where all spatial extents are 1, the order of elements is the same in both.
    """
    source, op = _source(w, node.operands[0]), node.op
    if source is None:
        return None
    assert isinstance(op, Reshape)
    x, perm = source
    old, new, spatial = x.shape, op.shape, perm[1]
    if all(d == 1 for d in old[1:spatial]):
        return [w.reshape(x, new)]
    cut = _channel_end(product(old[spatial:]), new)
    rest = new[cut:]
    if cut == 0 or not rest or old[0] != new[0] or product(rest) != _plane(old, perm):
        return None
    found = w.reshape(x, (new[0], *rest, *new[1:cut]))
    back = (0, *range(len(rest) + 1, len(new)), *range(1, len(rest) + 1))
    return _back(w, node, found, back)


def _plane(shape: Sequence[Dim], perm: Perm) -> Dim:
    return product(shape[1 : perm[1]])


def _channel_end(channels: Dim, shape: Sequence[Dim]) -> int:
    """How many leading axes hold the batch and all channels, or 0."""
    ends = range(2, len(shape) + 1)
    return next((i for i in ends if product(shape[1:i]) == channels), 0)


def sink_reshapes(graph: Graph) -> Graph:
    """Reshapes after a product move behind the elementwise ops that follow: exact."""
    if not any(node.op.name == "dot" for node in graph.nodes):
        return graph
    rules: dict[str, Sequence[Rule]] = {"reshape": [_reshape_twice]}
    names = {c.name for c in graph.op_classes if Trait.ELEMENTWISE in c.traits}
    rules |= {name: [_sink] for name in names}
    return Walk(graph).rebuild(rules)


def _reshape_twice(w: Walk, node: Node) -> list[Value] | None:
    """``reshape(reshape(x, s), t) = reshape(x, t)``."""
    made = w.made_by(node.operands[0], "reshape")
    if made is None:
        return None
    assert isinstance(node.op, Reshape)
    x = made.operands[0]
    return [x if x.shape == node.op.shape else w.reshape(x, node.op.shape)]


def _sink(w: Walk, node: Node) -> list[Value] | None:
    """``f(reshape(x), y) = reshape(f(x, reshape(y)))`` where `x` is a matrix."""
    made = [w.made_by(v, "reshape") for v in node.operands]
    inner = next((m.operands[0] for m in made if m and _matrix(m)), None)
    if inner is None or not _one_shape(node):
        return None
    before, after = inner.shape, node.operands[0].shape
    operands: list[Value] = []
    for v in node.operands:
        found = _flattened(w, v, before)
        if found is None:
            return None
        operands.append(found)
    found = w.apply(node.op, operands)[0]
    view = f"reshape {list(before)}"
    own = w.origins.get(node.results[0], ())
    plain = (o for o in own if o.view == "identity")
    w.origins[found] = tuple(o._replace(view=view) for o in plain)
    return [w.reshape(found, after)]


def _matrix(node: Node) -> bool:
    """Whether a reshape keeps a matrix's columns."""
    x, y = node.operands[0], node.results[0]
    return x.rank == 2 and y.rank >= 2 and x.shape[1] == y.shape[-1]


def _flattened(w: Walk, value: Value, shape: Sequence[Dim]) -> Value | None:
    """The value as a matrix, or None where its form does not say how."""
    node = w.made_by(value, "broadcast_to", "reshape")
    if node is None:
        if value in w.constants:
            return _reshaped(w, value, shape)
        return w.reshape(value, shape)
    inner = node.operands[0]
    if node.op.name == "reshape":
        return inner if inner.shape == tuple(shape) else w.reshape(inner, shape)
    rows = inner.shape[:-1]
    if inner.rank == 0 or all(d == 1 for d in rows):
        flat = inner if inner.rank < 2 else _reshaped(w, inner, inner.shape[-1:])
        return w.broadcast_to(flat, shape)
    return None
