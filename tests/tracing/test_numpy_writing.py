"""Functions that write, ufuncs with masks, dtypes, traced shapes, errors."""

from collections.abc import Callable
from typing import Any

import numpy
import pytest

import graphwright as gw
import graphwright.numpy as gnp
from graphwright.ir.errors import DTypeError, ShapeError

X = numpy.arange(12.0).reshape(3, 4)

WRITES: list[Callable[[Any, Any], None]] = [
    lambda np, a: np.copyto(a, 7.0),
    lambda np, a: np.copyto(a, -a, where=a > 5),
    lambda np, a: np.put(a, [0, -1, 5], [9.0, 8.0]),
    lambda np, a: np.put(a, [20], 1.0, mode="clip"),
    lambda np, a: np.putmask(a, a > 3, [1.0, 2.0, 3.0]),
    lambda np, a: np.place(a, a > 3, [1.0, 2.0, 3.0]),
    lambda np, a: np.put_along_axis(a, numpy.array([[0], [2], [1]]), -1.0, 1),
    lambda np, a: np.fill_diagonal(a, 5.0),
    lambda np, a: np.fill_diagonal(a, [1.0, 2.0, 3.0]),
    lambda np, a: np.add(a, 1.0, out=a),
    lambda np, a: np.multiply(a, 2.0, out=a, where=a > 3),
    lambda np, a: np.cumsum(a, axis=1, out=a),
    lambda np, a: np.add.at(a, [0, 0, 2], 1.0),
    lambda np, a: np.subtract.at(a, numpy.array([1, 1]), numpy.ones(4)),
    lambda np, a: np.maximum.at(a, [0], 100.0),
    lambda np, a: np.add.at(a, ([0, 0], [1, 1]), 1.0),
    lambda np, a: np.divide.at(a, ([0, 0], [1, 1]), 2.0),
    lambda np, a: np.negative.at(a, ([0], [1])),
    lambda np, a: np.add.reduce(a, axis=0, out=a[0]),
]


@pytest.mark.parametrize("write", WRITES)
def test_writes_as_numpy(write: Callable[[Any, Any], None]) -> None:
    want, got = X.copy(), gnp.asarray(X)
    write(numpy, want)
    write(gnp, got)
    numpy.testing.assert_array_equal(got, want)


def test_views_share_storage() -> None:
    x = gnp.asarray(X)
    gnp.ravel(x)[:] = 0
    gnp.transpose(gnp.ones((2, 2)))
    assert float(gnp.sum(x)) == 0
    assert gnp.shares_memory(x, gnp.reshape(x, (4, 3)))
    assert not gnp.shares_memory(x, gnp.copy(x))
    assert gnp.asarray(x) is x


def test_dtypes() -> None:
    assert gnp.result_type(gnp.int8, gnp.uint8) == numpy.int16
    assert gnp.result_type(gnp.asarray([1.0], dtype=gnp.float32), 1.5) == numpy.float32
    assert gnp.result_type(gnp.int64, 1.5) == numpy.float64
    assert gnp.promote_types("float16", "int16") == numpy.float32
    assert gnp.finfo(gnp.complex64).bits == 32
    assert gnp.finfo("bfloat16").eps == 2.0**-7
    assert gnp.iinfo(gnp.asarray([1], dtype="uint8")).max == 255
    assert gnp.can_cast(gnp.int8, gnp.int16)
    assert not gnp.can_cast(gnp.int16, gnp.int8)
    assert gnp.isdtype(gnp.float32, ("integral", "real floating"))
    assert not gnp.isdtype(gnp.complex64, "real floating")
    assert gnp.issubdtype(gnp.float32, gnp.floating)
    assert gnp.common_type(gnp.asarray([1])) == numpy.float64
    info = gnp.__array_namespace_info__()
    assert set(info.dtypes(kind="bool")) == {"bool"}
    assert info.default_dtypes()["integral"] == numpy.int64
    assert info.devices() == (info.default_device(),)


