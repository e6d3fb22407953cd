"""Learns from the runs of a plan whether helper threads pay.

No estimate tells: another program may have the processors, memory may be what limits,
and threads may get into each other's way at the interpreter's lock.
"""

_FIRST = 12
"""Runs before the first trial: they touch memory and make views, and threads of other
libraries spin for a while."""
_RUNS = 12
"""Runs of a trial, half of them alone."""
_LONG = 4e-3
"""Seconds of runs of which one alone is enough to tell that helpers are faster."""
_CLEAR = 1.3
"""How many times as fast helpers are where two runs alone are enough to tell."""
_GAIN = 1.05
"""How many times as fast helpers must be, for they take processors from others."""
_REST = 64, 1024
"""Runs until the next trial: after a change, and at most."""


class Trial:
    """Says of each run whether it is for one thread alone.

    In a trial runs with helpers and without take turns. Who wins has the next ones,
    twice as many each time that it wins again. Several threads may ask and tell at
    once: then more runs of one kind may come in a row.

    Attributes:
        alone: Whether the next run is for one thread alone.
        timed: Whether its time is asked for.
    """

    def __init__(self) -> None:
        """Begin with helpers."""
        self.alone = self.timed = False
        self._winner = False
        self._left, self._rest = _FIRST, _REST[0]
        self._times: dict[bool, list[float]] = {}

    def rested(self) -> None:
        """Counts a run whose time was not asked for."""
        self._left -= 1
        if self._left <= 0 and not self.timed:
            self._times = {False: [], True: []}
            self.alone, self.timed = False, True

    def book(self, seconds: float, *, alone: bool) -> None:
        """Takes the time of a run."""
        self._times[alone].append(seconds)
        together, single = self._times[False], self._times[True]
        runs, least = len(together), len(single)
        best = min(together, default=0.0)  # others may have been late
        long = runs == 2 and least == 1 and best > _LONG and single[0] > _GAIN * best
        clear = runs == least == 2 and min(single) > _CLEAR * best
        if long or clear:
            self._settle(alone=False)
        elif runs + least >= _RUNS and min(runs, least) > 1:
            self._settle(alone=_usual(single) < _GAIN * _usual(together))
        elif abs(runs - least) > 1:
            self.alone = least < runs

    def _settle(self, *, alone: bool) -> None:
        least, most = _REST
        self._rest = min(2 * self._rest, most) if alone is self._winner else least
        self.alone = self._winner = alone
        self.timed, self._left = False, self._rest


def _usual(seconds: list[float]) -> float:
    """The mean but for the worst, which the system may be to blame for."""
    return (sum(seconds) - max(seconds)) / max(1, len(seconds) - 1)
