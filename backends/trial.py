"""Learns from the runs of a plan whether helper threads pay.

No estimate tells: another program may have the processors, memory may be what limits,
and threads may get into each other's way at the interpreter's lock.
"""

_FIRST = 7
"""Runs before the first trial: they touch memory and make views, and threads of other
libraries spin for a while."""
_BEFORE = 5
"""Runs with helpers that a trial begins with: what they take as a rule."""
_RUNS = 14
"""Runs of a trial, those included."""
_LONG = 4e-3
"""Seconds of runs of which one alone is enough to tell that helpers are faster."""
_SURE = 1.25
"""How many times as long a shorter one must take for that; else two are enough."""
_GAIN = 1.05
"""How many times as fast helpers must be, for they take processors from others."""
_REST = 64, 1024
"""Runs until the next trial: after a change, and at most."""


class Trial:
    """Says of each run whether it is for one thread alone.

    In a trial some runs with helpers come first, then those without and with them take
    turns, as long as one alone may be the faster. Who wins has the next ones, twice as
    many each time that it wins again. Several threads may ask and tell at once: then
    more runs of one kind may come in a row.

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
        if runs < _BEFORE:
            return
        usual, best = _usual(together), min(single, default=0.0)
        enough = 1 if usual > _LONG or best > _SURE * usual else 2
        if least >= enough and best > _GAIN * usual:
            self._settle(alone=False)
        elif runs + least >= _RUNS and least > 1:
            self._settle(alone=_usual(single) < _GAIN * _usual(together))
        else:
            self.alone = least <= runs - _BEFORE

    def _settle(self, *, alone: bool) -> None:
        least, most = _REST
        self._rest = min(2 * self._rest, most) if alone is self._winner else least
        self.alone = self._winner = alone
        self.timed, self._left = False, self._rest


def _usual(seconds: list[float]) -> float:
    """The lower quartile: many runs may be late, a few early ones are luck."""
    return sorted(seconds)[len(seconds) // 4]
