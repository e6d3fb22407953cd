"""ai.onnx.preview.training: gradients and optimisers."""

from graphwright.frontends.onnx.context import Context
from graphwright.frontends.onnx.registry import converter
from graphwright.ir.dtype import DType
from graphwright.ir.emitter import Value
from graphwright.ir.errors import ModelError
from graphwright.passes.gradients import differentiable, gradient_at

DOMAIN = "ai.onnx.preview.training"


@converter("Gradient", domain=DOMAIN)
def gradient(c: Context) -> list[Value]:
    """Derivatives of ``y`` by the tensors ``xs``, at the operands' values."""
    xs = c.strings("xs")
    names = [*xs, *c.strings("zs", [])]
    values, target = c.values(), c.importer.lookup(c.string("y"))
    if len(values) != len(names):
        raise ModelError(f"Gradient names {len(names)} tensors, is given {len(values)}")
    points = dict(zip(map(c.importer.lookup, names), values, strict=True))
    wrt = [c.importer.lookup(name) for name in xs]
    for v in (target, *wrt):
        if not differentiable(v):
            raise ModelError(f"Gradient takes tensors of floats, got {v.type}")
    return gradient_at(c.importer.b, target, points, wrt)


def _groups(c: Context, count: int) -> list[tuple[Value, ...]]:
    """The tensors after R and T: for each optimised one, its ``count`` operands."""
    values = c.values()[2:]
    n, rest = divmod(len(values), count)
    if rest:
        raise ModelError(
            f"{c.op_type} takes {count} operands a tensor, got {len(values)}"
        )
    return [tuple(values[i::n]) for i in range(n)]


def _results(rows: list[tuple[Value, ...]]) -> list[Value]:
    """All first results, then all second ones, and so on."""
    return [v for column in zip(*rows, strict=True) for v in column]


def _scalar(c: Context, i: int, dtype: DType) -> Value:
    return c.b.cast(c.b.reshape(c[i], ()), dtype)


def _regularised(c: Context, x: Value, g: Value, norm: float) -> Value:
    return c.b.add(c.b.mul(x, norm), g)


@converter("Adagrad", domain=DOMAIN)
def adagrad(c: Context) -> list[Value]:
    """``H += G**2; X -= r G / (sqrt(H) + epsilon)`` (Duchi et al., JMLR 2011)."""
    b, norm = c.b, c.real("norm_coefficient", 0.0)
    decay, epsilon = c.real("decay_factor", 0.0), c.real("epsilon", 1e-6)
    rows: list[tuple[Value, ...]] = []
    for x, g, h in _groups(c, 3):
        count = _scalar(c, 1, x.dtype)
        rate = b.div(_scalar(c, 0, x.dtype), b.add(b.mul(count, decay), 1))
        slope = _regularised(c, x, g, norm)
        squares = b.add(h, b.mul(slope, slope))
        step = b.div(b.mul(slope, rate), b.add(b.sqrt(squares), epsilon))
        rows.append((b.sub(x, step), squares))
    return _results(rows)


@converter("Adam", domain=DOMAIN)
def adam(c: Context) -> list[Value]:
    """Adam with bias correction in the rate where T > 0 (Kingma and Ba, ICLR 2015)."""
    b, epsilon = c.b, c.real("epsilon", 1e-6)
    alpha, beta = c.real("alpha", 0.9), c.real("beta", 0.999)
    norm, norm_post = (
        c.real("norm_coefficient", 0.0),
        c.real("norm_coefficient_post", 0.0),
    )
    rows: list[tuple[Value, ...]] = []
    for x, g, v, h in _groups(c, 4):
        rate, count = _scalar(c, 0, x.dtype), _scalar(c, 1, x.dtype)
        slope = _regularised(c, x, g, norm)
        first = b.add(b.mul(v, alpha), b.mul(slope, 1 - alpha))
        second = b.add(b.mul(h, beta), b.mul(b.mul(slope, slope), 1 - beta))
        fixed = b.div(b.sqrt(_bias(c, beta, count)), _bias(c, alpha, count))
        rate = b.where(b.gt(count, b.zeros_like(count)), b.mul(rate, fixed), rate)
        step = b.mul(rate, b.div(first, b.add(b.sqrt(second), epsilon)))
        rows.append((b.mul(b.sub(x, step), 1 - norm_post), first, second))
    return _results(rows)


def _bias(c: Context, decay: float, count: Value) -> Value:
    """``1 - decay ** count``."""
    return c.b.sub(1, c.b.pow(c.b.scalar(decay, count.dtype), count))


@converter("Momentum", domain=DOMAIN)
def momentum(c: Context) -> list[Value]:
    """Gradient descent with momentum, standard or Nesterov's."""
    b, norm, mode = c.b, c.real("norm_coefficient"), c.string("mode")
    alpha, beta = c.real("alpha"), c.real("beta")
    if mode not in ("standard", "nesterov"):
        raise ModelError(f"Momentum has no mode {mode!r}")
    rows: list[tuple[Value, ...]] = []
    for x, g, v in _groups(c, 3):
        rate, count = _scalar(c, 0, x.dtype), _scalar(c, 1, x.dtype)
        slope = _regularised(c, x, g, norm)
        factor = b.where(b.gt(count, b.zeros_like(count)), b.scalar(beta, x.dtype), 1)
        moved = b.add(b.mul(v, alpha), b.mul(slope, factor))
        ahead = b.add(slope, b.mul(moved, alpha)) if mode == "nesterov" else moved
        rows.append((b.sub(x, b.mul(ahead, rate)), moved))
    return _results(rows)
