"""Recipes of reductions, contractions, normalisations and layers."""

from collections.abc import Sequence
from typing import Any

from graphwright.ir.dim import Dim, product
from graphwright.ir.dtype import DTYPES, DType, int64
from graphwright.ir.emitter import Value
from graphwright.testing.maker import Maker, Reject
from graphwright.testing.registry import recipe

_SMALL = (-1.0, 1.0)


def _kind(m: Maker) -> tuple[str, Value]:
    kind = m.c.pick(["sum", "max", "min", "prod"])
    kinds = "fiub" if kind in ("max", "min") else "fiuc"
    if kind == "prod" and not m.world.fresh:
        kinds = "fiu"
    return kind, m.tensor(kinds, (1, 4), within=_SMALL if kind == "prod" else None)


def _result(m: Maker, kind: str, x: Value) -> float:
    return m.size(x) * m.most(x.tensor.size) if kind == "sum" else m.size(x) + 1


@recipe("reduce")
def reduce(m: Maker) -> Sequence[Value]:
    kind, x = _kind(m)
    axes = m.axes(x)
    if kind in ("max", "min") and not m.world.fresh:  # infinite over no elements
        m.positive(*(x.shape[a] for a in axes))
    return m.bounded(_result(m, kind, x), "reduce", x, kind=kind, axes=axes)


@recipe("arg_reduce")
def arg_reduce(m: Maker) -> Sequence[Value]:
    x = m.tensor("fiub", (1, 3), exact=True)
    axis = m.axis(x)
    m.positive(x.shape[axis])
    kind = m.c.pick(["max", "min"])
    return m.emit("arg_reduce", x, kind=kind, axis=axis, last=m.flag())


@recipe("cumulative")
def cumulative(m: Maker) -> Sequence[Value]:
    kind, x = _kind(m)
    exclusive = m.flag() and (m.world.fresh or kind in ("sum", "prod"))
    fields = {"axis": m.axis(x), "exclusive": exclusive, "reverse": m.flag()}
    return m.bounded(_result(m, kind, x), "cumulative", x, kind=kind, **fields)


