"""What a library kernel is to those who run it: source, launches, packed constants."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import field, replace
from functools import partial
from threading import Lock
from typing import Any, TypeAlias

from numpy.typing import NDArray

from graphwright.ir.record import record

Make: TypeAlias = Callable[[NDArray[Any]], NDArray[Any]]
"""Makes what kernels read of a constant operand: weights in another order, say."""


@record(frozen=True, slots=True)
class Local:
    """An argument that is memory of a work-group's own, of so many floats."""

    floats: int


Argument: TypeAlias = "str | int | Local"
"""The name of a buffer, a 32-bit size, or local memory."""


@record(frozen=True, slots=True)
class Launch:
    """One launch: a kernel, its arguments, how many work-items it has.

    Attributes:
        kernel: Its name.
        source: The function, without the prelude (`text.prelude`); the same for all
            nodes whose inner loops are the same, so that a program has it once.
        arguments: Arrays that are read, the one that is written, local memory, sizes.
        items: In each direction: work-groups, of one work-item each as a rule.
        group: Work-items of a group.
    """

    kernel: str
    source: str
    arguments: tuple[Argument, ...]
    items: tuple[int, ...]
    group: tuple[int, ...] = (1,)


@record(frozen=True, slots=True)
class Library:
    """Kernels and how to launch them, in order.

    No weights are looked at until arrays are made of them.

    Attributes:
        launches: In order; each reads what those before it wrote.
        constants: What makes arrays of the constant operand, by buffer name.
        indices: The same of arrays of 32-bit integers.
        scratch: Floats of buffers that live during the launches only, by name.
    """

    launches: tuple[Launch, ...]
    constants: Mapping[str, Make] = field(default_factory=dict[str, Make])
    indices: Mapping[str, Make] = field(default_factory=dict[str, Make])
    scratch: Mapping[str, int] = field(default_factory=dict[str, int])

    def behind(self, first: Make) -> "Library":
        """The same, its constants made of what ``first`` makes of the weights."""

        def both(make: Make, weights: NDArray[Any]) -> NDArray[Any]:
            return make(first(weights))

        makes = {name: partial(both, make) for name, make in self.constants.items()}
        return replace(self, constants=makes)


_MOST = 256

_LOCK = Lock()
_MADE: dict[Hashable, Library] = {}
"""The last ones, by what they were made of."""


def once(key: Hashable, make: Callable[[], Library]) -> Library:
    """A library: networks have many equal layers, whose text is written once."""
    found = _MADE.get(key)
    if found is None:
        found = make()
        with _LOCK:  # several threads may compile
            _MADE[key] = found
            if len(_MADE) > _MOST:
                del _MADE[next(iter(_MADE))]
    return found
