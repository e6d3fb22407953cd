"""How far one array is from another, measured in one pass over blocks."""

import math
import threading
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from graphwright.backends.numpy.kernels.threads import parallel
from graphwright.ir.dtype import DType
from graphwright.testing.shadow import Bound, epsilon, least_normal

_BLOCK = 1 << 15
"""Elements at a time: they stay in the cache."""

_ROWS = 1 << 9
"""Of how many rows it is seen where their maxima lie."""

SPREAD, MANY = 0.25, 256
"""How large the mean of differences over bounds may be, of how many elements."""

_EXPONENT = np.int64(0x7FF0000000000000)


@dataclass(frozen=True, slots=True)
class Metrics:
    """How far an array is from what it should be.

    Attributes:
        max_abs, mean_abs: Of the differences of finite elements.
        max_rel: Largest difference over the size of what should be.
        max_ulp: Largest difference in units in the last place of the dtype.
        cosine: Of the angle between both, as vectors.
        snr: Signal over noise, in decibels; infinite where nothing differs.
        argmax: Share of the rows, along the last axis, whose maxima lie alike; of many
            rows, 512 evenly apart are looked at.
        nan, inf: Elements that are not a number or infinite, here and not there.
        excess: Largest difference over the bound; at most 1 is within it.
        spread: Root mean square of differences over bounds: roundings are independent,
            and rarely come near their bound; what is wrong everywhere shows here.
        at: Where that is, as a tuple of indices.
        got, want: The elements there.
        size: Number of elements.
        form: What is wrong with its dtype or shape, if anything is.
    """

    max_abs: float = 0.0
    mean_abs: float = 0.0
    max_rel: float = 0.0
    max_ulp: float = 0.0
    cosine: float = 1.0
    snr: float = math.inf
    argmax: float = 1.0
    nan: int = 0
    inf: int = 0
    excess: float = 0.0
    spread: float = 0.0
    at: tuple[int, ...] = ()
    got: str = ""
    want: str = ""
    size: int = 0
    form: str = ""

    @property
    def ok(self) -> bool:
        """Whether it is within the bound."""
        crowded = self.spread > SPREAD and self.size >= MANY
        return not self.form and self.excess <= 1.0 and not crowded

    def to_dict(self) -> dict[str, Any]:
        """The same as a dictionary, without numbers that JSON lacks."""
        return {k: _plain(v) for k, v in asdict(self).items()} | {"ok": self.ok}


def _plain(x: Any) -> Any:
    if isinstance(x, float) and not math.isfinite(x):
        return str(x)
    return list(x) if isinstance(x, tuple) else x


