"""Pieces of machine learning."""

from typing import Any

import numpy as np

from array_programs.case import Case, normal, side


def softmax(x: Any) -> Any:
    """Rows that sum to one."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def layer_norm(x: Any, gain: Any, bias: Any) -> Any:
    """Rows of mean zero and variance one, scaled."""
    mean = x.mean(axis=-1, keepdims=True)
    var = ((x - mean) ** 2).mean(axis=-1, keepdims=True)
    return (x - mean) / np.sqrt(var + 1e-5) * gain + bias


def log_sum_exp(x: Any) -> Any:
    """The logarithm of each row's sum of exponentials."""
    top = x.max(axis=1)
    return top + np.log(np.exp(x - top[:, None]).sum(axis=1))


def attention(q: Any, k: Any, v: Any) -> Any:
    """Scaled dot-product attention of several heads."""
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return scores / scores.sum(axis=-1, keepdims=True) @ v


def mlp(x: Any, w1: Any, b1: Any, w2: Any, b2: Any) -> Any:
    """Two layers and a softmax."""
    hidden = np.maximum(x @ w1 + b1, 0)
    out = hidden @ w2 + b2
    e = np.exp(out - out.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def k_means(points: Any, centers: Any) -> Any:
    """One step of Lloyd's algorithm."""
    square = (
        (points * points).sum(axis=1)[:, None]
        - 2 * points @ centers.T
        + (centers * centers).sum(axis=1)
    )
    nearest = square.argmin(axis=1)
    member = (nearest[:, None] == np.arange(centers.shape[0])).astype(points.dtype)
    return member.T @ points / np.maximum(member.sum(axis=0), 1)[:, None]


def correlation(data: Any) -> Any:
    """The correlation matrix of the columns."""
    centered = data - data.mean(axis=0)
    scaled = centered / np.sqrt((centered * centered).mean(axis=0))
    return scaled.T @ scaled / data.shape[0]


def logistic_step(x: Any, y: Any, w: Any, rate: float) -> Any:
    """A gradient step of logistic regression."""
    p = 1.0 / (1.0 + np.exp(-(x @ w)))
    loss = -(y * np.log(p + 1e-12) + (1 - y) * np.log(1 - p + 1e-12)).mean()
    return w - rate * (x.T @ (p - y)) / x.shape[0], loss


def _rows(nbytes: int, dtype: Any) -> tuple[Any, ...]:
    n = side(nbytes, dtype, 2)
    return (normal((n, n), dtype),)


def _normed(nbytes: int, dtype: Any) -> tuple[Any, ...]:
    n = side(nbytes, dtype, 2)
    return normal((n, n), dtype), normal((n,), dtype), normal((n,), dtype)


def _heads(nbytes: int, dtype: Any) -> tuple[Any, ...]:
    n = side(nbytes, dtype, 8)
    return tuple(normal((3, 4, n, 64), dtype))


def _layers(nbytes: int, dtype: Any) -> tuple[Any, ...]:
    n = side(nbytes, dtype, 3)
    w1, w2 = normal((n, n), dtype) / 8, normal((n, 16), dtype) / 8
    return normal((n, n), dtype), w1, normal((n,), dtype), w2, normal((16,), dtype)


def _clusters(nbytes: int, dtype: Any) -> tuple[Any, ...]:
    n = side(nbytes, dtype, 8 + 2 * 16, 1)
    points = normal((n, 8), dtype)
    return points, points[np.arange(16) * n // 16 % n].copy()


def _table(nbytes: int, dtype: Any) -> tuple[Any, ...]:
    n = side(nbytes, dtype, 3 * 32, 1)
    return (normal((n, 32), dtype),)


def _labelled(nbytes: int, dtype: Any) -> tuple[Any, ...]:
    n = side(nbytes, dtype, 32, 1)
    x = normal((n, 32), dtype)
    return x, (x[:, 0] > 0).astype(dtype), normal((32,), dtype), 0.1


CASES = [
    Case(softmax, _rows, both=True),
    Case(layer_norm, _normed, both=True),
    Case(log_sum_exp, _rows),
    Case(attention, _heads, both=True),
    Case(mlp, _layers, both=True),
    Case(k_means, _clusters, both=True),
    Case(correlation, _table, both=True),
    Case(logistic_step, _labelled),
]
