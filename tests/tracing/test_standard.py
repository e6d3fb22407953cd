"""Every function of the Array API standard 2025.12 is there, special cases and all."""

import inspect
from typing import Any

import numpy as np
import pytest
from tracing import standard as s

import graphwright as gw
import graphwright.numpy as xp

WIDTHS = {"float32": np.float32, "float64": np.float64}


def assert_cases(name: str, table: str, dtype: str, *, jit: bool = False) -> None:
    """All cases at once, each an element of the operands."""
    rows = list(s.cases(table))
    columns = zip(*[operands for operands, _ in rows], strict=True)
    with np.errstate(all="ignore"):
        arrays = [np.array([s.value(x) for x in c], dtype) for c in columns]
    function = getattr(xp, name)
    found = (gw.jit(function) if jit else function)(*map(xp.asarray, arrays))
    wrong = [
        f"{name}({', '.join(operands)}) is {x}, not {want}"
        for (operands, want), x in zip(rows, np.asarray(found), strict=True)
        if not s.is_result(x, want)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("jit", [False, True], ids=["lazy", "jit"])
@pytest.mark.parametrize("dtype", WIDTHS)
@pytest.mark.parametrize("name", [*s.REAL, *s.BINARY, *s.TESTS])
def test_special_cases_of_real_numbers(name: str, dtype: str, jit: bool) -> None:
    table = (s.REAL | s.BINARY | s.TESTS)[name]
    if dtype == "float32":  # the least number of float64 is 0 in it
        table = table.replace("5e-324", "1.401298464324817e-45")
    assert_cases(name, table, dtype, jit=jit)


@pytest.mark.parametrize("jit", [False, True], ids=["lazy", "jit"])
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("name", s.COMPLEX)
def test_special_cases_of_complex_numbers(name: str, dtype: str, jit: bool) -> None:
    assert_cases(name, s.COMPLEX[name], dtype, jit=jit)


@pytest.mark.parametrize("name", s.COMPLEX_TESTS)
def test_tests_of_complex_numbers(name: str) -> None:
    assert_cases(name, s.COMPLEX_TESTS[name], "complex128")


@pytest.mark.parametrize("name", s.COMPLEX_PAIRS)
def test_special_cases_of_complex_pairs(name: str) -> None:
    assert_cases(name, s.COMPLEX_PAIRS[name], "complex128")


MIRRORED = {"acos", "exp", "expm1", "log", "log1p", "sqrt", "acosh", "asinh", "atanh"}


@pytest.mark.parametrize("name", sorted(MIRRORED | {"cosh", "sinh", "tanh"}))
def test_conjugates_of_operands_give_conjugates(name: str) -> None:
    """``f(conj(z)) = conj(f(z))``, for infinite and zero parts too."""
    parts = np.array([0.0, -0.0, 1.5, -1.5, np.inf, -np.inf])
    real, imag = (a.ravel() for a in np.meshgrid(parts, np.abs(parts)))
    z = real + 0j
    z.imag = imag
    function = getattr(xp, name)
    found, mirror = (np.asarray(function(xp.asarray(x))) for x in (z, z.conj()))
    np.testing.assert_array_equal(mirror.real, found.real)
    np.testing.assert_array_equal(np.abs(mirror.imag), np.abs(found.imag))


OPERATORS = {
    "+": "add",
    "-": "subtract",
    "*": "multiply",
    "/": "divide",
    "//": "floor_divide",
    "%": "remainder",
    "**": "pow",
}


@pytest.mark.parametrize("symbol", OPERATORS)
def test_operators_have_the_functions_special_cases(symbol: str) -> None:
    """But for ``//`` and infinite operands, where NumPy's meaning is kept."""
    for operands, want in s.cases(s.BINARY[OPERATORS[symbol]]):
        if symbol == "//" and "inf" in "".join(operands):
            continue
        x, y = (xp.asarray([s.value(v)]) for v in operands)
        scope: dict[str, Any] = {"x": x, "y": y}
        found = eval(f"x {symbol} y", scope)
        assert s.is_result(np.asarray(found)[0], want), (operands, want)


def test_floor_division_by_operators_is_numpys() -> None:
    for x, y in ((np.inf, 2.0), (-np.inf, 2.0), (2.0, -np.inf), (-2.0, np.inf)):
        with np.errstate(all="ignore"):
            want = np.array([x]) // np.array([y])
        np.testing.assert_array_equal(xp.asarray([x]) // xp.asarray([y]), want)


# Other functions ----------------------------------------------------------------------


def test_extremes_and_sums_of_nan_and_nothing() -> None:
    nan = xp.asarray([1.0, xp.nan, 3.0])
    for name in ("sum", "prod", "max", "min", "mean", "std", "var"):
        assert np.isnan(float(getattr(xp, name)(nan))), name
    assert np.isnan(np.asarray(xp.cumulative_sum(nan))).tolist() == [False, True, True]
    empty = xp.zeros((0,))
    assert float(xp.sum(empty)) == 0
    assert float(xp.prod(empty)) == 1
    assert bool(xp.all(empty))
    assert not bool(xp.any(empty))
    assert bool(xp.any(nan))
    for name in ("mean", "std", "var"):
        assert np.isnan(float(getattr(xp, name)(empty))), name
    for name in ("max", "min", "argmax", "argmin"):
        with pytest.raises((ValueError, gw.GraphwrightError)):
            np.asarray(getattr(xp, name)(empty))
    assert float(xp.var(xp.asarray([1.0, 2, 6]), correction=1)) == 7
    assert xp.cumulative_prod(xp.asarray([2, 3]), include_initial=True).tolist() == [
        *(1, 2, 6)
    ]


def test_sums_of_small_integers_are_wide() -> None:
    for name in ("sum", "prod", "cumulative_sum", "cumulative_prod"):
        function = getattr(xp, name)
        assert function(xp.asarray([1, 2], dtype=xp.int8)).dtype == xp.int64
        assert function(xp.asarray([1, 2], dtype=xp.uint16)).dtype == xp.uint64
        assert function(xp.asarray([1, 2], dtype=xp.float32)).dtype == xp.float32
        assert function(xp.asarray([1, 2]), dtype=xp.float32).dtype == xp.float32


def test_sets_treat_each_nan_as_distinct() -> None:
    x = xp.asarray([xp.nan, 1.0, xp.nan, -0.0, 0.0])
    values, counts = xp.unique_counts(x)
    assert values.shape == (4,)
    assert sorted(np.asarray(counts).tolist()) == [1, 1, 1, 2]
    every = xp.unique_all(x)
    assert every._fields == ("values", "indices", "inverse_indices", "counts")
    assert every.inverse_indices.shape == x.shape
    assert xp.unique_values(x).shape == (4,)
    inverse = xp.unique_inverse(xp.asarray([[3, 1], [1, 3]]))
    assert inverse.inverse_indices.tolist() == [[1, 0], [0, 1]]
    assert xp.isin(x, xp.asarray([0.0])).tolist() == [False, False, False, True, True]


def test_nan_among_searched_and_sorted_elements() -> None:
    x = xp.asarray([2.0, xp.nan, 1.0])
    assert int(xp.argmax(x)) == 1
    assert int(xp.argmin(x)) == 1
    assert np.asarray(xp.sort(x))[:2].tolist() == [1, 2]
    assert xp.argsort(x, descending=False).tolist() == [2, 0, 1]
    assert xp.argsort(xp.asarray([1, 0, 1, 0]), descending=True).tolist() == [
        0,
        2,
        1,
        3,
    ]
    assert int(xp.count_nonzero(x)) == 3
    assert xp.searchsorted(xp.asarray([1, 2, 2, 3]), xp.asarray([2])).tolist() == [1]
    assert xp.clip(x, 0.0, 1.5).tolist()[::2] == [1.5, 1]
    assert np.isnan(np.asarray(xp.clip(x, 0.0, 1.5))[1])


def test_clip_with_nan_bounds_is_nan() -> None:
    nan = xp.asarray(xp.nan)
    for low, high in ((nan, None), (None, nan), (nan, nan)):
        assert np.isnan(float(xp.clip(xp.asarray(1.0), low, high)))


def test_singular_matrices() -> None:
    zero = xp.zeros((2, 2))
    found = xp.linalg.slogdet(zero)
    assert (float(found.sign), float(found.logabsdet)) == (0, -np.inf)
    assert float(xp.linalg.det(zero)) == 0
    assert int(xp.linalg.matrix_rank(zero)) == 0
    assert xp.linalg.pinv(zero).tolist() == [[0, 0], [0, 0]]
    assert float(xp.linalg.vector_norm(xp.asarray([3.0, xp.inf]))) == np.inf
    assert np.isnan(float(xp.linalg.vector_norm(xp.asarray([3.0, xp.nan]))))


NORMS = (xp.inf, -xp.inf, 0, 1, 2, 3, 0.5, -1)


@pytest.mark.parametrize("order", NORMS)
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_vector_norms(order: float, dtype: str) -> None:
    x = np.array([[3, -4, 1], [2, 5, -6]], dtype)
    found = xp.linalg.vector_norm(xp.asarray(x), axis=1, ord=order, keepdims=True)
    want = np.linalg.vector_norm(x, axis=1, ord=order, keepdims=True)
    np.testing.assert_allclose(found, want)


@pytest.mark.parametrize("order", ["fro", "nuc", 1, -1, 2, -2, xp.inf, -xp.inf])
def test_matrix_norms(order: Any) -> None:
    x = np.arange(12.0).reshape(2, 2, 3) - 5
    found = xp.linalg.matrix_norm(xp.asarray(x), ord=order)
    np.testing.assert_allclose(found, np.linalg.matrix_norm(x, ord=order))


STACK = np.array([[[4.0, 1], [1, 3]], [[2, 0], [0, 5]]])
SQUARES = (
    *("det", "inv", "cholesky", "eigvalsh", "svdvals", "pinv", "matrix_rank"),
    *("trace", "diagonal"),
)


@pytest.mark.parametrize("name", SQUARES)
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
def test_linear_algebra_of_stacks(name: str, dtype: str) -> None:
    x = STACK.astype(dtype)
    if x.dtype.kind == "c":
        x = x + np.array([[0, 0.5j], [-0.5j, 0]], dtype)
    found = np.asarray(getattr(xp.linalg, name)(xp.asarray(x)))
    want = getattr(np.linalg, name)(x)
    assert found.dtype == want.dtype
    np.testing.assert_allclose(found, want, rtol=1e-4)


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_factors_multiply_to_the_matrix(dtype: str) -> None:
    x = STACK.astype(dtype)
    a = xp.asarray(x)
    u, sizes, vh = xp.linalg.svd(a, full_matrices=False)
    np.testing.assert_allclose((u * sizes[:, None, :]) @ vh, x, atol=1e-12)
    values, vectors = xp.linalg.eigh(a)
    np.testing.assert_allclose(a @ vectors, vectors * values[:, None, :], atol=1e-12)
    q, r = xp.linalg.qr(a, mode="complete")
    np.testing.assert_allclose(q @ r, x, atol=1e-12)
    upper = xp.linalg.cholesky(a, upper=True)
    np.testing.assert_allclose(np.asarray(upper).conj().mT @ upper, x, atol=1e-12)
    eigenvalues, columns = xp.linalg.eig(a)
    np.testing.assert_allclose(
        np.asarray(a @ columns), columns * eigenvalues[:, None, :], atol=1e-12
    )
    y = xp.asarray([1.0, 2.0])
    np.testing.assert_allclose(a @ xp.linalg.solve(a, y)[..., None], [[[1], [2]]] * 2)
    unit = xp.linalg.matrix_power(a, -2) @ a @ a
    np.testing.assert_allclose(unit, [np.eye(2)] * 2, atol=1e-12)


# Names --------------------------------------------------------------------------------

NAMES = [
    *(("", name) for name in (s.ELEMENTWISE + s.OTHERS + s.DTYPES).split()),
    *(("", name) for name in s.CONSTANTS.split()),
    *(("linalg", name) for name in s.LINALG.split()),
    *(("fft", name) for name in s.FFT.split()),
]


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_every_name_is_there(module: str, name: str) -> None:
    home = getattr(xp, module) if module else xp
    assert hasattr(home, name)
    assert name in home.__all__


def test_every_attribute_of_arrays_is_there() -> None:
    for name in s.ARRAY.split():
        assert hasattr(gw.Tensor, name), name
    for name in s.INFO.split():
        assert callable(getattr(xp.__array_namespace_info__(), name))
    assert xp.__array_api_version__ == "2025.12"


KEYWORDS = {
    "all": "axis keepdims",
    "argmax": "axis keepdims",
    "argsort": "axis descending stable",
    "asarray": "dtype device copy",
    "astype": "copy device",
    "count_nonzero": "axis keepdims",
    "cumulative_sum": "axis dtype include_initial",
    "diff": "axis n prepend append",
    "eye": "k dtype device",
    "full_like": "dtype device",
    "linspace": "dtype device endpoint",
    "max": "axis keepdims",
    "meshgrid": "indexing",
    "repeat": "axis",
    "roll": "axis",
    "searchsorted": "side sorter",
    "sort": "axis descending stable",
    "std": "axis correction keepdims",
    "sum": "axis dtype keepdims",
    "take": "axis",
    "tensordot": "axes",
    "vecdot": "axis",
}


@pytest.mark.parametrize("name", KEYWORDS)
def test_keywords_of_functions(name: str) -> None:
    parameters = inspect.signature(getattr(xp, name)).parameters
    for keyword in KEYWORDS[name].split():
        assert keyword in parameters, keyword
