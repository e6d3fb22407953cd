"""Array programs as people write them: plain NumPy, none of them made for tensors."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.linalg as la
from numpy import arange, concatenate, where
from numpy.fft import irfft, rfft
from tracing import numpy_helpers
from tracing.numpy_helpers import normalised

Program = Callable[..., Any]

STEP = 0.05
KERNEL = np.array([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])
LIMITS = [0.0, 1.0, 4.0]


def _line(n: int, seed: int = 0) -> Any:
    return np.sin(np.arange(n) * (1.3 + seed)) * 3 + seed


def _grid(n: int, m: int, seed: int = 0) -> Any:
    return _line(n * m, seed).reshape(n, m)


# Physics ------------------------------------------------------------------------------


def heat_with_buffers(u: Any) -> Any:
    old, new = u.copy(), np.zeros_like(u)
    for _ in range(4):
        new[1:-1, 1:-1] = old[1:-1, 1:-1] + STEP * (
            old[2:, 1:-1]
            + old[:-2, 1:-1]
            + old[1:-1, 2:]
            + old[1:-1, :-2]
            - 4 * old[1:-1, 1:-1]
        )
        new[0], new[-1] = old[0], old[-1]
        new[:, 0], new[:, -1] = old[:, 0], old[:, -1]
        old, new = new, old
    return old


def wave_in_place(u: Any, v: Any) -> Any:
    for _ in range(3):
        v[1:-1] += STEP * (u[:-2] - 2 * u[1:-1] + u[2:])
        u += STEP * v
    return u, np.abs(u).max()


def leapfrog(x: Any, v: Any) -> Any:
    energies = []
    for _ in range(5):
        v = v - STEP / 2 * x
        x = x + STEP * v
        v = v - STEP / 2 * x
        energies.append(0.5 * (v**2).sum() + 0.5 * (x**2).sum())
    return np.array(energies), x


def gravity(pos: Any, mass: Any) -> Any:
    acc = np.zeros_like(pos)
    n = len(pos)
    for i in range(n):
        for j in range(n):
            if i != j:
                d = pos[j] - pos[i]
                acc[i] += mass[j] * d / (np.dot(d, d) + 0.1) ** 1.5
    return acc


def runge_kutta(y: Any) -> Any:
    def f(t: float, y: Any) -> Any:
        return np.array([y[1], -y[0] + 0.1 * t])

    path = np.zeros((6, 2))
    path[0] = y
    for i in range(5):
        t = i * STEP
        k1 = f(t, path[i])
        k2 = f(t + STEP / 2, path[i] + STEP / 2 * k1)
        k3 = f(t + STEP / 2, path[i] + STEP / 2 * k2)
        k4 = f(t + STEP, path[i] + STEP * k3)
        path[i + 1] = path[i] + STEP / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return path


def upwind(u: Any, c: float) -> Any:
    for _ in range(3):
        flux = np.empty(u.shape[0] + 1)
        flux[1:] = c * u
        flux[0] = flux[-1]
        u = u - STEP * np.diff(flux)
    return u


def game_of_life(board: Any) -> Any:
    for _ in range(2):
        n = sum(
            np.roll(np.roll(board, i, 0), j, 1)
            for i in (-1, 0, 1)
            for j in (-1, 0, 1)
            if (i, j) != (0, 0)
        )
        board = ((n == 3) | ((board == 1) & (n == 2))).astype(board.dtype)
    return board


def ising_energy(spins: Any) -> Any:
    up, left = np.roll(spins, 1, axis=0), np.roll(spins, 1, axis=1)
    return -np.sum(spins * up) - np.sum(spins * left), spins.mean()


def spectral_derivative(x: Any) -> Any:
    n = x.size
    k = 2j * np.pi * arange(n // 2 + 1)
    return irfft(k * rfft(x), n)


# Linear algebra -----------------------------------------------------------------------


def cholesky_by_loops(a: Any) -> Any:
    n = a.shape[0]
    L = np.zeros_like(a)  # noqa: N806
    for j in range(n):
        L[j, j] = np.sqrt(a[j, j] - np.sum(L[j, :j] ** 2))
        for i in range(j + 1, n):
            L[i, j] = (a[i, j] - np.dot(L[i, :j], L[j, :j])) / L[j, j]
    return L


def gauss_jordan(a: Any) -> Any:
    m = np.hstack([a, np.eye(a.shape[0])])
    for i in range(a.shape[0]):
        m[i] /= m[i, i]
        for k in range(a.shape[0]):
            if k != i:
                m[k] -= m[k, i] * m[i]
    return m[:, a.shape[0] :]


def gram_schmidt(a: Any) -> Any:
    q = a.copy()
    for i in range(q.shape[1]):
        q[:, i] /= la.norm(q[:, i])
        q[:, i + 1 :] -= np.outer(q[:, i], q[:, i] @ q[:, i + 1 :])
    return q


def power_iteration(a: Any) -> Any:
    v = np.ones(a.shape[0])
    for _ in range(20):
        v = a @ v
        v /= la.norm(v)
    return v @ a @ v


def jacobi(a: Any, b: Any) -> Any:
    d = np.diag(a)
    rest = a - np.diagflat(d)
    x = np.zeros_like(b)
    for _ in range(10):
        x = (b - rest @ x) / d
    return x


def conjugate_gradient(a: Any, b: Any) -> Any:
    x = np.zeros_like(b)
    r = b - a @ x
    p = r.copy()
    for _ in range(3):
        ap = a @ p
        alpha = (r @ r) / (p @ ap)
        x += alpha * p
        new = r - alpha * ap
        p = new + (new @ new) / (r @ r) * p
        r = new
    return x


def least_squares(x: Any, y: Any) -> Any:
    A = np.vstack([x, np.ones(len(x))]).T  # noqa: N806
    (slope, offset), *_ = la.lstsq(A, y, rcond=None)
    return slope, offset


def tridiagonal(a: Any, b: Any, c: Any, d: Any) -> Any:
    n = len(d)
    cp, dp, x = np.zeros(n), np.zeros(n), np.zeros(n)
    cp[0], dp[0] = c[0] / b[0], d[0] / b[0]
    for i in range(1, n):
        m = b[i] - a[i] * cp[i - 1]
        cp[i] = c[i] / m
        dp[i] = (d[i] - a[i] * dp[i - 1]) / m
    x[-1] = dp[-1]
    for i in reversed(range(n - 1)):
        x[i] = dp[i] - cp[i] * x[i + 1]
    return x


def sparse_times_vector(data: Any, columns: Any, rows: Any, x: Any) -> Any:
    y = np.zeros(4)
    np.add.at(y, rows, data * x[columns])
    return y


# Images and signals -------------------------------------------------------------------


def laplacian_by_shifts(image: Any) -> Any:
    padded = np.pad(image, 1, mode="edge")
    out = np.zeros_like(image)
    for i in range(3):
        for j in range(3):
            out += KERNEL[i, j] * padded[i : i + out.shape[0], j : j + out.shape[1]]
    return out


def pooled(image: Any) -> Any:
    h, w = image.shape
    return image.reshape(h // 2, 2, w // 2, 2).max(axis=(1, 3))


def brightened(image: Any) -> Any:
    out = image.astype(np.float32) * 1.5
    out[out > 255] = 255
    return out.astype(np.uint8)


def grey(rgb: Any) -> Any:
    return (rgb[..., :3] @ np.array([0.299, 0.587, 0.114])).round().astype("uint8")


def equalised(image: Any) -> Any:
    counts = np.bincount(image.ravel(), minlength=16)
    total = counts.cumsum()
    table = (total * 15 // total[-1]).astype(image.dtype)
    return table[image]


def sobel(image: Any) -> Any:
    gx = image[1:-1, 2:] - image[1:-1, :-2]
    gy = image[2:, 1:-1] - image[:-2, 1:-1]
    size = np.hypot(gx, gy)
    return where(size > 2, size, 0), np.arctan2(gy, gx)


def border(image: Any) -> Any:
    image[[0, -1], :] = 9
    image[:, [0, -1]] = 9
    return image.sum()


def moving_average(x: Any, n: int) -> Any:
    c = np.cumsum(np.insert(x, 0, 0))
    return (c[n:] - c[:-n]) / n


def exponential_average(x: Any) -> Any:
    out = np.empty_like(x)
    out[0] = x[0]
    for i in range(1, len(x)):
        out[i] = 0.3 * x[i] + 0.7 * out[i - 1]
    return out


def envelope(x: Any) -> Any:
    peaks = (x[1:-1] > x[:-2]) & (x[1:-1] > x[2:])
    inner = np.where(peaks, x[1:-1], -np.inf)
    return np.maximum.accumulate(concatenate([x[:1], inner, x[-1:]]))


def autocorrelation(x: Any) -> Any:
    x = x - x.mean()
    full = np.correlate(x, x, mode="full")
    return full[full.size // 2 :] / full.max()


def zero_crossings(x: Any) -> Any:
    return np.count_nonzero(np.diff(np.signbit(x)))


# Statistics and learning --------------------------------------------------------------


def standardised(x: Any) -> Any:
    return (x - x.mean(0)) / x.std(0)


def softmax(x: Any) -> Any:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def cross_entropy(logits: Any, labels: Any) -> Any:
    p = softmax(logits)
    return -np.log(p[np.arange(len(labels)), labels]).mean()


def one_hot(labels: Any) -> Any:
    out = np.zeros((labels.size, 4))
    out[np.arange(labels.size), labels] = 1
    return out


def gradient_step(w: Any, x: Any, y: Any) -> Any:
    for _ in range(3):
        error = x @ w - y
        w -= 0.01 * x.T @ error
    return (error**2).mean()


def k_means_step(points: Any, centres: Any) -> Any:
    d = ((points[:, None, :] - centres[None]) ** 2).sum(-1)
    nearest = d.argmin(axis=1)
    new = np.zeros_like(centres)
    for k in range(len(centres)):
        mine = nearest == k
        new[k] = (points * mine[:, None]).sum(0) / np.maximum(mine.sum(), 1)
    return nearest, new


def principal_components(x: Any) -> Any:
    x = x - x.mean(axis=0)
    _, s, _ = la.svd(x, full_matrices=False)
    return s**2 / (len(x) - 1)


def weighted_quantiles(x: Any) -> Any:
    low, middle, high = np.percentile(x, [25, 50, 75])
    return {"range": high - low, "middle": middle, "clipped": np.clip(x, low, high)}


def outliers_replaced(x: Any) -> Any:
    x[np.abs(x - x.mean()) > 1.2 * x.std()] = np.median(x)
    return x.copy()


def nan_means(x: Any) -> Any:
    x = x.copy()
    x[x > 2] = np.nan
    filled = np.where(np.isnan(x), np.nanmean(x, axis=0), x)
    return filled, np.isnan(x).sum()


def confusion(truth: Any, guess: Any) -> Any:
    table = np.zeros((4, 4), dtype=int)
    np.add.at(table, (truth, guess), 1)
    return table, np.trace(table) / table.sum()


def attention(q: Any, k: Any, v: Any) -> Any:
    scores = q @ k.T / np.sqrt(q.shape[-1])
    mask = np.triu(np.ones(scores.shape, bool), k=1)
    scores[mask] = -np.inf
    return softmax(scores) @ v


class Layer:
    """A dense layer, as an object with arrays."""

    def __init__(self, n: int, m: int) -> None:
        self.w = _grid(n, m) / 4
        self.b = np.zeros(m)

    def forward(self, x: Any) -> Any:
        out = np.empty((x.shape[0], self.b.shape[0]))
        out[:] = x @ self.w + self.b
        return np.maximum(out, 0)


LAYERS = [Layer(4, 5), Layer(5, 2)]
FIRST = Layer(4, 3)


def network(x: Any) -> Any:
    hidden = x
    for layer in LAYERS:
        hidden = np.maximum(hidden @ layer.w + layer.b, 0)
    return hidden


def layer_of_an_object(x: Any) -> Any:
    return FIRST.forward(x)


# Finance, geometry, text --------------------------------------------------------------


def black_scholes(spot: Any, strike: Any) -> Any:
    def cdf(x: Any) -> Any:
        return 0.5 * (1 + np.tanh(0.8 * x))

    d1 = (np.log(spot / strike) + 0.05) / 0.3
    return spot * cdf(d1) - strike * np.exp(-0.02) * cdf(d1 - 0.3)


def drawdown(prices: Any) -> Any:
    peak = np.maximum.accumulate(prices)
    return ((peak - prices) / peak).max()


def taxes(income: Any) -> Any:
    conditions = [income < LIMITS[1], income < LIMITS[2]]
    return np.select(conditions, [income * 0.1, 0.1 + income * 0.2], income * 0.4)


def polygon_area(x: Any, y: Any) -> Any:
    return 0.5 * abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))


def distances(a: Any, b: Any) -> Any:
    return np.sqrt(np.sum((a[:, np.newaxis] - b) ** 2, axis=2))


def rotated(points: Any, angle: float) -> Any:
    c, s = np.cos(angle), np.sin(angle)
    return points @ np.array([[c, -s], [s, c]]).T


def mandelbrot(size: int) -> Any:
    y, x = np.mgrid[-1.2 : 1.2 : size * 1j, -2 : 0.6 : size * 1j]
    c = x + 1j * y
    z, count = np.zeros_like(c), np.zeros(c.shape, dtype=int)
    for _ in range(8):
        alive = np.abs(z) <= 2
        z[alive] = z[alive] ** 2 + c[alive]
        count += alive
    return count


def edit_distance(a: Any, b: Any) -> Any:
    table = np.zeros((len(a) + 1, len(b) + 1), dtype=int)
    table[:, 0] = np.arange(len(a) + 1)
    table[0] = np.arange(len(b) + 1)
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            cost = (a[i - 1] != b[j - 1]).astype(int)
            table[i, j] = np.min(
                [table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + cost]
            )
    return table[-1, -1]


def shortest_paths(d: Any) -> Any:
    for k in range(d.shape[0]):
        np.minimum(d, d[:, k, None] + d[None, k, :], out=d)
    return d.max()


def longest_run(x: Any) -> Any:
    best = run = np.zeros(())
    for value in x:
        run = np.where(value > 0, run + 1, 0)
        best = np.maximum(best, run)
    return best


def with_helpers(x: Any) -> Any:
    return numpy_helpers.smoothed(x).sum(), normalised(x.reshape(2, -1))


def recursive_sum(x: Any) -> Any:
    if len(x) == 1:
        return x[0]
    half = len(x) // 2
    return recursive_sum(x[:half]) + recursive_sum(x[half:])


def statistics_of(samples: dict[str, Any]) -> Any:
    return {name: (x.min(), x.max(), x.mean()) for name, x in samples.items()}


def vectorised(x: Any) -> Any:
    clip = np.vectorize(lambda v: np.where(v < 0, -v, v * 2))
    return clip(x), np.apply_along_axis(lambda row: row[::-1].cumsum(), 0, x)


def chunks(x: Any) -> Any:
    left, middle, right = np.array_split(x, 3)
    left[:] = 0
    return np.r_[middle, left, right], np.c_[x, x**2][1:3]


_LABELS = np.array([0, 2, 1, 3, 2])
_BOARD = (_grid(6, 6) > 0).astype(int)
_SPD = _grid(4, 3) @ _grid(4, 3).T + 9 * np.eye(4)
_BYTES = np.arange(24, dtype=np.uint8).reshape(4, 6) * 9
_COUNTS = np.array([0, 2, 1, 3], dtype=np.int64)

ARGUMENTS: dict[Program, tuple[Any, ...]] = {
    heat_with_buffers: (_grid(6, 5),),
    wave_in_place: (_line(9), np.zeros(9)),
    leapfrog: (_line(3), _line(3, 1)),
    gravity: (_grid(4, 3), np.array([1.0, 2, 0.5, 1])),
    runge_kutta: (np.array([1.0, 0]),),
    upwind: (_line(7), 0.7),
    game_of_life: (_BOARD,),
    ising_energy: (2 * _BOARD - 1,),
    spectral_derivative: (_line(16),),
    cholesky_by_loops: (_SPD,),
    gauss_jordan: (_SPD,),
    gram_schmidt: (_grid(5, 3),),
    power_iteration: (_SPD,),
    jacobi: (_SPD + 40 * np.eye(4), _line(4)),
    conjugate_gradient: (_SPD, _line(4)),
    least_squares: (_line(8), _line(8, 1)),
    tridiagonal: (_line(5), _line(5) + 20, _line(5, 1), _line(5, 2)),
    sparse_times_vector: (_line(5), _LABELS, _LABELS[::-1].copy(), _line(4)),
    laplacian_by_shifts: (_grid(5, 6),),
    pooled: (_grid(6, 4),),
    brightened: (_BYTES,),
    grey: (np.arange(36, dtype=np.uint8).reshape(3, 4, 3) * 5,),
    equalised: (_BYTES % 16,),
    sobel: (_grid(5, 6),),
    border: (_grid(4, 5),),
    moving_average: (_line(10), 3),
    exponential_average: (_line(6),),
    envelope: (_line(12),),
    autocorrelation: (_line(8),),
    zero_crossings: (_line(12),),
    standardised: (_grid(5, 3),),
    softmax: (_grid(3, 4),),
    cross_entropy: (_grid(5, 4), _LABELS),
    one_hot: (_LABELS,),
    gradient_step: (_line(3), _grid(5, 3), _line(5)),
    k_means_step: (_grid(6, 2), _grid(2, 2, 1)),
    principal_components: (_grid(6, 3),),
    weighted_quantiles: (_line(9),),
    outliers_replaced: (_line(9),),
    nan_means: (_grid(4, 3),),
    confusion: (_LABELS, _LABELS[::-1].copy()),
    attention: (_grid(4, 3), _grid(4, 3, 1), _grid(4, 2)),
    network: (_grid(3, 4),),
    layer_of_an_object: (_grid(3, 4),),
    black_scholes: (np.abs(_line(5)) + 1, np.abs(_line(5, 1)) + 1),
    drawdown: (np.abs(_line(9)) + 2,),
    taxes: (np.abs(_line(8)),),
    polygon_area: (_line(5), _line(5, 1)),
    distances: (_grid(3, 2), _grid(4, 2, 1)),
    rotated: (_grid(4, 2), 0.3),
    mandelbrot: (9,),
    edit_distance: (_COUNTS, _LABELS),
    shortest_paths: (np.abs(_grid(5, 5)),),
    longest_run: (_line(9),),
    with_helpers: (_line(8),),
    recursive_sum: (_line(7),),
    statistics_of: ({"a": _line(4), "b": _grid(2, 3)},),
    vectorised: (_grid(3, 4),),
    chunks: (_line(8),),
}
"""Programs and what they are called with."""
