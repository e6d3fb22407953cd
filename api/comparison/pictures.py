"""What a tensor looks like beside what it should be: histogram, map of errors."""

import base64
import io
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

KEPT = 6
"""How many of the worst tensors are pictured."""

_BINS, _SAMPLED, _SIDE = 40, 1 << 14, 96
_BLOCK = 1 << 14
"""Elements at a time: they stay in the cache."""


@dataclass(frozen=True)
class Picture:
    """One tensor of one runner.

    Attributes:
        value: Its label.
        runner: Who gave it.
        sample: On which input.
        excess: Largest difference over the bound.
        have: Counts of its histogram.
        want: Counts of what it should be.
        low: Least number of the histogram, as text.
        high: Greatest.
        field: Map of errors over bounds, from 0 to 1.
    """

    value: str
    runner: str
    sample: str
    excess: float
    have: list[int]
    want: list[int]
    low: str
    high: str
    field: Any

    @property
    def image(self) -> str:
        """The map as a data URL of a PNG."""
        return _png(self.field)


def picture(
    value: str, runner: str, sample: str, excess: float, arrays: tuple[Any, Any, Any]
) -> Picture:
    """A picture of an array, what it should be, and its bound."""
    have, want, tolerance = (np.asarray(x) for x in arrays)
    step = max(1, have.size // _SAMPLED)
    x = _real(have.reshape(-1)[::step])
    y = _real(want.reshape(-1)[::step])
    both = np.concatenate([x, y])
    both = both[np.isfinite(both)]
    low, high = (float(both.min()), float(both.max())) if both.size else (0.0, 1.0)
    if not low < high:
        low, high = low - 0.5, high + 0.5
    rows = [np.histogram(z, _BINS, (low, high))[0].tolist() for z in (x, y)]
    return Picture(
        *(value, runner, sample, excess, rows[0], rows[1]),
        *(f"{low:.4g}", f"{high:.4g}", _map(have, want, tolerance)),
    )


def _real(x: Any) -> Any:
    return np.abs(x) if x.dtype.kind == "c" else x.astype(np.float64)


def _map(have: Any, want: Any, tolerance: Any) -> Any:
    """The last two axes, the worst of the others, at most so many rows and columns."""
    shape = have.shape[-2:] if have.ndim >= 2 else (1, have.size)
    rows = [x.reshape(-1, *shape) for x in (have, want, tolerance)]
    step = max(1, _BLOCK // max(prod(shape), 1))
    field = np.zeros(shape)
    for start in range(0, len(rows[0]), step):
        x, y, most = (row[start : start + step] for row in rows)
        with np.errstate(all="ignore"):
            ratio = np.abs(x.astype(y.dtype) - y) / most
        np.maximum(field, ratio.max(0), out=field)
    field = np.minimum(np.nan_to_num(field, nan=1.0), 1.0)
    for axis in (0, 1):
        size = field.shape[axis]
        if size > _SIDE:
            starts = np.linspace(0, size, _SIDE, endpoint=False).astype(int)
            field = np.maximum.reduceat(field, starts, axis=axis)
    return field


def _png(field: Any) -> str:
    """Dark blue to yellow, by the fourth root: small errors can be seen."""
    from PIL import Image

    t = np.sqrt(np.sqrt(field))[..., None]
    dark, bright = np.array([24, 28, 64]), np.array([255, 214, 60])
    pixels = (dark + (bright - dark) * t).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
