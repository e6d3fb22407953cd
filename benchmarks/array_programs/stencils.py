"""Stencils in one, two and three dimensions, with loops over time."""

from typing import Any

import numpy as np

from array_programs.case import Case, side, uniform


def heat_1d(u: Any, steps: int) -> Any:
    """Explicit diffusion along a rod, in place."""
    for _ in range(steps):
        u[1:-1] = u[1:-1] + 0.25 * (u[2:] - 2.0 * u[1:-1] + u[:-2])
    return u


def jacobi_2d(a: Any, b: Any, steps: int) -> Any:
    """The five-point mean, from one grid to the other and back."""
    for _ in range(steps):
        b[1:-1, 1:-1] = 0.2 * (
            a[1:-1, 1:-1] + a[1:-1, :-2] + a[1:-1, 2:] + a[2:, 1:-1] + a[:-2, 1:-1]
        )
        a[1:-1, 1:-1] = 0.2 * (
            b[1:-1, 1:-1] + b[1:-1, :-2] + b[1:-1, 2:] + b[2:, 1:-1] + b[:-2, 1:-1]
        )
    return a


def heat_3d(a: Any, steps: int) -> Any:
    """Explicit diffusion in a box, seven points."""
    for _ in range(steps):
        inner = a[1:-1, 1:-1, 1:-1]
        a[1:-1, 1:-1, 1:-1] = (
            0.125 * (a[2:, 1:-1, 1:-1] - 2.0 * inner + a[:-2, 1:-1, 1:-1])
            + 0.125 * (a[1:-1, 2:, 1:-1] - 2.0 * inner + a[1:-1, :-2, 1:-1])
            + 0.125 * (a[1:-1, 1:-1, 2:] - 2.0 * inner + a[1:-1, 1:-1, :-2])
            + inner
        )
    return a


def wave_2d(u: Any, before: Any, steps: int) -> Any:
    """A membrane by leapfrog: three grids that change places."""
    for _ in range(steps):
        after = np.zeros_like(u)
        after[1:-1, 1:-1] = (
            2.0 * u[1:-1, 1:-1]
            - before[1:-1, 1:-1]
            + 0.1
            * (
                u[2:, 1:-1]
                + u[:-2, 1:-1]
                + u[1:-1, 2:]
                + u[1:-1, :-2]
                - 4.0 * u[1:-1, 1:-1]
            )
        )
        before, u = u, after
    return u


def cavity_flow(u: Any, v: Any, p: Any, steps: int) -> Any:
    """Incompressible flow in a lid-driven cavity: momentum and pressure, in turns."""
    rho, nu, dt = 1.0, 0.1, 0.001
    dx = dy = 2.0 / 40
    for _ in range(steps):
        un, vn, pn = u.copy(), v.copy(), p.copy()
        b = np.zeros_like(u)
        ux = (un[1:-1, 2:] - un[1:-1, :-2]) / (2 * dx)
        vy = (vn[2:, 1:-1] - vn[:-2, 1:-1]) / (2 * dy)
        uy = (un[2:, 1:-1] - un[:-2, 1:-1]) / (2 * dy)
        vx = (vn[1:-1, 2:] - vn[1:-1, :-2]) / (2 * dx)
        b[1:-1, 1:-1] = rho * ((ux + vy) / dt - ux**2 - 2 * uy * vx - vy**2)
        p[1:-1, 1:-1] = (
            (pn[1:-1, 2:] + pn[1:-1, :-2]) * dy**2
            + (pn[2:, 1:-1] + pn[:-2, 1:-1]) * dx**2
        ) / (2 * (dx**2 + dy**2)) - dx**2 * dy**2 / (2 * (dx**2 + dy**2)) * b[
            1:-1, 1:-1
        ]
        p[:, -1] = p[:, -2]
        p[0, :] = p[1, :]
        p[:, 0] = p[:, 1]
        p[-1, :] = 0
        u[1:-1, 1:-1] = (
            un[1:-1, 1:-1]
            - un[1:-1, 1:-1] * dt / dx * (un[1:-1, 1:-1] - un[1:-1, :-2])
            - vn[1:-1, 1:-1] * dt / dy * (un[1:-1, 1:-1] - un[:-2, 1:-1])
            - dt / (2 * rho * dx) * (p[1:-1, 2:] - p[1:-1, :-2])
            + nu * dt / dx**2 * (un[1:-1, 2:] - 2 * un[1:-1, 1:-1] + un[1:-1, :-2])
        )
        v[1:-1, 1:-1] = (
            vn[1:-1, 1:-1]
            - un[1:-1, 1:-1] * dt / dx * (vn[1:-1, 1:-1] - vn[1:-1, :-2])
            - vn[1:-1, 1:-1] * dt / dy * (vn[1:-1, 1:-1] - vn[:-2, 1:-1])
            - dt / (2 * rho * dy) * (p[2:, 1:-1] - p[:-2, 1:-1])
            + nu * dt / dy**2 * (vn[2:, 1:-1] - 2 * vn[1:-1, 1:-1] + vn[:-2, 1:-1])
        )
        u[0, :], u[:, 0], u[:, -1], u[-1, :] = 0, 0, 0, 1
        v[0, :], v[-1, :], v[:, 0], v[:, -1] = 0, 0, 0, 0
    return u


