"""Every function of ``graphwright.numpy`` against NumPy's of the same name."""

from collections.abc import Callable
from typing import Any

import numpy
import pytest

import graphwright.numpy as gnp

RNG = numpy.random.default_rng(0)
X = RNG.standard_normal((3, 4))
Y = RNG.standard_normal((3, 4))
S = RNG.standard_normal((4, 4))
P = numpy.abs(X) + 0.5
U = X / 4
Z = X + 1j * Y
V = numpy.array([3.0, -1.0, 2.5, 7.0, 0.0, -2.0])
W = numpy.array([1.0, 2.0, -0.5])
I = numpy.array([[3, -7, 2], [5, 0, -4]])  # noqa: E741
J = numpy.array([[2, 3, -5], [-3, 4, 6]])
N = numpy.array([3, 1, 1, 4, 0, 3])
B = numpy.array([[True, False, True], [False, False, True]])
F = X.astype(numpy.float32)
H = X.astype(numpy.float16)
NAN = numpy.where(X > 0.5, numpy.nan, X)
E = numpy.array([numpy.nan, numpy.inf, -numpy.inf, 0.0, -0.0, 1.0, -1.5, 2.5])
SORTED = numpy.array([0.0, 1.0, 1.0, 2.0, 5.0])

Case = Callable[[Any], Any]


METHODS = (
    *("linear", "lower", "higher", "midpoint", "nearest", "weibull", "hazen"),
    *("median_unbiased", "normal_unbiased", "interpolated_inverted_cdf"),
)
REDUCTIONS = (
    "sum prod max min mean std var any all median ptp argmax argmin cumsum cumprod"
    " count_nonzero nansum nanmax"
)


def each(names: str, *args: Any, module: str = "", **options: Any) -> list[Case]:
    """One case for each function, called with the same arguments."""

    def case(name: str) -> Case:
        def call(np: Any) -> Any:
            return getattr(getattr(np, module) if module else np, name)(
                *args, **options
            )

        return call

    return [case(name) for name in names.split()]


