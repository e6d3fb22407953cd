"""Statements of random NumPy programs, as source text over arrays that are there.

Each rule takes a random generator and the present arrays by name, and gives an
expression or a statement. What it gives may fail: the caller tries it in NumPy first.
"""

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import numpy as np

Arrays = Mapping[str, Any]
Rule = Callable[[Random, Arrays], str]

DTYPES = (
    *("bool", "int8", "int32", "int64", "uint8", "uint64"),
    *("float16", "float32", "float64", "complex64", "complex128"),
)
SHAPES = ((), (1,), (3,), (4,), (2, 3), (3, 1), (1, 4), (3, 4), (4, 3), (2, 1, 3))
NUMBERS = ("0", "1", "2", "-1", "3", "0.5", "-1.5", "True", "1j", "np.float32(2.5)")
WHOLE = ("0", "1", "2", "-1", "3")


def name(r: Random, arrays: Arrays) -> str:
    """An array, rather a late one."""
    names = list(arrays)
    return r.choice(names[-6:] if len(names) > 6 and r.random() < 0.6 else names)


def full_axes(r: Random, arrays: Arrays) -> str:
    """An array with axes, if there is one."""
    names = [n for n, x in arrays.items() if np.ndim(x)]
    return r.choice(names) if names else name(r, arrays)


def rank(arrays: Arrays, x: str) -> int:
    return int(np.ndim(arrays[x]))


def axis_for(r: Random, arrays: Arrays, x: str) -> int:
    n = rank(arrays, x)
    return r.randrange(-n, n) if n else 0


def shape(r: Random) -> str:
    return str(r.choice(SHAPES))


# Indices ------------------------------------------------------------------------------


def _slice(r: Random, n: int) -> str:
    ends = ["", "", *map(str, range(-n - 1, n + 2))]
    step = r.choice(["", "", "", ":2", ":-1", ":-2"])
    return f"{r.choice(ends)}:{r.choice(ends)}{step}"


def _list(r: Random, n: int) -> str:
    picks = [r.randrange(-n, n) for _ in range(r.randint(1, 3))] if n else []
    if r.random() < 0.3 and len(picks) > 1:
        return f"[[{picks[0]}], [{picks[1]}]]"
    return r.choice([str(picks), f"np.array({picks}, dtype=int)"])


def _mask(r: Random, n: int) -> str:
    return f"np.array({[r.random() < 0.5 for _ in range(n)]}, dtype=bool)"


def _item(r: Random, n: int) -> str:
    kind = r.random()
    if kind < 0.5:
        return _slice(r, n)
    if kind < 0.75 or not n:
        return str(r.randrange(-n, n) if n else 0)
    return _list(r, n) if kind < 0.92 else _mask(r, n)


def index(r: Random, arrays: Arrays, x: str) -> str:
    """An index that mostly fits."""
    sizes = np.shape(arrays[x])
    if not sizes:
        return r.choice(["()", "...", "None", "..., None"])
    if r.random() < 0.06:
        return f"{x} > {r.choice(WHOLE)}"
    items = [_item(r, n) for n in sizes[: r.randint(1, len(sizes))]]
    if r.random() < 0.15:
        items.insert(r.randint(0, len(items)), "None")
    if len(items) < len(sizes) and r.random() < 0.25:
        items.insert(0, "...")
    return ", ".join(items)


# Expressions --------------------------------------------------------------------------

SHARP_BINARY = ("<", ">=", "==", "!=", "//", "%")
BINARY = ("+", "-", "*", "/", "+", "-", "*", *SHARP_BINARY, "&", "|", "^", "**")
UNARY = (
    *("sqrt", "exp", "sin", "cos", "tanh", "arctan", "square", "abs", "negative"),
    *("log1p", "expm1", "conj", "positive", "isnan", "isfinite", "reciprocal"),
)
SHARP_UNARY = (
    *("floor", "ceil", "rint", "trunc", "sign", "logical_not", "signbit"),
    *("argsort", "unique", "argmax", "argmin", "sort"),
)
PAIRS = (
    *("add", "subtract", "multiply", "maximum", "minimum", "hypot", "arctan2"),
    *("logaddexp", "copysign", "fmax", "fmin", "true_divide", "power"),
)
SHARP_PAIRS = (
    *("less", "equal", "floor_divide", "remainder", "logical_and", "logical_or"),
    *("greater_equal", "logical_xor", "fmod", "isclose", "array_equal"),
)
REDUCTIONS = (
    *("sum", "prod", "max", "min", "mean", "std", "var", "ptp", "median"),
    *("nansum", "nanmax", "nanmean", "cumsum", "cumprod"),
)


