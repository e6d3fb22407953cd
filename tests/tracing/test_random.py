"""``gw.random``: known bits, the same numbers everywhere, the right distributions."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from laws import PRIMITIVES
from scipy import stats

import graphwright as gw
from graphwright import random

N = 20_000
ALPHA = 1e-4
"""Chance of a good generator to fail a test; keys are fixed, so it fails or not."""

KEY = random.key(2011)
RATES = np.array([0.1, 0.2, 0.3, 0.4])


# Bits ---------------------------------------------------------------------------------


def test_known_answers_of_philox4x32_10() -> None:
    """The vectors that come with Random123, of counters 0."""
    found = random.bits(random.key(0), (4,))
    want = [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert found.dtype == np.uint32
    assert found.tolist() == want


def test_keys_of_seeds() -> None:
    assert random.key(5).tolist() == [0, 5]
    assert random.key(2**32 + 7).tolist() == [1, 7]
    assert random.key(-1).tolist() == [2**32 - 1] * 2
    assert random.key(np.int64(9)).tolist() == [0, 9]
    assert gw.jit(random.key)(np.int64(-1)).tolist() == [2**32 - 1] * 2


def test_keys_from_keys_are_new() -> None:
    made = [*random.split(KEY, 50), *(random.fold_in(KEY, i) for i in range(50)), KEY]
    made += [random.fold_in(random.key(1), 2), random.fold_in(random.key(2), 1)]
    assert len({tuple(k.tolist()) for k in made}) == len(made)
    assert random.split(KEY, (2, 3)).shape == (2, 3, 2)
    drawn = random.bits(KEY, (100,)).tolist()
    assert not set(drawn) & set(random.split(KEY, 50).ravel().tolist())
    step = gw.jit(random.fold_in)
    assert step(KEY, np.int64(-3)).tolist() == random.fold_in(KEY, -3).tolist()


def test_words_are_independent_and_fair() -> None:
    """Every bit is set half of the time, and neighbouring words do not correlate."""
    words = np.asarray(random.bits(KEY, (N,), "uint64"))
    ones = np.unpackbits(words.view(np.uint8)).reshape(N, 64).sum(axis=0)
    assert stats.chisquare([ones.sum(), 64 * N - ones.sum()]).pvalue > ALPHA
    assert np.abs(ones - N / 2).max() < 5 * np.sqrt(N / 4)
    flat = words.astype(np.float64)
    assert abs(np.corrcoef(flat[1:], flat[:-1])[0, 1]) < 5 / np.sqrt(N)
    others = np.asarray(random.bits(random.key(2012), (N,), "uint64"))
    assert abs(np.corrcoef(flat, others.astype(np.float64))[0, 1]) < 5 / np.sqrt(N)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64"])
def test_bits_of_all_widths(dtype: str) -> None:
    found = np.asarray(random.bits(KEY, (N,), dtype))
    assert found.dtype == dtype
    top = found >> (found.dtype.itemsize * 8 - 4)
    assert stats.chisquare(np.bincount(top.astype(int), minlength=16)).pvalue > ALPHA


# The same numbers everywhere ----------------------------------------------------------

DRAWS: dict[str, Callable[[Any], Any]] = {
    "bits": lambda k: random.bits(k, (5,)),
    "split": lambda k: random.split(k, 3),
    "fold_in": lambda k: random.fold_in(k, 7),
    "uniform": lambda k: random.uniform(k, (3, 2)),
    "uniform32": lambda k: random.uniform(k, (5,), np.float32),
    "uniform16": lambda k: random.uniform(k, (5,), np.float16, -1, 2),
    "normal": lambda k: random.normal(k, (5,)),
    "randint": lambda k: random.randint(k, (5,), -10, 10),
    "bernoulli": lambda k: random.bernoulli(k, RATES),
    "choice": lambda k: random.choice(k, RATES, (6,), p=RATES),
    "permutation": lambda k: random.permutation(k, 6),
    "categorical": lambda k: random.categorical(k, np.log(RATES), shape=(5,)),
    "gamma": lambda k: random.gamma(k, np.array([0.3, 2.0])),
}
INEXACT = {"normal", "categorical", "gamma"}


@pytest.mark.parametrize("name", DRAWS)
def test_the_same_numbers_everywhere(name: str) -> None:
    draw = DRAWS[name]
    want = np.asarray(draw(KEY))
    ways = [gw.jit(draw), gw.jit(draw, backend=PRIMITIVES)]
    ways += [gw.jit(gw.vmap(draw)), gw.vmap(draw)]
    for i, way in enumerate(ways):
        keys = np.stack([np.asarray(KEY), np.asarray(random.key(1))])
        found = np.asarray(way(KEY) if i < 2 else way(keys)[0])
        assert found.dtype == want.dtype
        if name in INEXACT:
            np.testing.assert_allclose(found, want, rtol=1e-13)
        else:
            np.testing.assert_array_equal(found, want)


def test_draws_do_not_depend_on_what_else_is_drawn() -> None:
    def both(k: Any) -> Any:
        return random.uniform(k, (4,)), random.normal(random.fold_in(k, 1), (4,))

    first, _ = gw.jit(both)(KEY)
    assert first.tolist() == random.uniform(KEY, (4,)).tolist()


# Distributions ------------------------------------------------------------------------

CONTINUOUS: dict[str, tuple[Callable[[], Any], Any]] = {
    "uniform": (lambda: random.uniform(KEY, (N,)), stats.uniform()),
    "uniform32": (lambda: random.uniform(KEY, (N,), "float32"), stats.uniform()),
    "interval": (
        lambda: random.uniform(KEY, (N,), minval=-3, maxval=5),
        stats.uniform(-3, 8),
    ),
    "normal": (lambda: random.normal(KEY, (N,)), stats.norm()),
    "normal32": (lambda: random.normal(KEY, (N,), "float32"), stats.norm()),
    "exponential": (lambda: random.exponential(KEY, (N,)), stats.expon()),
    "gumbel": (lambda: random.gumbel(KEY, (N,)), stats.gumbel_r()),
    "logistic": (lambda: random.logistic(KEY, (N,)), stats.logistic()),
    "laplace": (lambda: random.laplace(KEY, (N,)), stats.laplace()),
    "cauchy": (lambda: random.cauchy(KEY, (N,)), stats.cauchy()),
    "gamma": (lambda: random.gamma(KEY, 2.5, (N,)), stats.gamma(2.5)),
    "gamma_small": (lambda: random.gamma(KEY, 0.2, (N,)), stats.gamma(0.2)),
    "beta": (lambda: random.beta(KEY, 2.0, 0.5, (N,)), stats.beta(2, 0.5)),
    "dirichlet": (
        lambda: random.dirichlet(KEY, [1.0, 2.0, 3.0], (N,))[:, 1],
        stats.beta(2, 4),
    ),
}


@pytest.mark.parametrize("name", CONTINUOUS)
def test_continuous_distributions(name: str) -> None:
    """By Kolmogorov and Smirnov."""
    draw, want = CONTINUOUS[name]
    found = np.asarray(draw())
    assert found.shape == (N,)
    assert np.isfinite(found).all()
    assert stats.kstest(found.astype(np.float64), want.cdf).pvalue > ALPHA


DISCRETE: dict[str, tuple[Callable[[], Any], Any]] = {
    "randint": (lambda: random.randint(KEY, (N,), -3, 4) + 3, np.full(7, 1 / 7)),
    "randint8": (
        lambda: random.randint(KEY, (N,), 0, 256, "uint8") // 32,
        np.full(8, 1 / 8),
    ),
    "bernoulli": (lambda: random.bernoulli(KEY, 0.3, (N,)), [0.7, 0.3]),
    "rademacher": (lambda: (random.rademacher(KEY, (N,)) + 1) // 2, [0.5, 0.5]),
    "choice": (lambda: random.choice(KEY, 4, (N,), p=RATES), RATES),
    "choice_plain": (lambda: random.choice(KEY, 5, (N,)), np.full(5, 1 / 5)),
    "categorical": (lambda: random.categorical(KEY, np.log(RATES), shape=(N,)), RATES),
    "first_without_replacement": (
        lambda: gw.vmap(lambda k: random.choice(k, 4, (2,), False, RATES))(
            random.split(KEY, 2000)
        )[:, 0],
        RATES,
    ),
    "place_of_0_after_permutation": (
        lambda: np.argmin(
            gw.vmap(lambda k: random.permutation(k, 6))(random.split(KEY, 2000)), axis=1
        ),
        np.full(6, 1 / 6),
    ),
}


@pytest.mark.parametrize("name", DISCRETE)
def test_discrete_distributions(name: str) -> None:
    """By Pearson's chi-square."""
    draw, rates = DISCRETE[name]
    found = np.asarray(draw()).astype(int)
    counts = np.bincount(found, minlength=len(rates))
    assert len(counts) == len(rates)
    assert stats.chisquare(counts, np.asarray(rates) * len(found)).pvalue > ALPHA


