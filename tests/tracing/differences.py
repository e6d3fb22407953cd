"""Where results may differ from NumPy's: nine named classes, and who says so.

``reason`` tells which class a statement belongs to; programs leave such statements out.
docs/numpy.md explains the classes to users.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Difference:
    """A class of differences.

    Attributes:
        what: What differs.
        source: The standard's or NumPy's document that allows it.
        shown_by: Statements over ``a0``, a float64 vector, after which results differ.
    """

    what: str
    source: str
    shown_by: tuple[str, ...] = ()


CLASSES = {
    "rounding": Difference(
        "sums, products and transcendental functions round in another order, and what"
        " jumps (comparisons, floor, casts to integers, sorting) may jump elsewhere",
        "numpy.sum, Notes: the order of additions is not fixed; the standard's section"
        " on accuracy",
    ),
    "complex order": Difference(
        "maximum, minimum and reductions by them take no complex numbers",
        "Array API 2025.12, complex number ordering: left undefined",
        ("v0 = np.maximum(a0 + 1j, 1)",),
    ),
    "memory": Difference(
        "tensors are in C order: what NumPy lays out otherwise is reshaped to a copy"
        " there and to a view here; NumPy arrays made of tensors are snapshots",
        "numpy.ufunc, order='K'; numpy.reshape, Notes: a view whenever possible",
        ("v0 = (np.stack([a0, a0]).T + 1).reshape(-1)[:1]", "v0 = a0.T.strides"),
    ),
    "undefined results": Difference(
        "casts of what the dtype cannot hold, 1 / 0 of integers by reciprocal, order"
        " of equal elements by argsort without kind='stable', the sign of NaN",
        "numpy.ndarray.astype, numpy.reciprocal and numpy.sort, Notes; ISO C 6.3.1.4;"
        " IEEE 754-2019 6.3",
        ("v0 = np.reciprocal((a0 * 0).astype('int32'))",),
    ),
    "half precision": Difference(
        "sums, variances and products of float16 are accumulated in float32",
        "numpy.mean, Notes: float32 intermediates; the standard has no float16",
        ("v0 = np.array([0, 500], dtype='float16').var()",),
    ),
    "Python numbers": Difference(
        "allclose, array_equal and others give 0-d tensors, which a trace needs, where"
        " NumPy gives Python's bool",
        "Array API 2025.12, array object: 0-d arrays stand for scalars",
        ("v0 = True + np.allclose(a0, a0)",),
    ),
    "casts by methods": Difference(
        "ufunc.at and reductions with out cast by the rule same_kind; NumPy casts"
        " without a rule, and numbers by their own dtype",
        "numpy.ufunc.at and numpy.ufunc.reduce: dtype defaults to that of out",
        ("v0 = np.zeros(1, dtype='int8')", "np.sum(a0, axis=0, keepdims=True, out=v0)"),
    ),
    "shapes from data": Difference(
        "under a trace sizes that depend on data are symbols: loops over them, and"
        " shapes that fit only for some of their values, are errors",
        "Array API 2025.12, data-dependent output shapes",
        ("for row in a0[a0 > 0]: row *= 2",),
    ),
    "special values": Difference(
        "floor_divide of and by infinities, expm1 and tanh of complex infinities and"
        " NaN, and where these are the result, give what the standard says; the"
        " operator // gives what NumPy says",
        "Array API 2025.12: floor_divide, expm1, tanh, special cases",
        ("v0 = np.floor_divide(a0 * 0 + np.inf, 2)",),
    ),
}

_SHARP = re.compile(
    r"<|>|==|!=|//|%|\|=|&=|floor|ceil|rint|trunc|sign|sort|unique|argm|less|equal"
    r"|greater|remainder|logical|fmod|isclose|allclose|digitize|isin|nonzero|any|all"
    r"|bool|astype\('u?int|np.u?int\d|dtype='u?int|argwhere|where|interp|compress"
)
_ORDER = re.compile(
    r"<|>|max|min|sort|unique|sign|arg|median|clip|ptp|digitize|interp|floor|ceil|%|//"
    r"|isin|trunc|fmod|select"
)
_NAME = re.compile(r"\b[av]\d+\b")
_WORDS = re.compile(r"reshape|ravel|flat|ascontiguous")


def exact(x: Any) -> bool:
    """Whether all numbers are such that rounding has not touched them."""
    if isinstance(x, (tuple, list)):
        return all(map(exact, x))
    x = np.asarray(x)
    if x.dtype.kind in "biu":
        return True
    parts = [x.real, x.imag] if x.dtype.kind == "c" else [x]
    with np.errstate(all="ignore"):
        return all(_plain(np.asarray(p, np.float64)) for p in parts)


def _plain(x: Any) -> bool:
    finite = x[np.isfinite(x)]
    return bool((np.abs(finite) < 2**16).all() and (finite * 64 % 1 == 0).all())


def reason(
    line: str,
    before: Mapping[str, Any],
    after: Mapping[str, Any] | None,
    warned: Sequence[str],
) -> str | None:
    """The class that a statement belongs to, or None; first asked before it runs."""
    names = dict.fromkeys(_NAME.findall(line))
    used = [before[n] for n in names if n in before]
    if after is None:
        return next((name for name, test in _TESTS if test(line, used)), None)
    if any("encountered in cast" in w or "Casting complex" in w for w in warned):
        return "undefined results"
    halves = [x for x in after.values() if getattr(x, "dtype", None) == np.float16]
    whole = all(np.isfinite(x).all() for x in halves)
    return None if whole else "half precision"


def _kinds(used: Sequence[Any]) -> str:
    """The kinds of all arrays' dtypes."""
    arrays = (x for x in used if not isinstance(x, (tuple, list)))
    return "".join(np.asarray(x).dtype.kind for x in arrays)


