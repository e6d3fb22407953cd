"""Complex numbers and Fourier transforms on OpenCL: nothing runs on the host."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphwright as gw
import graphwright.numpy as gnp
from graphwright.backends.codegen.complexes import in_parts
from graphwright.backends.codegen.spectra import lengths
from graphwright.backends.opencl.backend import OpenCLBackend
from graphwright.backends.opencl.library import Session, found
from graphwright.ir.ops.signal import Fft

MISSING = OpenCLBackend().unavailable()
device = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
RNG = np.random.default_rng(5)

LENGTHS = [
    *(1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 15, 16, 17, 19, 30, 34, 64, 97, 98),
    *(128, 143, 210, 256, 500, 1009, 1024),
]


def drawn(*shape: int, dtype: str = "complex128") -> Any:
    both = RNG.standard_normal((2, *shape))
    return (both[0] + 1j * both[1]).astype(dtype)


def near(got: Any, want: Any, ulps: float = 40) -> None:
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    reach = float(np.abs(want).max(initial=0))
    eps = float(np.finfo(want.dtype).eps)
    assert np.abs(got - want).max(initial=0) <= ulps * eps * reach


def transforms(n: int) -> dict[str, Callable[[Any], Any]]:
    return {
        "fft": np.fft.fft,
        "ifft": np.fft.ifft,
        "rfft": lambda z: np.fft.rfft(z.real),
        "irfft": lambda z: np.fft.irfft(z[..., : n // 2 + 1], n),
    }


@device
@pytest.mark.parametrize("n", LENGTHS)
def test_transforms_of_all_kinds_of_lengths(n: int) -> None:
    z = drawn(3, n)

    def run(z: Any) -> Any:
        return tuple(f(z) for f in transforms(n).values())

    got = gw.jit(run, backend="opencl")(z)
    for x, want in zip(got, run(z), strict=True):
        near(np.asarray(x), want)


@device
def test_order_is_found_on_the_host() -> None:
    z = np.array([1, 1j, 1 + 1j, 2])
    found = gw.jit(np.searchsorted, backend="opencl")(z[[1, 0, 2, 3]], z)
    assert np.asarray(found).tolist() == [1, 0, 2, 3]


@device
def test_parts_of_transforms() -> None:
    def run(z: Any) -> Any:
        return np.fft.fft(z).real, np.fft.rfft(z.real).imag, np.fft.fft2(z).imag

    z = drawn(3, 6)
    for x, want in zip(gw.jit(run, backend="opencl")(z), run(z), strict=True):
        near(np.asarray(x), want)


@device
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_axes_cut_and_filled_up(axis: int, dtype: str) -> None:
    z = drawn(5, 6, 7, dtype=dtype)

    def run(z: Any) -> Any:
        one, x = z + z, z.imag
        return (
            np.fft.fft(one, 4, axis=axis),
            np.fft.ifft(one, 12, axis=axis),
            np.fft.rfft(x, 10, axis=axis),
            np.fft.rfft(x, 3, axis=axis),
            np.fft.irfft(one, 16, axis=axis),
            np.fft.irfft(one, 5, axis=axis),
        )

    got = gw.jit(run, backend="opencl")(z)
    for x, want in zip(got, run(z), strict=True):
        near(np.asarray(x), want)


@device
def test_many_rows_and_long_ones_are_shared() -> None:
    z = drawn(64, 3000)
    for f in transforms(3000).values():
        near(np.asarray(gw.jit(f, backend="opencl")(z)), f(z))


@device
@pytest.mark.parametrize("n", [8, 10, 12, 14, 30, 48])
def test_the_first_and_the_middle_term_of_real_numbers_are_real(n: int) -> None:
    z = RNG.standard_normal((4, n)).astype(np.complex128)
    got = np.asarray(gw.jit(np.fft.fft, backend="opencl")(z))
    assert not got[:, [0, n // 2]].imag.any()


def arithmetic(z: Any, w: Any) -> Any:
    total = (z * w - z.conj() + 2j * w).sum(axis=0)
    parts = np.where(z.real > 0, z, -w)
    joined = np.concatenate([z[:, 1:], parts[::-1, :3]], axis=1).T
    return total, parts, joined, z == w, (z * w).imag, z.reshape(-1)[5:9] + 1


@device
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("persists", [True, False])
def test_arithmetic_and_movement(
    dtype: str, persists: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend, session = OpenCLBackend(), Session(found().devices[0])
    if not persists:
        vars(session)["_probed"] = None
    monkeypatch.setattr(backend, "_session", session, raising=False)
    z, w = drawn(6, 5, dtype=dtype), drawn(6, 5, dtype=dtype)
    w[2, 3] = z[2, 3]
    graph = gw.trace(arithmetic, *[gw.spec(dtype, z.shape)] * 2)
    exe = gw.compile(graph, backend=backend, strict=True)
    for _ in range(2):
        for x, want in zip(exe(z, w), arithmetic(z, w), strict=True):
            got = np.asarray(x)
            if want.dtype == np.bool_:
                np.testing.assert_array_equal(got, want)
            else:
                near(got, want)


@device
def test_special_values_are_those_of_the_parts() -> None:
    odd = np.array([0, -0.0, np.inf, -np.inf, np.nan, 1.0])
    z = np.array([complex(a, b) for a in odd for b in odd])

    def run(z: Any, w: Any) -> Any:
        return z * w, z + w, -z, z == w

    graph = gw.trace(run, *[gw.spec("complex128", z.shape)] * 2)
    theirs = gw.compile(graph, backend="numpy")
    ours = gw.compile(graph, backend="opencl", strict=True)
    for shift in range(len(z)):
        w = np.roll(z, shift)
        for x, y in zip(ours(z, w), theirs(z, w), strict=True):
            np.testing.assert_array_equal(np.asarray(x), np.asarray(y))


@device
def test_numbers_and_scalars_that_are_complex() -> None:
    z = np.array(1.5 - 2j)
    graph = gw.trace(lambda z: (z * 2j, z + gnp.ones((3,))), gw.spec("complex128", ()))
    got = [np.asarray(x) for x in gw.compile(graph, backend="opencl", strict=True)(z)]
    assert got[0] == z * 2j
    np.testing.assert_array_equal(got[1], z + np.ones(3))


def test_graphs_of_real_numbers_stay_as_they_are() -> None:
    graph = gw.trace(lambda x: x * 2, gw.spec("float32", (4,)))
    assert in_parts(graph) is graph


def test_parts_keep_where_they_come_from() -> None:
    graph = gw.trace(lambda z: z * z + z, gw.spec("complex64", (4,)))
    made = in_parts(graph)
    assert {v.dtype.name for node in made.nodes for v in node.results} == {"float32"}
    assert all(node.source is not None for node in made.nodes if node.op.name == "mul")
    assert [v.type.dims for v in made.outputs if hasattr(v.type, "dims")] == [(4, 2)]


@pytest.mark.parametrize(
    ("kind", "n", "core", "passed"),
    [
        ("fft", 12, 12, 12),
        ("rfft", 12, 6, 6),
        ("irfft", 15, 15, 15),
        ("fft", 17, 17, 64),
        ("rfft", 38, 19, 64),
    ],
)
def test_what_a_length_comes_to(kind: str, n: int, core: int, passed: int) -> None:
    made = lengths(Fft(kind=kind, axis=0, n=n))
    assert (made.core, made.passed) == (core, passed)
    assert np.prod(made.factors) == passed


def special(dtype: str) -> Any:
    """Pairs of numbers of all kinds: zeros, infinities, NaN, very large and small."""
    ends = [0.0, -0.0, 1.0, -2.5, np.inf, -np.inf, np.nan]
    numbers = [complex(x, y) for x in ends for y in ends]
    large, over = (3e38, 170.0) if dtype == "complex64" else (1e308, 800.0)
    far = np.array([large, 1e-30, over, -over, over / 2 + 0.5], dtype)
    both = np.concatenate([np.array(numbers, dtype), far, far * 1j, far + 1.5j])
    return np.repeat(both, len(both)), np.tile(both, len(both))


QUOTIENTS: dict[str, Callable[[Any, Any], Any]] = {
    "div": lambda z, w: z / w,
    "abs": lambda z, w: np.abs(z) + np.abs(w),
    "exp": lambda z, w: np.exp(z),
}


@device
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("name", QUOTIENTS)
def test_quotients_and_the_like_of_any_numbers(name: str, dtype: str) -> None:
    z, w = special(dtype)
    function, limits = QUOTIENTS[name], np.finfo(dtype)
    with np.errstate(all="ignore"):
        found = np.asarray(gw.jit(function, backend="opencl")(z, w))
        want = function(z, w)
    assert found.dtype == want.dtype
    pairs = [(found.real, want.real), (found.imag, want.imag)]
    sizes = [np.where(np.isfinite(part), np.abs(part), 0) for _, part in pairs]
    reach = 8 * limits.eps * np.maximum(*sizes) + limits.tiny
    for got, part in pairs:
        finite = np.isfinite(part)
        np.testing.assert_array_equal(got[~finite], part[~finite])
        assert (np.abs(got[finite] - part[finite]) <= reach[finite]).all()


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    name: getattr(np, name)
    for name in ("sqrt", "log", "log1p", "expm1", "sin", "cos", "tanh")
}


@device
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_any_numbers(name: str, dtype: str) -> None:
    """As NumPy has them where no part is NaN."""
    some, function, limits = special(dtype)[1][:64], FUNCTIONS[name], np.finfo(dtype)
    z = np.concatenate(
        [some, 4 * drawn(200, dtype=dtype), 0.1 * drawn(100, dtype=dtype)]
    )
    with np.errstate(all="ignore"):
        found = np.asarray(gw.jit(function, backend="opencl")(z))
        want = function(z)
    assert found.dtype == want.dtype
    held = ~np.isnan(want)
    got, want = found[held], want[held]
    ends = ~np.isfinite(want)
    np.testing.assert_array_equal(got[ends], want[ends])
    scale = np.maximum(np.abs(want[~ends]), 1.0 if name == "log1p" else limits.tiny)
    assert (np.abs(got[~ends] - want[~ends]) <= 8 * limits.eps * scale).all()


@device
@pytest.mark.parametrize("name", ["sqrt", "log", "tanh"])
def test_sides_of_branch_cuts(name: str) -> None:
    z = np.array([complex(x, y) for x in (-2, -0.0, 0.0, 2) for y in (-0.0, 0.0)])
    with np.errstate(all="ignore"):
        want = FUNCTIONS[name](z)
    got = np.asarray(gw.jit(FUNCTIONS[name], backend="opencl")(z))
    for part, other in ((got.real, want.real), (got.imag, want.imag)):
        np.testing.assert_array_equal(np.signbit(part), np.signbit(other))


@device
@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 64, 101])
def test_products_of_many_numbers(n: int) -> None:
    z = np.exp(1j * drawn(3, n, 2))
    graph = gw.trace(
        lambda z: (z.prod(axis=1), np.cumprod(z, axis=1), z.prod()),
        gw.spec("complex128", z.shape),
    )
    exe = gw.compile(graph, backend="opencl", strict=True)
    wanted = z.prod(axis=1), np.cumprod(z, axis=1), z.prod()
    for got, want in zip(exe(z), wanted, strict=True):
        np.testing.assert_allclose(np.asarray(got), want, rtol=1e-12 * max(n, 1))


@device
@pytest.mark.parametrize("exponent", [-3, -1, 0, 1, 2, 5, 99, 0.5, 2.25 - 1j, 150])
def test_powers(exponent: complex) -> None:
    z = np.exp(1j * RNG.uniform(-3, 3, 40)) * RNG.uniform(0.8, 1.2, 40)
    got = np.asarray(gw.jit(lambda z, w: z**w, backend="opencl")(z, z * 0 + exponent))
    want = z ** (z * 0 + exponent)
    size = max(abs(exponent), 1.0)
    assert (np.abs(got - want) <= 16 * size * 2.3e-16 * np.abs(want)).all()


@device
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_products_of_matrices(dtype: str) -> None:
    z, w = drawn(3, 20, 24, dtype=dtype), drawn(3, 24, 33, dtype=dtype)
    got = gw.jit(lambda z, w: (z @ w) * 2, backend="opencl")(z, w)
    near(np.asarray(got), (z @ w) * 2)


@device
def test_ops_of_parts_have_no_fallback() -> None:
    z, w = drawn(8, 8), drawn(8, 8)

    def run(z: Any, w: Any) -> Any:
        return np.abs(np.exp(z) / w) + np.abs(z @ w)

    graph = gw.trace(run, *(gw.spec("complex128", (8, 8)) for _ in range(2)))
    exe = gw.compile(graph, backend="opencl", strict=True)
    near(np.asarray(exe(z, w)), run(z, w))


@device
def test_what_is_turned_round_is_joined() -> None:
    """Positions that fall are divided only where they are not negative."""
    parts = [np.arange(3) + 1j * n for n in (1, 2, 3)]
    specs = [gw.spec("complex128", (3,))] * 3
    graph = gw.trace(lambda *xs: gw.numpy.concat([x[::-1] for x in xs]), *specs)
    found = np.asarray(gw.compile(graph, backend="opencl", strict=True)(*parts))
    assert np.array_equal(found, np.concatenate([x[::-1] for x in parts]))