def binary(r: Random, arrays: Arrays) -> str:
    return f"{name(r, arrays)} {r.choice(BINARY)} {name(r, arrays)}"


def with_number(r: Random, arrays: Arrays) -> str:
    sides = [name(r, arrays), r.choice(NUMBERS)]
    r.shuffle(sides)
    return f"{sides[0]} {r.choice(BINARY)} {sides[1]}"


def unary(r: Random, arrays: Arrays) -> str:
    x = name(r, arrays)
    if r.random() < 0.2:
        return r.choice([f"-{x}", f"~{x}", f"abs({x})", f"+{x}"])
    names = SHARP_UNARY if r.random() < 0.35 else UNARY
    return f"np.{r.choice(names)}({x})"


def pair(r: Random, arrays: Arrays) -> str:
    names = SHARP_PAIRS if r.random() < 0.35 else PAIRS
    x = name(r, arrays)
    y = name(r, arrays) if r.random() < 0.7 else r.choice(NUMBERS)
    return f"np.{r.choice(names)}({x}, {y})"


def create(r: Random, arrays: Arrays) -> str:
    dtype = r.choice([f", dtype='{d}'" for d in DTYPES] + [""] * 4)
    match r.randrange(12):
        case 0:
            return f"np.zeros({shape(r)}{dtype})"
        case 1:
            return f"np.ones({shape(r)}{dtype})"
        case 2:
            return f"np.full({shape(r)}, {r.choice(WHOLE)}{dtype})"
        case 3:
            return f"np.arange({r.randint(0, 6)}{dtype})"
        case 4:
            return f"np.arange({r.randint(-3, 3)}, {r.randint(1, 9)}, 2{dtype})"
        case 5:
            return f"np.eye({r.randint(1, 4)}, {r.randint(1, 4)}, k={r.randint(-1, 1)})"
        case 6:
            return f"np.linspace(0, {r.randint(1, 4)}, {r.randint(2, 5)})"
        case 7:
            like = r.choice(["zeros_like", "ones_like"])
            return f"np.{like}({name(r, arrays)}{dtype})"
        case 8:
            return f"np.full_like({name(r, arrays)}, {r.choice(WHOLE)}{dtype})"
        case 9:
            return f"np.tri({r.randint(1, 4)}, {r.randint(1, 4)}{dtype})"
        case 10:
            return f"np.array([[1, 2, 3], [0, -1, {r.choice(WHOLE)}]]{dtype})"
        case _:
            return f"np.indices(({r.randint(1, 3)}, {r.randint(1, 3)}))"


def get(r: Random, arrays: Arrays) -> str:
    x = full_axes(r, arrays) if r.random() < 0.9 else name(r, arrays)
    return f"{x}[{index(r, arrays, x)}]"


def _divisor_shape(r: Random, size: int) -> str:
    divisors = [d for d in range(1, size + 1) if size % d == 0] or [1]
    d = r.choice(divisors)
    return r.choice([f"({d}, -1)", f"(-1, {d})", "-1", f"({d}, {size // d or 1})"])