def test_the_standards_meaning_of_floor_division_by_infinity() -> None:
    inf = float("inf")
    x = gnp.asarray([inf, -inf, 1.0, -1.0, inf])
    y = gnp.asarray([2.0, 2.0, -inf, inf, inf])
    found = numpy.asarray(gnp.floor_divide(x, y))
    numpy.testing.assert_array_equal(found, [inf, -inf, -0.0, -0.0, numpy.nan])
    assert numpy.signbit(found[2:4]).all()
    numpy.testing.assert_array_equal(x // y, [numpy.nan, numpy.nan, -1, -1, numpy.nan])


def test_complex_limits() -> None:
    inf, nan = float("inf"), float("nan")
    z = gnp.asarray([complex(inf, 0), complex(-inf, nan), complex(-inf, 1.0), 1e-20j])
    found = numpy.asarray(gnp.expm1(z))
    numpy.testing.assert_array_equal(found[:2], [complex(inf, 0), -1])
    assert found[2].real == -1
    assert found[3].imag == 1e-20
    assert abs(found[3].real) < 1e-40
    far = numpy.asarray(gnp.tanh(gnp.asarray([complex(inf, 2.0), complex(-inf, -2.0)])))
    numpy.testing.assert_array_equal(far, [1, -1])
    assert numpy.signbit(far.imag).tolist() == [False, True]


@pytest.mark.parametrize("n", [0, 1, 5])
def test_one_graph_for_all_sizes(n: int) -> None:
    def f(np: Any, x: Any) -> tuple[Any, ...]:
        return (
            np.tril(np.outer(x, x)),
            np.roll(x, 1),
            np.concatenate([x, np.arange(3.0)]),
            np.diff(x),
            np.sort(-x),
            np.repeat(x, 2),
            np.pad(x, 1),
            np.tile(x, 2),
            np.cumsum(x),
            np.eye(x.shape[0]) @ x,
            np.searchsorted(np.sort(x), 0.5),
            np.diagonal(np.outer(x, x)),
            np.meshgrid(x, np.arange(2.0))[0],
            np.broadcast_to(x, (2, x.shape[0])),
            np.flip(x),
        )

    traced = gw.trace(lambda x: f(gnp, x), gw.spec("float64", ("n",)))
    x = numpy.linspace(-1, 2, n)
    found = gw.compile(traced)(x)
    for got, want in zip(found, f(numpy, x), strict=True):
        numpy.testing.assert_allclose(got, want)


def test_what_depends_on_data_is_traced() -> None:
    def f(np: Any, x: Any) -> Any:
        return np.unique(x), np.nonzero(x)[0], np.bincount(x), np.repeat(x, x)

    x = numpy.array([3, 1, 0, 3, 2])
    graph = gw.trace(lambda x: f(gnp, x), gw.spec("int64", ("n",)))
    for got, want in zip(gw.compile(graph)(x), f(numpy, x), strict=True):
        numpy.testing.assert_array_equal(got, want)


def test_errors() -> None:
    x = gnp.asarray(X)
    with pytest.raises(ShapeError):
        gnp.reshape(x, (5, -1))
    with pytest.raises(ValueError, match="equal division"):
        gnp.split(x, 5)
    with pytest.raises(numpy.exceptions.AxisError):
        gnp.sum(x, axis=2)
    with pytest.raises(ShapeError):
        gnp.max(gnp.zeros((0, 3)))
    with pytest.raises(DTypeError):
        gnp.floor(gnp.asarray([1j]))
    with pytest.raises(DTypeError):
        gnp.bitwise_and(x, 1.5)
    with pytest.raises(gnp.linalg.LinAlgError):
        numpy.asarray(gnp.linalg.cholesky(-gnp.eye(2)))
    with pytest.raises(ShapeError):
        gnp.concatenate([x, gnp.zeros((3, 3))])
    with pytest.raises(OverflowError):
        gnp.add(gnp.asarray([1], dtype="uint8"), 300)
    with pytest.raises(ValueError, match="method"):
        gnp.quantile(x, 0.5, method="guess")
