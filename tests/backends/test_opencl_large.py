"""Arrays of more elements than 32 bits count, on OpenCL."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphwright as gw
import graphwright.numpy as gnp
from graphwright.backends.limits import Limits
from graphwright.backends.opencl.backend import OpenCLBackend

MISSING = OpenCLBackend().unavailable()
N = 2**31 + 64
PLACES = np.array([0, 5, 2**31 - 1, 2**31, 2**31 + 1, N - 1])

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(MISSING is not None, reason=str(MISSING)),
    pytest.mark.skipif(Limits().bytes < 15 << 30, reason="less than 15 GiB of memory"),
]


@pytest.fixture(scope="module")
def x() -> Any:
    found = np.zeros(N, np.uint8)
    found[PLACES] = [1, 2, 3, 4, 5, 6]
    return found


def put(x: Any) -> Any:
    y = x.copy()
    y[PLACES] = 9
    return y


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "elementwise": lambda x: x * 2 + 1,
    "slice": lambda x: x[2**31 - 2 :] + 0,
    "reverse": lambda x: x[::-1] + 0,
    "transpose": lambda x: x.reshape(64, -1).T + 0,
    "concat": lambda x: np.concatenate([x[1:], x[:1]]),
    "take": lambda x: np.take(x, PLACES),
    "put": put,
    "sum": lambda x: np.sum(x, dtype=np.int64),
    "max": np.max,
    "argmax": np.argmax,
    "rows": lambda x: np.sum(x.reshape(2, -1), axis=1, dtype=np.int64),
    "columns": lambda x: np.sum(x.reshape(-1, 64), axis=0, dtype=np.int64),
    "running": lambda x: np.cumsum(x, dtype=np.uint8),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_elements_beyond_32_bits(name: str, x: Any) -> None:
    function = FUNCTIONS[name]
    graph = gw.trace(function, gw.spec("uint8", x.shape))
    got = np.asarray(gw.compile(graph, backend="opencl", strict=True)(x))
    assert np.array_equal(got, function(x))


def test_products_of_many_rows() -> None:
    rows = np.ones((N // 64, 64), np.float16)
    graph = gw.trace(
        lambda w: gnp.matmul(w, gnp.ones((64,), "float16")),
        gw.spec("float16", rows.shape),
    )
    got = np.asarray(gw.compile(graph, backend="opencl", strict=True)(rows))
    assert (got == 64).all()
