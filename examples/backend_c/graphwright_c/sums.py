"""Reductions, products and windows: loops around an accumulator."""

from collections.abc import Sequence
from typing import Any

from graphwright.ir.dtype import DType, int64
from graphwright.ir.ops.reduce import identity, least
from graphwright_c.elements import combined
from graphwright_c.writer import Array, C, Index, Writer, linear, number

JOIN = {"sum": "add", "prod": "mul", "max": "max", "min": "min"}


def accumulator(kind: str, dtype: DType) -> str:
    """What sums run in: integers wrap around, floats round once."""
    if kind in ("max", "min"):
        return C[dtype.name]
    return "double" if dtype.is_float else "uint64_t"


def accumulated(w: Writer, kind: str, dtype: DType, name: str, x: str) -> None:
    """A statement that takes one more element in."""
    if kind in ("max", "min"):
        w.line(f"{name} = {combined(w, kind, dtype, name, x)};")
    else:
        w.line(f"{name} {'+' if kind == 'sum' else '*'}= {x};")


def started(w: Writer, kind: str, dtype: DType) -> str:
    name = w.name("a")
    first = number(identity(kind, dtype), dtype)
    w.line(f"{accumulator(kind, dtype)} {name} = {first};")
    return name


def over(
    w: Writer, kind: str, x: Array, shape: tuple[int, ...], axes: Sequence[int]
) -> Array:
    """A reduction over axes; the others are those of the result, in order."""
    y = w.buffer(shape, x.dtype)
    keep = [i for i in range(len(x.shape)) if i not in axes]
    with w.loop([x.shape[i] for i in keep]) as outer:
        name = started(w, kind, x.dtype)
        with w.loop([x.shape[i] for i in axes]) as inner:
            at = dict(zip((*keep, *axes), (*outer, *inner), strict=True))
            index = [at[i] for i in range(len(x.shape))]
            accumulated(w, kind, x.dtype, name, x.at(index))
        place_ = linear(outer, [x.shape[i] for i in keep])
        w.line(f"{flat(y, place_)} = {name};")
    return y


def flat(y: Array, place_: str) -> str:
    """A buffer's element at a place."""
    name = y.at(["0"] * len(y.shape)).split("[")[0]
    return f"{name}[{place_}]"


def reduce(w: Writer, op: Any, out: DType, x: Array) -> Array:
    shape = tuple(n for i, n in enumerate(x.shape) if i not in op.axes)
    return over(w, op.kind, x, shape, op.axes)


def sum_to(w: Writer, op: Any, out: DType, x: Array) -> Array:
    lead = len(x.shape) - len(op.shape)
    wide = (*[1] * lead, *op.shape)
    return over(
        w,
        "sum",
        x,
        op.shape,
        [i for i, n in enumerate(x.shape) if i < lead or n != wide[i]],
    )


def arg_reduce(w: Writer, op: Any, out: DType, x: Array) -> Array:
    shape = tuple(n for i, n in enumerate(x.shape) if i != op.axis)
    y, n = w.buffer(shape, int64), x.shape[op.axis]
    sign, kind = "<" if op.kind == "max" else ">", C[x.dtype.name]
    with w.loop(shape) as index:
        best, here = w.name("a"), w.name("b")
        first = [*index[: op.axis], str(n - 1 if op.last else 0), *index[op.axis :]]
        w.line(f"int64_t {best} = {first[op.axis]};")
        w.line(f"{kind} {here} = {x.at(first)};")
        with w.loop([n]) as (i,):
            j = w.let(f"{n - 1} - {i}" if op.last else i)
            new = w.name("b")
            own = x.at([*index[: op.axis], j, *index[op.axis :]])
            w.line(f"{kind} {new} = {own};")
            w.line(f"if ({here} == {here} && ({here} {sign} {new} || {new} != {new}))")
            w.line(f"{{ {best} = {j}; {here} = {new}; }}")
        w.line(f"{y.at(index)} = {best};")
    return y


def cumulative(w: Writer, op: Any, out: DType, x: Array) -> Array:
    y, n = w.buffer(x.shape, out), x.shape[op.axis]
    rest = [m for i, m in enumerate(x.shape) if i != op.axis]
    with w.loop(rest) as outer:
        name = started(w, op.kind, out)
        with w.loop([n]) as (i,):
            j = w.let(f"{n - 1} - {i}" if op.reverse else i)
            index = [*outer[: op.axis], j, *outer[op.axis :]]
            held = f"{y.at(index)} = {name};"
            w.line(held if op.exclusive else "")
            accumulated(w, op.kind, out, name, x.at(index))
            w.line("" if op.exclusive else held)
    return y


