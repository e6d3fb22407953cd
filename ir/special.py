"""Special functions that NumPy lacks, in arithmetic that every array library has."""

from collections.abc import Sequence
from typing import Any

_NEAR = 0.84375
_FAR = 4.0
_ONE = 6.0  # erf(6) rounds to 1
_ROOT_INVERSE_PI = 0.56418958354775628695

# fmt: off
_SMALL = (
    (-2.37630166566501626084e-5, -5.77027029648944159157e-3, -0.0284817495755985104766,
     -0.325042107247001499370, 0.128379167095512558561),
    (-3.96022827877536812320e-6, 1.32494738004321644526e-4, 5.08130628187576562776e-3,
     0.0650222499887672944485, 0.397917223959155352819, 1.0),
)
_MIDDLE = (
    (2.15311535474403846e-8, 0.564188496988670089, 8.88314979438837594,
     66.1191906371416295, 298.635138197400131, 881.952221241769090,
     1712.04761263407058, 2051.07837782607147, 1230.33935479799725),
    (1.0, 15.7449261107098347, 117.693950891312499, 537.181101862009858,
     1621.38957456669019, 3290.79923573345963, 4362.61909014324716,
     3439.36767414372164, 1230.33935480374942),
)
_LARGE = (
    (0.0163153871373020978, 0.305326634961232344, 0.360344899949804439,
     0.125781726111229246, 0.0160837851487422766, 6.58749161529837803e-4),
    (1.0, 2.56852019228982242, 1.87295284992346047, 0.527905102951428412,
     0.0605183413124413191, 2.33520497626869185e-3),
)
# fmt: on


def _horner(x: Any, terms: Sequence[float]) -> Any:
    y = x * terms[0] + terms[1]
    for term in terms[2:]:
        y = y * x + term
    return y


def _ratio(x: Any, pair: tuple[Sequence[float], Sequence[float]]) -> Any:
    return _horner(x, pair[0]) / _horner(x, pair[1])


def _tail(xp: Any, y: Any, scaled: Any) -> Any:
    """``1 - scaled * e^(-y * y)``, the square in two parts that lose no digits."""
    coarse = xp.trunc(y * 16.0) / 16.0
    rest = (y - coarse) * (y + coarse)
    return 1.0 - xp.exp(-coarse * coarse) * xp.exp(-rest) * scaled


def erf(xp: Any, x: Any) -> Any:
    """The error function of a float64 array of ``xp``, to 2 units in the last place.

    Rational approximations: near 0 that of Sun's fdlibm (``s_erf.c``, 1993), beyond
    those of W. J. Cody, "Rational Chebyshev Approximations for the Error Function",
    Mathematics of Computation 23 (1969).
    """
    size = xp.abs(x)
    near = xp.where(size <= _NEAR, x, 0.0)
    small = near + near * _ratio(near * near, _SMALL)
    middle = xp.clip(size, _NEAR, _FAR)
    far = xp.clip(size, _FAR, _ONE)
    inverse = 1.0 / (far * far)
    scaled = (_ROOT_INVERSE_PI - inverse * _ratio(inverse, _LARGE)) / far
    large = xp.where(
        size <= _FAR,
        _tail(xp, middle, _ratio(middle, _MIDDLE)),
        xp.where(size < _ONE, _tail(xp, far, scaled), 1.0),
    )
    found = xp.where(size <= _NEAR, small, xp.copysign(large, x))
    return xp.where(x != x, x, found)  # noqa: PLR0124 - NaN