def test_multivariate_normal() -> None:
    cov = np.array([[2.0, 0.6], [0.6, 1.0]])
    found = np.asarray(random.multivariate_normal(KEY, [1.0, -1.0], cov, (N,)))
    np.testing.assert_allclose(found.mean(axis=0), [1, -1], atol=0.05)
    np.testing.assert_allclose(np.cov(found.T), cov, atol=0.08)


# Sets, ends, errors -------------------------------------------------------------------


def test_permutations_and_choices_are_of_the_elements() -> None:
    rows = np.arange(12).reshape(4, 3)
    found = np.asarray(random.permutation(KEY, rows))
    assert sorted(map(tuple, found)) == list(map(tuple, rows))
    lines = np.asarray(random.permutation(KEY, rows, axis=1, independent=True))
    np.testing.assert_array_equal(np.sort(lines, axis=1), rows)
    assert sorted(random.choice(KEY, 9, (3, 3), replace=False).ravel().tolist()) == [
        *range(9)
    ]
    assert random.choice(KEY, rows, (2,), axis=1).shape == (4, 2)


def test_ends_of_ranges() -> None:
    assert set(random.randint(KEY, (100,), 5, 6).tolist()) == {5}
    wide = np.asarray(random.randint(KEY, (1000,), -(2**62), 2**62))
    assert wide.min() < -(2**61)
    assert wide.max() > 2**61
    top = np.asarray(random.randint(KEY, (1000,), 2**63, 2**64 - 1, "uint64"))
    assert top.min() >= 2**63
    assert random.randint(KEY, (2, 2), np.array([0, 10]), np.array([5, 11])).shape == (
        2,
        2,
    )
    half = np.asarray(random.uniform(KEY, (4096,), "float16"))
    assert 0 <= half.min() <= half.max() < 1
    assert random.uniform(KEY, (0, 3)).shape == (0, 3)
    assert random.normal(KEY).shape == ()