CASES: dict[str, list[Case]] = {
    "elementwise": [
        *each(
            "add subtract multiply divide maximum minimum fmax fmin arctan2 hypot"
            " copysign logaddexp logaddexp2 nextafter floor_divide remainder mod"
            " fmod less less_equal greater greater_equal equal not_equal"
            " logical_and logical_or logical_xor heaviside true_divide float_power",
            X,
            Y,
        ),
        *each(
            "add subtract multiply divide floor_divide remainder fmod maximum"
            " minimum gcd lcm bitwise_and bitwise_or bitwise_xor less equal"
            " arctan2 copysign hypot",
            I,
            J,
        ),
        *each(
            "exp exp2 expm1 sin cos tan sinh cosh tanh arctan arcsinh cbrt"
            " absolute fabs negative positive sign square reciprocal floor ceil"
            " trunc rint signbit isnan isinf isfinite deg2rad rad2deg degrees"
            " radians sinc conj real imag angle logical_not spacing fix isreal"
            " iscomplex nan_to_num",
            X,
        ),
        *each("log log2 log10 log1p sqrt", P),
        lambda np: np.arccosh(P + 1),
        *each("arcsin arccos arctanh", U),
        *each(
            "exp log sqrt sin cos tan sinh cosh tanh arcsin arccos arctan arcsinh"
            " arccosh arctanh absolute sign square conj real imag angle expm1 log2"
            " log10 reciprocal isnan isfinite negative",
            Z,
        ),
        *each("exp sin tanh floor", H),
        *each("exp sin floor absolute", I.astype("int8")),
        *each("exp sin floor absolute", I.astype("int16")),
        *each("exp sin floor absolute", I.astype("int32")),
        *each("exp sin floor absolute", I),
        *each(
            "isnan isinf isposinf isneginf signbit sign round trunc nan_to_num"
            " exp tanh arctan floor",
            E,
        ),
        lambda np: np.floor_divide(E, 2.0)[3:],
        lambda np: np.remainder(E, 2.0),
        lambda np: np.divmod(I, 3),
        lambda np: np.divmod(X, 0.3),
        lambda np: np.modf(V * 1.25),
        lambda np: np.frexp(V),
        lambda np: np.frexp(numpy.array([5e-324, 1e-310, 1.0, 0.0, numpy.inf])),
        lambda np: np.ldexp(V, numpy.array([1, 2, -3, 4, 5, -1074])),
        lambda np: np.power(P, Y),
        lambda np: np.power(I, 2),
        lambda np: np.power(N, N),
        lambda np: np.round(X, 2),
        lambda np: np.round(X * 100, -1),
        lambda np: np.clip(X, -0.5, 0.5),
        lambda np: np.clip(I, -3, 300),
        lambda np: np.clip(N.astype("uint8"), -1, 3),
        lambda np: np.clip(X, None, 0.1),
        lambda np: np.left_shift(N, 3),
        lambda np: np.right_shift(I, 1),
        lambda np: np.invert(I),
        lambda np: np.invert(B),
        lambda np: np.bitwise_count(I),
        lambda np: np.bitwise_count(N.astype("uint8")),
        lambda np: np.isclose(X, X + 1e-9),
        lambda np: np.isclose(E, E, equal_nan=True),
        lambda np: np.allclose(X, Y),
        lambda np: np.add(B, B),
        lambda np: np.multiply(B, B),
        lambda np: np.add(F, 1.5),
        lambda np: np.add(I.astype("int8"), 1),
        lambda np: np.less(N.astype("uint8"), 300),
    ],
    "creation": [
        lambda np: np.zeros((2, 3)),
        lambda np: np.ones(3, dtype="int32"),
        lambda np: np.full((2, 2), 7),
        lambda np: np.full((2, 2), 7.5, dtype="float32"),
        lambda np: np.eye(3, 4, k=1),
        lambda np: np.identity(3),
        lambda np: np.arange(5),
        lambda np: np.arange(1, 9, 2),
        lambda np: np.arange(5, 0, -1.5),
        lambda np: np.linspace(0, 1, 7),
        lambda np: np.linspace(0, 10, 5, endpoint=False),
        lambda np: np.linspace(W, 2 * W, 3, axis=1),
        lambda np: np.linspace(2, 3, 4, retstep=True),
        lambda np: np.linspace(0, 5, 4, dtype=int),
        lambda np: np.logspace(0, 2, 5),
        lambda np: np.geomspace(1, 1000, 4),
        lambda np: np.tri(3, 4, 1),
        lambda np: np.tril(X, -1),
        lambda np: np.triu(X, 1),
        lambda np: np.vander(W, 4),
        lambda np: np.vander(N[:3], increasing=True),
        lambda np: np.zeros_like(I),
        lambda np: np.ones_like(X, dtype=int),
        lambda np: np.full_like(X, 3),
        lambda np: np.array([[1, 2], [3, 4]]),
        lambda np: np.array([1, 2.5]),
        lambda np: np.array(3, ndmin=2),
        lambda np: np.asarray(I, dtype="float32"),
        lambda np: np.fromfunction(lambda i, j: i + 2 * j, (2, 3)),
        lambda np: np.meshgrid(W, N),
        lambda np: np.meshgrid(W, N, indexing="ij", sparse=True),
        lambda np: np.indices((2, 3)),
        lambda np: np.mgrid[0:3, 0:2],
        lambda np: np.mgrid[0:1:5j],
        lambda np: np.ogrid[0:3, 0:2],
        lambda np: np.r_[W, 0, 1:4],
        lambda np: np.c_[W, W],
        lambda np: np.r_["0,2", W, W],
        lambda np: np.ix_([0, 2], [1, 3]),
        lambda np: np.tril_indices(3),
        lambda np: np.triu_indices(3, 1),
        lambda np: np.diag_indices(3),
        lambda np: np.diag_indices_from(S),
        lambda np: np.tril_indices_from(X),
        lambda np: np.triu_indices_from(X, 1),
        *each("hanning hamming blackman bartlett", 8),
        *each("hanning hamming blackman bartlett", 1),
        lambda np: np.lib.stride_tricks.sliding_window_view(V, 3),
        lambda np: np.lib.stride_tricks.sliding_window_view(X, (2, 3)),
        lambda np: np.unravel_index(numpy.array([5, 11]), (3, 4)),
        lambda np: np.ravel_multi_index(
            (numpy.array([1, 2]), numpy.array([1, 3])), (3, 4)
        ),
    ],
    "shapes": [
        lambda np: np.reshape(X, (2, -1)),
        lambda np: np.reshape(X, (2, 6), order="F"),
        lambda np: np.ravel(X),
        lambda np: np.ravel(X, order="F"),
        lambda np: np.resize(W, (2, 4)),
        lambda np: np.transpose(X),
        lambda np: np.swapaxes(X, 0, 1),
        lambda np: np.moveaxis(numpy.ones((2, 3, 4)), 0, -1),
        lambda np: np.rollaxis(numpy.ones((2, 3, 4)), 2),
        lambda np: np.expand_dims(X, (0, 2)),
        lambda np: np.squeeze(X[:, None]),
        lambda np: np.flip(X),
        lambda np: np.flip(X, 1),
        lambda np: np.flipud(X),
        lambda np: np.fliplr(X),
        *(lambda np, k=k: np.rot90(X, k) for k in range(4)),
        lambda np: np.roll(X, 2),
        lambda np: np.roll(X, (1, -1), axis=(0, 1)),
        lambda np: np.broadcast_to(W, (2, 3)),
        lambda np: np.broadcast_arrays(W, B),
        lambda np: np.atleast_1d(3.0),
        lambda np: np.atleast_2d(W),
        lambda np: np.atleast_3d(X),
        lambda np: np.concatenate([X, Y]),
        lambda np: np.concatenate([X, I.T], axis=None),
        lambda np: np.stack([X, Y], axis=1),
        lambda np: np.vstack([W, W]),
        lambda np: np.hstack([W, V]),
        lambda np: np.dstack([W, W]),
        lambda np: np.column_stack([W, W]),
        lambda np: np.append(W, 3),
        lambda np: np.append(X, Y, axis=0),
        lambda np: np.block([[X, Y], [Y, X]]),
        lambda np: np.split(X, 2, axis=1),
        lambda np: np.split(V, [1, 4]),
        lambda np: np.array_split(V, 4),
        lambda np: np.hsplit(X, 2),
        lambda np: np.vsplit(X, 3),
        lambda np: np.repeat(X, 2),
        lambda np: np.repeat(X, [1, 0, 2], axis=0),
        lambda np: np.tile(W, (2, 2)),
        lambda np: np.tile(X, 2),
        lambda np: np.delete(V, 2),
        lambda np: np.delete(X, [0, 2], axis=1),
        lambda np: np.insert(V, 2, 9.0),
        lambda np: np.insert(X, 1, 5.0, axis=1),
        lambda np: np.insert(V, [1, 3], [8.0, 9.0]),
        lambda np: np.pad(X, 1),
        lambda np: np.pad(X, ((1, 2), (0, 1)), constant_values=3),
        *(
            lambda np, m=m: np.pad(X, ((1, 2), (2, 1)), mode=m)
            for m in ("edge", "reflect", "symmetric", "wrap", "maximum", "mean")
        ),
    ],
    "reductions": [
        *each(REDUCTIONS, X),
        *each(REDUCTIONS, X, axis=0),
        *each(REDUCTIONS, X, axis=-1),
        *each("sum prod max min mean std any all median cumsum argmax", I, axis=0),
        *each(
            "nansum nanprod nanmax nanmin nanmean nanstd nanvar nanmedian"
            " nancumsum nancumprod sum max median",
            NAN,
            axis=1,
        ),
        *each("nanargmax nanargmin", numpy.nan_to_num(NAN, nan=-9), axis=0),
        *(
            lambda np, t=t: np.sum(N.astype(t))
            for t in ("int8", "uint8", "bool", "float16")
        ),
        lambda np: np.sum(Z),
        lambda np: np.mean(Z, axis=0),
        lambda np: np.var(Z, axis=0),
        lambda np: np.mean(H),
        lambda np: np.sum(X, axis=(0, 1), keepdims=True),
        lambda np: np.sum(X, initial=3.0, where=X > 0),
        lambda np: np.max(X, initial=0.0, where=X < 0),
        lambda np: np.std(X, ddof=1, axis=0),
        lambda np: np.average(X, axis=1, weights=[1, 2, 3, 4]),
        lambda np: np.average(X, returned=True),
        lambda np: np.diff(V),
        lambda np: np.diff(X, n=2, axis=0),
        lambda np: np.diff(V, prepend=0),
        lambda np: np.ediff1d(V, to_end=9.0),
        lambda np: np.trapezoid(V),
        lambda np: np.trapezoid(X, dx=0.5, axis=0),
        *(
            lambda np, m=m: np.quantile(X, [0.1, 0.5, 0.93], axis=1, method=m)
            for m in METHODS
        ),
        lambda np: np.percentile(V, 30),
        lambda np: np.percentile(I, 50, method="lower"),
        lambda np: np.quantile(F, 0.3),
        lambda np: np.nanpercentile(NAN, [20, 80], axis=0),
        lambda np: np.nanquantile(NAN, 0.5, keepdims=True),
        lambda np: np.histogram(V),
        lambda np: np.histogram(X, bins=5, range=(-1, 1)),
        lambda np: np.histogram(V, bins=[-2, 0, 3, 7], density=True),
        lambda np: np.histogram(V, weights=numpy.arange(6.0)),
        lambda np: np.histogram2d(X[0], X[1], bins=3),
        lambda np: np.bincount(N),
        lambda np: np.bincount(np.minimum(N, 3), minlength=6),
        lambda np: np.bincount(np.minimum(N, 3), minlength=2),
        lambda np: np.bincount(np.minimum(N, 3), weights=V, minlength=4),
        lambda np: np.bincount(N, weights=V, minlength=8),
        lambda np: np.digitize(V, [-1.0, 0.0, 3.0]),
        lambda np: np.digitize(V, [3.0, 0.0, -1.0], right=True),
        lambda np: np.cov(X),
        lambda np: np.cov(X, rowvar=False, ddof=0),
        lambda np: np.corrcoef(X),
    ],
    "searching": [
        lambda np: np.where(X > 0, X, 0),
        lambda np: np.where(B),
        lambda np: np.nonzero(I),
        lambda np: np.argwhere(B),
        lambda np: np.flatnonzero(N),
        lambda np: np.sort(X),
        lambda np: np.sort(NAN, axis=0),
        lambda np: np.argsort(N, kind="stable"),
        lambda np: np.lexsort((V, N)),
        lambda np: np.searchsorted(SORTED, V),
        lambda np: np.searchsorted(SORTED, V, side="right"),
        lambda np: np.searchsorted(V, SORTED, sorter=numpy.argsort(V)),
        lambda np: np.take(X, [0, -1], axis=1),
        lambda np: np.take(X, [0, 14], mode="wrap"),
        lambda np: np.take_along_axis(X, numpy.argsort(X, 0), 0),
        lambda np: np.compress([True, False, True], X, axis=0),
        lambda np: np.extract(X > 0, X),
        lambda np: np.select([X > 1, X > 0], [X, -X], 9),
        lambda np: np.choose(numpy.array([0, 1, 0]), [W, -W]),
        lambda np: np.unique(N),
        lambda np: np.unique(N, True, True, True),
        lambda np: np.unique(NAN, return_counts=True, return_inverse=True),
        lambda np: np.unique(I, axis=0),
        lambda np: np.isin(I, [2, 5]),
        lambda np: np.isin(N, [3], invert=True),
        lambda np: np.union1d(N, [9, 1]),
        lambda np: np.intersect1d(N, [3, 1, 7]),
        lambda np: np.setdiff1d(N, [3]),
        lambda np: np.setxor1d(N, [3, 8]),
        lambda np: np.array_equal(X, X),
        lambda np: np.array_equal(X, Y),
        lambda np: np.array_equiv(W, [W, W]),
        lambda np: np.piecewise(V, [V < 0, V >= 0], [lambda x: -x, 5.0]),
        lambda np: np.apply_along_axis(lambda v: v.sum() * v, 0, X),
    ],
    "products": [
        lambda np: np.dot(X, S),
        lambda np: np.dot(X, numpy.ones((2, 4, 5))),
        lambda np: np.vdot(Z, Z),
        lambda np: np.inner(X, Y),
        lambda np: np.outer(W, V),
        lambda np: np.kron(W, I),
        lambda np: np.matmul(X, S),
        lambda np: np.vecdot(Z, Z),
        lambda np: np.matvec(X, S[0]),
        lambda np: np.vecmat(W, X),
        lambda np: np.tensordot(X, Y, axes=([0, 1], [0, 1])),
        lambda np: np.tensordot(X, S, axes=1),
        lambda np: np.cross(X[:, :3], Y[:, :3]),
        lambda np: np.cross(W, X[:, :3]),
        lambda np: np.trace(S, 1),
        lambda np: np.diag(W, -1),
        lambda np: np.diag(X),
        lambda np: np.diagflat(I),
        lambda np: np.diagonal(X, 1),
        lambda np: np.diagonal(X, -1),
        lambda np: np.einsum("ij,kj->ik", X, Y),
        lambda np: np.einsum("ii", S),
        lambda np: np.einsum(X, [0, 1], S, [1, 2], [0, 2]),
        lambda np: np.convolve(V, W),
        lambda np: np.convolve(V, W, "same"),
        lambda np: np.convolve(W, V, "valid"),
        lambda np: np.convolve(N, [1, 2]),
        lambda np: np.convolve(Z[0], W),
        lambda np: np.correlate(V, W, "full"),
        lambda np: np.correlate(W, V, "same"),
        lambda np: np.correlate(V, W, "same"),
        lambda np: np.correlate(V, W),
        lambda np: np.interp([-1, 0.5, 1.5, 9], [0, 1, 2], [3, 5, 4]),
        lambda np: np.interp([0.5, 7], [0, 1, 2], [3, 5, 4], left=-1, right=8),
        lambda np: np.interp([370, -10], [10, 350, 180], [1.0, 2.0, 4.0], period=360),
        lambda np: np.gradient(V),
        lambda np: np.gradient(V, 0.5, edge_order=2),
        lambda np: np.gradient(X),
        lambda np: np.gradient(V, numpy.array([0, 1, 2.5, 3, 5, 8])),
        lambda np: np.unwrap(V * 3),
        lambda np: np.polyval([1, 2, 3], V),
    ],
    "linalg": [
        *each(
            "det inv norm svdvals cond slogdet pinv matrix_rank matrix_norm",
            S,
            module="linalg",
        ),
        *each("cholesky eigvalsh", S @ S.T, module="linalg"),
        lambda np: np.linalg.solve(S, X.T),
        lambda np: np.linalg.solve(S, X[0]),
        lambda np: np.linalg.qr(X.T)[1],
        lambda np: np.linalg.svd(X)[1],
        lambda np: np.linalg.matrix_power(S, 3),
        lambda np: np.linalg.matrix_power(S, -2),
        lambda np: np.linalg.matrix_power(S, 0),
        lambda np: np.linalg.multi_dot([X, S, X.T]),
        lambda np: np.linalg.lstsq(X.T, S, rcond=None),
        lambda np: np.linalg.norm(X, axis=1),
        *(
            lambda np, o=o: np.linalg.norm(S, o)
            for o in (1, -1, 2, -2, numpy.inf, "nuc")
        ),
        *(
            lambda np, o=o: np.linalg.norm(V, o)
            for o in (0, 1, 2, 3, numpy.inf, -numpy.inf)
        ),
        lambda np: np.linalg.vector_norm(X, axis=0, ord=3),
        lambda np: np.linalg.cross(X[:, :3], Y[:, :3]),
        lambda np: np.linalg.diagonal(numpy.ones((2, 3, 4))),
        lambda np: np.linalg.trace(numpy.ones((2, 3, 4))),
        lambda np: np.sort(np.linalg.eigvals(S + 5 * numpy.eye(4)).real),
    ],
    "fft": [
        *each(
            "fft ifft fftn ifftn fft2 ifft2 irfft irfftn hfft fftshift ifftshift",
            Z,
            module="fft",
        ),
        *each("fft rfft rfftn rfft2 ihfft", X, module="fft"),
        *(lambda np, m=m: np.fft.ifft(Z, norm=m) for m in ("ortho", "forward")),
        *(lambda np, m=m: np.fft.rfftn(X, norm=m) for m in ("ortho", "forward")),
        lambda np: np.fft.fft(Z, n=6, axis=0),
        lambda np: np.fft.irfft(Z, n=5),
        lambda np: np.fft.fftn(Z, s=(2, 5), axes=(0, 1)),
        lambda np: np.fft.fft(F),
        lambda np: np.fft.fftfreq(7, 0.5),
        lambda np: np.fft.rfftfreq(8, 0.5),
    ],
    "ufunc methods": [
        lambda np: np.add.reduce(X),
        lambda np: np.add.reduce(X, axis=None),
        lambda np: np.multiply.reduce(X, axis=1, keepdims=True),
        lambda np: np.maximum.reduce(X, initial=1.0),
        lambda np: np.subtract.reduce(X),
        lambda np: np.logical_xor.reduce(B),
        lambda np: np.bitwise_or.reduce(I, axis=1),
        lambda np: np.add.accumulate(X, axis=1),
        lambda np: np.maximum.accumulate(V),
        lambda np: np.subtract.accumulate(V),
        lambda np: np.multiply.outer(W, V),
        lambda np: np.add.reduceat(V, [0, 3, 1]),
        lambda np: np.add(X, Y, dtype="float32"),
    ],
}


def parts(x: Any) -> list[Any]:
    """The arrays of a result."""
    if isinstance(x, (tuple, list)):
        return [p for item in x for p in parts(item)]
    return [numpy.asarray(x)]


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(c, id=f"{k}-{i}")
        for k, cs in CASES.items()
        for i, c in enumerate(cs)
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_as_numpy(case: Case) -> None:
    want, got = parts(case(numpy)), parts(case(gnp))
    assert len(got) == len(want)
    for x, y in zip(got, want, strict=True):
        assert x.dtype == y.dtype
        assert x.shape == y.shape
        close = (
            1e-3
            if y.dtype == numpy.float16
            else 1e-6
            if y.dtype.itemsize <= 4
            else 1e-9
        )
        numpy.testing.assert_allclose(x, y, rtol=close, atol=close * 1e-2)
