"""``gw.jit``: signatures, named dims, arguments that come back written."""

from functools import partial
from typing import Any

import numpy as np
import pytest

import graphwright as gw

SCALE = np.ones(3)
COUNT = 2


def test_one_trace_for_each_signature() -> None:
    @gw.jit
    def f(x: Any, n: int, mode: str = "add") -> Any:
        for _ in range(n):
            x = x + 1 if mode == "add" else x * 2
        return x

    assert f(np.ones(2), 2).tolist() == [3, 3]
    assert f(np.zeros(2), 2).tolist() == [2, 2]
    assert f(gw.asarray(np.zeros(2)), 2).tolist() == [2, 2]
    assert f(np.ones(2), 1, mode="twice").tolist() == [2, 2]
    assert f(np.ones(3, np.float32), 2).dtype == np.float32
    text = f.explain()
    assert "traced 3 times" in text
    assert "x is float32[3], was float64[2]" in text


def test_floats_are_inputs_until_they_are_read() -> None:
    @gw.jit
    def scaled(x: Any, a: float) -> Any:
        return x * a

    @gw.jit
    def chosen(x: Any, a: float) -> Any:
        return x + a if a > 1 else x - a

    x = np.ones(2, np.float32)
    for a in (1.5, 2.5, 0.5):
        assert scaled(x, a).dtype == np.float32
        np.testing.assert_allclose(scaled(x, a), x * a)
        np.testing.assert_allclose(chosen(x, a), x + a if a > 1 else x - a)
    assert "traced 1 times" in scaled.explain()
    assert "traced 3 times" in chosen.explain()


def test_one_graph_serves_all_batches() -> None:
    @gw.jit(specs=[gw.spec("float32", ("batch", 4))])
    def f(x: Any) -> Any:
        return x[1:] * 2 + x.sum() / x.shape[0]

    for n in (0, 1, 2, 7):
        x = np.arange(n * 4, dtype=np.float32).reshape(n, 4)
        with np.errstate(all="ignore"):
            want = x[1:] * 2 + x.sum() / np.float32(n)
        np.testing.assert_allclose(f(x), want, rtol=1e-6)
    assert "traced 1 times" in f.explain()
    with pytest.raises(gw.ShapeError, match="declared as"):
        f(np.ones((2, 5), np.float32))


def test_arguments_come_back_written() -> None:
    @gw.jit
    def f(x: Any, y: Any) -> Any:
        x[1:-1] = 0.5 * (x[:-2] + x[2:])
        y.T[0] += 1
        return x.sum()

    def plain(x: Any, y: Any) -> Any:
        x[1:-1] = 0.5 * (x[:-2] + x[2:])
        y.T[0] += 1
        return x.sum()

    x, y = np.arange(6.0) ** 2, np.zeros((2, 3))
    u, v = gw.asarray(x), gw.asarray(y)
    want_x, want_y = x.copy(), y.copy()
    want = plain(want_x, want_y)
    assert f(x, y).item() == want
    f(u, v)
    for found, expected in ((x, want_x), (y, want_y), (u, want_x), (v, want_y)):
        np.testing.assert_array_equal(found, expected)


def test_captured_arrays_are_read_at_each_call() -> None:
    @gw.jit
    def f(x: Any) -> Any:
        return x * SCALE + COUNT

    def rebound(value: Any) -> None:
        globals()["SCALE"] = value

    assert f(np.ones(3)).tolist() == [3, 3, 3]
    SCALE[1] = 5
    assert f(np.ones(3)).tolist() == [3, 7, 3]
    before = SCALE
    try:
        rebound(np.full(3, 2.0))
        assert f(np.ones(3)).tolist() == [4, 4, 4]
    finally:
        rebound(before)


W = np.ones(3)
HELD: dict[str, Any] = {"w": W, "both": (W, [W])}


def in_containers(x: Any) -> Any:
    assert all(isinstance(y, np.ndarray) for y in (HELD["w"], HELD["both"][0]))
    return x + HELD["w"] * 2 + HELD["both"][1][0] * 3


def by_default(x: Any, w: Any = W, *, scale: Any = HELD) -> Any:
    return x + w * 2 + scale["w"] * 3


def through_a_helper(x: Any) -> Any:
    return by_default(x)


