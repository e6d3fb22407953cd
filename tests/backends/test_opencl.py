"""OpenCL: devices, kernels in runs, and what is said where something is missing."""

import re
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphwright as gw
import graphwright.numpy as gnp
from graphwright.backends.contract import BuildError
from graphwright.backends.opencl import (
    launch,
    library,
    persistent,
    programs,
    target,
)
from graphwright.backends.opencl.backend import OpenCLBackend
from graphwright.ir.dtype import float8_e4m3fn, float32, uint8
from graphwright.ir.errors import IndexBoundsError
from graphwright.ir.evaluate import evaluate
from graphwright.ir.types import TensorType

MISSING = OpenCLBackend().unavailable()
device = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))


def agree(function: Callable[..., Any], *arrays: Any, tolerance: float = 1e-5) -> Any:
    """Holds the backend to numpy's, without fallback; gives the executable."""
    specs = [gw.spec(str(x.dtype), x.shape) for x in arrays]
    graph = gw.trace(function, *specs)
    exe = gw.compile(graph, backend="opencl", strict=True)
    want = np.asarray(gw.compile(graph, backend="numpy")(*arrays))
    found = np.asarray(exe(*arrays))
    assert found.dtype == want.dtype
    wide = np.float64 if want.dtype.kind != "c" else np.complex128
    np.testing.assert_allclose(
        found.astype(wide), want.astype(wide), rtol=tolerance, atol=tolerance
    )
    return exe


def normal(*shape: int, dtype: Any = np.float32) -> Any:
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


X = normal(4, 6, 33)


def softmax(x: Any) -> Any:
    e = gnp.exp(x - gnp.max(x, axis=-1, keepdims=True))
    return e / gnp.sum(e, axis=-1, keepdims=True)


def plain_softmax(x: Any) -> Any:
    e = np.exp(x - np.max(x, axis=-1, keepdims=True))
    return e / np.sum(e, axis=-1, keepdims=True)


def norm(x: Any) -> Any:
    mean = gnp.mean(x, axis=-1, keepdims=True)
    spread = gnp.mean((x - mean) ** 2, axis=-1, keepdims=True)
    return (x - mean) / gnp.sqrt(spread + 1e-5)


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "chain": lambda x: gnp.exp(x) * 2 + gnp.sqrt(x * x + 1),
    "transpose": lambda x: gnp.transpose(x, (2, 0, 1)) + 1,
    "reshape": lambda x: gnp.reshape(gnp.transpose(x, (1, 0, 2)), (8, 99)) * 2,
    "slices": lambda x: x[1:, ::-1, ::2] * x[1:, :, :17],
    "softmax": softmax,
    "norm": norm,
    "sum-last": lambda x: gnp.sum(x, axis=-1),
    "sum-middle": lambda x: gnp.sum(x, axis=1) * 0.5,
    "sum-two": lambda x: gnp.sum(x, axis=(0, 2)),
    "sum-all": gnp.sum,
    "concat": lambda x: gnp.concatenate([x, x * 2, x + 1], axis=1),
    "stack": lambda x: gnp.stack([x, x * 2, x + 1], axis=-1),
    "where": lambda x: gnp.where(x > 0, x, gnp.floor(x)),
    "gather": lambda x: gnp.take(x, gnp.arange(5)[::-1], axis=1),
}


@device
@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_functions_agree_with_numpy(name: str, dtype: str) -> None:
    tolerance = 5e-3 if dtype == "float16" else 1e-5
    agree(FUNCTIONS[name], X.astype(dtype), tolerance=tolerance)


@device
@pytest.mark.parametrize("columns", [1 << 21, (1 << 21) + 5])
def test_large_results_that_begin_with_lines_of_memory_or_do_not(columns: int) -> None:
    x, y = np.arange(4 * columns, dtype="f").reshape(4, columns), normal(columns)
    agree(lambda x, y: x * 2 - y, x, y)


ROWS = [(40, 12), (40, 24), (5, 200), (300, 37)]
"""Shorter than 16 lanes, better by 8, and longer; many of them."""