def view(r: Random, arrays: Arrays) -> str:
    x = name(r, arrays)
    a, b = axis_for(r, arrays, x), axis_for(r, arrays, x)
    size = int(np.size(arrays[x]))
    return r.choice(
        [
            *(f"{x}.T", f"{x}.transpose()", f"np.transpose({x})", f"{x}.ravel()"),
            *(f"{x}.reshape({_divisor_shape(r, size)})", f"np.ravel({x})"),
            *(f"{x}.reshape({_divisor_shape(r, size)})", f"np.squeeze({x})"),
            *(f"{x}.swapaxes({a}, {b})", f"np.moveaxis({x}, {a}, {b})"),
            *(f"np.expand_dims({x}, {a})", f"np.atleast_2d({x})", f"{x}.flatten()"),
            *(
                f"np.flip({x})",
                f"np.flip({x}, {a})",
                f"np.rot90({x})",
                f"np.fliplr({x})",
            ),
            *(f"np.broadcast_to({x}, {shape(r)})", f"{x}.diagonal()", f"np.diag({x})"),
            *(f"{x}.real", f"{x}.imag", f"{x}.copy()", f"np.array({x})"),
            *(f"np.asarray({x})", f"{x}.view()", f"np.split({x}, 2, axis={a})[1]"),
            *(f"np.ascontiguousarray({x})", f"np.atleast_1d({x})", f"np.tril({x})"),
        ]
    )


def cast(r: Random, arrays: Arrays) -> str:
    x, dtype = name(r, arrays), r.choice(DTYPES)
    return r.choice(
        [
            *(f"{x}.astype('{dtype}')", f"np.asarray({x}, dtype='{dtype}')"),
            *(f"{x}.astype(np.{dtype})", f"{x}.astype('{dtype}', copy=False)"),
        ]
    )


def reduce(r: Random, arrays: Arrays) -> str:
    x, f = full_axes(r, arrays), r.choice(REDUCTIONS)
    axis = r.choice([None, axis_for(r, arrays, x), axis_for(r, arrays, x)])
    keep = ", keepdims=True" if r.random() < 0.2 and not f.startswith("cum") else ""
    if axis is not None and rank(arrays, x) == 2 and r.random() < 0.1:
        keep, axis = "", "(0, 1)"  # type: ignore[assignment]
    dtype = ", dtype='float64'" if f in ("sum", "mean") and r.random() < 0.1 else ""
    if hasattr(np.ndarray, f) and r.random() < 0.4:
        return f"{x}.{f}(axis={axis}{keep}{dtype})"
    return f"np.{f}({x}, axis={axis}{keep}{dtype})"


def reduce_where(r: Random, arrays: Arrays) -> str:
    x = full_axes(r, arrays)
    axis = axis_for(r, arrays, x)
    return r.choice(
        [
            f"np.sum({x}, axis={axis}, where={x} > 0)",
            f"np.max({x}, axis={axis}, initial=0, where={x} < 2)",
            f"np.mean({x}, where={x} != 1)",
            f"np.sum({x}, initial=2)",
            f"np.prod({x}, axis={axis}, initial=2)",
            f"np.any({x} > 1, axis={axis})",
            f"np.all({x}, axis={axis})",
            f"np.count_nonzero({x}, axis={axis})",
        ]
    )


def join(r: Random, arrays: Arrays) -> str:
    x, y = name(r, arrays), name(r, arrays)
    a = axis_for(r, arrays, x)
    return r.choice(
        [
            *(f"np.concatenate([{x}, {y}])", f"np.concatenate(({x}, {x}), axis={a})"),
            *(f"np.stack([{x}, {x}], axis={a})", f"np.vstack([{x}, {y}])"),
            *(
                f"np.hstack([{x}, {y}])",
                f"np.array([{x}, {y}])",
                f"np.array([{x}, {x}])",
            ),
            *(f"np.array([{x}[0], {y}[-1]])", f"np.tile({x}, 2)", f"np.repeat({x}, 2)"),
            *(
                f"np.repeat({x}, 2, axis={a})",
                f"np.roll({x}, 1)",
                f"np.append({x}, {y})",
            ),
            *(
                f"np.roll({x}, -1, axis={a})",
                f"np.pad({x}, 1)",
                f"np.pad({x}, 1, 'edge')",
            ),
            *(f"np.delete({x}, 0, axis={a})", f"np.insert({x}, 1, 3, axis={a})"),
            *(f"np.block([[{x}, {y}]])", f"np.column_stack([{x}, {y}])"),
            *(
                f"np.diff({x}, axis={a})",
                f"np.tile({x}, (2, 1))",
                f"np.outer({x}, {y})",
            ),
        ]
    )


