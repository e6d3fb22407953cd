"""``gw.check_nans`` names the operation, file and line that makes a NaN or infinity."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphwright as gw

MASK = np.array([0.0, -np.inf, 0.0])
X = np.array([0.0, 1.0, 4.0])


def logarithm(x: Any) -> Any:
    y = x * 2
    z = np.log(y)
    return np.exp(z) + 1


def helper(x: Any) -> Any:
    return 1 / x


def in_helper(x: Any) -> Any:
    return helper(x + 0).sum()


def chosen(x: Any) -> Any:
    return np.where(x > 0, 1 / x, 0)


def fused(x: Any) -> Any:
    """The infinity disappears in one fused region."""
    a = x + 1
    b = np.exp(a * 1000)
    return np.minimum(b, 5.0)


def in_loop(x: Any) -> Any:
    def body(i: Any, c: Any) -> Any:
        return c * 1e200

    return gw.fori_loop(0, 3, body, x)


def in_branch(x: Any) -> Any:
    return gw.cond(x[0] == 0, lambda: np.sqrt(x - 1), lambda: x)


def narrow(x: Any) -> Any:
    return (x * 1e6).astype(np.float16)


def overwritten(x: Any) -> Any:
    out = np.zeros(3)
    out[1:] = np.arctanh(x[1:])
    return out


def divided(x: Any) -> Any:
    return x // x


PROGRAMS: dict[str, tuple[Callable[..., Any], Callable[..., Any], int, str]] = {
    "logarithm": (logarithm, logarithm, 2, "log makes infinity at [0] (1 of 3"),
    "in_helper": (in_helper, helper, 1, "divide makes infinity at [0] (1 of 3"),
    "chosen": (chosen, chosen, 1, "divide makes infinity at [0] (1 of 3"),
    "fused": (fused, fused, 3, "exp makes infinity at [0] (3 of 3"),
    "in_loop": (in_loop, in_loop, 2, "multiply makes infinity at [1] (2 of 3"),
    "in_branch": (in_branch, in_branch, 1, "sqrt makes NaN at [0] (1 of 3"),
    "narrow": (narrow, narrow, 1, "copied makes infinity at [1] (2 of 3"),
    "overwritten": (overwritten, overwritten, 2, "atanh makes NaN at [1] (1 of 2"),
    "divided": (divided, divided, 1, "floor_divide makes NaN at [0] (1 of 3"),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_first_operation_is_named(name: str) -> None:
    function, where, offset, words = PROGRAMS[name]
    line = where.__code__.co_firstlineno + offset
    for checked in (gw.check_nans(function), gw.check_nans(gw.jit(function))):
        with pytest.raises(gw.NonFiniteError) as caught:
            checked(X)
        assert str(caught.value).startswith(f"{__file__}:{line}: {words}")


def attention(q: Any, k: Any, mask: Any) -> Any:
    scores = q @ k.T + mask
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def test_infinities_of_arguments_and_constants_may_be() -> None:
    q = np.ones((3, 2))
    found = gw.check_nans(attention)(q, q, MASK)
    np.testing.assert_allclose(found, attention(q, q, MASK))
    masked = gw.check_nans(lambda x: np.maximum(x + MASK, -1))
    assert masked(X).tolist() == [0, -1, 4]
    assert np.isnan(gw.check_nans(lambda x: x + 1)(np.array([np.nan])))[0]
    with pytest.raises(gw.NonFiniteError, match="makes NaN"):
        gw.check_nans(lambda x: x - x)(MASK)


def test_functions_hide_what_they_mask_themselves() -> None:
    """Infinities inside of one NumPy function are not the program's."""
    x, y = np.array([1.0, 5.0]), np.array([2.0, 3.0])
    assert gw.check_nans(lambda a, b: a // b)(x, y).tolist() == [0, 1]
    assert gw.check_nans(np.nansum)(np.array([1.0, np.nan])).item() == 1
    np.testing.assert_allclose(
        gw.check_nans(np.logaddexp)(x, y), np.logaddexp(x, y), rtol=1e-12
    )


def test_results_and_writes_are_the_functions_own() -> None:
    def f(x: Any, n: int, *, scale: float = 2.0) -> Any:
        x[0] = 7
        return {"y": x * scale, "n": n}

    x = np.ones(2)
    found = gw.check_nans(f)(x, 3, scale=3.0)
    assert found["n"] == 3
    assert found["y"].tolist() == [21, 3]
    assert x.tolist() == [7, 1]
