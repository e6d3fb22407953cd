"""Where a generator's decisions come from: a seed, or what draws them."""

import random
from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar

T = TypeVar("T")


class Choices(Protocol):
    """A source of decisions."""

    def integer(self, low: int, high: int) -> int:
        """An integer from ``low`` to ``high``, both included."""
        ...

    def pick(self, items: Sequence[T]) -> T:
        """One of several, the simplest first."""
        ...

    def rounds(self, most: int) -> Iterator[int]:
        """Counts how often something is done: at least once, at most ``most`` times."""
        ...


class Seeded:
    """Decisions of a pseudo-random generator."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def integer(self, low: int, high: int) -> int:
        """An integer from ``low`` to ``high``, both included."""
        return self._random.randint(low, high)

    def pick(self, items: Sequence[T]) -> T:
        """One of several."""
        return self._random.choice(items)

    def rounds(self, most: int) -> Iterator[int]:
        """Counts how often something is done."""
        return iter(range(self._random.randint(1, max(1, most))))
