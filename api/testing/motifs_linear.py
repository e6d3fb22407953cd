"""Motifs around products, convolutions, sums, norms, attention, and of whole passes."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

from graphwright.ir.dim import Dim, product
from graphwright.ir.dtype import DTYPES, bool_, int64
from graphwright.ir.emitter import Value
from graphwright.ir.types import TensorType
from graphwright.testing.maker import Maker, Reject
from graphwright.testing.motifs import (
    MOTIFS,
    along,
    either_order,
    motif,
    number,
    numbers,
    often,
    rarely,
    read_again,
    spread,
)
from graphwright.testing.motifs_movement import reshaped, turned, view

_UNIT = (-1.0, 1.0)


def op(m: Maker, name: str, *operands: Value) -> Value:
    """An elementwise op."""
    return m.elementwise(name, *operands)[0]


def scaled(m: Maker, x: Value, factor: float) -> Value:
    """``x * factor``, or ``x / (1 / factor)``; rarely another number."""
    factor = factor * (1 + 2.0**-9) if rarely(m) else factor
    if m.flag():
        return op(m, "div", x, number(m, x.dtype, x.shape, 1 / factor))
    return either_order(m, "mul", x, number(m, x.dtype, x.shape, factor))


# Sums -------------------------------------------------------------------------------


def total(m: Maker, kind: str, x: Value, axes: tuple[int, ...]) -> Value:
    """A reduction that keeps its axes, repeated to the operand's shape."""
    y = m.bounded(m.size(x) * m.most(x.tensor.size), "reduce", x, kind=kind, axes=axes)
    kept = tuple(1 if i in axes else d for i, d in enumerate(x.shape))
    return spread(m, view(m, "reshape", y[0], shape=kept), x.shape)


def _float(m: Maker, rank: tuple[int, int] = (1, 3), **rules: Any) -> Value:
    x = m.tensor("f", rank, **rules)
    if not isinstance(x.shape[-1], int):
        raise Reject
    m.positive(*x.shape)
    return x


@motif("exp_over_sum")
def exp_over_sum(m: Maker) -> Sequence[Value]:
    x = _float(m, within=(-3.0, 3.0))
    axes = (m.axis(x),) if often(m) else m.axes(x)
    other = (m.axis(x),) if rarely(m) else axes
    s = op(m, "sub", x, total(m, "max", x, other)) if m.flag() else x
    e = op(m, "exp", s)
    under = total(m, "sum", e, axes)
    m.state(under, math.exp(-6.0), m.size(under), exact=False)
    y = m.elementwise("div", e, under)[0]
    return [m.state(y, 0.0, 1.0)]


def mean(m: Maker, x: Value, axes: tuple[int, ...]) -> Value:
    """A mean that keeps its axes, before it is repeated."""
    count = product(x.shape[a] for a in axes)
    if not isinstance(count, int):
        raise Reject
    y = m.bounded(m.size(x) * count, "reduce", x, kind="sum", axes=axes)[0]
    kept = tuple(1 if i in axes else d for i, d in enumerate(x.shape))
    y = view(m, "reshape", y, shape=kept)
    y = scaled(m, y, 1 / count)
    return m.state(y, -m.size(x), m.size(x))


@motif("norm_divided", "norm_multiplied")
def norm_written_out(m: Maker) -> Sequence[Value]:
    x = _float(m, (1, 3), within=(-2.0, 2.0))
    count = m.c.integer(1, x.rank)
    axes = m.axes(x) if rarely(m) else tuple(range(x.rank - count, x.rank))
    d = x
    if m.flag():
        d = op(m, "sub", x, spread(m, mean(m, x, axes), x.shape))
    square = (
        op(m, "mul", d, d)
        if m.flag()
        else m.elementwise("pow", d, number(m, d.dtype, d.shape, 2.0))[0]
    )
    m.state(square, 0.0, m.size(d) ** 2)
    power = mean(m, x if rarely(m) else square, axes)
    m.state(power, 0.0, m.size(square))
    power = either_order(m, "add", power, number(m, d.dtype, power.shape, 0.125))
    root = op(m, "sqrt", m.state(power, 0.125, m.size(power)))
    m.state(root, 0.3, m.size(root))
    if m.flag():
        y = op(m, "div", d, spread(m, root, d.shape))
    else:
        one = number(m, d.dtype, root.shape, 1.0)
        inverse = m.state(op(m, "div", one, root), 0.0, 3.0)
        y = either_order(m, "mul", d, spread(m, inverse, d.shape))
    read_again(m, d, root)
    return [m.state(y, -3 * m.size(d), 3 * m.size(d))]


