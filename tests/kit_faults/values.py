"""Faults in the elements of a result: somewhere, or at special values."""

from typing import Any

import numpy as np

from graphwright.ir.dtype import dtype
from kit_faults.kinds import FLOATS, MOVES, SUMS, Arrays, Call, kind


def _floats(*arrays: Any) -> bool:
    return all(dtype(x.dtype).is_float for x in arrays)


# Wrong somewhere --------------------------------------------------------------------


@kind("one dtype", scaled=True)
def one_dtype(c: Call) -> Arrays | None:
    """The draw limits it to one dtype."""
    return [c.off(y) for y in c.ys]


@kind("odd sizes", scaled=True)
def odd_sizes(c: Call) -> Arrays | None:
    """The rest behind whole vectors is wrong."""
    odd = [y.ndim > 0 and y.shape[-1] % 2 for y in c.ys]
    rows = zip(c.ys, odd, strict=True)
    return [_part(c, y, np.s_[..., -1:]) if here else y for y, here in rows]


@kind("an edge", scaled=True)
def edge(c: Call) -> Arrays | None:
    """The last row of the first axis is wrong, if there are several."""
    there = [y.ndim > 1 and y.shape[0] > 1 for y in c.ys]
    rows = zip(c.ys, there, strict=True)
    return [_part(c, y, np.s_[-1:]) if here else y for y, here in rows]


def _part(c: Call, y: Any, at: Any) -> Any:
    out = y.copy()
    out[at] = c.off(y[at])
    return out


@kind("off by one at an edge", "slice pad gather cumulative concat")
def off_by_one(c: Call) -> Arrays | None:
    out = [y.copy() for y in c.ys]
    for y in out:
        if y.ndim and y.shape[-1] > 1:
            y[..., -1] = y[..., -2]
    return out


