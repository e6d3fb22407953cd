"""Exact quotients of dims, and dims followed through float arithmetic."""

from typing import Any

import numpy as np
import pytest

from graphwright.ir import dtype as dt
from graphwright.ir.builder import Builder
from graphwright.ir.dim import Dim, exact_quotient, symbol
from graphwright.ir.emitter import Value

N, M = symbol("n"), symbol("m")

QUOTIENTS: list[tuple[Dim, Dim, Dim | None]] = [
    (N * M * 64, N * M, 64),
    (N * 12, N * 4, 3),
    ((N + M) * N, N + M, N),
    (12, 4, 3),
    (13, 4, None),
    (N * 3, 2, None),
    (N, M, None),
    (N, 0, None),
    (0, N, 0),
]


@pytest.mark.parametrize(("a", "b", "want"), QUOTIENTS)
def test_exact_quotient(a: Dim, b: Dim, want: Dim | None) -> None:
    assert exact_quotient(a, b) == want


def whole(b: Builder, x: Value) -> str:
    return str(b.cast(x, dt.int64).tensor)


def sizes(b: Builder, *dims: Dim) -> Value:
    return b.cast(b.size_of(*dims), dt.float32)


def test_float_arithmetic_on_sizes() -> None:
    b = Builder()
    x = sizes(b, N, M)
    assert whole(b, b.mul(x, 2.0)) == "int64[2]{2*n, 2*m}"
    assert whole(b, b.floor(b.div(x, 2.0))) == "int64[2]{n//2, m//2}"
    assert whole(b, b.div(x, 2.0)) == "int64[2]{n//2, m//2}"
    half = b.unary("ceil", b.mul(x, 0.5))
    assert whole(b, half) == "int64[2]{(n + 1)//2, (m + 1)//2}"
    assert whole(b, b.add(b.sub(x, 1.0), 3.0)) == "int64[2]{n + 2, m + 2}"
    assert whole(b, b.max(x, 1.0)) == "int64[2]{max(n, 1), max(m, 1)}"
    assert whole(b, b.flip(x, [0])) == "int64[2]{m, n}"
    assert whole(b, b.concat([x, b.constant([1.5], dt.float32)], 0)) == (
        "int64[3]{n, m, 1}"
    )


UNKNOWN: list[Any] = [
    lambda b, x: b.mul(x, 0.1),
    lambda b, x: b.exp(x),
    lambda b, x: b.sub(x, 1.0),
    lambda b, x: b.div(x, b.sub(x, 5.0)),
    lambda b, x: b.mul(x, np.inf),
    lambda b, x: b.cast(b.cast(x, dt.float16), dt.float32),
]


@pytest.mark.parametrize("build", UNKNOWN)
def test_what_is_not_followed(build: Any) -> None:
    b = Builder()
    assert whole(b, build(b, sizes(b, N))) == "int64[1]"
