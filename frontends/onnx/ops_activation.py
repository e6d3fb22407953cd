"""Activations of ONNX."""

from collections.abc import Callable

from graphwright.frontends.onnx.context import Context
from graphwright.frontends.onnx.exporting import Export, Exported
from graphwright.frontends.onnx.operands import along_axis, widened
from graphwright.frontends.onnx.registry import converter, exporter
from graphwright.ir.dim import product
from graphwright.ir.dtype import DType, float32, float64, int64
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import ModelError


@converter("Relu")
def relu(c: Context) -> Value:
    """``max(x, 0)``."""
    return c.b.max(c[0], 0)


@converter("LeakyRelu")
def leaky_relu(c: Context) -> Value:
    """``x`` from 0 on, ``alpha x`` below."""
    b, alpha = c.b, c.real("alpha", 0.01)
    return widened(b, c[0], lambda x: b.where(b.lt(x, 0), b.mul(x, alpha), x))


@converter("PRelu")
def prelu(c: Context) -> Value:
    """``x`` from 0 on, ``slope x`` below."""
    b, x, slope = c.b, c[0], c[1]
    if c.version < 7 and slope.rank == 1 and slope.shape[0] != 1:
        slope = along_axis(c, slope, x.rank, 1)  # one for each channel
    return b.where(b.lt(x, 0), b.mul(x, slope), x)


def _elu(b: Emitter, x: Value, alpha: float) -> Value:
    below = b.mul(b.unary("expm1", b.min(x, 0)), alpha)
    return b.where(b.gt(x, 0), x, below)


@converter("Elu")
def elu(c: Context) -> Value:
    """``x`` above 0, ``alpha (e^x - 1)`` below."""
    alpha = c.real("alpha", 1.0)
    return widened(c.b, c[0], lambda x: _elu(c.b, x, alpha))


@converter("Selu")
def selu(c: Context) -> Value:
    """``gamma`` times Elu (Klambauer et al., 2017, give the constants)."""
    alpha, gamma = (1.6732, 1.0507) if c.version < 6 else (1.67326319218, 1.05070102215)
    alpha, gamma = c.real("alpha", alpha), c.real("gamma", gamma)
    return widened(c.b, c[0], lambda x: c.b.mul(_elu(c.b, x, alpha), gamma))


@converter("Celu")
def celu(c: Context) -> Value:
    """``max(x, 0) + min(0, alpha (e^(x / alpha) - 1))``."""
    b, alpha = c.b, c.real("alpha", 1.0)

    def rule(x: Value) -> Value:
        below = b.unary("expm1", b.div(b.min(x, 0), alpha))
        return b.add(b.max(x, 0), b.mul(below, alpha))

    return widened(b, c[0], rule)


@converter("ThresholdedRelu")
def thresholded_relu(c: Context) -> Value:
    """``x`` above ``alpha``, else 0."""
    b, alpha = c.b, c.real("alpha", 1.0)
    return widened(b, c[0], lambda x: b.where(b.gt(x, alpha), x, 0))


def _hard_sigmoid(b: Emitter, x: Value, alpha: float, beta: float) -> Value:
    return b.min(b.max(b.add(b.mul(x, alpha), beta), 0), 1)


@converter("HardSigmoid")
def hard_sigmoid(c: Context) -> Value:
    """``alpha x + beta`` kept between 0 and 1."""
    alpha, beta = c.real("alpha", 0.2), c.real("beta", 0.5)
    return widened(c.b, c[0], lambda x: _hard_sigmoid(c.b, x, alpha, beta))


@converter("HardSwish")
def hard_swish(c: Context) -> Value:
    """``x`` times ``x / 6 + 1 / 2`` kept between 0 and 1."""
    b = c.b
    return widened(b, c[0], lambda x: b.mul(x, _hard_sigmoid(b, x, 1 / 6, 0.5)))


@converter("Swish")
def swish(c: Context) -> Value:
    """``x sigmoid(alpha x)``."""
    return c.b.emit("swish", c[0], alpha=c.real("alpha", 1.0))


@converter("Mish")
def mish(c: Context) -> Value:
    """``x tanh(softplus(x))``."""
    b = c.b
    return widened(b, c[0], lambda x: b.mul(x, b.tanh(b.unary("softplus", x))))


