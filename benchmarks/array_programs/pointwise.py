"""Programs that work on each point by itself, or on each pair."""

from typing import Any

import numpy as np

from array_programs.case import Case, normal, side, uniform


def black_scholes(spot: Any, strike: Any, years: Any, rate: float, sigma: float) -> Any:
    """Prices of European calls and puts."""

    def below(x: Any) -> Any:
        """The normal distribution, by Abramowitz and Stegun's 26.2.17."""
        k = 1.0 / (1.0 + 0.2316419 * np.abs(x))
        series = k * (
            0.319381530
            + k
            * (-0.356563782 + k * (1.781477937 + k * (-1.821255978 + k * 1.330274429)))
        )
        tail = np.exp(-0.5 * x * x) * 0.3989422804014327 * series
        return np.where(x > 0, 1.0 - tail, tail)

    root = sigma * np.sqrt(years)
    d1 = (np.log(spot / strike) + (rate + 0.5 * sigma**2) * years) / root
    d2 = d1 - root
    paid = strike * np.exp(-rate * years)
    call = spot * below(d1) - paid * below(d2)
    return call, call - spot + paid


def mandelbrot(x: Any, y: Any, iterations: int) -> Any:
    """How long points stay near the origin."""
    re, im = np.zeros_like(x), np.zeros_like(x)
    count = np.zeros_like(x)
    for _ in range(iterations):
        near = re * re + im * im < 4.0
        count = np.where(near, count + 1.0, count)
        new = np.where(near, re * re - im * im + x, re)
        im = np.where(near, 2.0 * re * im + y, im)
        re = new
    return count


def lotka_volterra(prey: Any, hunters: Any, steps: int) -> Any:
    """Many pairs of populations, by the midpoint rule."""
    dt = 0.01
    for _ in range(steps):
        mid_x = prey + 0.5 * dt * prey * (1.1 - 0.4 * hunters)
        mid_y = hunters + 0.5 * dt * hunters * (0.1 * prey - 0.4)
        prey = prey + dt * mid_x * (1.1 - 0.4 * mid_y)
        hunters = hunters + dt * mid_y * (0.1 * mid_x - 0.4)
    return prey, hunters


def great_circles(theta1: Any, phi1: Any, theta2: Any, phi2: Any) -> Any:
    """Distances on a sphere by the haversine formula."""
    half = (
        np.sin((theta2 - theta1) / 2) ** 2
        + np.cos(theta1) * np.cos(theta2) * np.sin((phi2 - phi1) / 2) ** 2
    )
    return 2 * np.arctan2(np.sqrt(half), np.sqrt(1 - half))


def ray_sphere(origin: Any, direction: Any, centers: Any, radii: Any) -> Any:
    """The nearest of a few spheres that each ray hits: its distance, and which."""
    gap = origin[:, None, :] - centers[None, :, :]
    b = (gap * direction[:, None, :]).sum(axis=2)
    c = (gap * gap).sum(axis=2) - radii**2
    inside = b * b - c
    root = np.sqrt(np.maximum(inside, 0.0))
    near = -b - root
    hit = (inside > 0) & (near > 1e-4)
    distance = np.where(hit, near, np.inf)
    return distance.min(axis=1), distance.argmin(axis=1)


def n_body(position: Any, velocity: Any, mass: Any, steps: int) -> Any:
    """Gravity between all pairs, by leapfrog."""
    dt, soft = 0.01, 0.1
    for _ in range(steps):
        gap = position[None, :, :] - position[:, None, :]
        square = (gap * gap).sum(axis=2) + soft**2
        pull = mass[None, :] / (square * np.sqrt(square))
        velocity = velocity + dt * (pull[:, :, None] * gap).sum(axis=1)
        position = position + dt * velocity
    return position, velocity


def adam_step(weights: Any, gradient: Any, mean: Any, square: Any, number: int) -> Any:
    """One step of Adam, in place."""
    mean[:] = 0.9 * mean + 0.1 * gradient
    square[:] = 0.999 * square + 0.001 * gradient * gradient
    first = mean / (1.0 - 0.9**number)
    second = square / (1.0 - 0.999**number)
    weights -= 0.001 * first / (np.sqrt(second) + 1e-8)
    return weights


def polynomial(x: Any) -> Any:
    """Horner's scheme of degree nine."""
    total = np.full_like(x, 0.1)
    for k in range(9):
        total = total * x + (0.3 - 0.05 * k)
    return total


def _options(nbytes: int, dtype: Any) -> tuple[Any, ...]:
    n = side(nbytes, dtype, 5, 1)
    spot = 50 + 50 * uniform((n,), dtype)
    years = dtype(0.1) + uniform((n,), dtype)
    return spot, spot[::-1].copy(), years, 0.03, 0.2


def _plane(nbytes: int, dtype: Any) -> tuple[Any, ...]:
    n = side(nbytes, dtype, 5)
    x = np.linspace(-2, 1, n, dtype=dtype)
    grid = np.meshgrid(x, x, indexing="xy")
    return grid[0].copy(), grid[1].copy(), 20


def _populations(nbytes: int, dtype: Any) -> tuple[Any, ...]:
    n = side(nbytes, dtype, 4, 1)
    return 5 + uniform((n,), dtype), 2 + uniform((n,), dtype), 20


def _places(nbytes: int, dtype: Any) -> tuple[Any, ...]:
    n = side(nbytes, dtype, 5, 1)
    return tuple(uniform((4, n), dtype).copy())


def _rays(nbytes: int, dtype: Any) -> tuple[Any, ...]:
    n, spheres = side(nbytes, dtype, 16 * 3, 1), 16
    direction = normal((n, 3), dtype)
    direction /= np.sqrt((direction**2).sum(axis=1, keepdims=True))
    centers = (4 * normal((spheres, 3), dtype)).astype(dtype)
    return np.zeros((n, 3), dtype), direction, centers, uniform((spheres,), dtype)


def _bodies(nbytes: int, dtype: Any) -> tuple[Any, ...]:
    n = side(nbytes, dtype, 3)
    return normal((n, 3), dtype), normal((n, 3), dtype), uniform((n,), dtype), 2


def _parameters(nbytes: int, dtype: Any) -> tuple[Any, ...]:
    n = side(nbytes, dtype, 4, 1)
    weights, gradient = normal((n,), dtype), normal((n,), dtype)
    return weights, gradient, 0 * weights, uniform((n,), dtype), 3


def _points(nbytes: int, dtype: Any) -> tuple[Any, ...]:
    return (normal((side(nbytes, dtype, 2, 1),), dtype),)


CASES = [
    Case(black_scholes, _options, both=True),
    Case(mandelbrot, _plane, both=True, numba=True),
    Case(lotka_volterra, _populations, numba=True),
    Case(great_circles, _places, numba=True),
    Case(ray_sphere, _rays, both=True),
    Case(n_body, _bodies),
    Case(adam_step, _parameters, both=True, functional=False, numba=True),
    Case(polynomial, _points, numba=True),
]