def choose(r: Random, arrays: Arrays) -> str:
    x, y, m = (name(r, arrays) for _ in range(3))
    n, k = r.choice(NUMBERS), r.choice(WHOLE)
    a = axis_for(r, arrays, x)
    picks = [
        i % 2 == 0 for i in range(np.shape(arrays[x])[a] if rank(arrays, x) else 1)
    ]
    return r.choice(
        [
            *(f"np.where({m}, {x}, {y})", f"np.where({x} > {k}, {x}, {n})"),
            *(f"np.clip({x}, -1, 2)", f"{x}.clip(0, None)", f"np.take({x}, [0, -1])"),
            *(f"np.take({x}, [0, 0], axis={a})", f"np.select([{x} > 1], [{y}], {n})"),
            f"np.take_along_axis({x}, np.argsort({x}, axis={a}, kind='stable'), {a})",
            *(f"np.searchsorted([-1, 0, 2], {x})", f"np.isin({x}, [0, 2])"),
            *(f"np.sort({x}, axis={a})", f"np.nonzero({x})", f"np.argwhere({x})"),
            *(f"np.digitize({x}, [0, 1.5])", f"np.compress({picks}, {x}, axis={a})"),
            *(f"np.maximum({x}, {n})", f"np.interp({x}, [0, 1, 2], [0, 2, 1])"),
            f"np.argsort({x}, axis={a}, kind='stable')",
            *(f"np.nan_to_num({x})", f"np.allclose({x}, {y})", f"np.cumsum({x}) + {n}"),
        ]
    )


def product(r: Random, arrays: Arrays) -> str:
    x, y = full_axes(r, arrays), full_axes(r, arrays)
    return r.choice(
        [
            *(f"{x} @ {y}", f"{x} @ {y}.T", f"np.dot({x}, {y})", f"np.inner({x}, {y})"),
            *(
                f"np.tensordot({x}, {y}, axes=1)",
                f"np.kron({x}, {y})",
                f"np.trace({x})",
            ),
            *(f"np.einsum('ij,kj->ik', {x}, {y})", f"np.einsum('i,j', {x}, {y})"),
            *(
                f"np.einsum('ij->j', {x})",
                f"np.convolve({x}, {y})",
                f"np.vdot({x}, {y})",
            ),
            *(f"{x}.dot({y})", f"np.matmul({x}, {y})", f"np.cross({x}, {y})"),
        ]
    )


def method(r: Random, arrays: Arrays) -> str:
    x, y = full_axes(r, arrays), name(r, arrays)
    f = r.choice(["add", "multiply", "maximum", "minimum", "subtract", "logical_or"])
    a = axis_for(r, arrays, x)
    return r.choice(
        [
            *(f"np.{f}.reduce({x}, axis={a})", f"np.{f}.accumulate({x}, axis={a})"),
            *(f"np.{f}.outer({x}, {y})", f"np.{f}.reduceat({x}, [0, 1], axis={a})"),
            *(f"np.{f}.reduce({x}, axis=None)", f"np.{f}({x}, {y}, dtype='float64')"),
            f"np.{f}({x}, {y}, out=np.zeros_like({x} * {y}), where={x} > 0)",
        ]
    )


def helper(r: Random, arrays: Arrays) -> str:
    x, y = name(r, arrays), name(r, arrays)
    return r.choice([f"helper({x}, {y})", f"bumped({x})", f"TOOLS['twice']({x})"])


# Statements ---------------------------------------------------------------------------


def value(r: Random, arrays: Arrays) -> str:
    return r.choice(NUMBERS) if r.random() < 0.5 else name(r, arrays)


def assign(r: Random, arrays: Arrays) -> str:
    x = name(r, arrays)
    return f"{x}[{index(r, arrays, x)}] = {value(r, arrays)}"


def assign_expression(r: Random, arrays: Arrays) -> str:
    x = name(r, arrays)
    i = index(r, arrays, x)
    return f"{x}[{i}] = {x}[{i}] {r.choice('+-*')} {value(r, arrays)}"


def augment_part(r: Random, arrays: Arrays) -> str:
    x = name(r, arrays)
    op = r.choice(["+=", "-=", "*=", "//=", "|="])
    return f"{x}[{index(r, arrays, x)}] {op} {value(r, arrays)}"


