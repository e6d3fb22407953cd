"""Outputs of a plan: gathered from its slots, apart from what is written to later."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from graphwright.backends.arena import SMALL
from graphwright.backends.contract import Backend
from graphwright.backends.frame import Binding, Frame
from graphwright.backends.lease import owned
from graphwright.backends.steps import Step
from graphwright.ir.types import Type


class Outputs:
    """What becomes of the results of a plan's runs.

    Args:
        slots: Where they lie, in order.
        types: Their types.
        inputs: Slots of the inputs.
        steps: What makes them.
        targets: Slots of those that may lie in the memory of an input.
        writes: Positions of outputs and of the inputs that they replace.

    Attributes:
        exposed: Whether not all were written by kernels, so that some may have to be
            taken apart.
    """

    def __init__(
        self,
        slots: Sequence[int],
        types: Sequence[Type],
        inputs: Sequence[int],
        steps: Sequence[Step],
        targets: Collection[int],
        writes: Sequence[tuple[int, int]],
    ) -> None:
        self._slots, self._types, self._replaced = slots, types, dict(writes)
        self._fed = {slot: at for at, slot in reversed([*enumerate(inputs)])}
        outside = {*inputs, *targets}
        self._made = [row for row, slot in enumerate(slots) if slot not in outside]
        owners = {slot: row for row, slot in reversed([*enumerate(slots)])}
        owners |= {slots[row]: row for row, _ in writes}
        self._again = [row for row, slot in enumerate(slots) if owners[slot] != row]
        written = {s for step in steps if step.into for s in step.outputs}
        self.exposed = not written.issuperset(slots)

    def gathered(self, slots: Sequence[Any], frame: Frame) -> list[Any]:
        """The outputs of a run that left them in its slots.

        Those are copied that share memory which the next run writes to, or another.
        """
        found = [slots[i] for i in self._slots]
        for row in self._made:
            x = found[row]
            if isinstance(x, np.ndarray) and not owned(x):
                found[row] = frame.copied(row, x)
        return self._each_once(found, frame)

    def bound(
        self,
        binding: Binding,
        fresh: Mapping[int, Any],
        feeds: Sequence[Any],
        frame: Frame,
    ) -> list[Any]:
        """The outputs of a run of nothing but bound steps."""
        if not binding.results:
            binding.results = [
                (slot, *self._source(row, slot, binding, fresh, frame))
                for row, slot in enumerate(self._slots)
            ]
        found = list[Any]()
        for slot, at, take in binding.results:
            if take is not None:
                found.append(take())
            else:
                found.append(fresh[slot] if at is None else feeds[at])
        return self._each_once(found, frame) if self._again else found

    def _source(
        self,
        row: int,
        slot: int,
        binding: Binding,
        fresh: Mapping[int, Any],
        frame: Frame,
    ) -> tuple[int | None, Callable[[], Any] | None]:
        """Which input an output is, or what gives it; neither if its memory is new."""
        at = None if slot in fresh else self._fed.get(slot)
        if at is not None or slot in fresh:
            return at, None
        x = binding.slots[slot]
        if type(x) is not np.ndarray:
            return None, partial(_same, x)
        small = x.nbytes <= SMALL and not x.dtype.hasobject
        return None, x.copy if small else partial(frame.copied, row, x)

    def _each_once(self, found: list[Any], frame: Frame) -> list[Any]:
        for row in self._again:
            if isinstance(found[row], np.ndarray):
                found[row] = frame.copied(row, found[row])
        return found

    def part(self, found: list[Any], feeds: Sequence[Any], backend: Backend) -> None:
        """Copies outputs that share memory with inputs, constants or other outputs."""
        held, replaced = set(map(id, feeds)), self._replaced
        for i, x in enumerate(found):
            if not isinstance(x, np.ndarray):
                if backend.holds(self._types[i]):
                    found[i] = backend.copy(x)
            elif id(x) in held:
                if i not in replaced or x is not feeds[replaced[i]]:
                    found[i] = np.array(x, order="C")
            elif not owned(x) or not x.flags.writeable:
                found[i] = np.array(x, order="C")
            held.add(id(found[i]))


def _same(x: Any) -> Any:
    return x