@device
@pytest.mark.parametrize("lanes", [8, 16])
def test_vectors_of_each_width_agree(
    lanes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(target, "width_of", lambda device: lanes)
    half, whole = np.float16, np.int8

    def run(*xs: Any) -> Any:
        sums = [gnp.sum(x, axis=0) + gnp.max(x, axis=0) for x in xs]
        chains = [gnp.where(x > 0, gnp.sin(x), x.astype(half)) for x in xs]
        steps = [(x * 20).astype(whole) * gnp.cumsum(x, axis=1) for x in xs]
        ends = [softmax(x) * x for x in xs] + [norm(x) for x in xs] + [gnp.sum(xs[-1])]
        parts = [gnp.reshape(x, -1) for x in sums + chains + steps + ends]
        return gnp.concatenate(parts)

    agree(run, *(normal(*shape) for shape in ROWS), tolerance=2e-3)


@device
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("function", [gnp.fmod, gnp.power])
def test_lanes_that_differ_much_do_not_disturb_one_another(
    function: Callable[..., Any], dtype: str
) -> None:
    top, inf = float(np.finfo(dtype).max), np.inf
    sizes = [0, 1, inf, 0.5, 2.5, 3.75, 1e-30, top]
    numbers = np.array([s * size for size in sizes for s in (1, -1)], dtype)
    numbers = np.array([*numbers, np.nan, 1.5, 20], dtype)
    x, y = (side.ravel() for side in np.meshgrid(numbers, numbers, indexing="ij"))
    with np.errstate(all="ignore"):
        agree(function, x, y)


@device
def test_quotients_by_sums_of_any_size() -> None:
    sizes = np.array([1e-44, 1e-39, 1, 1e37, 0, np.inf], np.float32)
    with np.errstate(all="ignore"):
        x = (np.arange(1, 41) * sizes[:, None]).astype(np.float32)
    agree(lambda x: x / gnp.sum(x, axis=-1, keepdims=True), x)


@device
def test_integers_wrap_and_divide_as_numpy() -> None:
    x = np.arange(-128, 128, dtype=np.int8).reshape(16, 16)
    agree(lambda x: x * x + x - 3, x)
    agree(
        lambda x: x.astype(np.int64) // 7 + (x.astype(np.float32) * 1.5).astype(int), x
    )
    agree(lambda x: gnp.max(x, axis=0) > gnp.min(x, axis=1), x)


def kernels(exe: Any, *arrays: Any) -> list[tuple[str, str]]:
    """Ops and names of the kernels of a run."""
    return [(row.op, row.kernel) for row in exe.profile(arrays)]


@device
def test_plain_products_are_the_library_s_whatever_follows() -> None:
    x, y, z = normal(3, 7, 40), normal(3, 40, 37), normal(37)
    exe = agree(lambda x, y, z: gnp.exp(x @ y * 0.1) + z, x, y, z)
    assert [name[:5] for _, name in kernels(exe, x, y, z)] == ["gemm_"]
    w = normal(40, 37)
    exe = agree(lambda x: x @ w, x)  # a matrix of 21 rows in another shape
    assert ("dot", "gemm_") in [(op, name[:5]) for op, name in kernels(exe, x)]
    exe = agree(lambda x, y: x[:, ::-1] @ y, x, y)
    assert all(not name.startswith("gemm_") for _, name in kernels(exe, x, y))


@device
def test_products_lie_where_another_shape_of_them_is_wanted() -> None:
    x, w = normal(3, 7, 40), normal(40, 37)
    exe = agree(lambda x: gnp.maximum(x @ w, 0), x)
    assert {op for op, _ in kernels(exe, x)} == {"dot"}
    exe = agree(lambda x: gnp.maximum(x[0] @ w, 0).reshape(37, 7), x)
    assert {op for op, _ in kernels(exe, x)} == {"dot"}
    exe = gw.compile(gw.trace(lambda x: three(x, w), x), backend="opencl")
    for found, want in zip(exe(x), three(x, w), strict=True):
        np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-5)


def three(x: Any, w: Any) -> tuple[Any, Any, Any]:
    """A product, and two results that have its elements in other shapes."""
    y = x[0] @ w
    return y, y.reshape(-1), y.reshape(37, 7).T


@device
def test_products_of_narrow_floats_are_the_library_s_too() -> None:
    x, w = normal(2, 21, 64, dtype=np.float16), normal(64, 37, dtype=np.float16)
    exe = agree(lambda x: gnp.maximum(x @ w, 0), x, tolerance=1e-3)
    assert ("dot", "gemm_") in [(op, name[:5]) for op, name in kernels(exe, x)]


@device
def test_gpus_read_narrow_floats_as_they_lie() -> None:
    assert OpenCLBackend(schedule="cpu").layout()["dot"] == "float32"
    assert "dot" not in OpenCLBackend(schedule="gpu").layout()


@device
def test_what_is_read_twice_again_and_again_is_looked_at_once() -> None:
    def scaled(x: Any) -> Any:
        total = gnp.sum(gnp.exp(gnp.tanh(x) * 0.5 + gnp.sin(x)), axis=-1, keepdims=True)
        y = x.astype(np.float16)
        for _ in range(9):
            y = gnp.maximum(y * np.float16(0.5), y)
        return y.astype(np.float32) / total

    agree(scaled, normal(4, 64))


@device
def test_under_strict_float_each_op_rounds() -> None:
    x, y, z = normal(1, 1000), normal(1000), normal(1000)
    specs = [gw.spec("float32", a.shape) for a in (x, y, z)]
    graph = gw.trace(lambda x, y, z: x * y + z, *specs)
    exe = gw.compile(graph, backend="opencl", strict=True, strict_float=True)
    np.testing.assert_array_equal(np.asarray(exe(x, y, z)), x * y + z)


@device
def test_what_many_rows_read_is_computed_once() -> None:
    x, mask = normal(4, 200, 256), normal(256)
    exe = agree(lambda x, m: x + gnp.exp(m) * 2, x, mask)
    assert [op for op, _ in kernels(exe, x, mask)] == ["mul", "add"]
    few = normal(2, 2, 256)  # it would take longer to launch
    exe = agree(lambda x, m: x + gnp.exp(m) * 2, few, mask)
    assert [op for op, _ in kernels(exe, few, mask)] == ["add"]


@device
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("shape", [(13, 40, 37), (3, 5, 4), (1, 64, 32), (6, 8, 16)])
def test_products(shape: tuple[int, int, int], dtype: str) -> None:
    m, k, n = shape
    tolerance = 5e-2 if dtype == "float16" else 1e-5
    x, y, bias = normal(m, k, dtype=dtype), normal(k, n, dtype=dtype), normal(n)
    agree(lambda x, y: x @ y, x, y, tolerance=tolerance)
    agree(
        lambda x, y, z: gnp.maximum(x @ y + z, 0) * 2,
        *(x, y, bias.astype(dtype)),
        tolerance=tolerance,
    )
    agree(lambda x: x @ gnp.asarray(y), x, tolerance=tolerance)