def _rounds(line: str, used: Sequence[Any]) -> bool:
    """Whether it jumps, or writes integers, where rounding may show."""
    if all(map(exact, used)):
        return False
    writes = "=" in line.replace("= ", "", 1)
    whole = any(kind in "biu" for kind in _kinds(used))
    return bool(_SHARP.search(line)) or (whole and writes)


def _orders(line: str, used: Sequence[Any]) -> bool:
    return ("1j" in line or "c" in _kinds(used)) and bool(_ORDER.search(line))


def _flattens(line: str, used: Sequence[Any]) -> bool:
    return bool(_WORDS.search(line)) and any(map(_odd, used))


def _odd(x: Any) -> bool:
    """Whether an array's owner does not lie in C order."""
    if not isinstance(x, np.ndarray):
        return False
    while isinstance(x.base, np.ndarray):
        x = x.base
    return not x.flags.c_contiguous


def _undefined(line: str, used: Sequence[Any]) -> bool:
    if "argsort" in line and "stable" not in line:
        return True
    if re.search("signbit|copysign", line) and not all(map(_numbers, used)):
        return True
    return "reciprocal" in line and any(kind in "iu" for kind in _kinds(used))


def _numbers(x: Any) -> bool:
    """Whether nothing in it is NaN."""
    if isinstance(x, (tuple, list)):
        return all(map(_numbers, x))
    return not np.isnan(np.asarray(x)).any()


def _counts(line: str, used: Sequence[Any]) -> bool:
    return any(isinstance(x, (bool, int)) for x in used)


def _casts(line: str, used: Sequence[Any]) -> bool:
    if re.search(r"\.at\(", line):
        return _kinds(used)[:1] == "u"
    if "np.sum" not in line or "out=" not in line or len(used) != 2:
        return False
    return not np.can_cast(np.sum(used[0]).dtype, used[1].dtype, "same_kind")


def _special(line: str, used: Sequence[Any]) -> bool:
    arrays = [x for x in used if not isinstance(x, (tuple, list))]
    of_complex = "c" in _kinds(used) and re.search("expm1|tanh", line)
    if of_complex:
        with np.errstate(all="ignore"):
            arrays += [np.exp(x) for x in arrays]
    whole = all(np.isfinite(x).all() for x in arrays)
    return not whole and ("floor_divide" in line or bool(of_complex))


_TESTS = (
    ("rounding", _rounds),
    ("memory", _flattens),
    ("casts by methods", _casts),
    ("Python numbers", _counts),
    ("complex order", _orders),
    ("undefined results", _undefined),
    ("special values", _special),
)
