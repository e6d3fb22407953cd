"""Ops that work element by element: a small C function for each, and for each dtype."""

from typing import Any

from graphwright.ir.dtype import DType, bool_, int64
from graphwright_c.writer import Array, C, Index, Writer, number

WRAP = {"add": "+", "sub": "-", "mul": "*"}
MATH = "floor ceil trunc sqrt exp expm1 log log1p sin cos tanh erf atan2"
BOTH = {
    "max": "return x > y || x != x ? x : y;",
    "min": "return x < y || x != x ? x : y;",
    "and": "return x & y;",
    "or": "return x | y;",
    "xor": "return x ^ y;",
    "eq": "return x == y;",
    "lt": "return x < y;",
    "where": "return x ? y : z;",
}
FLOAT = {name: f"return {sign.join('xy')};" for name, sign in WRAP.items()}
FLOAT |= {"div": "return x / y;", "neg": "return -x;", "abs": "return fabs(x);"}
FLOAT |= {"rem": "return fmod(x, y);", "pow": "return pow(x, y);"}
FLOAT |= {"round": "return rint(x);"}
FLOAT |= {n: f"return {n}({'x, y' if n == 'atan2' else 'x'});" for n in MATH.split()}
INT = {n: f"return (uint64_t)x {sign} (uint64_t)y;" for n, sign in WRAP.items()}
INT |= {"neg": "return 0 - (uint64_t)x;", "abs": "return x < 0 ? 0 - (uint64_t)x : x;"}
INT |= {
    "div": "return y == 0 ? 0 : SIGNED && y == (T)-1 ? 0 - (uint64_t)x : x / y;",
    "rem": "return y == 0 || SIGNED && y == (T)-1 ? 0 : x % y;",
    "shl": "return y < 0 || y >= BITS ? 0 : (uint64_t)x << y;",
    "shr": "return y >= 0 && y < BITS ? x >> y : SIGNED ? x >> (BITS - 1) : 0;",
    "pow": "if (SIGNED && y < 0) return x == 1 ? 1 : x == (T)-1 ? 1 - 2 * (y & 1) : 0;"
    " uint64_t r = 1, f = x; for (uint64_t n = y; n; n >>= 1, f *= f)"
    " if (n & 1) r *= f; return r;",
}
ELEMENTWISE = BOTH.keys() | FLOAT.keys() | INT.keys()


def body_of(name: str, dtype: DType) -> str | None:
    """What a function of ``x`` and ``y`` of a dtype does."""
    found = BOTH.get(name) or (FLOAT if dtype.is_float else INT).get(name)
    if found is None or (dtype.is_float and name in ("and", "or", "xor")):
        return None
    if dtype.name == "float32":
        for word in (*MATH.split(), "fabs", "fmod", "pow", "rint"):
            found = found.replace(f"{word}(", f"{word}f(")
    words = {"T": C[dtype.name], "SIGNED": str(int(dtype.kind == "i"))}
    words |= {"BITS": str(dtype.bits)}
    for word, text in words.items():
        found = found.replace(f"({word})", f"({text})").replace(f"{word} ", f"{text} ")
        found = found.replace(f"{word};", f"{text};")
    return found


def elementwise(w: Writer, op: Any, out: DType, *xs: Array) -> Array:
    own = xs[-1].dtype
    kinds = [C[x.dtype.name] for x in xs]
    name = w.function(op.name, C[out.name], kinds, str(body_of(op.name, own)))

    def at(index: Index) -> str:
        return f"{name}({', '.join(x.at(index) for x in xs)})"

    return Array(xs[0].shape, out, at, True)


def cast(w: Writer, op: Any, out: DType, x: Array) -> Array:
    """Another dtype."""
    body, name = cast_body(op, out, x.dtype), "fitted" if op.saturate else "cast"
    full = w.function(name, C[out.name], [C[x.dtype.name]], body)
    return Array(x.shape, out, lambda index: f"{full}({x.at(index)})", True)


def cast_body(op: Any, out: DType, own: DType) -> str:
    """Floats to integers truncate; integers wrap around, or saturate if asked to."""
    if out is bool_:
        return "return x != 0;"
    if not out.is_int or not (op.saturate or own.is_float):
        return "return x;"
    to = out if op.saturate else int64
    low, high = to.limits
    if own.is_float:
        below, above = float(low - 1).hex(), float(high + 1).hex()
        least, most = number(low, to), number(high, to)
        inside = f"x >= {above} ? {most} : x <= {below} ? {least} : ({C[to.name]})x"
        return f"return x != x ? 0 : {inside};"
    first, last = own.limits if own.is_int else (0, 1)
    low, high = number(max(low, first), own), number(min(high, last), own)
    return f"return x < {low} ? {low} : x > {high} ? {high} : x;"


def bitcast(w: Writer, op: Any, out: DType, x: Array) -> Array:
    body = f"{C[out.name]} y; memcpy(&y, &x, sizeof y); return y;"
    name = w.function("bits", C[out.name], [C[x.dtype.name]], body)
    return Array(x.shape, out, lambda index: f"{name}({x.at(index)})", True)


def combined(w: Writer, name: str, dtype: DType, x: str, y: str) -> str:
    """Two elements of a dtype put together by an op."""
    kind = C[dtype.name]
    return (
        f"{w.function(name, kind, [kind, kind], str(body_of(name, dtype)))}({x}, {y})"
    )