def augment(r: Random, arrays: Arrays) -> str:
    op = r.choice(["+=", "-=", "*=", "/=", "|=", "&=", "**=", "%="])
    return f"{name(r, arrays)} {op} {value(r, arrays)}"


def masked(r: Random, arrays: Arrays) -> str:
    x, y = full_axes(r, arrays), name(r, arrays)
    k, n = r.choice(WHOLE), r.choice(NUMBERS)
    return r.choice(
        [
            *(
                f"{x}[{x} > {k}] = {n}",
                f"{x}[{x} > {k}] += {n}",
                f"{x}[~({x} < {k})] = 1",
            ),
            *(f"{x}[{y} == {k}] = {n}", f"{x}[{x} != {k}] = {x}[{x} != {k}] * 2"),
            *(
                f"np.copyto({x}, {y}, where={x} > {k})",
                f"np.putmask({x}, {x} > {k}, {y})",
            ),
            f"np.place({x}, {x} > {k}, [{n}, 2])",
        ]
    )


def into(r: Random, arrays: Arrays) -> str:
    x, y, z = full_axes(r, arrays), name(r, arrays), name(r, arrays)
    f = r.choice(["add", "multiply", "subtract", "maximum", "true_divide", "power"])
    k, a = r.choice(WHOLE), axis_for(r, arrays, x)
    return r.choice(
        [
            *(f"np.{f}({y}, {z}, out={x})", f"np.{f}({x}, {k}, {x})"),
            *(f"np.{f}({x}, {y}, out={x}, where={x} > {k})", f"np.exp({y}, out={x})"),
            *(f"np.add.at({x}, [0, 0, -1], {k})", f"np.subtract.at({x}, [0, 0], 1)"),
            *(f"np.copyto({x}, {y})", f"np.put({x}, [0, -1], {k})", f"{x}.fill({k})"),
            *(f"np.fill_diagonal({x}, {k})", f"{x}.sort(axis={a})", f"{x}[...] = {y}"),
            *(f"{x}.flat[0] = {k}", f"{x}.T[0] = {k}", f"{x}.T[...] = {y}"),
            f"np.sum({y}, axis=0, out={x})",
            f"np.put_along_axis({x}, np.argmin({x}, {a}, keepdims=True), {k}, {a})",
            *(
                f"{x}.reshape(-1)[0] = {k}",
                f"{x}[::-1][1:] += {k}",
                f"{x}.real[...] = {k}",
            ),
            *(f"np.clip({x}, 0, 2, out={x})", f"np.matmul({y}, {z}, out={x})"),
        ]
    )


def loop(r: Random, arrays: Arrays) -> str:
    x, n = full_axes(r, arrays), r.randint(2, 3)
    return r.choice(
        [
            f"for i in range(1, len({x})): {x}[i] = {x}[i - 1] + {x}[i]",
            f"for i in range({n}): {x}[i] += i",
            f"for row in {x}: row *= 2",
            f"for i, row in enumerate({x}): row[...] = i",
            f"for _ in range({n}): {x}[1:-1] = ({x}[:-2] + {x}[2:]) * 0.5",
        ]
    )


EXPRESSIONS: tuple[tuple[Rule, int], ...] = (
    (binary, 8),
    (with_number, 5),
    (unary, 6),
    (pair, 4),
    (create, 6),
    (get, 10),
    (view, 9),
    (cast, 3),
    (reduce, 6),
    (reduce_where, 3),
    (join, 5),
    (choose, 6),
    (product, 3),
    (method, 4),
    (helper, 2),
)
EFFECTS: tuple[tuple[Rule, int], ...] = (
    (assign, 8),
    (assign_expression, 4),
    (augment_part, 5),
    (augment, 5),
    (masked, 4),
    (into, 6),
    (loop, 2),
)


def weighted(r: Random, rules: tuple[tuple[Rule, int], ...]) -> Rule:
    rest = r.randrange(sum(w for _, w in rules))
    for rule, weight in rules:
        rest -= weight
        if rest < 0:
            return rule
    raise AssertionError