@motif("norm_scaled", "norm_shifted")
def norm_affine(m: Maker) -> Sequence[Value]:
    x = _float(m, (2, 3))
    axis = m.c.integer(1, x.rank - 1)
    name = m.c.pick(["layer_norm", "rms_norm"])
    wanted = x.shape[axis:]
    given = [m.shaped(x.dtype, wanted)] if rarely(m) else []
    size = (m.most(product(wanted)) + 1) * (m.size(*given) + 1)
    y = m.bounded(size, name, x, *given, axis=axis, epsilon=0.125)[0]
    for step in ("mul", "add"):
        read_again(m, y)
        at = m.axis(x) if rarely(m) else axis
        y = either_order(m, step, y, _affine(m, x, at))
    return [y]


def _affine(m: Maker, x: Value, axis: int) -> Value:
    """What scales the axes from one on, repeated over those before."""
    small = m.shaped(x.dtype, x.shape[axis:])
    if m.flag():
        ones = (1,) * m.c.integer(0, axis)
        small = view(m, "reshape", small, shape=(*ones, *small.shape))
    return spread(m, small, x.shape)


# Attention ----------------------------------------------------------------------------


def _product(m: Maker, x: Value, y: Value) -> Value:
    depth = m.most(x.shape[-1])
    return m.bounded(m.size(x) * m.size(y) * depth, "dot", x, y)[0]


@motif("attend", "attend_without_nan", "attend_narrow", "recognize_narrow_attention")
def attend(m: Maker) -> Sequence[Value]:
    dtype = DTYPES[m.c.pick(["float32", "float64", "float16", "bfloat16"])]
    rank = m.c.integer(3, 4)
    n, rows, columns, size, out = (m.dim() for _ in range(5))
    group = m.c.integer(1, 2)
    heads = m.c.integer(1, 2) * group
    m.positive(columns, size)

    def part(count: int, *shape: Dim, within: Any = _UNIT) -> Value:
        lead = (n, count) if rank == 4 else (n,)
        return m.shaped(dtype, (*lead, *shape), within=within)

    repeats = heads // group if rank == 4 else 1
    q = part(heads, rows, size)
    k, v = part(group, columns, size), part(group, columns, out)
    if repeats > 1:
        k, v = (_repeated(m, x, repeats) for x in (k, v))
    if m.flag():
        q = scaled(m, q, 0.5)
    turned_k = view(m, "transpose", k, perm=(*range(rank - 2), rank - 1, rank - 2))
    if m.flag():
        turned_k = scaled(m, turned_k, 0.5)
    s = _product(m, q, turned_k)
    if m.flag():
        s = scaled(m, s, 0.25)
    s = m.inside(_masked(m, s), None)
    axis = rank - 1 if often(m) else m.axis(s)
    w = m.bounded(1.0, "softmax", s, axis=axis)[0]
    read_again(m, w, s)
    if m.flag():
        clean = m.emit("eq", w, w)[0]
        w = m.emit("where", clean, w, number(m, dtype, w.shape, 0.0))[0]
        m.state(w, 0.0, 1.0)
    return [_product(m, w, v)]


def _repeated(m: Maker, x: Value, times: int) -> Value:
    """Each head of keys or values several times in a row."""
    n, g, t, d = x.shape
    wide = view(m, "reshape", x, shape=(n, g, 1, t, d))
    wide = view(m, "broadcast_to", wide, shape=(n, g, times, t, d))
    return view(m, "reshape", wide, shape=(n, g * times, t, d))


