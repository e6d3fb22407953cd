"""Regions on the numpy backend: any dtypes, windows, reductions, inputs that move."""

import random
from typing import Any

import numpy as np
import pytest

import graphwright as gw
from graphwright.backends.contract import Request
from graphwright.backends.numpy.functions import Assembler
from graphwright.backends.numpy.kernels import program
from graphwright.backends.numpy.ops_elementwise import elementwise_kernel
from graphwright.ir import dtype as dt
from graphwright.ir.builder import Builder
from graphwright.ir.emitter import Value
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph
from graphwright.ir.ops.fused import Fused
from graphwright.ir.types import TensorType

RNG = np.random.default_rng(5)


def assert_same(graph: Graph, feeds: list[Any], runs: int = 2) -> None:
    exe = gw.compile(graph, backend="numpy")
    want = evaluate(graph, feeds)
    for _ in range(runs):
        moved = [np.array(x) for x in feeds]
        for got, expected in zip(exe.execute(moved), want, strict=True):
            assert got.dtype == expected.dtype
            np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)
        for x, before in zip(moved, feeds, strict=True):
            np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize(("kind", "want"), [("sum", 0), ("prod", 1)])
def test_reductions_of_nothing_are_neutral(kind: str, want: int) -> None:
    b = Builder("empty")
    x = b.input("x", TensorType(dt.int64, (0, 3)))
    exe = gw.compile(b.finish([b.emit("reduce", x, kind=kind, axes=(0,))]))
    np.testing.assert_array_equal(exe(np.zeros((0, 3), np.int64)).numpy(), [want] * 3)


@pytest.mark.parametrize("dtype", [dt.float64, dt.float32, dt.int32, dt.int8, dt.bool_])
def test_where_keeps_every_bit(dtype: dt.DType) -> None:
    b = Builder("where")
    kind = TensorType(dtype, (1000,))
    x, y = b.input("x", kind), b.input("y", kind)
    c = b.eq(b.input("c", TensorType(dt.int8, (1000,))), 0)
    zero = b.zeros_like(x)
    graph = b.finish([b.where(c, x, y), b.where(c, x, zero), b.where(c, zero, y)])
    raw = RNG.integers(0, 2 if dtype is dt.bool_ else 256, (2, 8000), np.uint8)
    feeds = [r[: 1000 * dtype.itemsize].view(dtype.numpy) for r in raw]
    feeds.append(RNG.integers(0, 2, 1000, np.int8))
    found = gw.compile(graph, backend="numpy").execute(feeds)
    for got, want in zip(found, evaluate(graph, feeds), strict=True):
        assert got.tobytes() == want.tobytes()


NUMBERS: list[tuple[dt.DType, float, float]] = [
    (dt.float64, 2.0, -1.0),
    (dt.float64, 0.0, -0.0),
    (dt.float64, -0.0, 0.0),
    (dt.float64, np.inf, 0.0),
    (dt.float64, np.nan, 1.0),
    (dt.float64, 1e308, -1e308),
    (dt.float32, 1.0, 1e-9),
    (dt.float32, 1.0, 0.0),
    (dt.int8, 100, -100),
    (dt.uint8, 0, 255),
    (dt.int64, 2**63 - 1, -(2**63)),
]


@pytest.mark.parametrize(("dtype", "x", "y"), NUMBERS)
@pytest.mark.parametrize("count", [3, 2000])
def test_choices_between_two_numbers(
    dtype: dt.DType, x: float, y: float, count: int
) -> None:
    b = Builder("where")
    c = b.eq(b.input("c", TensorType(dt.int8, (count,))), 0)
    numbers = [np.array(v, dtype.numpy) for v in (x, y)]
    full = [b.broadcast_to(b.constant(n), (count,)) for n in numbers]
    chosen = RNG.integers(0, 2, count, np.int8)
    graph = b.finish([b.where(c, *full)])
    (found,) = gw.compile(graph, backend="numpy").execute([chosen])
    assert found.tobytes() == np.where(chosen == 0, *numbers).tobytes()


@pytest.mark.parametrize("dtype", [dt.float64, dt.float32, dt.int8, dt.uint8, dt.int64])
@pytest.mark.parametrize("count", [3, 2000, 300_000])
def test_extremes_with_numbers(dtype: dt.DType, count: int) -> None:
    b = Builder("bounds")
    x = b.input("x", TensorType(dtype, (count,)))
    low, high = 3, 90
    graph = b.finish([b.min(b.max(b.add(x, x), low), high), b.max(x, high)])
    values = RNG.integers(0, 63, count).astype(dtype.numpy)
    if dtype.kind == "f":
        values[:2] = np.nan, -np.inf
    found = gw.compile(graph, backend="numpy").execute([values])
    np.testing.assert_array_equal(found[0], np.clip(values + values, low, high))
    np.testing.assert_array_equal(found[1], np.maximum(values, high))