def horizontal_diffusion(field: Any, coefficient: Any) -> Any:
    """A limited fourth-order filter of weather models, on all levels at once."""
    lap = 4.0 * field[1:-1, 1:-1] - (
        field[2:, 1:-1] + field[:-2, 1:-1] + field[1:-1, 2:] + field[1:-1, :-2]
    )
    res = lap[1:, 1:-1] - lap[:-1, 1:-1]
    flux_x = np.where(res * (field[2:-1, 2:-2] - field[1:-2, 2:-2]) > 0, 0, res)
    res = lap[1:-1, 1:] - lap[1:-1, :-1]
    flux_y = np.where(res * (field[2:-2, 2:-1] - field[2:-2, 1:-2]) > 0, 0, res)
    return field[2:-2, 2:-2] - coefficient[2:-2, 2:-2] * (
        flux_x[1:] - flux_x[:-1] + flux_y[:, 1:] - flux_y[:, :-1]
    )


def game_of_life(world: Any, steps: int) -> Any:
    """Conway's cells on a torus, as numbers."""
    for _ in range(steps):
        rows = np.roll(world, 1, 0) + world + np.roll(world, -1, 0)
        near = np.roll(rows, 1, 1) + rows + np.roll(rows, -1, 1) - world
        world = np.where((near == 3) | ((world > 0) & (near == 2)), 1.0, 0.0).astype(
            world.dtype
        )
    return world


def _rod(nbytes: int, dtype: Any) -> tuple[Any, ...]:
    return uniform((side(nbytes, dtype, 1, 1),), dtype), 20


def _pair(nbytes: int, dtype: Any) -> tuple[Any, ...]:
    n = side(nbytes, dtype, 2)
    return uniform((n, n), dtype), np.zeros((n, n), dtype), 10


def _membrane(nbytes: int, dtype: Any) -> tuple[Any, ...]:
    n = side(nbytes, dtype, 3)
    return uniform((n, n), dtype), uniform((n, n), dtype), 10


def _box(nbytes: int, dtype: Any) -> tuple[Any, ...]:
    n = side(nbytes, dtype, 1, 3)
    return uniform((n, n, n), dtype), 10


def _cavity(nbytes: int, dtype: Any) -> tuple[Any, ...]:
    n = side(nbytes, dtype, 3)
    fields = [0.01 * uniform((n, n), dtype) for _ in range(3)]
    return (*fields, 5)


def _levels(nbytes: int, dtype: Any) -> tuple[Any, ...]:
    n = side(nbytes, dtype, 2 * 16)
    return uniform((n, n, 16), dtype), uniform((n, n, 16), dtype)


def _world(nbytes: int, dtype: Any) -> tuple[Any, ...]:
    n = side(nbytes, dtype)
    return (uniform((n, n), dtype) > 0.7).astype(dtype), 5


CASES = [
    Case(heat_1d, _rod, functional=False, numba=True),
    Case(jacobi_2d, _pair, both=True, functional=False, numba=True),
    Case(heat_3d, _box, functional=False, numba=True),
    Case(wave_2d, _membrane, functional=False, numba=True),
    Case(cavity_flow, _cavity, functional=False),
    Case(horizontal_diffusion, _levels, numba=True),
    Case(game_of_life, _world),
]