@kind("a block of 64", scaled=True)
def block(c: Call) -> Arrays | None:
    """What lies behind the last whole block of 64 elements is wrong."""
    out = [y.copy() for y in c.ys]
    for y in out:
        if y.size > 64 and y.size % 64:
            line = y.reshape(-1)
            line[y.size // 64 * 64 :] = c.off(line[y.size // 64 * 64 :])
    return out


@kind("positions of 16 bits")
def positions(c: Call) -> Arrays | None:
    """Elements from 65,536 on are those at the beginning."""
    out = [y.copy() for y in c.ys]
    for y in out:
        line = y.reshape(-1)
        line[1 << 16 :] = line[: max(0, line.size - (1 << 16))][: line.size]
    return out


@kind("no elements", SUMS + MOVES + "sort")
def no_elements(c: Call) -> Arrays | None:
    if all(x.size for x in c.xs):
        return None
    return [np.zeros_like(y) if y.size else y.reshape(-1) for y in c.ys]


@kind("no axes", FLOATS + "neg abs reduce where max")
def no_axes(c: Call) -> Arrays | None:
    """A 0-d result comes as a vector of one element."""
    return [y.reshape(1) if y.ndim == 0 else y for y in c.ys]


# Wrong values -----------------------------------------------------------------------


@kind("NaN", "max min sort arg_reduce reduce floor sqrt eq")
def nan(c: Call) -> Arrays | None:
    """NaN counts as zero."""
    if not _floats(*c.xs):
        return None
    return c.computed(
        c.request.op,
        [np.nan_to_num(x, nan=0, posinf=np.inf, neginf=-np.inf) for x in c.xs],
    )


@kind("infinities", "exp log div add mul tanh atan2 abs")
def infinities(c: Call) -> Arrays | None:
    """The largest finite number instead."""
    if not _floats(*c.ys):
        return None
    return [
        np.clip(y, *(t(v) for v in dtype(y.dtype).limits)).astype(t)
        for y in c.ys
        for t in [y.dtype.type]
    ]


@kind(
    "the sign of zero",
    "neg mul div ceil floor round trunc sqrt transpose sin tanh concat",
)
def zero_sign(c: Call) -> Arrays | None:
    return [y + y.dtype.type(0) for y in c.ys] if _floats(*c.ys) else None


@kind("accumulates narrowly", SUMS)
def narrow(c: Call) -> Arrays | None:
    """Floats of 16 bits one after the other, wider ones at half their bits."""
    d = dtype(c.xs[0].dtype)
    if not d.is_float or d.bits not in (16, 32, 64):
        return None
    if getattr(c.request.op, "kind", "sum") in ("max", "min"):
        return None
    if d.bits == 16:
        return _one_by_one(c)
    half = np.float16 if d.bits == 32 else np.float32
    found = c.computed(c.request.op, [x.astype(half) for x in c.xs])
    return [y.astype(r.dtype) for y, r in zip(found, c.ys, strict=True)]


def _one_by_one(c: Call) -> Arrays | None:
    if c.request.op.name == "dot" and c.xs[0].shape[-1]:
        x, y = c.xs
        out = np.zeros_like(c.ys[0])
        for i in range(x.shape[-1]):
            out = (out + x[..., i : i + 1] * y[..., i : i + 1, :]).astype(out.dtype)
        return [out]
    if c.request.op.name != "reduce" or not c.xs[0].size:
        return None
    op: Any = c.request.op
    function = {"sum": np.add, "prod": np.multiply}[op.kind]
    moved = np.moveaxis(c.xs[0], op.axes, range(len(op.axes)))
    rows = moved.reshape(-1, *c.ys[0].shape)
    total = rows[0]
    for row in rows[1:]:
        total = function(total, row).astype(c.ys[0].dtype)
    return [total]


@kind("integers saturate", "add sub mul neg")
def saturates(c: Call) -> Arrays | None:
    d = dtype(c.ys[0].dtype)
    if not d.is_int or d.bits > 32:
        return None
    found = c.computed(c.request.op, [x.astype(np.int64) for x in c.xs])
    return [
        np.clip(y, *d.limits).astype(r.dtype) for y, r in zip(found, c.ys, strict=True)
    ]


@kind(
    "integers through floats",
    "add mul cast max cumulative where reduce sort gather concat",
)
def through_floats(c: Call) -> Arrays | None:
    """Of 64 bits, 53 are left."""
    if c.ys[0].dtype.kind not in "iu" or c.ys[0].dtype.itemsize < 8:
        return None
    with np.errstate(all="ignore"):
        return [y.astype(np.float64).astype(y.dtype) for y in c.ys]


@kind(
    "unsigned as signed",
    "lt max min div shr sort arg_reduce reduce cast",
)
def signedness(c: Call) -> Arrays | None:
    if c.xs[0].dtype.kind != "u" or c.request.op.name == "where":
        return None
    signed = [
        x.view(f"i{x.dtype.itemsize}") if x.dtype.kind == "u" else x for x in c.xs
    ]
    found = c.computed(c.request.op, signed)
    with np.errstate(all="ignore"):
        return [y.astype(r.dtype) for y, r in zip(found, c.ys, strict=True)]


@kind("rounding", "round cast div rem trunc ceil")
def rounding(c: Call) -> Arrays | None:
    """Halves away from zero, quotients down, casts to the nearest."""
    name, x = c.request.op.name, c.xs[0]
    if name == "round":
        return [np.trunc(x + np.copysign(0.5, x)).astype(x.dtype)]
    if name == "cast" and _floats(x) and c.ys[0].dtype.kind in "iu":
        return c.computed(c.request.op, [np.rint(x).astype(x.dtype)])
    if name in ("div", "rem") and x.dtype.kind == "i":
        y = np.where(c.xs[1] == 0, 1, c.xs[1])
        with np.errstate(all="ignore"):
            found = np.floor_divide(x, y) if name == "div" else np.mod(x, y)
        return [np.where(c.xs[1] == 0, c.ys[0], found).astype(x.dtype)]
    if name in ("trunc", "ceil"):
        return [np.floor(x).astype(x.dtype)]
    return None


@kind("cancellation", "expm1 log1p tanh sin")
def cancellation(c: Call) -> Arrays | None:
    """Formulas that lose all digits near zero, or a fraction of pi far from it."""
    x = c.xs[0]
    if x.dtype.kind != "f" or x.dtype.itemsize < 4:
        return None
    with np.errstate(all="ignore"):
        e, one = np.exp(x), x.dtype.type(1)
        found = {
            "expm1": lambda: e - one,
            "log1p": lambda: np.log(one + x),
            "tanh": lambda: np.where(np.abs(x) < 9, one - 2 / (e * e + one), c.ys[0]),
            "sin": lambda: np.sin(x - np.rint(x / 6.2832) * x.dtype.type(6.2832)),
        }[c.request.op.name]()
    return [np.where(np.isfinite(x), found, c.ys[0]).astype(x.dtype)]


@kind("comparison", "eq lt")
def comparison(c: Call) -> Arrays | None:
    """Equal if nearly so; less or equal."""
    x, y = c.xs
    if c.request.op.name == "lt":
        return [x <= y]
    if not _floats(x):
        return None
    with np.errstate(all="ignore"):
        return [c.ys[0] | (np.abs(x - y) <= abs(c.size) * np.abs(x))]


@kind("a large argument", "exp sin cos tanh erf log", scaled=True)
def large_argument(c: Call) -> Arrays | None:
    return [np.where(np.abs(c.xs[0]) > 3, c.off(y), y) for y in c.ys]