def values() -> Any:
    special = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-44, -1e-44, 3e38]
    lines = np.linspace(-100, 100, 2001), np.linspace(-3, 3, 2001), special
    turns = np.arange(-20000, 20000, 37) * (np.pi / 2)
    return np.concatenate([*lines, turns]).astype(np.float32)


FLOATS = ["exp", "expm1", "log", "tanh", "erf", "sigmoid"]


@device
@pytest.mark.parametrize("name", [*FLOATS, "log1p", "sin", "cos"])
def test_functions_are_within_their_bounds(name: str) -> None:
    x = values()
    b = gw.Builder("f")
    v = b.input("x", gw.trace(lambda v: v, gw.spec("float32", x.shape)).inputs[0].type)
    graph = b.finish([b.emit(name, v)])
    found = np.asarray(gw.compile(graph, backend="opencl", strict=True)(x))
    wide = gw.trace(lambda v: v, gw.spec("float64", x.shape)).inputs[0].type
    c = gw.Builder("wide")
    exact = c.finish([c.emit(name, c.input("x", wide))])
    want = np.asarray(gw.compile(exact, backend="numpy")(x.astype(np.float64)))
    with np.errstate(all="ignore"):
        near = want.astype(np.float32)
    assert np.array_equal(np.isnan(found), np.isnan(near))
    assert np.array_equal(np.isinf(found), np.isinf(near))
    finite = np.isfinite(near)
    unit = np.spacing(np.maximum(np.abs(near[finite]), np.float32(2e-38)))
    off = np.abs(found[finite] - want[finite])
    assert (off <= 4 * unit + 1.2e-38).all()  # what is subnormal may be 0
    zeros = x == 0
    assert np.array_equal(np.signbit(found[zeros]), np.signbit(near[zeros]))
    if name in ("tanh", "erf", "sigmoid"):
        assert np.abs(found[finite]).max() == 1


def gelu_of(x: Any, tanh: bool) -> gw.Graph:
    b = gw.Builder("f")
    given = gw.trace(lambda v: v, gw.spec(str(x.dtype), x.shape)).inputs[0].type
    return b.finish([b.emit("gelu", b.input("x", given), tanh=tanh)])


@device
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("tanh", [False, True])
def test_gelu(tanh: bool, dtype: str) -> None:
    x = values().astype(dtype)
    graph = gelu_of(x, tanh)
    found = np.asarray(gw.compile(graph, backend="opencl", strict=True)(x))
    with np.errstate(all="ignore"):
        (want,) = evaluate(graph, [x])
    np.testing.assert_allclose(found, want, rtol=1e-6, atol=1e-6)


@device
@pytest.mark.parametrize("tanh", [False, True])
def test_gelu_is_within_its_bound(tanh: bool) -> None:
    ends = np.array([np.inf, 3e38, 6.0, 1e-30, 0.0, -0.0, -6.0, -3e38], np.float32)
    x = np.concatenate([np.linspace(-12, 12, 40001, dtype=np.float32), ends])
    exe = gw.compile(gelu_of(x, tanh), backend="opencl", strict=True)
    found, wide = np.asarray(exe(x)), x[:-8].astype(np.float64)
    (want,) = evaluate(gelu_of(wide, tanh), [wide])
    unit = np.spacing(np.abs(want).astype(np.float32))
    assert (np.abs(found[:-8] - want) <= 2.4e-7 + 4 * unit).all()
    np.testing.assert_array_equal(found[-8:-2], [*ends[:3], ends[3] / 2, 0, 0])
    assert np.signbit(found[-3])
    assert abs(found[-2]) < 1e-7
    assert not found[-1]


@device
@pytest.mark.parametrize("name", FLOATS)
def test_functions_of_float64_are_within_their_bounds(name: str) -> None:
    special = [
        0.0,
        -0.0,
        np.inf,
        -np.inf,
        np.nan,
        5e-324,
        -1e-310,
        1e308,
        709.7,
        -745.0,
    ]
    x = np.concatenate([special, np.linspace(-750, 720, 3001), values()])
    b = gw.Builder("f")
    given = gw.trace(lambda v: v, gw.spec("float64", x.shape)).inputs[0].type
    graph = b.finish([b.emit(name, b.input("x", given))])
    found = np.asarray(gw.compile(graph, backend="opencl", strict=True)(x))
    want = np.asarray(gw.compile(graph, backend="numpy")(x))
    finite = np.isfinite(want)
    unit = np.spacing(np.maximum(np.abs(want[finite]), 1e-307))
    assert (np.abs(found[finite] - want[finite]) <= 4 * unit).all()
    np.testing.assert_array_equal(found[~finite], want[~finite])
    zeros = x == 0
    assert np.array_equal(np.signbit(found[zeros]), np.signbit(want[zeros]))


@device
def test_positions_of_extremes_with_nan() -> None:
    x = normal(7, 30)
    x[2, 11] = x[2, 20] = np.nan
    x[3] = -np.inf
    agree(lambda x: gnp.argmax(x, axis=1), x)
    agree(lambda x: gnp.argmin(x, axis=0), x)
    agree(lambda x: gnp.argmax(x, axis=1), x.astype(np.float16))


