"""Derived bounds are not much wider than the errors that are made."""

from statistics import median

from graphwright.backends.numpy.backend import NumpyBackend
from graphwright.testing import cases
from graphwright.testing.tightness import of_case

SOME = ("exp", "reduce", "dot", "softmax", "layer_norm", "lstm")


def test_the_median_bound_is_within_a_thousand_errors() -> None:
    backend = NumpyBackend()
    rows = [
        r for n in SOME for c in list(cases(n))[::6] for r in of_case(n, c, backend)
    ]
    assert len(rows) > 40
    assert 1 < median(row.ratio for row in rows) < 1000
    assert all(row.error <= row.bound for row in rows)
