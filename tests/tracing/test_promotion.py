"""NumPy 2's promotion: every ufunc on every pair of dtypes, scalars and numbers."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest

import graphwright.numpy as gnp

DTYPES = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "complex64", "complex128"),
)
NUMBERS: tuple[Any, ...] = (True, 2, 1.5, 2j)
UFUNCS = sorted(
    {
        f.__name__
        for f in vars(np).values()
        if isinstance(f, np.ufunc) and f.signature is None
    }
    - {"isnat"}
)

UNORDERED = frozenset({"maximum", "minimum", "fmax", "fmin"})
"""Of complex numbers an error here: the standard gives them no order."""
WIDER = frozenset({"ldexp"})
"""Takes exponents of more dtypes than NumPy does, and numbers as float64."""


def array(dtype: str) -> Any:
    return np.array([True, False]) if dtype == "bool" else np.array([1, 2], dtype)


def operands(ufunc: Any) -> Iterator[tuple[Any, ...]]:
    if ufunc.nin == 1:
        yield from ((array(d),) for d in DTYPES)
        yield from ((array(d)[0],) for d in DTYPES)
        yield from ((n,) for n in NUMBERS)
        return
    for left, right in product(DTYPES, DTYPES):
        yield array(left), array(right)
        yield array(left), array(right)[0]
    for dtype, number in product(DTYPES, NUMBERS):
        yield array(dtype), number
        yield number, array(dtype)


def outcome(ufunc: Any, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """Results, or None where the ufunc takes no such operands."""
    try:
        found = ufunc(*args)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if isinstance(found, tuple) else (found,)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", UFUNCS)
def test_dtypes_and_values_of_ufuncs(name: str) -> None:
    theirs, ours = getattr(np, name), getattr(gnp, name)
    for args in operands(theirs):
        want, got = outcome(theirs, args), outcome(ours, args)
        complex_ = np.result_type(*args).kind == "c"
        if name in WIDER and (want is None or not isinstance(args[0], np.ndarray)):
            continue
        if name in UNORDERED and complex_:
            assert got is None
            continue
        assert (got is None) == (want is None), args
        for x, y in zip(got or (), want or (), strict=True):
            assert x.dtype == y.dtype, args
            np.testing.assert_allclose(
                np.asarray(x), y, rtol=2e-3, err_msg=f"{name}{args}"
            )


@pytest.mark.parametrize("left", DTYPES)
def test_result_type_of_all_pairs(left: str) -> None:
    for right in (*DTYPES, *NUMBERS):
        want = np.result_type(left, right)
        assert gnp.result_type(array(left), right) == want
        if isinstance(right, str):
            assert gnp.promote_types(left, right) == want


NUMBERED = ("sum", "prod", "mean", "std", "var", "cumsum", "cumprod", "max", "all")


@pytest.mark.parametrize("name", [*NUMBERED, "any", "argmax", "median", "ptp", "trace"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes_of_reductions(name: str, dtype: str) -> None:
    x = np.stack([array(dtype), array(dtype)])
    want = outcome(getattr(np, name), (x,))
    got = outcome(getattr(gnp, name), (x,))
    if dtype.startswith("complex") and name in ("max", "argmax", "median", "ptp"):
        return  # the standard gives complex numbers no order
    assert (got is None) == (want is None)
    for a, b in zip(got or (), want or (), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(np.asarray(a), b, rtol=2e-3)


OPERATORS = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "lshift")


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", [*OPERATORS, "lt", "eq", "radd", "rsub", "rpow"])
def test_operators_promote_as_numpys_do(name: str) -> None:
    for left, right in product(DTYPES, (*DTYPES, *NUMBERS)):
        x = array(left)
        y = array(right) if isinstance(right, str) else right
        method = f"__{name}__"
        want = _applied(getattr(x, method), y)
        got = _applied(getattr(gnp.asarray(x), method), y)
        assert (got is None) == (want is None), (left, right)
        if got is not None and want is not None:
            assert got.dtype == want.dtype, (left, right)
            np.testing.assert_allclose(np.asarray(got), want, rtol=2e-3)


def _applied(method: Any, operand: Any) -> Any:
    try:
        found = method(operand)
    except (TypeError, ValueError, OverflowError):
        return None
    return None if found is NotImplemented else found
