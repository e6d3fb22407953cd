"""Factorisations written as loops, and iterations of products."""

from typing import Any

import numpy as np

from array_programs.case import Case, normal, side


def cholesky(a: Any, rank: int) -> Any:
    """The first columns of the Cholesky factor, one after another."""
    lower = np.zeros((a.shape[0], rank), a.dtype)
    for j in range(rank):
        column = a[j:, j] - lower[j:, :j] @ lower[j, :j]
        lower[j:, j] = column / np.sqrt(column[0])
    return lower


def gram_schmidt(a: Any) -> Any:
    """Orthonormal columns and the triangle, by the modified process."""
    n = a.shape[1]
    q, r = np.zeros_like(a), np.zeros((n, n), a.dtype)
    for k in range(n):
        norm = np.sqrt((a[:, k] * a[:, k]).sum())
        r[k, k] = norm
        q[:, k] = a[:, k] / norm
        if k + 1 < n:
            r[k, k + 1 :] = q[:, k] @ a[:, k + 1 :]
            a[:, k + 1 :] -= q[:, k : k + 1] * r[k, k + 1 :]
    return q, r


def power_iteration(a: Any, x: Any, steps: int) -> Any:
    """The largest eigenvalue of a matrix."""
    for _ in range(steps):
        y = a @ x
        x = y / np.sqrt((y * y).sum())
    return x @ (a @ x)


def conjugate_gradients(b: Any, steps: int) -> Any:
    """Poisson's equation on a square, without a matrix."""

    def laplace(u: Any) -> Any:
        out = 4.0 * u
        out[1:] -= u[:-1]
        out[:-1] -= u[1:]
        out[:, 1:] -= u[:, :-1]
        out[:, :-1] -= u[:, 1:]
        return out

    x, r = np.zeros_like(b), b.copy()
    p, rr = r.copy(), (r * r).sum()
    for _ in range(steps):
        ap = laplace(p)
        alpha = rr / (p * ap).sum()
        x += alpha * p
        r -= alpha * ap
        new = (r * r).sum()
        p = r + (new / rr) * p
        rr = new
    return x


def _definite(nbytes: int, dtype: Any) -> tuple[Any, ...]:
    n = side(nbytes, dtype)
    a = normal((n, n), dtype) / n
    return a + a.T + 4 * np.eye(n, dtype=dtype), min(n, 32)


def _tall(nbytes: int, dtype: Any) -> tuple[Any, ...]:
    return (normal((side(nbytes, dtype, 2 * 16, 1), 16), dtype),)


def _square(nbytes: int, dtype: Any) -> tuple[Any, ...]:
    n = side(nbytes, dtype)
    a = normal((n, n), dtype)
    return a @ a.T / n, normal((n,), dtype), 10


def _right_side(nbytes: int, dtype: Any) -> tuple[Any, ...]:
    n = side(nbytes, dtype, 4)
    return normal((n, n), dtype), 10


CASES = [
    Case(cholesky, _definite, functional=False),
    Case(gram_schmidt, _tall, functional=False),
    Case(power_iteration, _square, both=True, numba=True, rtol=1e-7),
    Case(conjugate_gradients, _right_side, functional=False),
]