@device
@pytest.mark.parametrize("kind", ["sum", "prod", "max", "min"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("exclusive", [False, True])
def test_running_reductions(kind: str, reverse: bool, exclusive: bool) -> None:
    x = normal(3, 11, 9)
    b = gw.Builder("running")
    v = b.input("x", gw.trace(lambda v: v, gw.spec("float32", x.shape)).inputs[0].type)
    fields = {"exclusive": exclusive, "reverse": reverse}
    graph = b.finish([b.cumulative(kind, v, axis, **fields) for axis in range(3)])
    pairs = zip(
        gw.compile(graph, backend="opencl", strict=True)(x),
        gw.compile(graph, backend="numpy")(x),
        strict=True,
    )
    for found, want in pairs:
        np.testing.assert_allclose(np.asarray(found), np.asarray(want), rtol=1e-4)


@device
@pytest.mark.parametrize("mode", ["set", "add", "mul", "min", "max"])
def test_scattered_updates(mode: str) -> None:
    x, updates = normal(4, 7, 9), normal(4, 2, 3, 9)
    indices = np.array([[5, 0, 5], [3, 0, 5]])
    specs = (("float32", x.shape), ("int64", indices.shape), ("float32", updates.shape))
    b = gw.Builder("scatter")
    given = gw.trace(lambda *vs: vs, *[gw.spec(*spec) for spec in specs]).input_types
    into, at, new = (b.input(f"x{i}", t) for i, t in enumerate(given))
    graph = b.finish([b.scatter(into, at, new, 1, mode)])
    found = gw.compile(graph, backend="opencl", strict=True)(x, indices, updates)
    want = gw.compile(graph, backend="numpy")(x, indices, updates)
    np.testing.assert_allclose(np.asarray(found), np.asarray(want), rtol=1e-5)


@device
def test_products_over_no_elements() -> None:
    def model(x: Any, y: Any, z: Any) -> Any:
        return np.matmul(x * 2, np.swapaxes(y * 2, 0, 1)) + np.sum(z, 0)

    agree(model, normal(2, 0), normal(3, 0), normal(4, 3))


def test_joined_arrays_that_are_empty() -> None:
    x = normal(3, 0, 4)
    agree(lambda x: gnp.concatenate([x, x * 2], axis=1), x)


@device
def test_weights_that_lie_the_other_way_round_are_copied_once() -> None:
    """Those of a loop's turns, too: what is not contiguous cannot be bound."""
    w, x = normal(6, 6), normal(4, 3, 6)

    def run(x: Any) -> Any:
        return gw.scan(lambda h, row: (gnp.tanh(h @ w.T + row),) * 2, x[0], x)[1]

    exe = gw.compile(gw.trace(run, gw.spec("float32", x.shape)), backend="opencl")
    kernels = [step.into for step in exe.plan_for().steps]
    assert all(kernel is not None and kernel.bind is not None for kernel in kernels)
    h = x[0]
    for got, row in zip(np.asarray(exe(x)), x, strict=True):
        h = np.tanh(h @ w.T + row)
        np.testing.assert_allclose(got, h, rtol=1e-5, atol=1e-5)


COLUMNS: dict[str, Callable[[Any], Any]] = {
    "sum": lambda x: gnp.sum(x, axis=0),
    "max": lambda x: gnp.max(x, axis=0),
    "both": lambda x: gnp.max(x, axis=0) - gnp.min(x * x, axis=0),
    "var": lambda x: gnp.var(x, axis=0),
    "middle": lambda x: gnp.sum(gnp.stack([x, x + x, x]), axis=1),
    "kept": lambda x: x - gnp.mean(x, axis=0, keepdims=True),
}


@device
@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("columns", [127, 1031])
def test_columns_are_reduced_side_by_side(name: str, columns: int) -> None:
    x = normal(37, columns)
    x[5, columns // 2] = np.nan
    agree(COLUMNS[name], x)
    if name in ("sum", "max"):
        agree(COLUMNS[name], (100 * normal(50, columns)).astype(np.int16))


TURNED: dict[str, Callable[[Any], Any]] = {
    "plain": lambda x: x.T,
    "backwards": lambda x: x[:, ::-1].T,
    "sums": lambda x: x[:, : len(x)] + x[:, : len(x)].T,
    "blocks": lambda x: x[:16].reshape(4, 4, -1).transpose(2, 0, 1),
    "pairs": lambda x: gnp.stack([x[0], x[1]], -1),
    "middle": lambda x: gnp.stack([x[:16], x[:16]], 0).transpose(2, 0, 1),
}


@device
@pytest.mark.parametrize("name", TURNED)
@pytest.mark.parametrize("shape", [(17, 63), (65, 160)])
@pytest.mark.parametrize("dtype", ["bool", "complex128"])
def test_what_lies_the_other_way_round(
    name: str, shape: tuple[int, int], dtype: str
) -> None:
    x = (100 * normal(*shape)).astype(dtype)
    graph = gw.trace(TURNED[name], gw.spec(dtype, shape))
    got = np.asarray(gw.compile(graph, backend="opencl", strict=True)(x))
    want = np.asarray(gw.compile(graph, backend="numpy")(x))
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(got, want)


@device
@pytest.mark.parametrize("low", [-3, 0, 2])
@pytest.mark.parametrize("interior", [1, 2])
def test_borders_with_gaps_inside(low: int, interior: int) -> None:
    b = gw.Builder("borders")
    x = b.input("x", TensorType(float32, (3, 5)))
    padded = b.pad(b.mul(x, 2), (low, 0), (1, -2), 7.0, (interior, 1))
    graph = b.finish([b.add(padded, 1)], ["y"])
    exe = gw.compile(graph, backend="opencl", strict=True)
    array = normal(3, 5)
    want = gw.compile(graph, backend="numpy")(array)
    np.testing.assert_array_equal(np.asarray(exe(array)), np.asarray(want))


@device
def test_bits_of_every_float8() -> None:
    """Each NaN stays the one that it is: on the host."""
    b = gw.Builder("bits")
    codes = np.arange(256, dtype=np.uint8)
    given = gw.trace(lambda v: v, gw.spec("uint8", codes.shape)).inputs[0].type
    narrow = b.emit("bitcast", b.input("x", given), dtype=float8_e4m3fn)
    graph = b.finish([b.emit("bitcast", narrow, dtype=uint8)])
    found = np.asarray(gw.compile(graph, backend="opencl", optimize=False)(codes))
    assert np.array_equal(found, codes)


@device
def test_indices_that_narrow_floats_decide() -> None:
    def pick(x: Any, y: Any) -> Any:
        return gnp.take(x, (y + y < 0.5).astype(np.int32) + 1)

    x, y = np.arange(5, dtype=np.float16), np.array([0.1, 0.4, 0.2], np.float16)
    agree(pick, x, y)


@device
def test_powers_of_integers() -> None:
    x, y = np.arange(-6, 7, dtype=np.int32), np.arange(-6, 7, dtype=np.int32)
    b = gw.Builder("pow")
    kind = gw.trace(lambda v: v, gw.spec("int32", (13, 13))).inputs[0].type
    graph = b.finish([b.pow(b.input("x", kind), b.input("y", kind))])
    feeds = tuple(np.ascontiguousarray(v) for v in np.meshgrid(x, y))
    found = gw.compile(graph, backend="opencl", strict=True)(*feeds)
    want = gw.compile(graph, backend="numpy")(*feeds)
    assert np.array_equal(np.asarray(found), np.asarray(want))


@device
def test_sums_behind_products_and_running_sums() -> None:
    x, y, z = normal(40, 20), normal(20, 48), normal(40, 48)

    def rows(z: Any) -> Any:
        return gnp.sum(z, axis=1, keepdims=True)

    agree(lambda x, y, z: (x @ y) * rows(z), x, y, z, tolerance=1e-4)
    agree(lambda x, y, z: rows(z) * (x @ y), x, y, z, tolerance=1e-4)
    agree(lambda z: gnp.cumsum(z, axis=0) * rows(z * 2), z, tolerance=1e-4)
    agree(lambda z: rows(z * 2) * gnp.cumsum(z, axis=0), z, tolerance=1e-4)


@device
def test_products_of_many_and_turned_matrices() -> None:
    x, y = normal(3, 20, 24), normal(3, 33, 24)
    agree(lambda x, y: x @ gnp.swapaxes(y, -1, -2), x, y)


@device
def test_a_device_with_memory_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a GPU has: what crosses is copied."""
    apart = library.Session(library.found().devices[0])
    apart.shares = False
    backend = OpenCLBackend()
    monkeypatch.setattr(backend, "_session", apart, raising=False)
    weights = normal(33, 20)

    def layer(x: Any, i: Any) -> Any:
        return gnp.maximum(gnp.take(x, i, axis=0) @ gnp.asarray(weights), 0)

    graph = gw.trace(layer, gw.spec("float32", (5, 33)), gw.spec("int64", (3,)))
    exe = gw.compile(graph, backend=backend, strict=True)
    x = normal(5, 33)
    for rows in ([0, 4, 2], [1, 1, 3]):
        want = np.maximum(x[rows] @ weights, 0)
        found = np.asarray(exe(x, np.array(rows)))
        np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-5)
    with pytest.raises(IndexBoundsError):
        exe(x, np.array([0, 5, 1]))


def filled(x: Any) -> Any:
    """As many elements as ``x`` has."""
    return gnp.exp(x) + 1


@device
def test_without_memory_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    apart = library.Session(library.found().devices[0])
    apart.shares = False
    backend = OpenCLBackend()
    monkeypatch.setattr(backend, "_session", apart, raising=False)
    graph = gw.trace(filled, gw.spec("float32", ("n",)))
    exe = gw.compile(graph, backend=backend, strict=True, max_bytes=1 << 60)
    large = apart.device.max_mem_alloc_size // 4 + 1
    with pytest.raises(gw.DeviceMemoryError, match=r"bytes: it has [\d,]+ in all"):
        exe(np.empty(large, np.float32))
    np.testing.assert_allclose(np.asarray(exe(X[0, 0])), np.exp(X[0, 0]) + 1, 1e-5)


@device
def test_more_memory_than_there_are_addresses() -> None:
    def sums_of_three(x: Any) -> Any:
        return gnp.sum(gnp.sort(x[:, None, None] + x[:, None] + x, axis=0))

    graph = gw.trace(sums_of_three, gw.spec("float32", ("n",)))
    exe = gw.compile(graph, backend="opencl", strict=True)
    with pytest.raises(gw.DeviceMemoryError, match="at most"):
        exe(np.zeros(1 << 21, np.float32))
    assert float(exe(np.ones(3, np.float32))) == 81


@device
def test_drivers_that_see_only_in_a_run_that_memory_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    apart = library.Session(library.found().devices[0])
    apart.shares = False
    backend = OpenCLBackend()
    monkeypatch.setattr(backend, "_session", apart, raising=False)
    graph = gw.trace(filled, gw.spec("float32", (33,)))
    exe = gw.compile(graph, backend=backend, strict=True)
    want = np.exp(X[0, 0]) + 1
    np.testing.assert_allclose(np.asarray(exe(X[0, 0])), want, 1e-5)

    def refused(*_: Any, **__: Any) -> None:
        own = library.pyopencl()
        raise type("Late", (own.MemoryError,), {"code": -4})("MEM_OBJECT_ALLOCATION")

    with monkeypatch.context() as patch:
        patch.setattr(library.pyopencl(), "enqueue_copy", refused)
        with pytest.raises(gw.DeviceMemoryError):
            exe(X[0, 0])
    np.testing.assert_allclose(np.asarray(exe(X[0, 0])), want, 1e-5)


@device
def test_a_kernel_that_does_not_build(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(kernel: Any) -> tuple[str, str]:
        return "broken", "__kernel void broken(int) { this is no source }"

    monkeypatch.setattr(programs, "named", refused)
    graph = gw.trace(lambda x: gnp.exp(x) + 1, gw.spec("float32", (5,)))
    x = normal(5)
    with pytest.raises(BuildError, match=r"test_opencl\.py:\d+") as caught:
        gw.compile(graph, backend=OpenCLBackend(), strict=True)(x)
    assert "error:" in caught.value.__notes__[0]  # the compiler's log
    assert "no source" in caught.value.__notes__[1]
    exe = gw.compile(graph, backend=OpenCLBackend())
    with caplog.at_level("WARNING", "graphwright"):
        np.testing.assert_allclose(np.asarray(exe(x)), np.exp(x) + 1, rtol=1e-5)
    assert [f.op for f in exe.fallbacks] == ["fused"]
    assert re.search(r"test_opencl\.py:\d+.*does not build", caplog.text)


@device
def test_new_sizes_are_no_new_build(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = gw.trace(softmax, gw.spec("float32", ("rows", "columns")))
    exe = gw.compile(graph, backend=OpenCLBackend(), strict=True)
    exe(normal(3, 50))
    monkeypatch.setattr(library.pyopencl(), "Program", None)
    for shape in ((4, 60), (9, 100), (100, 33)):
        x = normal(*shape)
        np.testing.assert_allclose(np.asarray(exe(x)), plain_softmax(x), rtol=1e-5)


@device
def test_indices_out_of_range_are_an_error() -> None:
    graph = gw.trace(
        lambda x, i: gnp.take(x, i, axis=0),
        gw.spec("float32", (4, 3)),
        gw.spec("int64", (2,)),
    )
    exe = gw.compile(graph, backend="opencl")
    x = normal(4, 3)
    assert np.array_equal(np.asarray(exe(x, np.array([3, 0]))), x[[3, 0]])
    with pytest.raises(IndexBoundsError):
        exe(x, np.array([7, 0]))
    assert np.array_equal(np.asarray(exe(x, np.array([1, 2]))), x[[1, 2]])


@device
def test_many_threads_share_an_executable() -> None:
    graph = gw.trace(softmax, gw.spec("float32", ("rows", 40)))
    exe = gw.compile(graph, backend="opencl", strict=True)
    wrong: list[int] = []

    def work(seed: int) -> None:
        for rows in (3, 17, 64):
            x = np.random.default_rng(seed).standard_normal((rows, 40)).astype("f")
            if not np.allclose(np.asarray(exe(x)), plain_softmax(x), rtol=1e-4):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@device
def test_fallbacks_are_reported_and_right() -> None:
    def run(x: Any) -> Any:
        return gnp.exp(gnp.linalg.svdvals(gnp.exp(x)))  # which has no kernel

    graph = gw.trace(run, gw.spec("float32", (3, 20)))
    exe = gw.compile(graph, backend="opencl")
    x = normal(3, 20) / 8
    want = np.exp(np.linalg.svdvals(np.exp(x)))
    np.testing.assert_allclose(np.asarray(exe(x)), want, rtol=1e-5)
    assert {f.op for f in exe.fallbacks} == {"singular_values"}


@device
def test_host_ops_that_have_parts_run_as_these() -> None:
    feeds = {"x": normal(2, 5, 9, 7), "corners": np.abs(normal(3, 4)) * 9}
    b = gw.Builder("regions")
    x, corners = (b.input(n, TensorType(float32, f.shape)) for n, f in feeds.items())
    images = b.constant([0, 1, 0])
    fields = {"shape": (3, 2), "scale": 0.5, "kind": "avg", "half_pixel": True}
    found = [b.emit("roi_align", x, corners, images, ratio=n, **fields) for n in (0, 2)]
    exe = gw.compile(graph := b.finish(found), backend="opencl")
    rows = zip(exe(**feeds), evaluate(graph, [*feeds.values()]), strict=True)
    for got, want in rows:
        np.testing.assert_allclose(np.asarray(got), want, rtol=1e-4, atol=1e-5)
    assert [f.op for f in exe.fallbacks] == ["roi_align"]


@device
def test_devices_are_named() -> None:
    names = OpenCLBackend().devices()
    assert names
    assert names[0] == "opencl:0"
    with pytest.raises(gw.BackendUnavailable, match=r"no OpenCL device 99.*opencl:0"):
        gw.compile(gw.trace(gnp.sum, gw.spec("float32", (3,))), backend="opencl:99")


@device
def test_devices_of_all_backends() -> None:
    names = gw.devices()
    assert names[0] == "numpy"
    assert "opencl:0" in names
    x = normal(5)
    for name in names:
        found = gw.compile(gw.trace(gnp.exp, gw.spec("float32", (5,))), backend=name)
        np.testing.assert_allclose(np.asarray(found(x)), np.exp(x), rtol=1e-6)


class _Broken:
    """A library whose loader finds no platform."""

    class Error(Exception):
        pass

    def get_platforms(self) -> list[Any]:
        raise self.Error("clGetPlatformIDs failed:\nPLATFORM_NOT_FOUND_KHR")


class _Platform:
    """One platform of several, which may be broken."""

    def __init__(self, name: str, devices: "list[str] | Exception") -> None:
        self.name, self._devices = name, devices

    def get_devices(self) -> list[str]:
        if isinstance(self._devices, Exception):
            raise self._devices
        return self._devices


def test_several_platforms_one_of_them_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    class Platforms(_Broken):
        Error = _Broken.Error

        def get_platforms(self) -> list[Any]:
            broken = self.Error("clGetDeviceIDs failed: OUT_OF_HOST_MEMORY")
            first, last = _Platform("one", ["a", "b"]), _Platform("three", ["c"])
            return [first, _Platform("two", broken), last]

    monkeypatch.setattr(library, "pyopencl", Platforms)
    library.found.cache_clear()
    seen = library.found()
    library.found.cache_clear()
    assert seen.devices == ("a", "b", "c")
    assert seen.problems == (
        "platform 'two': clGetDeviceIDs failed: OUT_OF_HOST_MEMORY",
    )


def test_pocl_without_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is where a home is not there, or read-only."""

    class Platforms(_Broken):
        def get_platforms(self) -> list[Any]:
            return [_Platform("Portable Computing Language", [])]

    monkeypatch.setattr(library, "pyopencl", Platforms)
    library.found.cache_clear()
    said = str(library.missing(0))
    library.found.cache_clear()
    assert said.endswith("a folder to write to: $POCL_CACHE_DIR, or ~/.cache")


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "has_library", lambda: False)
    assert library.missing(0) == (
        'PyOpenCL is not installed: pip install "graphwright[opencl]"'
    )


def test_without_a_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "has_library", lambda: True)
    monkeypatch.setattr(library, "pyopencl", _Broken)
    library.found.cache_clear()
    words = library.missing(0)
    library.found.cache_clear()
    assert words is not None
    assert "PLATFORM_NOT_FOUND_KHR" in words
    assert "PoCL" in words


@device
@pytest.mark.parametrize("exponent", [-1, -0.5, 0.25, 0.5, 0.75, 1.5, 2, 3, 4, 0.7])
def test_powers_by_constants(exponent: float) -> None:
    x = np.concatenate([values(), -values(), np.logspace(-8, 8, 999, dtype="f")])

    def power(x: Any) -> Any:
        return x ** np.float32(exponent)

    with np.errstate(all="ignore"):
        agree(power, x, tolerance=5e-7)
    agree(power, np.abs(x[:99]).astype(np.float64), tolerance=1e-15)


@device
@pytest.mark.parametrize("logarithm", [False, True])
@pytest.mark.parametrize("width", [12, 40, 197])
def test_softmax_of_rows_with_odd_numbers(width: int, logarithm: bool) -> None:
    rows = normal(12, width) * 30
    for number, odd in enumerate([np.nan, np.inf, -np.inf, -1e38, 1e38, np.nan]):
        rows[number, (7 * number + 3) % width] = odd
        rows[number + 6, 1::2] = odd
    rows[4] = -np.inf

    def run(x: Any) -> Any:
        less = x - gnp.max(x, axis=-1, keepdims=True)
        total = gnp.sum(gnp.exp(less), axis=-1, keepdims=True)
        return less - gnp.log(total) if logarithm else gnp.exp(less) / total

    with np.errstate(all="ignore"):
        agree(run, rows, tolerance=1e-6)


@device
def test_powers_are_within_four_units_and_have_their_signs() -> None:
    rng = np.random.default_rng(0)
    near = (1 + rng.uniform(-0.3, 0.45, 20000)).astype(np.float32)
    far = np.exp(rng.uniform(-103, 88, 20000)).astype(np.float32)
    x = np.concatenate([near, far])
    y = (rng.uniform(-150, 128, x.size) / np.log2(x.astype(float))).astype(np.float32)
    ends = np.array([0, 1, np.inf, 2.5, 3, 3.75, 2**24 - 1, 2**24, 1e30], np.float32)
    left, right = np.meshgrid(*[np.concatenate([ends, -ends])] * 2)
    x = np.concatenate([x, left.ravel()])
    y = np.concatenate([y, right.ravel()])
    with np.errstate(all="ignore"):
        want = x.astype(float) ** y.astype(float)
        got = gw.jit(gnp.power, backend="opencl")(x, y)
        rounded = want.astype(np.float32)
        unit = np.spacing(np.abs(rounded)).astype(float)
        off = np.abs(np.asarray(got, float) - want) / unit
    named = np.isfinite(rounded)
    assert off[named].max() < 4
    np.testing.assert_array_equal(np.asarray(got)[~named], rounded[~named])
    signs = np.signbit(np.asarray(got)) == np.signbit(rounded)
    assert signs[~np.isnan(want)].all()


@device
@pytest.mark.parametrize("kind", ["max", "sum"])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("window", [(3, 3, 1), (1, 1, 5), (2, 5, 4)])
def test_windows_that_reach_out(
    kind: str, stride: int, window: tuple[int, ...]
) -> None:
    """Large enough to be cut at the borders."""
    x = normal(2, 40, 37, 35)
    b = gw.Builder("windows")
    v = b.input("x", gw.trace(lambda v: v, gw.spec("float32", x.shape)).inputs[0].type)
    padding = tuple((n // 2, n // 2) for n in window)
    fields: dict[str, Any] = {"window": window, "padding": padding}
    fields |= {"strides": (stride, stride, 1), "dilations": (1, 1, 1)}
    graph = b.finish([b.emit("reduce_window", v, kind=kind, **fields)])
    found = np.asarray(gw.compile(graph, backend="opencl", strict=True)(x))
    want = np.asarray(gw.compile(graph, backend="numpy")(x))
    np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-5)


def inner(x: Any) -> Any:
    x[1:-2] = gnp.exp(x[1:-2]) - x[:-3]
    return x


def middle(x: Any) -> Any:
    x[1:-1, 3:] = 0.5 * (x[:-2, 3:] + x[2:, :-3])
    x[:, -1] = 7
    return x


@device
@pytest.mark.parametrize("rows", [6, 200])  # these are cut to boxes, those are not
@pytest.mark.parametrize("update", [inner, middle])
def test_updates_within(update: Callable[[Any], Any], rows: int) -> None:
    agree(lambda x: update(x + 0), normal(rows, 130))


@device
@pytest.mark.parametrize("start", [-5, 0, 3, 9, 100])
def test_updates_begin_where_they_fit(start: int) -> None:
    b = gw.Builder("update")
    x = b.input("x", TensorType(float32, (12, 5)))
    y = b.input("y", TensorType(float32, (4, 5)))
    rows, columns = b.constant(np.array(start)), b.constant(np.array(0))
    graph = b.finish([b.emit("dynamic_update_slice", x, y, rows, columns)])
    found = gw.compile(graph, backend="opencl", strict=True)(
        normal(12, 5), -normal(4, 5)
    )
    want = normal(12, 5)
    begin = min(max(start, 0), 8)
    want[begin : begin + 4] = -normal(4, 5)
    np.testing.assert_array_equal(np.asarray(found), want)


@device
def test_counted_loops_wait_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def turns(x: Any) -> Any:
        return gw.fori_loop(0, 300, lambda i, v: gnp.roll(v, 1) * 0.5 + x, x)

    monkeypatch.setitem(vars(library.session(0)), "helpers", None)  # else none waits
    monkeypatch.setattr("graphwright.backends.turns._MOST", 0)
    waits: list[object] = []
    for runner in (launch.LaunchRunner, persistent.PlanRunner):
        plain = runner.wait

        def wait(own: Any, plain: Callable[[Any], None] = plain) -> None:
            waits.append(own)
            plain(own)

        monkeypatch.setattr(runner, "wait", wait)
    agree(turns, normal(1000))
    assert 0 < len(waits) < 10


@device
def test_counted_loops_of_several_kernels() -> None:
    def turns(x: Any) -> Any:
        def turn(i: Any, v: Any) -> Any:
            total = gnp.sum(v * v, axis=0)
            return (v - gnp.roll(v, 1, axis=1)) / (1 + total) + x

        return gw.fori_loop(0, 300, turn, x)

    agree(turns, normal(40, 500))


@device
def test_loops_whose_turns_are_looked_at_wait_for_each() -> None:
    agree(
        lambda x: gw.fori_loop(0, 9, lambda i, v: gnp.exp(-v) * (i + 1), x),
        normal(1000),
    )
    agree(
        lambda x: gw.while_loop(
            lambda v: gnp.sum(v) > 1, lambda v: gnp.roll(v, 1) * 0.7, gnp.abs(x)
        ),
        normal(1000),
    )


@device
def test_parts_of_a_reduction_are_no_lanes() -> None:
    def run(x: Any, rows: Any) -> Any:
        return gnp.sum(gnp.take(x, rows * 4 + gnp.arange(4), axis=0))

    sizes = gw.spec("float32", (400,)), gw.spec("int64", (60, 50, 4))
    exe = gw.compile(gw.trace(run, *sizes), backend="opencl", strict=True)
    x, rows = normal(400), np.random.default_rng(0).integers(0, 100, (60, 50, 4))
    want = x[rows * 4 + np.arange(4)].sum(dtype=np.float64)
    assert abs(float(exe(x, rows)) - want) <= 1e-4 * abs(want)


@device
@pytest.mark.parametrize("function", [np.sin, np.cos, np.tan])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_angles_near_zero_beside_huge_ones(
    function: Callable[[Any], Any], dtype: str
) -> None:
    """A lane does not hang on what the others are."""
    sizes = np.concatenate([10.0 ** np.arange(-40, 2), np.linspace(0.05, 0.08, 50)])
    x = np.tile(np.stack([sizes, -sizes], axis=1), (1, 4)).astype(dtype)
    x[:, 3] = np.linspace(1e10, 3e38, len(x))
    found = np.asarray(gw.jit(function, backend="opencl")(x))
    want = function(x.astype(np.longdouble)).astype(dtype)
    eps, tiny = float(np.finfo(dtype).eps), float(np.finfo(dtype).tiny)
    np.testing.assert_allclose(found, want, 8 * eps, 8 * tiny)
    assert np.array_equal(np.signbit(found), np.signbit(want))