def test_named_dims() -> None:
    def noisy(x: Any, k: Any) -> Any:
        return x + random.normal(k, x.shape) * 0

    graph = gw.trace(noisy, gw.spec("float64", ("n", 2)), gw.spec("uint32", (2,)))
    exe = gw.compile(graph)
    for n in (0, 1, 5):
        assert exe(np.ones((n, 2)), np.asarray(KEY)).shape == (n, 2)


@pytest.mark.parametrize(
    ("draw", "error", "words"),
    [
        (lambda k: random.normal(random.split(k)), gw.ShapeError, "gw.vmap"),
        (lambda k: random.normal(0, (3,)), gw.ShapeError, "gw.random.key"),
        (lambda k: random.normal(k, (3,), "int32"), gw.DTypeError, "float of 16"),
        (lambda k: random.bits(k, (3,), "int32"), gw.DTypeError, "uint8, uint16"),
        (lambda k: random.randint(k, (3,), 0, 9, "float32"), gw.DTypeError, "integers"),
        (lambda k: random.uniform(k, (3,), maxval=RATES), gw.ShapeError, "broadcast"),
        (lambda k: random.choice(k, 2, (3,), False), gw.ShapeError, "replace=True"),
        (lambda k: random.fold_in(k, 0.5), gw.ShapeError, "one integer"),
        (lambda k: random.key(1.5), gw.ShapeError, "one integer"),
    ],
)
def test_errors(draw: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        draw(KEY)
    assert f"{__file__}:" in str(caught.value)
    with pytest.raises(ValueError, match="no integer"):
        random.randint(KEY, (3,), 5, 5)
