"""Inputs on which backends disagree more: a random walk from the worst sample."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphwright.comparison.runners import Feeds, Runner
from graphwright.comparison.samples import Sample

_WAYS = 3


def searched(
    runners: Sequence[Runner], samples: Sequence[Sample], steps: int, seed: int
) -> Sample:
    """The worst of some inputs near the worst sample.

    Each step changes some elements, and is kept if the outputs lie farther apart,
    measured in the size of the outputs.
    """
    rng = np.random.default_rng([seed, 2])
    scored = [(_distance(runners, s.feeds), i) for i, s in enumerate(samples)]
    best, index = max(scored)
    feeds: dict[str, Any] = dict(samples[index].feeds)
    for step in range(steps):
        tried = {n: _moved(x, rng, step) for n, x in feeds.items()}
        found = _distance(runners, tried)
        if found > best:
            best, feeds = found, tried
    return Sample(f"searched near {samples[index].name}", feeds)


def _moved(x: Any, rng: np.random.Generator, step: int) -> Any:
    """Some elements changed: by a little, by a factor, or to near another's value."""
    if not isinstance(x, np.ndarray) or x.dtype.kind not in "fV" or not x.size:
        return x
    wide = x.astype(np.float64)
    mask = rng.random(x.shape) < 0.25
    way = step % _WAYS
    with np.errstate(all="ignore"):
        if way == 0:
            new = wide + rng.normal(0, 0.1, x.shape)
        elif way == 1:
            new = wide * np.exp2(rng.integers(-4, 5, x.shape))
        else:
            new = rng.permutation(wide.reshape(-1)).reshape(x.shape)
        return np.where(mask, new, wide).astype(x.dtype)


def _distance(runners: Sequence[Runner], feeds: Feeds) -> float:
    """How far the outputs of runners are apart at most; -1 where one fails."""
    try:
        rows = [r.plain(feeds) for r in runners if r.name != "golden"]
    except Exception:
        return -1.0
    most = 0.0
    for outputs in zip(*rows, strict=False):
        first = outputs[0]
        for other in outputs[1:]:
            most = max(most, _apart(first, other))
    return most


def _apart(a: Any, b: Any) -> float:
    if not isinstance(a, np.ndarray) or not isinstance(b, np.ndarray):
        return 0.0
    if a.shape != b.shape or a.dtype == object or not a.size or a.dtype.kind == "c":
        return 0.0
    x, y = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(all="ignore"):
        away = np.nan_to_num(np.abs(x - y), nan=0.0, posinf=0.0)
        size = np.nan_to_num(np.abs(x), nan=0.0, posinf=0.0).max()
    return float(away.max() / size) if size else float(away.max())
