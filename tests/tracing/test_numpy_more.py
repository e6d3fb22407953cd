"""Less usual functions of ``gw.numpy`` give what NumPy's give; no name is forgotten."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy
import pytest

import graphwright as gw
import graphwright.numpy as gnp
from graphwright.frontends.tracing import numpy as namespace
from graphwright.frontends.tracing.wrap import array_function
from graphwright.ir.emitter import Emitter, Value

V = numpy.array([2.0, -1.0, 0.5, 3.0, 7.0, -4.0])
W = numpy.array([1.0, 2.0, 4.0])
X = numpy.arange(12.0).reshape(3, 4) ** 1.5 - 9
I = numpy.array([[3, -2, 5, 0], [1, 7, 7, 2], [4, 4, -9, 6]])  # noqa: E741
N = numpy.array([0, 3, 1, 3, 2, 3])
P = numpy.array([1.0, -3.0, 2.0, 5.0])
S = numpy.array([[4.0, 1, 0, 2], [1, 5, 1, 0], [0, 1, 6, 1], [2, 0, 1, 7]])
U = numpy.array([[7, 128, 3], [255, 0, 1]], numpy.uint8)
NAN = numpy.array([[1.0, numpy.nan, 3], [numpy.nan, numpy.nan, -2], [4, 0, 8]])
POINTS = numpy.stack([V, V[::-1] ** 2, V - 3], axis=1)

Case = Callable[[Any], Any]

CASES: list[Case] = [
    *(
        lambda np, m=m: np.pad(X, ((1, 2), (3, 1)), mode=m)
        for m in ("median", "minimum", "linear_ramp", "edge", "wrap")
    ),
    *(
        lambda np, m=m: np.pad(I, 2, mode=m)
        for m in ("median", "mean", "linear_ramp", "symmetric", "maximum")
    ),
    *(
        lambda np, m=m, n=n: np.pad(V, n, mode=m, reflect_type="odd")
        for m in ("reflect", "symmetric")
        for n in (2, (1, 4), 13)
    ),
    lambda np: np.pad(X, 1, "linear_ramp", end_values=((2, 3), (4, 5))),
    lambda np: np.pad(V, {0: (1, 2)}),
    lambda np: np.polyadd(P, W),
    lambda np: np.polysub(W, P),
    lambda np: np.polymul(P, W),
    lambda np: np.polydiv(P, [2.0, 1.0]),
    lambda np: np.polyder(P),
    lambda np: np.polyder(P, 2),
    lambda np: np.polyint(P),
    lambda np: np.polyint(P, 2, k=[3, 4]),
    lambda np: np.polyval(P, X),
    lambda np: np.poly(V),
    lambda np: np.poly(S),
    lambda np: np.polyfit(numpy.arange(6.0), V, 2),
    lambda np: np.polyfit(numpy.arange(6.0), V, 2, w=[1, 2, 1, 1, 3, 1]),
    lambda np: np.polyfit(numpy.arange(6.0), numpy.stack([V, V * 2], 1), 1),
    lambda np: np.polyfit(numpy.arange(6.0), V, 2, cov=True)[1],
    lambda np: np.histogramdd(POINTS, bins=3),
    lambda np: np.histogramdd(POINTS, bins=(2, 3, 4), density=True),
    lambda np: np.histogramdd(POINTS[:, :2], bins=3, range=[(-5, 8), (0, 60)]),
    lambda np: np.histogramdd(POINTS, bins=2, weights=numpy.arange(6.0)),
    lambda np: np.histogram2d(V, V**2, bins=[3, 4], density=True),
    lambda np: np.histogram2d(V, V**2, bins=[[-5, 0, 8], 4], weights=V),
    lambda np: np.histogram(V, bins=np.array([-5.0, 0.0, 8.0])),
    lambda np: np.histogram(V, bins=[-5, 0, 8]),
    lambda np: np.packbits(U > 2),
    lambda np: np.packbits(numpy.arange(30).reshape(3, 10) % 3 == 0, axis=1),
    lambda np: np.packbits(N > 1, bitorder="little"),
    lambda np: np.unpackbits(U),
    lambda np: np.unpackbits(U, axis=1, count=11),
    lambda np: np.unpackbits(U, axis=0, count=-3, bitorder="little"),
    lambda np: np.unpackbits(U[0], count=30),
    lambda np: np.kaiser(7, 5.0),
    lambda np: np.linalg.tensorsolve(
        numpy.eye(24).reshape(6, 4, 2, 3, 4) + 0.1, numpy.ones((6, 4))
    ),
    lambda np: np.linalg.tensorinv(numpy.eye(24).reshape(4, 6, 8, 3) + 0.1),
    lambda np: np.linalg.tensorinv(numpy.eye(24).reshape(24, 8, 3), ind=1),
    lambda np: [v for _, v in np.ndenumerate(I)],
    lambda np: np.cov(X, fweights=[1, 2, 1, 3]),
    lambda np: np.cov(X, aweights=[0.5, 2, 1, 1]),
    lambda np: np.cov(X, fweights=[1, 2, 1, 3], aweights=[0.5, 2, 1, 1], ddof=0),
    lambda np: np.nanmax(NAN, axis=0, initial=2.0),
    lambda np: np.nanmin(NAN, axis=1, where=NAN > 0, initial=9.0),
    lambda np: np.nanmean(NAN, axis=1, where=NAN < 4),
    lambda np: np.nanstd(NAN, axis=0, where=NAN < 8, ddof=0),
    lambda np: np.nanvar(NAN, ddof=1),
    lambda np: np.nanmean(NAN, axis=0, dtype=numpy.float32),
    lambda np: np.nanvar(NAN, axis=0, dtype=numpy.float32),
    lambda np: np.nanstd(I, dtype=numpy.float32),
    lambda np: np.var(X, axis=0, mean=np.mean(X, axis=0, keepdims=True)),
    lambda np: np.std(X, axis=1, mean=numpy.ones((X.shape[0], 1))),
    lambda np: np.nanvar(NAN, axis=0, mean=np.nanmean(NAN, axis=0, keepdims=True)),
    lambda np: np.cov(X, dtype=numpy.float32),
    lambda np: np.corrcoef(X, dtype=numpy.float32),
    lambda np: np.sum(a=X, axis=1),
    lambda np: np.mean(X, 0, None, None, True),
    lambda np: np.median(X, 0, None, False, True),
    lambda np: np.cumsum(X, 1, None, None),
    lambda np: np.tile(A=W, reps=2),
    lambda np: np.resize(a=W, new_shape=5),
    lambda np: np.rollaxis(a=X, axis=1),
    lambda np: np.apply_over_axes(func=np.sum, a=X, axes=[0]),
    lambda np: np.linalg.lstsq(a=X.T, b=P)[0],
    lambda np: np.clip(a=X, a_min=0, a_max=None),
    lambda np: np.linalg.solve(a=S, b=X.T),
    lambda np: np.dot(a=X, b=S),
    lambda np: np.percentile(a=X, q=30, axis=0, overwrite_input=True),
    lambda np: np.searchsorted(a=W, v=V, side="right"),
    lambda np: np.isin(element=N, test_elements=[3]),
    lambda np: np.fft.fft(a=X, n=3),
    lambda np: np.broadcast(X, W[:, None]).shape,
    lambda np: np.ascontiguousarray(3.0),
    lambda np: np.rint([1, 2]),
    lambda np: np.tril(W),
    lambda np: np.median(numpy.zeros(0)),
    lambda np: np.einsum("ij,jk,kl->il", X, S, X.T, optimize=True),
    lambda np: np.einsum("ij,jk,kl->il", X, S, X.T, optimize="greedy"),
    lambda np: np.partition(V, 2)[2],
    lambda np: np.sort(V.astype(complex) * (1 + 1j)),
    lambda np: np.sort_complex(V),
    lambda np: np.sort_complex(I.astype(numpy.int8)),
    *(
        lambda np, m=m, n=n: np.pad(X, ((1, 2), (3, 1)), mode=m, stat_length=n)
        for m in ("mean", "median", "maximum", "minimum")
        for n in (2, 9, ((1, 2), (3, 1)), ((1, 3), (4, 9)))
    ),
    lambda np: np.pad(I, 2, mode="mean", stat_length=2),
    lambda np: np.pad(X, 1, mode=_edges_written, value=7),
    *(
        lambda np, m=m, x=x, q=q: np.quantile(x, q, axis=-1, method=m)
        for m in ("inverted_cdf", "averaged_inverted_cdf", "closest_observation")
        for x in (V, X, I)
        for q in (0.0, 0.25, 0.5, [0.1, 0.3, 1.0])
    ),
    *(
        lambda np, q=q, x=x, w=w, a=a: np.quantile(
            x, q, axis=a, weights=w, method="inverted_cdf"
        )
        for q in (0.0, 0.3, [0.5, 1.0])
        for x, w, a in (
            (V, numpy.array([0, 2, 1, 1, 0, 3]), None),
            (X, numpy.array([1.0, 2, 0, 1]), 1),
            (X, abs(X.T.reshape(3, 4)), 0),
            (I, numpy.arange(12).reshape(4, 3), (1, 0)),
            (NAN, numpy.array([1.0, 2, 1]), 1),
        )
    ),
    lambda np: np.percentile(V, 40, weights=V**2, method="inverted_cdf"),
    lambda np: np.nanquantile(
        NAN, 0.5, axis=1, weights=abs(X[:, :3]), method="inverted_cdf"
    ),
    lambda np: np.quantile(I, 1),
    lambda np: np.quantile(I, [0, 1], axis=0),
    lambda np: np.packbits(U > 2),
    lambda np: np.packbits(U > 2, axis=1, bitorder="little"),
    lambda np: np.unpackbits(U, axis=1),
    lambda np: np.roll(I, [1, 2], 1),
    lambda np: np.roll(I, 1, (0, 1)),
    lambda np: np.roll(I, numpy.array([1, 2]), (0, 1)),
    lambda np: np.roll(I, np.sum(numpy.array([1, 4]))),
    lambda np: np.roll(I, np.sum(numpy.array([1, -8])), 1),
    lambda np: np.tile(W, numpy.array([2, 1])),
    lambda np: np.size(X, (0, 1)),
    lambda np: np.size(X, -1),
    lambda np: np.angle(V > 0),
    lambda np: np.angle(U),
    lambda np: np.round(V > 0),
    *(lambda np, d=d: np.sinc(numpy.array([0, 1, 3], d)) for d in "?bHlefd"),
    lambda np: np.trapezoid(V > 0),
    lambda np: np.trapezoid(V > 0, V),
    lambda np: np.trapezoid(V, V > 0),
    lambda np: np.trapezoid(U, U[:, ::-1]),
    lambda np: np.trapezoid(X, X, axis=0),
    lambda np: np.unwrap(V, period=numpy.array(2.0)),
    lambda np: np.linalg.matrix_rank(W),
    lambda np: np.linalg.matrix_rank(W * 0),
    lambda np: np.linalg.lstsq(numpy.arange(12.0).reshape(3, 4), W, 1)[:3],
    lambda np: np.linalg.lstsq(numpy.arange(12.0).reshape(4, 3), V[:4], -1)[:3],
    lambda np: np.linalg.lstsq(numpy.arange(12.0).reshape(4, 3), V[:4], 0.1)[:3],
    lambda np: np.min_scalar_type(np.asarray(V)).itemsize,
    lambda np: np.min_scalar_type(np.asarray(3)).itemsize,
]


def _edges_written(lane: Any, pair: Any, axis: int, options: Any) -> None:
    lane[: pair[0]] = options["value"] + axis
    lane[-pair[1] :] = lane[pair[0]]


def parts(x: Any) -> list[Any]:
    if isinstance(x, (tuple, list)):
        return [p for item in x for p in parts(item)]
    return [numpy.asarray(x)]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("number", range(len(CASES)))
def test_as_numpy(number: int) -> None:
    want, got = parts(CASES[number](numpy)), parts(CASES[number](gnp))
    assert len(got) == len(want)
    for x, y in zip(got, want, strict=True):
        assert x.dtype == y.dtype
        assert x.shape == y.shape
        near = 1e-6 if x.dtype == numpy.float32 else 1e-9
        numpy.testing.assert_allclose(x, y, rtol=near, atol=near)


# Names --------------------------------------------------------------------------------


@pytest.mark.parametrize("module", ["", "linalg", "fft"])
def test_every_name_of_numpy_is_there(module: str) -> None:
    theirs = getattr(numpy, module) if module else numpy
    ours = getattr(gnp, module) if module else gnp
    for name in vars(theirs):
        found = getattr(theirs, name)
        if not name.startswith("_") and callable(found) and name != "test":
            assert hasattr(ours, name), name


FFT = vars(gnp.fft)


def test_every_module_of_functions_is_public() -> None:
    home = Path(namespace.__path__[0])
    modules = [import_module(f"{namespace.__name__}.{p.stem}") for p in home.glob("*")]
    named = [m for m in modules if hasattr(m, "__all__") and m is not namespace]
    assert len(named) > 20
    for module in named:
        for name in module.__all__:
            assert name in vars(gnp) or name in vars(gnp.linalg) or name in FFT, name


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: gnp.quantile(V, 1.5), "range"),
        (lambda: gnp.quantile(V, 0.5, weights=V**2), "inverted_cdf"),
        (lambda: gnp.quantile(V, 0.5, weights=V, method="inverted_cdf"), "negative"),
        (lambda: gnp.quantile(V, 0.5, weights=W, method="inverted_cdf"), "axis"),
        (lambda: gnp.quantile(V, 0.5, method="middle"), "no method"),
        (lambda: gnp.pad(V, 1, "maximum", stat_length=0), "stat_length"),
        (lambda: gnp.pad(V, 1, "sideways"), "not supported"),
        (lambda: gnp.roll(X, [1, 2, 3], (0, 1)), "3 shifts along 2 axes"),
        (lambda: gnp.roll(X, numpy.array(1.5)), "integers"),
    ],
)
def test_bad_arguments_are_refused(call: Callable[[], Any], words: str) -> None:
    with pytest.raises((ValueError, TypeError, gw.GraphwrightError), match=words):
        call()


def test_shifts_may_be_traced() -> None:
    rolled = gw.jit(lambda x, n: numpy.roll(x, n, 0))
    for n in (0, 1, -2, 50):
        numpy.testing.assert_array_equal(rolled(X, numpy.array(n)), numpy.roll(X, n, 0))


@pytest.mark.parametrize("function", [numpy.putmask, numpy.place])
def test_masks_are_true_where_they_are_not_0(function: Any) -> None:
    mine, theirs = gw.asarray(V), V.copy()
    mask = numpy.array([0.0, 3, 0, -1, 0.5, 0])
    function(mine, mask, W)
    function(theirs, mask != 0, W)
    numpy.testing.assert_array_equal(mine, theirs)


MISSING: list[Case] = [
    lambda np: np.nditer(X),
    lambda np: np.matrix(X),
    lambda np: np.roots(P),
    lambda np: np.lib.stride_tricks.as_strided(X, (2, 2)),
    lambda np: np.ma.masked_where(X > 0, X),
    lambda np: np.frompyfunc(abs, 1, 1),
    lambda np: np.real_if_close(X),
    lambda np: np.isfortran(X),
    lambda np: np.histogram(V, bins="auto"),
]


@pytest.mark.parametrize("number", range(len(MISSING)))
def test_what_is_missing_says_what_to_write(number: int) -> None:
    with pytest.raises(
        gw.TraceError, match=r"test_numpy_more\.py:\d+: .*not supported"
    ):
        MISSING[number](gnp)


def test_numpys_own_functions_of_tensors_are_named() -> None:
    with pytest.raises(gw.TraceError, match=r"numpy\.real_if_close is not supported"):
        numpy.real_if_close(gw.asarray(V))
    with pytest.raises(gw.TraceError, match=r"numpy\.isnat is not supported"):
        numpy.isnat(gw.asarray(V))
    with pytest.raises(AttributeError):
        gnp.no_such_name  # noqa: B018


def test_arguments_that_are_not_supported_are_named() -> None:
    @array_function
    def cumprod(b: Emitter, x: Value, /, axis: int | None = None) -> Value:
        return x

    with pytest.raises(gw.TraceError, match=r"the argument 'dtype' of numpy\.cumprod"):
        cumprod(X, dtype=float)
    with pytest.raises(TypeError, match="unexpected keyword"):
        gnp.sum(X, nonsense=1)


@pytest.mark.parametrize("backend", ["numpy", None])
def test_arrays_are_equal_if_the_run_says_so(backend: str | None) -> None:
    @gw.jit(backend=backend)
    def same(x: Any, y: Any) -> Any:
        return numpy.array_equal(x[x > 0], y)

    x = numpy.array([1.0, -2.0, 3.0, 4.0])
    for y in ([1.0, 3.0, 4.0], [1.0, 3.0, 5.0], [1.0, 3.0], [1.0, 3.0, 4.0, 0.0]):
        assert bool(same(x, numpy.array(y))) == numpy.array_equal(x[x > 0], y)
    assert not same(-x, numpy.array([1.0, 3.0]))
    assert same(-abs(x), numpy.array([]))


def test_named_sizes_may_differ_in_arrays_that_are_compared() -> None:
    spec = [gw.spec("float64", (name,)) for name in ("n", "m")]
    graph = gw.trace(gnp.array_equal, *spec)
    run = gw.compile(graph, backend="numpy")
    for n, m in ((3, 3), (3, 4), (0, 1), (1, 3)):
        assert bool(run(numpy.ones(n), numpy.ones(m))) == (n == m)


@pytest.mark.parametrize(
    ("left", "right", "out"),
    [
        ((1, 1), (1, 1), (1,)),
        ((1, 2), (2, 3), (3,)),
        ((2,), (2, 3), (4, 3)),
        ((1, 1, 2), (2, 3), (1, 3)),
        ((3, 2), (2, 1), (3,)),
        ((1, 2), (2, 1), ()),
        ((5, 1, 2), (5, 2, 3), (5, 3)),
    ],
)
def test_products_of_one_row_fit_into_vectors(left: Any, right: Any, out: Any) -> None:
    def product(x: Any, y: Any) -> Any:
        found = numpy.zeros(out)
        numpy.matmul(x, y, out=found)
        return found

    x, y = numpy.ones(left), numpy.ones(right)
    try:
        want = product(x, y)
    except ValueError:
        with pytest.raises(ValueError, match="out"):
            gw.jit(product)(x, y)
    else:
        numpy.testing.assert_array_equal(gw.jit(product)(x, y), want)