@pytest.mark.parametrize(
    "function",
    [
        in_containers,
        by_default,
        through_a_helper,
        partial(by_default, w=W),
        partial(lambda w, x: x + w * 5, W),
    ],
)
def test_arrays_in_containers_and_defaults_are_read_at_each_call(function: Any) -> None:
    compiled, x = gw.jit(function), np.zeros(3)
    for value in (1.0, 4.0):
        W[:] = value
        np.testing.assert_array_equal(np.asarray(compiled(x)), function(x))
    assert "traced 1 times" in compiled.explain()
    W[:] = 1


def test_arrays_in_containers_are_written_where_they_are() -> None:
    rows = [np.zeros(3), np.zeros(3)]

    def program(x: Any) -> Any:
        rows[1][1:] = x[1:]
        return x

    gw.jit(program)(np.arange(3.0))
    np.testing.assert_array_equal(rows, [[0, 0, 0], [0, 1, 2]])


def test_containers_of_arrays_may_not_grow() -> None:
    rows = [np.zeros(3)]

    def program(x: Any) -> Any:
        rows.append(x)
        return x

    with pytest.raises(gw.TraceError, match="rows"):
        gw.jit(program)(np.arange(3.0))
    assert len(rows) == 1


def test_static_arguments() -> None:
    @gw.jit(static_argnames="shape")
    def f(x: Any, shape: Any) -> Any:
        return x.reshape(shape)

    assert f(np.ones(6), (2, 3)).shape == (2, 3)
    assert f(np.ones(6), (3, 2)).shape == (3, 2)
    with pytest.raises(gw.TraceError, match="has no hash"):
        gw.jit(lambda x, s: x)(np.ones(2), {1, 2})


def test_jit_inside_jit_and_on_methods() -> None:
    class Model:
        def __init__(self) -> None:
            self.w = np.full(2, 3.0)

        @gw.jit
        def step(self, x: Any) -> Any:
            return twice(x) + self.w

    @gw.jit
    def twice(x: Any) -> Any:
        return x * 2

    model = Model()
    assert model.step(np.ones(2)).tolist() == [5, 5]
    model.w[:] = 0
    assert model.step(np.ones(2)).tolist() == [2, 2]


def test_lowering() -> None:
    @gw.jit
    def f(x: Any) -> Any:
        return np.exp(x) + 1

    lowered = f.lower(gw.spec("float32", ("n",)))
    assert 'graph "f"' in lowered.as_text()
    compiled = lowered.compile()
    np.testing.assert_allclose(compiled(np.zeros(3, np.float32)), [2, 2, 2])
    assert compiled.cost_analysis(n=8)["flops"] > 0


def test_masks_of_one_array_fit_each_other() -> None:
    @gw.jit
    def f(x: Any) -> Any:
        x[x > 1] = x[x > 1] * 10
        return x[x > 5]

    x = np.arange(5.0)
    assert f(x).tolist() == [20, 30, 40]
    assert x.tolist() == [0, 1, 20, 30, 40]


def test_python_numbers_stay_weak_through_arithmetic() -> None:
    def scaled(x: Any, rate: float, sigma: float) -> Any:
        return x * (rate + 0.5 * sigma**2) - sigma / -rate

    x = np.ones(3, np.float32)
    found = np.asarray(gw.jit(scaled)(x, 0.25, 0.5))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, scaled(x, 0.25, 0.5), rtol=1e-6)


def test_how_far_rewrites_may_go() -> None:
    def zero(x: Any) -> Any:
        return x * 0.0

    x = np.array([1.0, np.inf])
    assert np.isnan(np.asarray(gw.jit(zero)(x))).tolist() == [False, True]
    assert np.asarray(gw.jit(zero, fast_math=True)(x)).tolist() == [0.0, 0.0]
    lowered = gw.jit(zero, fast_math=True).lower(x)
    assert np.asarray(lowered.compile()(x)).tolist() == [0.0, 0.0]

    @gw.jit(strict_float=True)
    def chained(x: Any) -> Any:
        return (x + 0.1) + 0.2

    assert np.asarray(chained(x))[0] == (1.0 + 0.1) + 0.2
    with pytest.raises(gw.GraphwrightError, match="exclude each other"):
        gw.jit(zero, fast_math=True, strict_float=True)(x)