def measure(
    have: Any,
    want: Any,
    dtype: DType,
    bound: Bound | None = None,
    wide: Any = None,
) -> Metrics:
    """How far an array is from another, and from a bound if one is given.

    Args:
        have: The array.
        want: What it should be; in float64 or complex128 where it holds fractions.
        dtype: Whose units in the last place count.
        bound: What it is held against; its value need not be ``want``.
        wide: The array in float64 or complex128, where that is at hand.
    """
    if dtype.kind not in "fc":
        return _exact(have, want, bound)
    x, y = _flat(have if wide is None else wide), _flat(want)
    judge = None
    if bound is not None and bound.tolerance is not None:
        judge = _flat(bound.value), _flat(bound.tolerance)
    sums = _Sums(epsilon(dtype), least_normal(dtype))

    def add(index: int, _: int) -> None:
        start = index * _BLOCK
        block = slice(start, start + _BLOCK)
        limits = None if judge is None else (judge[0][block], judge[1][block])
        sums.add(x[block], y[block], limits, start)

    parallel(add, -(-x.size // _BLOCK), 1)  # memory is the limit, not the thread
    return sums.metrics(np.asarray(have), want, bound)


def _flat(x: Any) -> Any:
    return np.ascontiguousarray(x).reshape(-1)


class _Room(threading.local):
    """What a thread computes in: fresh memory costs more than a pass over it."""

    def __init__(self) -> None:
        self.away, self.size, self.ratio = (np.empty(_BLOCK) for _ in range(3))
        self.least = np.zeros(_BLOCK)
        self.tiny = np.full(_BLOCK, np.finfo(np.float64).smallest_subnormal)

    def floor(self, least: float, count: int) -> Any:
        """So often the same number: numpy is quicker with an array of it."""
        if self.least[0] != least:
            self.least.fill(least)
        return self.least[:count]


_room = _Room()


@dataclass(slots=True)
class _Sums:
    """What is added up over blocks, and of what the greatest counts."""

    epsilon: float
    least: float
    count: int = 0
    nan: int = 0
    inf: int = 0
    abs: float = 0.0
    noise: float = 0.0
    signal: float = 0.0
    own: float = 0.0
    squares: float = 0.0
    judged: int = 0
    most: float = 0.0
    relative: float = 0.0
    ulp: float = 0.0
    excess: float = 0.0
    worst: int = -1

    def add(self, have: Any, want: Any, limits: Any, start: int) -> None:
        """Takes one block into account."""
        wide = np.complex128 if have.dtype.kind == "c" else np.float64
        x, away = have.astype(wide, copy=False), _room.away[: have.size]
        _apart(x, want, away)
        total = float(away.sum())
        if math.isfinite(total):
            self._ratios(x, want, away, total)
        else:
            self._finite(x, want, away)
        if limits is not None:
            self._judge(x, limits, away, start)

    def _finite(self, x: Any, want: Any, away: Any) -> None:
        self.nan += int((np.isnan(x) & ~np.isnan(want)).sum())
        self.inf += int((np.isinf(x) & ~np.isinf(want)).sum())
        good = np.isfinite(away)
        total = float(away[good].sum())
        self._ratios(x[good], want[good], away[good], total)

    def _ratios(self, x: Any, want: Any, away: Any, total: float) -> None:
        self.count += away.size
        self.abs += total
        if not away.size:
            return
        signal = float(np.vdot(want, want).real)
        self.signal += signal
        if total == 0:
            self.own += signal
            return
        self.most = max(self.most, float(away.max()))
        self.noise += float(np.dot(away, away))
        self.own += float(np.vdot(x, x).real)
        size = np.abs(want, out=_room.size[: away.size])
        np.maximum(size, _room.floor(self.least, away.size), out=size)
        ratios = _room.ratio[: away.size]
        ratio = float(np.divide(away, size, out=ratios).max())
        self.relative = max(self.relative, ratio)
        if 2 * ratio > self.ulp * self.epsilon:  # else this block has no larger one
            size.view(np.int64)[...] &= _EXPONENT
            np.divide(away, size, out=ratios)
            self.ulp = max(self.ulp, float(ratios.max()) / self.epsilon)

    def _judge(self, x: Any, limits: tuple[Any, Any], away: Any, start: int) -> None:
        value, most = limits
        _apart(x, value, away)
        if most.size and not most.min() > 0:
            most = np.maximum(
                most, _room.tiny[: most.size], out=_room.size[: most.size]
            )
        ratio = np.divide(away, most, out=away)
        worst = float(ratio.max()) if ratio.size else 0.0
        self.judged += ratio.size
        if not worst <= 1.0:  # NaN, too: look again
            same = (x == value) | (np.isnan(x) & np.isnan(value))
            free = same | np.isposinf(most)
            ratio = np.where(free, 0.0, np.where(np.isnan(ratio), np.inf, ratio))
            worst = float(ratio.max())
        self.squares += float(np.dot(ratio, ratio))
        if worst > self.excess:
            self.excess, self.worst = worst, start + int(np.argmax(ratio))

    def metrics(self, have: Any, want: Any, bound: Bound | None) -> Metrics:
        """What was found."""
        norm = math.sqrt(self.signal * self.own)
        product = (self.signal + self.own - self.noise) / 2
        snr = math.inf
        if self.noise:
            ratio = self.signal / self.noise
            snr = 10 * math.log10(ratio) if ratio else -math.inf
        at: tuple[int, ...] = ()
        if self.worst >= 0:
            at = tuple(map(int, np.unravel_index(self.worst, have.shape)))
        judged = want if bound is None else bound.value
        return Metrics(
            self.most,
            self.abs / max(self.count, 1),
            self.relative,
            self.ulp,
            min(1.0, product / norm) if norm else 1.0,
            snr,
            _alike(have, want) if self.most else 1.0,
            self.nan,
            self.inf,
            self.excess,
            math.sqrt(self.squares / max(self.judged, 1)),
            at,
            str(have[at]) if self.worst >= 0 else "",
            f"{np.asarray(judged)[at]:.9g}" if self.worst >= 0 else "",
            int(have.size),
        )


def _apart(x: Any, y: Any, out: Any) -> None:
    """``|x - y|``."""
    if x.dtype.kind == "c":
        np.abs(x - y, out=out)
    else:
        np.abs(np.subtract(x, y, out=out), out=out)


def _alike(have: Any, want: Any) -> float:
    """Share of rows whose largest elements lie at the same place."""
    if have.ndim == 0 or not have.size or have.dtype.kind == "c":
        return 1.0
    rows = [np.asarray(x).reshape(-1, have.shape[-1]) for x in (have, want)]
    a, b = (x[:: -(-len(x) // _ROWS)] for x in rows)
    wide = a.astype(np.float64) if a.dtype.kind == "V" else a
    return float(np.mean(wide.argmax(-1) == b.argmax(-1)))


def _exact(have: Any, want: Any, bound: Bound | None) -> Metrics:
    """Of what holds no fractions: integers, flags, text, lists, dictionaries."""
    judged = want if bound is None else bound.value
    free = None if bound is None else bound.tolerance
    if not isinstance(have, np.ndarray) or have.dtype == object:
        same = alike(have, judged) or free is not None
        words = (str(have)[:40], str(judged)[:40])
        return Metrics(excess=0.0 if same else math.inf, got=words[0], want=words[1])
    if not have.size:
        return Metrics()
    bad = have != judged
    if free is not None:
        bad &= np.asarray(free) == 0
    at = tuple(map(int, np.unravel_index(int(np.argmax(bad)), bad.shape)))
    wrong = bool(bad.any())
    away = np.abs(have.astype(np.float64) - np.asarray(want).astype(np.float64))
    return Metrics(
        max_abs=float(away.max()) if away.size else 0.0,
        mean_abs=float(away.mean()) if away.size else 0.0,
        excess=math.inf if wrong else 0.0,
        at=at if wrong else (),
        got=str(have[at]) if wrong else "",
        want=str(judged[at]) if wrong else "",
        size=int(have.size),
    )


def alike(a: Any, b: Any) -> bool:
    """Whether two values are equal, NaN being equal to itself; lists item by item."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(alike(v, b[k]) for k, v in a.items())
    if isinstance(a, list) and isinstance(b, list):
        rows = zip(a, b, strict=False)
        return len(a) == len(b) and all(alike(x, y) for x, y in rows)
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        if a.shape != b.shape:
            return False
        if a.dtype.kind in "OSU" or b.dtype.kind in "OSU":
            return bool(np.all(a == b))
        x, y = (z.astype(np.float64) if z.dtype.kind == "V" else z for z in (a, b))
        return bool(np.array_equal(x, y, equal_nan=a.dtype.kind in "fcV"))
    return type(a) is type(b) and bool(a == b)


def form_of(have: Any, want: Any) -> str:
    """What is wrong with the kind, dtype or shape of a value, or nothing."""
    if not isinstance(want, np.ndarray):
        if type(have) is type(want):
            return ""
        return f"{type(have).__name__} instead of {type(want).__name__}"
    if not isinstance(have, np.ndarray):
        return f"{type(have).__name__} instead of an array"
    if have.dtype != want.dtype or have.shape != want.shape:
        found = f"{have.dtype}{list(have.shape)}"
        return f"{found} instead of {want.dtype}{list(want.shape)}"
    return ""
