"""``gw.vmap``: what a function gives for all rows at once is what it gives for each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest

import graphwright as gw

RNG = np.random.default_rng(3)
SCALE = np.array([1.0, 2.0, 3.0])


def padded_norm(a: Any, x: Any) -> Any:
    """A NumPy program: storage that is written, a global array, a helper."""
    out = np.zeros(5)
    out[1:4] = a @ x * SCALE
    return length(out), out[::-1]


def length(x: Any) -> Any:
    return np.sqrt((x * x).sum())


def newton(x: Any) -> Any:
    return gw.while_loop(
        lambda s: abs(s[0] * s[0] - x) > 1e-9,
        lambda s: ((s[0] + x / s[0]) / 2, s[1] + 1),
        (x, 0),
    )


def triangle(n: Any) -> Any:
    return gw.fori_loop(0, n, lambda i, c: c + i, 0)


def collatz_steps(n: Any) -> Any:
    def body(s: Any) -> Any:
        k, count = s
        return gw.cond(k % 2 == 0, lambda: k // 2, lambda: 3 * k + 1), count + 1

    return gw.while_loop(lambda s: s[0] != 1, body, (n, 0))[1]


def running(x: Any) -> Any:
    last, sums = gw.scan(lambda c, r: (c + r, c * 2), 0.0, x, reverse=True)
    return last, sums, gw.map(lambda r: r * x.sum(), x)


def same_each_row(x: Any) -> Any:
    return gw.fori_loop(0, 3, lambda _, c: c * 2, 1.0), x


def sorted_parts(x: Any) -> Any:
    order = np.argsort(x)
    top = np.take_along_axis(x, order[-2:], 0)
    return top, np.cumsum(x), np.argmax(x), x[order], np.flip(x), np.concatenate([x, x])


def linear_algebra(a: Any) -> Any:
    spd = a @ a.T + np.eye(3)
    return np.linalg.inv(spd), np.linalg.det(spd), np.linalg.cholesky(spd)


def lookup(i: Any) -> Any:
    return SCALE[i], np.take(SCALE, np.array([0, 2])) * i


def written(i: Any) -> Any:
    out = np.zeros((2, 3))
    out[:, i] = 1
    out[1] += i
    return out


def gaps(x: Any) -> Any:
    return np.pad(x, 1, constant_values=2.0), np.fft.rfft(x)


PROGRAMS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "padded_norm": (padded_norm, (RNG.normal(size=(4, 3, 3)), RNG.normal(size=(4, 3)))),
    "newton": (newton, (np.array([1.0, 2.0, 100.0]),)),
    "triangle": (triangle, (np.array([0, 1, 5]),)),
    "collatz_steps": (collatz_steps, (np.array([1, 6, 7]),)),
    "running": (running, (RNG.normal(size=(3, 4)),)),
    "same_each_row": (same_each_row, (np.ones(2),)),
    "sorted_parts": (sorted_parts, (RNG.normal(size=(3, 5)),)),
    "linear_algebra": (linear_algebra, (RNG.normal(size=(2, 3, 3)),)),
    "lookup": (lookup, (np.array([2, 0]),)),
    "written": (written, (np.array([2, 0]),)),
    "gaps": (gaps, (RNG.normal(size=(2, 4)),)),
}


def row_by_row(function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    rows = [gw.jit(function)(*row) for row in zip(*args, strict=True)]
    if not isinstance(rows[0], tuple):
        return np.stack(rows)
    return tuple(np.stack(column) for column in zip(*rows, strict=True))


@pytest.mark.parametrize("name", PROGRAMS)
def test_rows_at_once_are_rows_one_by_one(name: str) -> None:
    function, args = PROGRAMS[name]
    want = row_by_row(function, args)
    ways = (gw.vmap(function), gw.jit(gw.vmap(function)), gw.vmap(gw.jit(function)))
    for mapped in ways:
        found = mapped(*args)
        several = want if isinstance(want, tuple) else (want,)
        got = found if isinstance(found, tuple) else (found,)
        for have, expected in zip(got, several, strict=True):
            assert have.dtype == expected.dtype
            np.testing.assert_allclose(have, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["padded_norm", "collatz_steps", "sorted_parts"])
def test_nested(name: str) -> None:
    function, args = PROGRAMS[name]
    twice = tuple(np.stack([x, x[::-1]]) for x in args)
    found = gw.jit(gw.vmap(gw.vmap(function)))(*twice)
    for i in (0, 1):
        want = row_by_row(function, tuple(x[i] for x in twice))
        several = want if isinstance(want, tuple) else (want,)
        got = found if isinstance(found, tuple) else (found,)
        for have, expected in zip(got, several, strict=True):
            np.testing.assert_allclose(have[i], expected, rtol=1e-12)


def test_axes() -> None:
    x, y = RNG.normal(size=(3, 2)), RNG.normal(size=(3, 5))
    outer = gw.vmap(gw.vmap(lambda a, b: a * b, (None, 0)), (0, None))
    np.testing.assert_array_equal(outer(x[:, 0], y[0]), np.outer(x[:, 0], y[0]))
    columns = gw.vmap(lambda a, b: a @ b, in_axes=(1, None), out_axes=-1)(x, y)
    np.testing.assert_allclose(columns, (x.T @ y).T)
    tree = {"a": x, "b": (y, 2.0)}
    axes = ({"a": 1, "b": (None, None)},)
    a, b, c = gw.vmap(
        lambda t: (t["a"], t["b"][0], t["b"][1]), in_axes=axes, out_axes=(1, None, 0)
    )(tree)
    np.testing.assert_array_equal(a, x)
    np.testing.assert_array_equal(b, y)
    assert c == 2.0
    named = gw.vmap(lambda a, *, b: a + b)(x, b=x)
    np.testing.assert_array_equal(named, x + x)


class Point(NamedTuple):
    x: Any
    y: Any


@dataclass
class Params:
    w: Any
    name: str = "p"


def test_trees() -> None:
    def f(p: Params, q: Point) -> Any:
        return Point(p.w + q.x, {"name": p.name, "y": [q.y]})

    rows = np.arange(3.0)
    found = gw.vmap(f, in_axes=(Params(0, None), Point(0, None)))(  # type: ignore[arg-type]
        Params(rows), Point(rows, np.ones(2))
    )
    assert found.x.tolist() == [0, 2, 4]
    assert found.y["name"] == "p"
    assert found.y["y"][0].shape == (3, 2)


def test_named_dims() -> None:
    graph = gw.trace(
        gw.vmap(padded_norm),
        gw.spec("float64", ("n", 3, 3)),
        gw.spec("float64", ("n", 3)),
    )
    exe = gw.compile(graph)
    for n in (0, 1, 4):
        a, x = RNG.normal(size=(n, 3, 3)), RNG.normal(size=(n, 3))
        norms, _ = exe(a, x)
        np.testing.assert_allclose(
            norms, np.linalg.norm(a @ x[..., None] * SCALE[:, None], axis=(1, 2))
        )


def test_written_rows_come_back_written() -> None:
    def f(x: Any) -> Any:
        x[0] = 9
        return x.sum()

    x = np.zeros((2, 3))
    assert gw.vmap(f)(x).tolist() == [9, 9]
    assert x.tolist() == [[9, 0, 0], [9, 0, 0]]
    y = np.zeros((3, 2))
    gw.jit(gw.vmap(f, in_axes=1))(y)
    assert y.tolist() == [[9, 9], [0, 0], [0, 0]]
    with pytest.raises(gw.TraceError, match="all rows share"):
        gw.vmap(lambda a, b: f(b) + a, (0, None))(x, np.zeros(3))


def two(x: Any, y: Any) -> Any:
    return x


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (gw.vmap(lambda r: r[r > 0]), gw.UnsupportedOpError, "np.where"),
        (lambda x: gw.vmap(two)(x, x[:1]), gw.ShapeError, "x 2, y 1"),
        (lambda x: gw.vmap(two)(x, 2.0), gw.TraceError, "y is a number"),
        (lambda x: gw.vmap(two, 2)(x, x), gw.ShapeError, "no axis 2"),
        (lambda x: gw.vmap(two, None)(x, x), gw.ShapeError, "no argument has rows"),
        (lambda x: gw.vmap(two, (0,))(x, x), gw.TraceError, "does not fit"),
        (lambda x: gw.vmap(two, 0, None)(x, x), gw.TraceError, "differs between rows"),
        (lambda x: gw.vmap(two, 0, 5)(x, x), gw.ShapeError, "no axis 5"),
        (gw.vmap(lambda r: 1 if r[0] else 2), gw.TraceError, "gw.cond"),
    ],
)
def test_errors(call: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        call(np.ones((2, 3)))
    assert f"{__file__}:" in str(caught.value)