def dot(w: Writer, op: Any, out: DType, x: Array, y: Array) -> Array:
    z = w.buffer((*x.shape[:-1], y.shape[-1]), out)
    with w.loop(z.shape) as index:
        name = started(w, "sum", out)
        with w.loop(x.shape[-1:]) as (k,):
            a = x.at([*index[:-1], k])
            b = y.at([*index[:-2], k, index[-1]])
            w.line(f"{name} += {product_of(out, a, b)};")
        w.line(f"{z.at(index)} = {name};")
    return z


def product_of(dtype: DType, a: str, b: str) -> str:
    """A product in the accumulator's type."""
    kind = accumulator("sum", dtype)
    return f"({kind}){a} * ({kind}){b}"


def windowed(w: Writer, op: Any, index: Index, taps: Index, n: Sequence[int]) -> Any:
    """Positions that taps of windows read, and whether they lie inside."""
    places, tests = list[str](), list[str]()
    gaps = getattr(op, "dilations", None) or op.rhs_dilation
    spread = getattr(op, "lhs_dilation", (1,) * len(n))
    rows = zip(index, taps, n, op.strides, op.padding, gaps, spread, strict=True)
    for i, k, size, by, (low, _), gap, s in rows:
        at = w.let(f"{i} * {by} + {k} * {gap} - ({low})")
        places.append(w.let(f"{at} / {s}"))
        tests.append(f"{at} >= 0 && {places[-1]} < {size}")
        tests += [f"{at} % {s} == 0"] if s > 1 else []
    return places, " && ".join(tests) or "1"


def conv(w: Writer, op: Any, out: DType, x: Array, f: Array, shape: Any) -> Array:
    z, (m, c), parts = w.buffer(shape, out), f.shape[:2], op.batch_groups
    each, batch = m // parts, x.shape[0] // parts
    with w.loop(shape) as index:
        name = started(w, "sum", out)
        row = w.let(f"{index[1]} / {max(each, 1)} * {batch} + {index[0]}")
        group = w.let(
            f"{index[1]} % {max(each, 1)} / {max(each // op.groups, 1)} * {c}"
        )
        with w.loop(f.shape[1:]) as (channel, *taps):
            places, inside = windowed(w, op, index[2:], taps, x.shape[2:])
            read = x.at([row, w.let(f"{group} + {channel}"), *places])
            a = f"({inside} ? {read} : 0)"
            w.line(f"{name} += {product_of(out, a, f.at([index[1], channel, *taps]))};")
        w.line(f"{z.at(index)} = {name};")
    return z


def reduce_window(w: Writer, op: Any, out: DType, x: Array, shape: Any) -> Array:
    y, lead = w.buffer(shape, out), len(shape) - len(op.window)
    with w.loop(shape) as index:
        name = started(w, op.kind, out)
        with w.loop(op.window) as taps:
            places, inside = windowed(w, op, index[lead:], taps, x.shape[lead:])
            w.line(f"if ({inside}) {{")
            accumulated(w, op.kind, out, name, x.at([*index[:lead], *places]))
            w.line("}")
        w.line(f"{y.at(index)} = {name};")
    return y


def window_argmax(w: Writer, op: Any, out: DType, x: Array, shape: Any) -> Array:
    y, lead = w.buffer(shape, int64), len(shape) - len(op.window)
    kind = C[x.dtype.name]
    with w.loop(shape) as index:
        best, here, new = w.name("a"), w.name("b"), w.name("b")
        w.line(
            f"int64_t {best} = -1; {kind} {here} = {number(least(x.dtype), x.dtype)};"
        )
        with w.loop(op.window) as taps:
            places, inside = windowed(w, op, index[lead:], taps, x.shape[lead:])
            w.line(f"if ({inside}) {{ {kind} {new} = {x.at([*index[:lead], *places])};")
            w.line(f"if ({best} < 0 || {here} == {here} && ({here} < {new} ||")
            w.line(f" {new} != {new})) {{ {here} = {new};")
            w.line(f"{best} = {linear(places, x.shape[lead:])}; }} }}")
        w.line(f"{y.at(index)} = {best};")
    return y
