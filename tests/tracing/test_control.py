"""Branches and loops as operations: the same values traced and not."""

from typing import Any

import numpy as np
import pytest

import graphwright as gw


def branches(x: Any) -> Any:
    offset = x * 3
    chosen = gw.cond(x[0] > 0, lambda v: v + offset, lambda v: v - 1, x)
    picked = gw.switch(x.shape[0] - 1, [lambda: x, lambda: -x, lambda: x + 5])
    return chosen, picked


def loops(x: Any) -> Any:
    count, grown = gw.while_loop(
        lambda s: s[0] < 5, lambda s: (s[0] + 1, s[1] * 2), (0, x)
    )
    summed = gw.fori_loop(1, 4, lambda i, c: c + i * x, x * 0)
    last, rows = gw.scan(lambda c, r: (c + r, c * r), 0.0, x)
    backwards = gw.scan(lambda c, r: (c + r, c), 0.0, x, reverse=True)[1]
    counted = gw.scan(lambda c, _: (c + 1, c), 0, length=3)[1]
    squares = gw.map(lambda r: r * r, x)
    return count, grown, summed, last, rows, backwards, counted, squares


def test_branches() -> None:
    for x in (np.array([1.0, 2.0]), np.array([-1.0, 2.0])):
        expected = (x * 4 if x[0] > 0 else x - 1, -x)
        for found in (gw.jit(branches)(x), branches(gw.asarray(x))):
            for have, want in zip(found, expected, strict=True):
                np.testing.assert_array_equal(have, want)


def test_loops() -> None:
    x = np.array([1.0, 2.0, 3.0])
    expected = (5, x * 32, x * 6, 6.0, [0, 2, 9], [5, 3, 0], [0, 1, 2], x * x)
    for found in (gw.jit(loops)(x), loops(gw.asarray(x))):
        for have, want in zip(found, expected, strict=True):
            np.testing.assert_array_equal(have, want)


def test_a_scan_over_a_named_dim() -> None:
    graph = gw.trace(
        lambda x: gw.scan(lambda c, r: (c + r, c), 0.0, x), gw.spec("float64", ("n",))
    )
    exe = gw.compile(graph)
    for n in (0, 1, 4):
        total, before = exe(np.ones(n))
        assert total.item() == n
        assert before.tolist() == list(range(n))


def test_nested_control_flow() -> None:
    @gw.jit
    def f(x: Any) -> Any:
        def body(i: Any, c: Any) -> Any:
            return gw.cond(i < 2, lambda: c + x, lambda: c * 2)

        return gw.fori_loop(0, 4, body, x * 0)

    assert f(np.ones(2)).tolist() == [8, 8]


def test_errors() -> None:
    def grows(x: Any) -> Any:
        return gw.while_loop(lambda c: c.sum() < 9, lambda c: np.append(c, 1.0), x)

    def writes(x: Any) -> Any:
        def body(i: Any, c: Any) -> Any:
            x[0] = 1
            return c

        return gw.fori_loop(0, 3, body, x)

    with pytest.raises(gw.TraceError, match="one shape"):
        gw.jit(grows)(np.ones(2))
    with pytest.raises(gw.TraceError, match="carry it"):
        gw.jit(writes)(np.ones(2))


def test_known_branches_get_and_give_tensors() -> None:
    x = np.arange(3.0)

    def grown(v: Any) -> Any:
        v += 1
        return v

    for found in (
        gw.cond(True, grown, lambda v: v, x),
        gw.switch(np.array(1), [lambda v: v, grown], x),
    ):
        assert isinstance(found, gw.Tensor)
        np.testing.assert_array_equal(found, [1, 2, 3])
    np.testing.assert_array_equal(x, [0, 1, 2])