def _sliding(m: Maker, x: Value) -> dict[str, Any]:
    """Fields of a window over the last axes; each holds at least one element."""
    n = m.c.integer(1, min(2, x.rank))
    window = tuple(m.c.pick([1, 2, 3]) for _ in range(n))
    dilations = tuple(m.c.pick([1, 1, 2]) for _ in range(n))
    reach = [(w - 1) * d for w, d in zip(window, dilations, strict=True)]
    pads = [m.c.pick([(r // 2, r - r // 2), (0, r), (r, 0)]) for r in reach]
    m.positive(*x.shape[x.rank - n :])
    return {
        "window": window,
        "strides": tuple(m.c.pick([1, 2]) for _ in range(n)),
        "dilations": dilations,
        "padding": tuple(pads),
    }


@recipe("reduce_window")
def reduce_window(m: Maker) -> Sequence[Value]:
    kind, x = _kind(m)
    if x.dtype.kind == "b":
        raise Reject
    fields = _sliding(m, x)
    if kind in ("max", "min") and not m.world.fresh:  # infinite in the padding
        fields["padding"] = tuple((0, 0) for _ in fields["window"])
        fields["window"] = tuple(1 for _ in fields["window"])
    return m.bounded(9 * m.size(x) + 1, "reduce_window", x, kind=kind, **fields)


@recipe("window_argmax")
def window_argmax(m: Maker) -> Sequence[Value]:
    x = m.tensor("fiu", (1, 3), exact=True)
    return m.emit("window_argmax", x, **_sliding(m, x))


@recipe("dot")
def dot(m: Maker) -> Sequence[Value]:
    x = m.tensor("fiuc", (2, 3))
    y = m.shaped(x.dtype, (*x.shape[:-2], x.shape[-1], m.dim()))
    wide = DTYPES["int32"] if x.dtype.is_int and x.dtype.bits < 32 else None
    size = 2 * m.size(x) * m.size(y) * m.most(x.shape[-1])
    return m.bounded(size, "dot", x, y, dtype=wide if m.flag() else None)


def _sizes(m: Maker, n: int) -> tuple[Dim, ...]:
    return tuple(m.dim() for _ in range(n))


def _image(m: Maker, kinds: str, n: int) -> Value:
    """``[N, C, *spatial]`` with a known number of channels."""
    channels = m.dim(static=True)
    dtype = m.dtype(kinds)
    x = m.shaped(dtype, (m.dim(), channels, *_sizes(m, n)))
    return m.inside(x, (-4.0, 4.0))


@recipe("conv")
def conv(m: Maker) -> Sequence[Value]:
    n = m.c.integer(1, 2)
    x = _image(m, "fi", n)
    channels = x.shape[1]
    groups = channels if isinstance(channels, int) and channels > 1 and m.flag() else 1
    assert isinstance(groups, int)
    assert isinstance(channels, int)
    kernel = tuple(m.c.pick([1, 2, 3]) for _ in range(n))
    w = m.shaped(x.dtype, (groups * m.c.integer(1, 2), channels // groups, *kernel))
    rhs = tuple(m.c.pick([1, 1, 2]) for _ in range(n))
    reach = [(k - 1) * d for k, d in zip(kernel, rhs, strict=True)]
    m.positive(*x.shape[2:])
    return m.bounded(
        2 * m.size(x) * m.size(w) * 9 * max(channels, 1),
        "conv",
        x,
        w,
        strides=tuple(m.c.pick([1, 2]) for _ in range(n)),
        padding=tuple((m.c.integer(0, r), r) for r in reach),
        lhs_dilation=tuple(m.c.pick([1, 1, 2]) for _ in range(n)),
        rhs_dilation=rhs,
        groups=groups,
    )


@recipe("conv_transpose")
def conv_transpose(m: Maker) -> Sequence[Value]:
    n = m.c.integer(1, 2)
    x = _image(m, "f", n)
    channels = x.shape[1]
    groups = channels if isinstance(channels, int) and channels > 1 and m.flag() else 1
    assert isinstance(groups, int)
    kernel = tuple(m.c.pick([1, 2, 3]) for _ in range(n))
    w = m.shaped(x.dtype, (channels, m.c.integer(1, 2), *kernel))
    m.positive(*x.shape[2:])
    return m.bounded(
        m.size(x) * m.size(w) * 9 * max(m.most(channels), 1),
        "conv_transpose",
        x,
        w,
        strides=tuple(m.c.pick([1, 2]) for _ in range(n)),
        padding=tuple((0, k - 1) for k in kernel),
        dilations=(1,) * n,
        groups=groups,
    )


@recipe("fft")
def fft(m: Maker) -> Sequence[Value]:
    kind = m.c.pick(["fft", "ifft", "rfft", "irfft"])
    x = m.tensor("f" if kind == "rfft" else "c", (1, 3))
    if x.dtype.kind == "f" and x.dtype.bits < 32:
        raise Reject
    axis = m.axis(x)
    m.positive(x.shape[axis])
    n = x.shape[axis] if m.flag() else m.c.integer(1, 4)
    size = m.size(x) * 2 * max(m.most(x.shape[axis]), 1)
    return m.bounded(size, "fft", x, kind=kind, axis=axis, n=n)


# Normalisations -----------------------------------------------------------------------


@recipe("softmax")
def softmax(m: Maker) -> Sequence[Value]:
    return _normalised(m, "softmax", 1.0)


@recipe("log_softmax")
def log_softmax(m: Maker) -> Sequence[Value]:
    return _normalised(m, "log_softmax", 24.0)


def _normalised(m: Maker, name: str, size: float) -> Sequence[Value]:
    x = m.tensor("f", (1, 3), within=(-8.0, 8.0))
    return m.bounded(size, name, x, axis=m.axis(x))


@recipe("layer_norm")
def layer_norm(m: Maker) -> Sequence[Value]:
    return _norm(m, "layer_norm", 2)


@recipe("rms_norm")
def rms_norm(m: Maker) -> Sequence[Value]:
    return _norm(m, "rms_norm", 1)


def _norm(m: Maker, name: str, most: int) -> Sequence[Value]:
    x = m.tensor("f", (1, 3))
    axis = m.axis(x)
    count = m.c.integer(0, most)
    affine = [m.shaped(x.dtype, x.shape[axis:]) for _ in range(count)]
    m.positive(*x.shape[axis:])
    size = (m.most(product(x.shape[axis:])) + 1) * (m.size(*affine) + 1)
    return m.bounded(size, name, x, *affine, axis=axis, epsilon=0.125)


@recipe("resize")
def resize(m: Maker) -> Sequence[Value]:
    mode = m.c.pick(["nearest", "linear", "cubic"])
    x = m.tensor("f", (1, 3))
    axes = m.axes(x)
    m.positive(*(x.shape[a] for a in axes))
    return m.bounded(
        3 * m.size(x),
        "resize",
        x,
        mode=mode,
        coordinates=m.c.pick(["half_pixel", "asymmetric", "align_corners"]),
        nearest=m.c.pick(["floor", "round_prefer_floor", "ceil"]),
        cubic=-0.75,
        antialias=m.flag() and all(isinstance(d, int) for d in x.shape),
        exclude_outside=m.flag(),
        axes=axes,
        sizes=tuple(m.dim(static=True) for _ in axes),
        scales=(0.0,) * len(axes),
    )


# Layers -------------------------------------------------------------------------------


def _wide(m: Maker) -> DType:
    dtype = m.dtype("f")
    if dtype.bits < 16:
        raise Reject
    return dtype


@recipe("attention")
def attention(m: Maker) -> Sequence[Value]:
    dtype = _wide(m)
    n, rows, columns, size, out = _sizes(m, 5)
    group = m.c.integer(1, 2)
    heads = group * m.c.integer(1, 2)
    q = m.shaped(dtype, (n, heads, rows, size), within=(-2.0, 2.0))
    k = m.shaped(dtype, (n, group, columns, size), within=(-2.0, 2.0))
    v = m.shaped(dtype, (n, group, columns, out))
    mask = []
    if m.flag():
        kind = m.c.pick([dtype, DTYPES["bool"]])
        mask = [m.shaped(kind, (rows, columns))]
    lengths = [m.indices((n,), columns)] if m.flag() else []
    fields: dict[str, Any] = {
        "causal": m.flag(),
        "masked": bool(mask),
        "lengths": bool(lengths),
    }
    fields |= {"scale": 0.5, "softcap": m.c.pick([0.0, 3.0])}
    fields |= {"left": m.c.pick([-1, 1]), "right": m.c.pick([-1, 1])}
    operands = (q, k, v, *mask, *lengths)
    return m.bounded(m.size(v) + 1, "attention", *operands, **fields)


@recipe("rotary_embedding")
def rotary_embedding(m: Maker) -> Sequence[Value]:
    dtype = _wide(m)
    n, heads, rows, pairs = _sizes(m, 4)
    x = m.shaped(dtype, (n, heads, rows, 2 * pairs))
    last = m.c.integer(1, 2) * pairs
    shape = m.c.pick([(last,), (rows, last), (n, 1, rows, last)])
    angles = [m.shaped(dtype, shape, within=(-1.0, 1.0)) for _ in range(2)]
    fields = {"interleaved": m.flag()}
    return m.bounded(2 * m.size(x), "rotary_embedding", x, *angles, **fields)


@recipe("linear_attention")
def linear_attention(m: Maker) -> Sequence[Value]:
    dtype = _wide(m)
    steps, n, size, out = _sizes(m, 4)
    group = m.c.integer(1, 2)
    heads = group * m.c.integer(1, 2)

    def part(*shape: Dim, within: tuple[float, float] = _SMALL) -> Value:
        return m.shaped(dtype, shape, within=within)

    operands = [part(steps, n, heads, size), part(steps, n, group, size)]
    operands += [part(steps, n, group, out), part(n, group, size, out)]
    decays, delta = m.flag(), m.flag()
    if decays:
        operands.append(part(steps, n, group, m.c.pick([1, size]), within=(-2.0, -0.5)))
    if delta:
        operands.append(part(steps, n, m.c.pick([1, group]), 1, within=(0.0, 0.5)))
    bound = 4.0 ** m.most(steps) * max(m.most(size), 1)
    if bound > 1e4:
        raise Reject
    fields = {"scale": 0.5, "decays": decays, "delta": delta}
    return m.bounded(bound, "linear_attention", *operands, **fields)


_FUNCTIONS = [("tanh", 0.0, 0.0), ("sigmoid", 0.0, 0.0), ("softsign", 0.0, 0.0)]


@recipe("rnn")
def rnn(m: Maker) -> Sequence[Value]:
    return _recurrent(m, "rnn", gates=1, states=1, functions=1)


@recipe("gru")
def gru(m: Maker) -> Sequence[Value]:
    before = m.flag()
    return _recurrent(
        m, "gru", gates=3, states=1, functions=2, linear_before_reset=before
    )


@recipe("lstm")
def lstm(m: Maker) -> Sequence[Value]:
    fields = {"peepholes": m.flag(), "coupled": m.flag()}
    return _recurrent(m, "lstm", gates=4, states=2, functions=3, **fields)


def _recurrent(
    m: Maker, name: str, gates: int, states: int, functions: int, **fields: bool
) -> Sequence[Value]:
    dtype = _wide(m)
    steps, n, inner, size = (*_sizes(m, 3), m.dim(static=True))
    shapes: list[tuple[Dim, ...]] = [(steps, n, inner), (gates * size, inner)]
    shapes += [(gates * size, size), (2 * gates * size,), *[(n, size)] * states]
    shapes += [(3 * size,)] if fields.get("peepholes") else []
    operands = [m.shaped(dtype, s, within=_SMALL) for s in shapes]
    has_lengths = m.flag()
    if has_lengths:
        operands.append(m.indices((n,), steps + 1, int64))
    return m.bounded(
        float(m.most(steps)) + 2,
        name,
        *operands,
        activations=tuple(m.c.pick(_FUNCTIONS) for _ in range(functions)),
        clip=m.c.pick([0.0, 0.75]),
        reverse=m.flag(),
        lengths=has_lengths,
        **fields,
    )
