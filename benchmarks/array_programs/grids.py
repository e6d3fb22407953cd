"""Programs over grids that are no plain stencils."""

from typing import Any

import numpy as np

from array_programs.case import Case, generator, side, uniform


def convolution(image: Any, kernel: Any) -> Any:
    """A two-dimensional convolution as a sum of shifted slices."""
    rows, columns = kernel.shape
    n, m = image.shape[0] - rows + 1, image.shape[1] - columns + 1
    out = np.zeros((n, m), image.dtype)
    for i in range(rows):
        for j in range(columns):
            out += kernel[i, j] * image[i : i + n, j : j + m]
    return out


def image_pyramid(image: Any, levels: int) -> Any:
    """Blurred and halved again and again; the sum of each level."""
    sums = np.zeros(levels, image.dtype)
    for level in range(levels):
        rows = 0.25 * image[:-2] + 0.5 * image[1:-1] + 0.25 * image[2:]
        both = 0.25 * rows[:, :-2] + 0.5 * rows[:, 1:-1] + 0.25 * rows[:, 2:]
        image = both[::2, ::2]
        sums[level] = image.mean()
    return sums


def sobel(image: Any) -> Any:
    """The magnitude of an image's gradient."""
    top, middle, bottom = image[:-2], image[1:-1], image[2:]
    down = (bottom - top)[:, :-2] + 2 * (bottom - top)[:, 1:-1] + (bottom - top)[:, 2:]
    sides = top + 2 * middle + bottom
    right = sides[:, 2:] - sides[:, :-2]
    return np.sqrt(down * down + right * right)


def floyd_warshall(dist: Any, steps: int) -> Any:
    """The first steps of all shortest paths."""
    for k in range(steps):
        dist[:] = np.minimum(dist, dist[:, k : k + 1] + dist[k : k + 1, :])
    return dist


def smith_waterman(a: Any, b: Any) -> Any:
    """The best local alignment of two sequences, one anti-diagonal after another."""
    n = a.shape[0]
    flipped = b[::-1]
    before, last = np.zeros(n + 1), np.zeros(n + 1)
    best = np.zeros(n)
    for d in range(2, n + 2):
        low = n - d + 1
        match = np.where(a[: d - 1] == flipped[low:], 2.0, -1.0)
        now = np.zeros(n + 1)
        new = np.maximum(before[: d - 1] + match, last[: d - 1] - 1.0)
        new = np.maximum(np.maximum(new, last[1:d] - 1.0), 0.0)
        now[1:d] = new
        best[: d - 1] = np.maximum(best[: d - 1], new)
        before, last = last, now
    return best


def vertical_advection(w: Any, u: Any, dt: float) -> Any:
    """An implicit vertical step: Thomas' algorithm over levels, all columns at once."""
    levels = u.shape[0]
    c, d = np.zeros_like(u), np.zeros_like(u)
    out = np.zeros_like(u)
    c[0] = 0.25 * w[1] / dt
    d[0] = u[0]
    for k in range(1, levels):
        lower = -0.25 * w[k] / dt
        upper = 0.25 * w[(k + 1) % levels] / dt
        scale = 1.0 / (1.0 - lower * c[k - 1])
        c[k] = upper * scale
        d[k] = (u[k] - lower * d[k - 1]) * scale
    out[levels - 1] = d[levels - 1]
    for k in range(levels - 2, -1, -1):
        out[k] = d[k] - c[k] * out[k + 1]
    return out


def _image(nbytes: int, dtype: Any) -> tuple[Any, ...]:
    n = side(nbytes, dtype)
    return (uniform((n, n), dtype),)


def _filtered(nbytes: int, dtype: Any) -> tuple[Any, ...]:
    n = side(nbytes, dtype, 2)
    return uniform((n, n), dtype), uniform((5, 5), dtype)


def _pyramid(nbytes: int, dtype: Any) -> tuple[Any, ...]:
    n = side(nbytes, dtype)
    return uniform((n, n), dtype), max(1, min(6, n.bit_length() - 3))


def _distances(nbytes: int, dtype: Any) -> tuple[Any, ...]:
    n = side(nbytes, dtype)
    return uniform((n, n), dtype) + dtype(0.1), min(n, 16)


def _sequences(nbytes: int, dtype: Any) -> tuple[Any, ...]:
    n = min(2000, side(nbytes, dtype, 12, 1))
    letters = generator().integers(0, 4, (2, n))
    return letters[0], letters[1]


def _columns(nbytes: int, dtype: Any) -> tuple[Any, ...]:
    n = side(nbytes, dtype, 5 * 32, 1)
    return uniform((32, n), dtype), uniform((32, n), dtype), 1.5


CASES = [
    Case(convolution, _filtered, both=True, functional=False, numba=True),
    Case(image_pyramid, _pyramid, functional=False),
    Case(sobel, _image, both=True, numba=True),
    Case(floyd_warshall, _distances, both=True, functional=False, numba=True),
    Case(smith_waterman, _sequences, functional=False, numba=True),
    Case(vertical_advection, _columns, functional=False, numba=True),
]
