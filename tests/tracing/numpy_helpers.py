"""A module of helpers that other NumPy programs import; it knows of NumPy alone."""

from typing import Any

import numpy as np

WEIGHTS = np.array([0.25, 0.5, 0.25])


def smoothed(x: Any) -> Any:
    """Each inner element averaged with its neighbours, the ends as they are."""
    out = np.empty_like(x)
    out[0], out[-1] = x[0], x[-1]
    out[1:-1] = WEIGHTS[0] * x[:-2] + WEIGHTS[1] * x[1:-1] + WEIGHTS[2] * x[2:]
    return out


def normalised(x: Any, axis: int = -1) -> Any:
    """Rows less their mean over their deviation."""
    out = np.zeros(x.shape)
    out[...] = x - x.mean(axis=axis, keepdims=True)
    out /= out.std(axis=axis, keepdims=True) + 1e-9
    return out
