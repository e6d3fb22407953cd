"""Recipes of ops that work element by element."""

from collections.abc import Sequence

from graphwright.ir.dtype import DTYPES, DType
from graphwright.ir.emitter import Value
from graphwright.ir.op import OPS, Op
from graphwright.testing.maker import Maker, Reject
from graphwright.testing.registry import RECIPES, arity, is_plain, kinds_of, recipe

_WIDTHS = {8: ("int8", "uint8"), 16: ("float16", "int16", "bfloat16")}
_WIDTHS |= {32: ("float32", "int32", "uint32"), 64: ("float64", "int64", "uint64")}


def domain(cls: type[Op], i: int) -> tuple[float, float] | None:
    """Where operand ``i`` lies."""
    return cls.domains[min(i, len(cls.domains) - 1)] if cls.domains else None


def _plain(cls: type[Op]) -> None:
    def run(m: Maker) -> Sequence[Value]:
        kinds = kinds_of(cls)
        if not m.world.fresh:  # away from branch cuts, poles and words
            smooth = cls.ulps <= 1 and not cls.domains
            kinds = "".join(k for k in kinds if k in ("biufc" if smooth else "biuf"))
        x = m.tensor(kinds, within=domain(cls, 0), exact=cls.steps)
        others = [
            m.like(x, within=domain(cls, i), exact=cls.steps)
            for i in range(1, arity(cls))
        ]
        return m.elementwise(cls.name, x, *others)

    RECIPES[cls.name] = run


for _cls in list(OPS.values()):
    if is_plain(_cls):
        _plain(_cls)


@recipe("gelu")
def gelu(m: Maker) -> Sequence[Value]:
    return m.elementwise("gelu", m.tensor(), tanh=m.flag())


@recipe("swish")
def swish(m: Maker) -> Sequence[Value]:
    return m.elementwise("swish", m.tensor(), alpha=m.c.pick([1.0, 1.702, -0.5]))


@recipe("where")
def where(m: Maker) -> Sequence[Value]:
    x = m.tensor("fiubc")
    condition = m.shaped(DTYPES["bool"], x.shape)
    return m.emit("where", condition, x, m.like(x))


@recipe("cast")
def cast(m: Maker) -> Sequence[Value]:
    x = m.tensor("fiub" if not m.world.fresh else "fiubS", within=None)
    if x.dtype.kind == "S":
        return m.emit("size_of", dims=(1,))
    to = m.dtype("fiub")
    if x.dtype.is_float and (to.is_int or to.kind == "b"):
        x = m.tensor("f", within=(0.0 if to.kind == "u" else -7.0, 7.0), exact=True)
    if x.dtype.is_int and to.is_float:
        low = 0.0 if x.dtype.kind == "u" else -32.0
        x = m.inside(x, (max(low, x.dtype.limits[0]), min(32.0, x.dtype.limits[1])))
    exact = m.fact(x).exact
    (y,) = m.emit("cast", x, dtype=to, saturate=m.flag())
    same = to.kind in "iub" or x.dtype.kind in "iub"
    m.facts[y] = type(m.fact(x))(m.fact(x).low, m.fact(x).high, exact and same)
    if x.dtype.kind == "b":
        m.state(y, 0.0, 1.0, exact=True)
    return [y]


@recipe("power_of_two", alone=True)
def power_of_two(m: Maker) -> Sequence[Value]:
    x = m.tensor("f", within=(0.25, 8.0), exact=True)
    mode = m.c.pick(["up", "down", "nearest"])
    return m.emit("power_of_two", x, mode=mode, saturate=m.flag())


@recipe("bitcast")
def bitcast(m: Maker) -> Sequence[Value]:
    x = m.tensor("fiu" if m.world.fresh else "iu", exact=True)
    if x.dtype.bits not in _WIDTHS:
        raise Reject
    names = [n for n in _WIDTHS[x.dtype.bits] if m.world.fresh or n[0] in "iu"]
    return m.emit("bitcast", x, dtype=DTYPES[m.c.pick(names)])


@recipe("complex")
def complex_of(m: Maker) -> Sequence[Value]:
    x = m.tensor("f")
    if x.dtype.bits < 32:
        raise Reject
    return m.emit("complex", x, m.like(x))


@recipe("complex_part")
def complex_part(m: Maker) -> Sequence[Value]:
    return m.emit("complex_part", m.tensor("c"), part=m.c.pick(["real", "imag"]))


def _scale(m: Maker, dtype: DType, x: Value) -> Value:
    shape = x.shape[-1:] if m.flag() else ()
    return m.shaped(dtype, shape, within=(0.25, 2.0))


@recipe("quantize")
def quantize(m: Maker) -> Sequence[Value]:
    x = m.tensor("f", exact=True)
    if x.dtype.bits < 16:
        raise Reject
    to = DTYPES[m.c.pick(["uint8", "int8", "int16", "int4", "float8_e4m3fn"])]
    scale = m.inside(m.shaped(x.dtype, (), within=(0.25, 2.0), exact=True), (0.25, 2.0))
    zero = [m.constant(1, to)] if to.is_int and m.flag() else []
    return m.emit("quantize", x, scale, *zero, dtype=to)


@recipe("dequantize")
def dequantize(m: Maker) -> Sequence[Value]:
    x = m.inside(m.tensor("iu"), (0.0, 7.0))
    if x.dtype.bits > 32:
        raise Reject
    to = m.dtype("f")
    zero = [m.shaped(x.dtype, ())] if m.flag() else []
    zero = [m.inside(z, (0.0, 7.0)) for z in zero]
    return m.bounded(64.0, "dequantize", x, _scale(m, to, x), *zero, dtype=to)