def _masked(m: Maker, s: Value) -> Value:
    """Scores with nothing, a mask or several added, or causal."""
    *_, rows, columns = s.shape
    kind = m.c.integer(0, 5)
    if kind == 5:
        low = m.c.pick([-math.inf, -1e30, -3e38, -10.0][: 3 + (not m.sure)])
        allowed = spread(m, m.shaped(DTYPES["bool"], (rows, columns)), s.shape)
        least = number(m, s.dtype, s.shape, low) if s.dtype.bits > 16 else s
        m.state(least, -10.0, 0.0)
        pair = (s, least) if m.flag() else (least, s)
        y = m.emit("where", allowed, *pair)[0]
        return m.state(y, -m.size(s), m.size(s))
    if kind == 1:
        mask = m.shaped(s.dtype, s.shape if m.flag() else (rows, columns))
        return either_order(m, "add", s, spread(m, mask, s.shape))
    if kind == 2:
        once = op(m, "add", s, spread(m, m.shaped(s.dtype, (columns,)), s.shape))
        return op(m, "add", once, m.shaped(s.dtype, s.shape))
    if kind == 3:
        key, query = (
            m.emit("iota", shape=(rows, columns), axis=a, dtype=int64)[0]
            for a in ((1, 0) if often(m) else (0, 1))
        )
        allowed = m.emit(
            "or", m.emit("lt", key, query)[0], m.emit("eq", key, query)[0]
        )[0]
        least = m.b.full((rows, columns), -math.inf, s.dtype)
        zero = m.b.full((rows, columns), 0.0, s.dtype)
        mask = m.b.where(allowed, zero, least)
        y = m.emit("add", s, spread(m, mask, s.shape))[0]
        return m.state(y, -m.size(s), m.size(s))
    return s


# Scales -------------------------------------------------------------------------------


def _constant_weights(m: Maker, x: Value, *shape: int) -> Value:
    """Weights that a pass may change; rarely an input."""
    if rarely(m):
        return m.shaped(x.dtype, shape, within=_UNIT)
    return numbers(m, x.dtype, shape)


def _scaled_before(m: Maker, x: Value, axis: int, names: Sequence[str]) -> Value:
    """An operand scaled by a number or a vector, or shifted."""
    name = m.c.pick(names)
    if name in ("mul", "div"):
        c = number(m, x.dtype, x.shape, m.c.pick([3.0, -2.0, 0.5, 1e-3]))
    else:
        at = m.axis(x) if rarely(m) else axis
        c = along(m, x.dtype, x.shape, at)
        name = {"scale": "mul", "shift": "add"}[name]
    return op(m, name, x, c) if name == "div" else either_order(m, name, x, c)


def _scaled_after(m: Maker, y: Value, axis: int, names: Sequence[str]) -> Value:
    """A result scaled, or shifted and scaled, along an axis."""
    for name in names:
        read_again(m, y)
        at = m.axis(y) if rarely(m) else axis
        y = either_order(m, name, y, along(m, y.dtype, y.shape, at))
    return y


_AFTER = (("mul",), ("add", "mul"), ("mul", "add", "mul"), ("add",), ())
_BEFORE = ("mul", "div", "scale", "shift")


def _of_dot(
    m: Maker,
    before: Sequence[str] = _BEFORE,
    after: Sequence[Sequence[str]] = _AFTER,
    flat: bool = False,
) -> Sequence[Value]:
    """A product with constants, scaled before or after, reshaped between."""
    x = m.tensor("f", (3, 3) if flat else (2, 3), within=(-2.0, 2.0))
    depth = x.shape[-1]
    if not isinstance(depth, int) or not depth or x.dtype.bits < 16:
        raise Reject
    if before:
        x = _scaled_before(m, x, x.rank - 1, before)
        read_again(m, x)
    if x.rank == 3:
        x = view(m, "reshape", x, shape=(product(x.shape[:-1]), depth))
    y = _product(m, x, _constant_weights(m, x, depth, m.c.integer(2, 3)))
    return [_scaled_after(m, y, 1, m.c.pick(after))]


for _name, _given in {
    "scale_dot": {"before": (), "after": _AFTER[:1]},
    "scale_shifted_root": {"before": (), "after": _AFTER[1:3]},
    "factor_into_dot": {"before": ("mul",)},
    "divisor_into_dot": {"before": ("div",)},
    "divisor_past_reshape": {"before": ("div",), "flat": True},
    "factor_past_reshape": {"before": ("mul",), "flat": True},
    "fuse_epilogues": {"before": (), "after": _AFTER[3:4]},
}.items():
    MOTIFS[_name] = partial(_of_dot, **_given)  # type: ignore[arg-type]


def image(m: Maker, low: int = 1) -> Value:
    """``[N, C, *spatial]`` of a dtype that sums as it is."""
    n = m.c.integer(1, 2)
    dtype = DTYPES[m.c.pick(["float32", "float32", "float64"])]
    shape = (m.dim(), m.c.integer(low, 3), *(m.dim() for _ in range(n)))
    m.positive(*shape[2:])
    return m.shaped(dtype, shape, within=(-2.0, 2.0))


