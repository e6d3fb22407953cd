"""Special functions against those of the math library."""

import math

import numpy as np
import pytest

from graphwright.ir.special import erf


@pytest.mark.parametrize("reach", [1e-300, 1e-5, 0.9, 1.2, 4.5, 7.0, 1e300])
def test_erf_to_two_units_in_the_last_place(reach: float) -> None:
    x = np.random.default_rng(0).uniform(-reach, reach, 2000)
    want = np.array([math.erf(v) for v in x])
    assert (np.abs(erf(np, x) - want) <= 2 * np.spacing(np.abs(want))).all()


def test_erf_of_special_values() -> None:
    found = erf(np, np.array([0.0, -0.0, np.inf, -np.inf, np.nan]))
    np.testing.assert_array_equal(found, [0.0, -0.0, 1.0, -1.0, np.nan])
    assert np.signbit(found).tolist() == [False, True, False, True, False]
