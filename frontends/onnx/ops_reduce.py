"""Reductions of ONNX: over axes, to an index, and running ones."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from graphwright.frontends.onnx.context import Context
from graphwright.frontends.onnx.exporting import Export, Exported
from graphwright.frontends.onnx.kernels import holder
from graphwright.frontends.onnx.operands import widened
from graphwright.frontends.onnx.ops_movement import REDUCERS
from graphwright.frontends.onnx.registry import converter, exporter
from graphwright.ir.dim import Dim, product
from graphwright.ir.dtype import bool_, float64, int32, int64
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.graph import Graph
from graphwright.ir.ops.reduce import identity
from graphwright.ir.types import TensorType

Rule: TypeAlias = Callable[[Emitter, Value, Sequence[int]], Value]
"""Reduces over axes, which stay as axes of size 1."""


def _kind(kind: str) -> Rule:
    def rule(b: Emitter, x: Value, axes: Sequence[int]) -> Value:
        return b.reduce(kind, x, axes, keepdims=True)

    return rule


_sum = _kind("sum")


def _mean(b: Emitter, x: Value, axes: Sequence[int]) -> Value:
    count = b.dim_scalar(product([x.shape[a] for a in axes]), x.dtype)
    return b.div(_sum(b, x, axes), count)


def _l1(b: Emitter, x: Value, axes: Sequence[int]) -> Value:
    return _sum(b, b.abs(x), axes)


def _sum_square(b: Emitter, x: Value, axes: Sequence[int]) -> Value:
    return _sum(b, b.mul(x, x), axes)


def _l2(b: Emitter, x: Value, axes: Sequence[int]) -> Value:
    return b.sqrt(_sum_square(b, x, axes))


def _log_sum(b: Emitter, x: Value, axes: Sequence[int]) -> Value:
    return b.log(_sum(b, x, axes))


def _log_sum_exp(b: Emitter, x: Value, axes: Sequence[int]) -> Value:
    """Shifted by the greatest element, unless that is infinite."""
    top = b.reduce("max", x, axes, keepdims=True)
    shift = b.where(b.eq(b.sub(top, top), 0), top, 0)
    return b.add(_log_sum(b, b.exp(b.sub(x, shift)), axes), shift)


_RULES: dict[str, Rule] = {
    "ReduceSum": _sum,
    "ReduceProd": _kind("prod"),
    "ReduceMax": _kind("max"),
    "ReduceMin": _kind("min"),
    "ReduceMean": _mean,
    "ReduceL1": _l1,
    "ReduceL2": _l2,
    "ReduceSumSquare": _sum_square,
    "ReduceLogSum": _log_sum,
    "ReduceLogSumExp": _log_sum_exp,
}
_REAL = {"ReduceL2", "ReduceLogSum", "ReduceLogSumExp"}
_WIDE = {*_REAL, "ReduceMean", "ReduceSumSquare"}


@converter(*_RULES)
def reduce_over_attribute(c: Context) -> Value:
    """A reduction over the axes of an attribute, or all."""
    return _reduce(c, c.integers("axes", []))


@converter("ReduceSum", since=13)
@converter(*(name for name in _RULES if name != "ReduceSum"), since=18)
def reduce_over_input(c: Context) -> Value:
    """A reduction over the axes of an input, or all (or none, if so asked for)."""
    axes = c.optional(1)
    empty = axes is None or axes.tensor.shape == (0,)
    return _reduce(c, [] if axes is None or empty else c.int_list(axes))


def _reduce(c: Context, listed: Sequence[int]) -> Value:
    b, x = c.b, c[0]
    axes = sorted(set(c.axes(listed, x.rank)))
    if not axes and not c.integer("noop_with_empty_axes", 0):
        axes = list(range(x.rank))
    y = _in_range(b, x, c.op_type, lambda v: _RULES[c.op_type](b, v, axes))
    return y if c.integer("keepdims", 1) else b.squeeze(y, axes)


def _in_range(b: Emitter, x: Value, name: str, rule: Callable[[Value], Value]) -> Value:
    """``rule`` in a dtype wide enough for what it computes on the way."""
    if x.dtype.is_int and name in _REAL:
        return b.cast(rule(b.cast(x, float64)), x.dtype)
    return widened(b, x, rule) if name in _WIDE else rule(x)


@converter("ArgMax", "ArgMin")
def arg_extreme(c: Context) -> Value:
    """Index of the first (or last) greatest or least element along an axis."""
    axis = c.axis(c.integer("axis", 0), c[0].rank)
    last = bool(c.integer("select_last_index", 0))
    kind = "max" if c.op_type == "ArgMax" else "min"
    y = c.b.arg_reduce(kind, c[0], axis, last=last)
    return c.b.expand_dims(y, [axis]) if c.integer("keepdims", 1) else y


@converter("CumSum", "CumProd")
def running(c: Context) -> Value:
    """Running sum or product along an axis."""
    (axis,) = c.axes(c.int_list(c[1]), c[0].rank)
    return c.b.cumulative(
        "sum" if c.op_type == "CumSum" else "prod",
        c[0],
        axis,
        exclusive=bool(c.integer("exclusive", 0)),
        reverse=bool(c.integer("reverse", 0)),
    )


# Export -------------------------------------------------------------------------------


_REDUCE = {
    "sum": "ReduceSum",
    "prod": "ReduceProd",
    "max": "ReduceMax",
    "min": "ReduceMin",
}


@exporter("reduce")
def reduce(e: Export) -> Exported:
    """Over axes; over no elements it is the identity."""
    (x,), kind = e.operands, e.op.kind
    if not e.op.axes:
        return x
    if any(x.shape[a] == 0 for a in e.op.axes):
        return e.b.full(e.result.shape, identity(kind, x.dtype), x.dtype)
    return _reduced(e, False)


def _reduced(e: Export, keepdims: bool) -> str:
    (x,), name = e.operands, _REDUCE[e.op.kind]
    if x.dtype is bool_ and e.version < 20:
        return e.cast(_node(e, name, e.cast(e[0], int32), keepdims), bool_)
    wide = x.dtype if x.dtype is bool_ else holder(name, x.dtype, e.version)
    given = e[0] if wide is x.dtype else e.cast(e[0], wide)
    found = _node(e, name, given, keepdims)
    return found if wide is x.dtype else e.cast(found, x.dtype)


def _node(e: Export, name: str, x: str, keepdims: bool) -> str:
    axes = list(e.op.axes)
    if name == "ReduceSum" or e.version >= 18:
        return e.add(name, x, e.ints(*axes), keepdims=int(keepdims))
    return e.add(name, x, axes=axes, keepdims=int(keepdims))


def _located(e: Export, keepdims: bool) -> str:
    op, (x,) = e.op, e.operands
    name = "ArgMax" if op.kind == "max" else "ArgMin"
    fields: dict[str, Any] = {
        "axis": op.axis,
        "keepdims": int(keepdims),
        "select_last_index": int(op.last),
    }
    wide = holder(name, x.dtype, e.version)
    return e.add(name, e[0] if wide is x.dtype else e.cast(e[0], wide), **fields)


REDUCERS["reduce"] = _reduced
REDUCERS["arg_reduce"] = _located


@exporter("arg_reduce")
def arg_reduce(e: Export) -> str:
    """The first or last place of the extreme."""
    return _located(e, False)


def mean_of(e: Export, total: Value, count: Value) -> str | None:
    """A sum over its number of elements, as one node."""
    node, kept = e.made_by(total, "reduce"), False
    shaped = e.made_by(total, "reshape")
    if shaped is not None:
        node, kept = e.made_by(shaped.operands[0], "reduce"), True
    if node is None or node.op.kind != "sum":
        return None
    (x,), axes = node.operands, node.op.axes
    ones = [1 if i in axes else d for i, d in enumerate(x.shape)]
    if kept and tuple(ones) != total.shape:
        return None
    if not _counts(e, count, product([x.shape[a] for a in axes])):
        return None
    if kept and x.rank > 2 and axes == tuple(range(2, x.rank)):
        return e.add("GlobalAveragePool", e.name(x))
    if e.version < 18:
        return e.add("ReduceMean", e.name(x), axes=list(axes), keepdims=int(kept))
    return e.add("ReduceMean", e.name(x), e.ints(*axes), keepdims=int(kept))


def _counts(e: Export, value: Value, size: Dim) -> bool:
    """Whether a number is this size."""
    if isinstance(size, int):
        return size > 0 and e.is_scalar(value, size)
    node = e.made_by(value, "cast")
    node = node and e.made_by(node.operands[0], "reshape")
    node = node and e.made_by(node.operands[0], "size_of")
    return node is not None and node.op.dims == (size,)


# Along an axis ------------------------------------------------------------------------


@exporter("cumulative")
def cumulative(e: Export) -> Exported:
    """``CumSum``; other kinds as a scan, ``CumProd`` where the opset has it."""
    op, (x,) = e.op, e.operands
    name = {"sum": "CumSum", "prod": "CumProd"}.get(op.kind)
    if name is None or (name == "CumProd" and e.version < 26):
        return _scanned(e, x)
    wide = holder(name, x.dtype, e.version)
    given = e[0] if wide is x.dtype else e.cast(e[0], wide)
    fields: dict[str, Any] = {
        "exclusive": int(op.exclusive),
        "reverse": int(op.reverse),
    }
    found = e.add(name, given, e.constant(op.axis, int64), **fields)
    return found if wide is x.dtype else e.cast(found, x.dtype)


def _scanned(e: Export, x: Value) -> Value:
    b, op = e.b, e.op
    wide = x.dtype.accumulate
    rest = TensorType(wide, (*x.shape[: op.axis], *x.shape[op.axis + 1 :]))
    start = b.full(rest.dims, identity(op.kind, wide), wide)
    _, y = b.emit_all(
        "scan",
        start,
        b.cast(x, wide),
        types=(rest, TensorType(wide, x.shape)),
        body=_step(e, rest),
        carried=1,
        scanned=1,
        in_axes=(op.axis,),
        out_axes=(op.axis,),
        reverse=(op.reverse,),
        out_reverse=(op.reverse,),
    )
    return b.cast(y, x.dtype)


def _step(e: Export, rest: TensorType) -> Graph:
    body = e.b.subgraph("step")
    state, item = body.input("state", rest), body.input("item", rest)
    after = body.emit(e.op.kind if e.op.kind != "prod" else "mul", state, item)
    graph: Graph = body.finish([after, state if e.op.exclusive else after])
    return graph


# Windows ------------------------------------------------------------------------------


@exporter("reduce_window")
def reduce_window(e: Export) -> Exported:
    """``MaxPool`` and ``AveragePool`` of images, else one slice for each tap."""
    (x,), op = e.operands, e.op
    if not _poolable(e, x, op.kind):
        return _by_taps(e, x)
    if op.kind == "max":
        return _pool(e, x, "MaxPool")[0]
    total = 1
    for w in op.window:
        total *= w
    mean = e.wrap(_pool(e, x, "AveragePool", count_include_pad=1)[0], e.result.tensor)
    return e.b.mul(mean, total)


def _poolable(e: Export, x: Value, kind: str) -> bool:
    op, wide = e.op, x.dtype.is_float and x.dtype.bits >= 16
    if kind == "max":
        fits = wide or x.dtype.name in ("int8", "uint8")
    else:
        fits = kind == "sum" and wide and e.version >= 19
    spatial = 1 <= len(op.window) <= 3 and x.rank == len(op.window) + 2
    rows = zip(op.window, op.padding, strict=True)
    return fits and spatial and all(_inside(w, *p) for w, p in rows)


def _inside(window: int, low: Any, high: Any) -> bool:
    """Whether padding is known, and no window can lie in it alone."""
    known = isinstance(low, int) and isinstance(high, int)
    return known and 0 <= low < window and 0 <= high < window


def _pool(
    e: Export, x: Value, name: str, outputs: int = 1, **more: Any
) -> Sequence[str]:
    op = e.op
    fields: dict[str, Any] = {
        "kernel_shape": list(op.window),
        "strides": list(op.strides),
    }
    if any(d != 1 for d in op.dilations):
        fields["dilations"] = list(op.dilations)
    if any(p != (0, 0) for p in op.padding):
        fields["pads"] = [p[0] for p in op.padding] + [p[1] for p in op.padding]
    return e.all(name, e.name(x), outputs=outputs, **fields, **more)


_COMBINE = {"sum": "add", "prod": "mul", "max": "max", "min": "min"}


def _padded(e: Export, x: Value, fill: Any) -> Value:
    op, lead = e.op, x.rank - len(e.op.window)
    low = [0] * lead + [p[0] for p in op.padding]
    high = [0] * lead + [p[1] for p in op.padding]
    return e.b.pad(x, low, high, fill)


def _taps(window: Sequence[int]) -> list[tuple[int, ...]]:
    found: list[tuple[int, ...]] = [()]
    for n in window:
        found = [(*tap, i) for tap in found for i in range(n)]
    return found


def _tap(e: Export, x: Value, tap: Sequence[int]) -> Value:
    """For each window its element at a place."""
    op, lead = e.op, x.rank - len(tap)
    at = [0] * lead + [t * d for t, d in zip(tap, op.dilations, strict=True)]
    return e.b.slice(x, at, e.result.shape, (*(1,) * lead, *op.strides))


def _by_taps(e: Export, x: Value) -> Value:
    b, op = e.b, e.op
    wide = x.dtype.accumulate
    x = _padded(e, b.cast(x, wide), identity(op.kind, wide))
    total: Value | None = None
    for tap in _taps(op.window):
        part = _tap(e, x, tap)
        total = part if total is None else b.emit(_COMBINE[op.kind], total, part)
    assert total is not None
    return b.cast(total, e.dtype)


@exporter("window_argmax")
def window_argmax(e: Export) -> Exported:
    """The indices of ``MaxPool``, counted in each image; else tap by tap."""
    (x,), b = e.operands, e.b
    size = product(x.shape[x.rank - len(e.op.window) :])
    if not _poolable(e, x, "max"):
        return _argmax_by_taps(e, x, size)
    found = e.wrap(_pool(e, x, "MaxPool", 2)[1], e.result.tensor)
    return b.rem(found, b.dim_scalar(size, int64))


def _argmax_by_taps(e: Export, x: Value, size: Dim) -> Value:
    """The first greatest element; padding, at place -1, gives way to any other."""
    b, shape = e.b, x.shape[x.rank - len(e.op.window) :]
    at = b.reshape(b.iota((size,), 0, int64), shape)
    at = _padded(e, b.broadcast_to(at, x.shape), -1)
    x = b.cast(x, x.dtype.accumulate)
    x = _padded(e, x, identity("max", x.dtype))
    best, place = (_tap(e, v, (0,) * len(e.op.window)) for v in (x, at))
    for tap in _taps(e.op.window)[1:]:
        item, spot = _tap(e, x, tap), _tap(e, at, tap)
        better = b.or_(b.lt(best, item), b.lt(place, 0))
        if x.dtype.is_float:
            better = b.or_(better, b.and_(b.is_nan(item), b.not_(b.is_nan(best))))
        better = b.and_(better, b.ge(spot, 0))
        best, place = b.where(better, item, best), b.where(better, spot, place)
    return place
