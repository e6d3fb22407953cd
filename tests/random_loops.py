"""Random loops in NumPy, whose traces are unrolled."""

from typing import Any

import numpy as np

SOON = {"LEAST": 12, "LEAST_MOVING": 12, "TRIPS": 4, "TURN": 1}
"""Limits of ``graphwright.passes.roll`` with which short loops are worth it."""

STATEMENTS = (
    "x = x * 0.5 + y",
    "y = np.sin(x) - y * 0.25",
    "x, y = y, x",
    "x[1:-1] = (x[:-2] + x[2:]) * 0.5",
    "y[i % n] = x[(i + 1) % n]",
    "y[i % n] += c * i",
    "z = past[-3] + x",
    "x = np.where(y > 0, x, z)",
    "if i % 2: y = y - 1",
    "if i % 3 == 1: x = np.minimum(x, z)",
    "a[i % 4] = x",
    "x = x + a[(i + 2) % 4] * 0.125",
    "k = (k * 5 + i) % 101",
    "y = y + k",
    "z = z[::-1] * 0.75",
)


def random_loop(seed: int) -> tuple[str, Any]:
    """The text of a random loop and the function."""
    rng = np.random.default_rng(seed)
    body = [
        STATEMENTS[i] for i in rng.integers(len(STATEMENTS), size=rng.integers(1, 8))
    ]
    trips = int(rng.choice([2, 3, 5, 9, 17, 40, 100, 101]))
    lines = [
        "def program(x, y):",
        "    x, y, z, n, c = x.copy(), y.copy(), x + y, 7, 0.5",
        "    a, k, past = np.zeros((4, n)), np.arange(7) * 3, [x, y, x - y]",
        f"    for i in range({trips}):",
        *(f"        {line}" for line in body),
        "        past.append(x * 0.5)",
        "    return x, y, z, a, k, past[-1], past[-2]",
    ]
    text = "\n".join(lines)
    names: dict[str, Any] = {"np": np}
    exec(text, names)
    return text, names["program"]