@pytest.mark.parametrize("width", [2, 8, 9, 31, 32, 33, 512, 513])
@pytest.mark.parametrize("kind", ["sum", "max", "min"])
def test_reductions_of_rows(width: int, kind: str) -> None:
    rows = RNG.standard_normal((40, width))
    rows[1, 0], rows[2, -1], rows[3, :2] = np.nan, np.inf, (np.inf, -np.inf)
    b = Builder("rows")
    x = b.input("x", TensorType(dt.float64, rows.shape))
    graph = b.finish([b.emit("reduce", b.mul(x, 1.5), kind=kind, axes=(1,))])
    (found,) = gw.compile(graph, backend="numpy").execute([rows])
    ufunc = {"sum": np.add, "max": np.maximum, "min": np.minimum}[kind]
    with np.errstate(all="ignore"):
        want = ufunc.reduce(rows * 1.5, axis=1)
    np.testing.assert_allclose(found, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("axes", [(0,), (1,), (2,), (0, 1), (1, 2), (0, 2), (0, 1, 2)])
@pytest.mark.parametrize("kind", ["sum", "max"])
@pytest.mark.parametrize(
    "shape", [(30, 7, 50), (900, 5, 3), (3, 900, 2), (2, 1, 5000), (700, 8, 1)]
)
def test_reductions_in_blocks(
    axes: tuple[int, ...],
    kind: str,
    shape: tuple[int, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(program, "_BLOCK_BYTES", 4096)
    monkeypatch.setattr(program, "_ASKS", False)
    b = Builder("reduce")
    x = b.input("x", TensorType(dt.float64, shape))
    row = b.input("row", TensorType(dt.float64, shape[1:]))
    y = b.mul(b.add(x, b.broadcast_to(row, x.shape)), 0.5)
    graph = b.finish([b.emit("reduce", y, kind=kind, axes=axes), b.exp(y)])
    feeds = [RNG.standard_normal(shape), RNG.standard_normal(shape[1:])]
    assert_same(graph, feeds)


def stencil(b: Builder, x: Value, steps: int) -> Value:
    n, m = x.shape
    for _ in range(steps):
        inner = b.slice(x, (1, 1), (n - 2, m - 2))
        up, down = (
            b.slice(x, (0, 1), (n - 2, m - 2)),
            b.slice(x, (2, 1), (n - 2, m - 2)),
        )
        new = b.add(inner, b.mul(b.sub(b.add(up, down), b.mul(inner, 2.0)), 0.25))
        x = b.emit("update_slice", x, new, start=(1, 1), step=(1, 1))
    return x


@pytest.mark.parametrize("size", [5, 60, 300])
def test_windows_that_are_read_beside_themselves(size: int) -> None:
    b = Builder("stencil")
    x = b.input("x", TensorType(dt.float64, (size, size)))
    graph = b.finish([stencil(b, x, 4)])
    assert_same(graph, [RNG.standard_normal((size, size))])


def test_windows_over_themselves_and_old_values_kept() -> None:
    b = Builder("inplace")
    x = b.input("x", TensorType(dt.float64, (40, 40)))
    first = b.exp(x)
    part = b.slice(first, (3, 0), (20, 40))
    second = b.emit("update_slice", first, b.mul(part, 2.0), start=(3, 0), step=(1, 1))
    third = b.emit("update_slice", second, b.neg(part), start=(1, 0), step=(2, 1))
    assert_same(b.finish([third]), [RNG.standard_normal((40, 40))])
    assert_same(b.finish([third, second, first]), [RNG.standard_normal((40, 40))])


def test_choices_windows_and_sums_are_one_step() -> None:
    b = Builder("one")
    x = b.input("x", TensorType(dt.float64, (8, 8)))
    chosen = b.where(b.lt(x, 0.0), b.neg(x), b.mul(x, 2.0))
    written = b.emit("update_slice", x, chosen, start=(0, 0), step=(1, 1))
    exe = gw.compile(b.finish([written, b.sum(chosen, [1])]), backend="numpy")
    assert [node.op.name for node in exe.program.graph.nodes] == ["fused"]


def test_windows_of_new_arrays_are_written_by_the_region() -> None:
    b = Builder("zeros")
    x = b.input("x", TensorType(dt.float64, (6,)))
    zeros = b.full((8,), 0, dt.float64)
    part = b.slice(zeros, (2,), (6,))
    new = b.emit("update_slice", zeros, b.add(part, b.mul(x, x)), start=(2,), step=(1,))
    graph = b.finish([new])
    (op,) = [
        node.op
        for node in gw.compile(graph, backend="numpy").program.graph.nodes
        if isinstance(node.op, Fused)
    ]
    types = [v.type for v in op.body.inputs]
    request = Request(op, tuple(types), (None,) * len(types), op.body.output_types)
    assert elementwise_kernel(op, request) is not None
    assert_same(graph, [RNG.standard_normal(6)])


def random_program(seed: int) -> tuple[Graph, list[Any]]:
    """Elementwise ops, windows, writes and reductions over a pool of one shape."""
    draw, b = random.Random(seed), Builder("random")
    n, m = draw.choice([(4, 6), (1, 9), (33, 70)])
    pool = [b.input(f"x{i}", TensorType(dt.float64, (n, m))) for i in range(2)]
    rows: list[Value] = []
    for _ in range(draw.randint(3, 25)):
        x, y = draw.choice(pool), draw.choice(pool)
        kind = draw.randrange(7)
        if kind < 3:
            pool.append(b.emit(draw.choice(["add", "sub", "mul", "max"]), x, y))
        elif kind == 3:
            pool.append(b.where(b.lt(x, y), y, draw.choice(pool)))
        elif kind == 4:
            k = draw.randint(1, m)
            at, to = draw.randint(0, m - k), draw.randint(0, m - k)
            part = b.slice(x, (0, at), (n, k))
            part = part if draw.random() < 0.3 else b.sub(part, 0.5)
            pool.append(b.emit("update_slice", y, part, start=(0, to), step=(1, 1)))
        elif kind == 5:
            rows.append(b.sum(x, [draw.randrange(2)], keepdims=False))
            wide = rows[-1] if rows[-1].shape == (m,) else b.reshape(rows[-1], (n, 1))
            pool.append(b.mul(b.broadcast_to(wide, (n, m)), 0.01))
        else:
            pool.append(b.tanh(x))
    outputs = draw.sample(pool[2:], min(2, len(pool) - 2)) + rows[:1]
    feeds = [RNG.standard_normal((n, m)) for _ in range(2)]
    return b.finish(outputs), feeds


@pytest.mark.parametrize("seed", range(60))
def test_random_programs(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if seed % 2:
        monkeypatch.setattr(program, "_BLOCK_BYTES", 2048)
        monkeypatch.setattr(program, "_ASKS", False)
    graph, feeds = random_program(seed)
    assert_same(graph, feeds, runs=3)


def test_inputs_of_any_strides_and_a_memory_that_is_gone() -> None:
    b = Builder("moving")
    x = b.input("x", TensorType(dt.float64, (200, 200)))
    graph = b.finish(
        [b.add(b.transpose(x, (1, 0)), b.mul(x, 3.0)), b.slice(x, (1, 1), (9, 9))]
    )
    exe = gw.compile(graph, backend="numpy")
    for seed in range(8):
        array = np.random.default_rng(seed).standard_normal((400, 200))[::2]
        array = array.T if seed % 3 == 0 else array
        total, part = exe.execute([array])
        np.testing.assert_array_equal(total, array.T + array * 3.0)
        expected = array[1:10, 1:10].copy()
        del array
        np.testing.assert_array_equal(part, expected)


@pytest.mark.parametrize("dtype", [dt.complex64, dt.complex128])
def test_complex_numbers(dtype: dt.DType) -> None:
    b = Builder("complex")
    x = b.input("x", TensorType(dtype, (300, 40)))
    row = b.input("row", TensorType(dtype, (40,)))
    y = b.sub(b.mul(x, b.broadcast_to(row, x.shape)), b.neg(x))
    graph = b.finish([y, b.eq(y, x), b.div(y, x)])
    numbers = RNG.standard_normal((2, 300, 40)).astype(dtype.numpy)
    feeds = [numbers[0] + 1j * numbers[1], numbers[0, 0] * 2j]
    found = gw.compile(graph, backend="numpy").execute(feeds)
    for got, want in zip(found, evaluate(graph, feeds), strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("kept", [False, True])
def test_less_or_equal_is_one_function(
    kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def chosen(a: Any, b: Any) -> Any:
        found = np.where(a <= b, a, -1.0)
        return (found, a == b) if kept else (found, (b >= a) & (b < 3))

    a = np.array([1.0, np.nan, 3.0, 4.0, -0.0, 2.0])
    b = np.array([1.0, 2.0, np.nan, 3.0, 0.0, np.inf])
    called, emit = list[Any](), Assembler.emit

    def noted(self: Any, function: Any, *rest: Any, **options: Any) -> Any:
        called.append(function)
        return emit(self, function, *rest, **options)

    monkeypatch.setattr(Assembler, "emit", noted)
    for got, want in zip(
        gw.jit(chosen, backend="numpy")(a, b), chosen(a, b), strict=True
    ):
        np.testing.assert_array_equal(got, want)
    assert (np.less_equal in called) is not kept
    assert (np.equal in called) is kept