def convolved(m: Maker, x: Value, groups: int = 1, *, bare: bool = False) -> Value:
    """A convolution with constant weights."""
    channels = x.shape[1]
    assert isinstance(channels, int)
    n = x.rank - 2
    kernel = tuple(m.c.pick([1, 1, 2, 3]) for _ in range(n))
    out = groups * m.c.integer(1, 2)
    k = _constant_weights(m, x, out, channels // groups, *kernel)
    fields: dict[str, Any] = {
        "strides": tuple(m.c.pick([1, 1, 2]) for _ in range(n)),
        "lhs_dilation": tuple(2 if rarely(m) else 1 for _ in range(n)),
        "rhs_dilation": tuple(m.c.pick([1, 1, 2]) for _ in range(n)),
    }
    reach = [(s - 1) * d for s, d in zip(kernel, fields["rhs_dilation"], strict=True)]
    bare = bare and not rarely(m)
    pads = tuple((0, 0) if bare else (m.c.integer(0, r), r) for r in reach)
    for d, r in zip(x.shape[2:], reach, strict=True):
        m.positive(d - r)
    size = m.size(x) * m.size(k) * 9 * channels
    return m.bounded(size, "conv", x, k, padding=pads, groups=groups, **fields)[0]


def _of_conv(
    m: Maker,
    before: Sequence[str] = _BEFORE,
    after: Sequence[Sequence[str]] = _AFTER,
    bare: bool = False,
) -> Sequence[Value]:
    """A convolution by constants, scaled before or after."""
    x = image(m)
    if before:
        x = _scaled_before(m, x, 1, before)
        read_again(m, x)
    channels = x.shape[1]
    assert isinstance(channels, int)
    y = convolved(m, x, channels if rarely(m) else 1, bare=bare)
    return [_scaled_after(m, y, 1, m.c.pick(after))]


for _name, _given in {
    "scale_conv": {"before": (), "after": _AFTER[:1]},
    "factor_into_conv": {"before": ("mul",)},
    "divisor_into_conv": {"before": ("div",)},
    "channels_into_conv": {"before": ("scale",)},
    "shift_into_conv": {"before": ("shift",), "bare": True},
}.items():
    MOTIFS[_name] = partial(_of_conv, **_given)  # type: ignore[arg-type]


@motif("bound_before_scale")
def bound_before_scale(m: Maker) -> Sequence[Value]:
    x = image(m)
    y = either_order(m, "mul", x, along(m, x.dtype, x.shape, 1))
    y = either_order(m, "add", y, along(m, x.dtype, x.shape, 1))
    read_again(m, y)
    low = number(m, x.dtype, x.shape, m.c.pick([0.0, 0.5, -1.0]))
    return [convolved(m, op(m, "max", y, low), bare=True)]


# Passes -------------------------------------------------------------------------------


@motif("channels_last")
def around_conv(m: Maker) -> Sequence[Value]:
    """A convolution and what may follow it, channels still in front."""
    y = m.inside(convolved(m, image(m)), (-4.0, 4.0))
    for _ in range(m.c.integer(1, 4)):
        read_again(m, y)
        y = m.inside(_next(m, y), (-4.0, 4.0))
        if y.rank < 3:
            break
    return [y]


def _next(m: Maker, y: Value) -> Value:
    kind = m.c.integer(0, 9)
    match kind:
        case 0:
            return either_order(m, "add", y, along(m, y.dtype, y.shape, 1))
        case 1:
            return op(m, "max", y, number(m, y.dtype, y.shape, 0.0))
        case 2:
            return either_order(m, "add", y, m.like(y))
        case 3:
            return m.emit("concat", y, op(m, "neg", y), axis=m.axis(y))[0]
        case 4:
            ends = {s: tuple(m.c.integer(0, 1) for _ in y.shape) for s in _SIDES}
            return m.emit("pad", y, number(m, y.dtype, (), 0.5), **ends)[0]
        case 5:
            m.positive(*y.shape)
            return turned(m, y)
        case 6:
            return reshaped(m, y)
        case 7:
            return _pooled(m, y)
        case 8:
            m.positive(*y.shape)
            axes = (*range(2, y.rank),) if m.flag() else m.axes(y)
            size = m.size(y) * m.most(y.tensor.size)
            found = m.c.pick(["max", "sum"])
            return m.bounded(size, "reduce", y, kind=found, axes=axes)[0]
        case _:
            again = isinstance(y.shape[1], int) and y.shape[1] > 0 and y.rank < 5
            return convolved(m, y) if again else op(m, "tanh", y)


_SIDES = ("low", "high", "interior")


def _pooled(m: Maker, y: Value) -> Value:
    n = m.c.integer(1, y.rank - 1)
    m.positive(*y.shape)
    window = tuple(m.c.pick([1, 2]) for _ in range(n))
    pads = tuple((0, w - 1) for w in window)
    fields: dict[str, Any] = {"dilations": (1,) * n, "strides": (1,) * n}
    size = m.size(y) * 4
    kind = "sum"
    return m.bounded(
        size, "reduce_window", y, kind=kind, window=window, padding=pads, **fields
    )[0]


@motif("sink_reshapes")
def reshaped_product(m: Maker) -> Sequence[Value]:
    """A product of a matrix, reshaped back, with bias and residual."""
    x = m.tensor("f", (3, 3), within=(-2.0, 2.0))
    depth = x.shape[-1]
    if not isinstance(depth, int) or not depth:
        raise Reject
    flat = view(m, "reshape", x, shape=(product(x.shape[:-1]), depth))
    y = _product(m, flat, _constant_weights(m, x, depth, depth))
    y = view(m, "reshape", y, shape=x.shape)
    for _ in range(m.c.integer(1, 3)):
        other = m.c.integer(0, 3)
        if other == 0:
            y = either_order(m, "add", y, along(m, y.dtype, y.shape, y.rank - 1))
        elif other == 1:
            y = either_order(m, "add", y, x)
        elif other == 2:
            y = op(m, "max", y, number(m, y.dtype, y.shape, 0.0))
        else:
            y = op(m, "tanh", y)
    return [y]


@motif("fuse_elementwise")
def chain(m: Maker) -> Sequence[Value]:
    """A few elementwise ops in a row, and side by side."""
    y = m.tensor("f", (1, 3), within=(-2.0, 2.0))
    x = y
    for _ in range(m.c.integer(2, 5)):
        name = m.c.pick(["tanh", "neg", "add", "mul", "abs", "sigmoid"])
        if name in ("add", "mul"):
            y = either_order(m, name, y, m.c.pick([x, along(m, y.dtype, y.shape, -1)]))
        else:
            y = op(m, name, y)
        read_again(m, y)
    return [y]


@motif("fold_constants", "merge_common")
def twins(m: Maker) -> Sequence[Value]:
    """Equal ops on equal operands, constants that meet, ops that are almost equal."""
    x = m.tensor("f", (1, 3), within=(-2.0, 2.0))
    dims = [d for d in x.shape if isinstance(d, int)]
    if len(dims) < x.rank:
        raise Reject
    c, d = numbers(m, x.dtype, dims), numbers(m, x.dtype, dims[-1:])
    held = either_order(m, "mul", c, spread(m, d, x.shape))
    first = op(m, "tanh", op(m, "sub", x, held))
    same = op(m, "sub", held, x) if rarely(m) else op(m, "sub", x, held)
    return [op(m, "sub", first, op(m, "tanh", same)), op(m, "exp", same)]


@motif("hoist_invariants")
def loop(m: Maker) -> Sequence[Value]:
    """A loop whose body computes something that never changes."""
    x = m.tensor("f", (1, 2), within=_UNIT)
    fixed = m.inside(m.like(x), _UNIT)
    sub = m.inner("body")
    step = sub.b.input("step", TensorType(int64, ()))
    going = sub.b.input("going", TensorType(bool_, ()))
    plain = TensorType(x.dtype, x.shape)
    state, other = (sub.b.input(n, plain) for n in ("state", "other"))
    for v in (state, other):
        sub.state(v, *_UNIT)
    invariant = op(sub, "neg", op(sub, "tanh", other))
    if m.flag():
        invariant = op(sub, "mul", invariant, number(sub, x.dtype, x.shape, 0.5))
    if rarely(m):
        invariant = op(sub, "add", invariant, state)
    after = sub.inside(op(sub, "mul", state, invariant), _UNIT)
    again = sub.b.and_(going, sub.b.lt(step, m.c.integer(0, 3)))
    body = sub.b.finish([again, after])
    trips = m.constant(m.c.pick([0, 1, 3]), int64)
    fields: dict[str, Any] = {"types": (plain,), "carried": 1, "body": body}
    return m.bounded(
        1.0, "while_loop", trips, m.constant(True), x, fixed, fresh=(), **fields
    )