@converter("Sigmoid", "Softplus")
def composite(c: Context) -> Value:
    """An activation that the IR has by the same name."""
    return c.b.unary(c.op_type.lower(), c[0])


@converter("Softsign")
def softsign(c: Context) -> Value:
    """``x / (1 + |x|)``."""
    b = c.b
    return widened(b, c[0], lambda x: b.div(x, b.add(b.abs(x), 1)))


@converter("Gelu")
def gelu(c: Context) -> Value:
    """``x`` times the normal distribution function, or its ``tanh`` approximation."""
    kind = c.string("approximate", "none")
    if kind not in ("none", "tanh"):
        raise ModelError(f"Gelu has no approximation {kind!r}")
    return c.b.emit("gelu", c[0], tanh=kind == "tanh")


@converter("Shrink")
def shrink(c: Context) -> Value:
    """0 within ``lambd`` of 0, else ``x`` moved by ``bias`` towards it."""
    b, x = c.b, c[0]
    bias, edge = c.real("bias", 0.0), c.real("lambd", 0.5)
    wide = b.cast(x, _real(x.dtype))
    below = b.where(b.lt(wide, -edge), b.add(wide, bias), 0)
    return b.cast(b.where(b.gt(wide, edge), b.sub(wide, bias), below), x.dtype)


def _real(dtype: DType) -> DType:
    """The float type in which numbers of a dtype keep their value."""
    if dtype.is_int:
        return float32 if dtype.bits <= 16 else float64
    return dtype.accumulate


# Along an axis ----------------------------------------------------------------------


def _softmax(c: Context, x: Value, axis: int) -> Value:
    name = "softmax" if c.op_type == "Softmax" else "log_softmax"
    return c.b.emit(name, x, axis=axis)


def _hardmax(c: Context, x: Value, axis: int) -> Value:
    """1 at the first greatest element, else 0."""
    b = c.b
    if x.shape[axis] == 0:
        return x
    best = b.expand_dims(b.arg_reduce("max", x, axis), [axis])
    places = b.iota(x.shape, axis, int64)
    return b.cast(b.eq(places, best), x.dtype)


_RULES: dict[str, Callable[[Context, Value, int], Value]] = {
    "Softmax": _softmax,
    "LogSoftmax": _softmax,
    "Hardmax": _hardmax,
}


@converter(*_RULES)
def over_the_rest(c: Context) -> Value:
    """Over all axes from ``axis`` on together."""
    b, x = c.b, c[0]
    axis = c.integer("axis", 1)
    axis = axis if axis == x.rank else c.axis(axis, x.rank)
    matrix = b.reshape(x, (product(x.shape[:axis]), product(x.shape[axis:])))
    return b.reshape(_RULES[c.op_type](c, matrix, 1), x.shape)


@converter(*_RULES, since=13)
def over_one_axis(c: Context) -> Value:
    """Over one axis."""
    return _RULES[c.op_type](c, c[0], c.axis(c.integer("axis", -1), c[0].rank))


# Export -------------------------------------------------------------------------------


_PLAIN = {"sigmoid": "Sigmoid", "softplus": "Softplus"}
_ALONG = {"softmax": "Softmax", "log_softmax": "LogSoftmax"}


@exporter(*_PLAIN)
def plain(e: Export) -> str:
    """An operator of the same meaning."""
    return e.held(_PLAIN[e.op.name], e[0])


@exporter(*_ALONG)
def along(e: Export) -> Exported:
    """An operator along an axis; floats of 8 bits are rounded at each step."""
    if e.dtype.bits < 16:
        return e.op.decompose(e.b, *e.operands)  # type: ignore[no-any-return]
    return e.add(_ALONG[e.op.name], e[0], axis=e.op.axis)


@exporter("gelu")
def export_gelu(e: Export) -> Exported:
    """``Gelu`` since opset 20, simpler ops before."""
    if e.version < 20:
        return e.op.decompose(e.b, *e.operands)  # type: ignore[no-any-return]
    return e.held("Gelu", e[0], approximate="tanh" if e.op.tanh else "none")


@exporter("swish")
def export_swish(e: Export) -> Exported:
    """``Swish`` since opset 24, simpler ops before."""
    if e.version < 24:
        return e.op.decompose(e.b, *e.operands)  # type: ignore[no-any-return]
    return e.held("Swish", e[0], alpha=float(e.op.alpha))
