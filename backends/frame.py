"""Frames: memory of one run at a time, and steps bound to it.

What a step reads and writes lies in the arena, in constants or in the caller's inputs.
Where these stay from run to run, nothing is left to do for a step but to call its
kernel; so the views that kernels work on are made once, and again only when an input
lies elsewhere than in the last runs.
"""

import ctypes
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from graphwright.backends.arena import Layout, Step, aligned
from graphwright.backends.contract import Into
from graphwright.backends.lease import Lender

_MOST_BINDINGS = 4
_BYTE = ctypes.c_char

Call: TypeAlias = Callable[[], object]
Segment: TypeAlias = tuple[Sequence[Call], int | None]
"""Calls, and then the number of a step that has to be run with its operands."""


class Binding:
    """Steps bound to inputs at certain addresses.

    Attributes:
        slots: Constants and what lies in the arena or is a view of it; None for others.
        segments: The run.
    """

    __slots__ = ("calls", "segments", "slots", "views")

    def __init__(
        self, slots: list[Any], calls: list[Call | None], views: set[int]
    ) -> None:
        self.slots, self.calls, self.views = slots, calls, views
        self.segments: list[Segment] = []

    def divide(self) -> None:
        """Puts the calls between two steps that are not bound into one segment."""
        calls: list[Call] = []
        for number, call in enumerate(self.calls):
            if call is None:
                self.segments.append((calls, number))
                calls = []
            elif call is not _nothing:
                calls.append(call)
        self.segments.append((calls, None))


class Frame:
    """The arena of a run, and what is bound to it.

    Args:
        layout: Where results lie.
        constants: Slots and arrays that never change.
        inputs: Slots of the inputs.
        outputs: Slots of the results.

    Attributes:
        outliving: What results that outlive the run need, by slot.
    """

    def __init__(
        self,
        layout: Layout,
        constants: Sequence[tuple[int, Any]],
        inputs: Sequence[int],
        outputs: Sequence[int],
    ) -> None:
        buffer = aligned(layout.size)
        self._layout, self._outputs = layout, outputs
        self._scratch = aligned(layout.scratch_bytes)
        self.places = [
            [None if b is None else b.view(buffer) for b in blocks]
            for blocks in layout.blocks
        ]
        slots: list[Any] = [None] * layout.count
        for slot, value in constants:
            slots[slot] = value
        self._stages: list[tuple[int, Any]] = []
        self._moving: list[tuple[int, int]] = []
        for position, slot in enumerate(inputs):
            if slot in layout.pinned:
                block = layout.pinned[slot]
                slots[slot] = block.view(aligned(block.nbytes))
                self._stages.append((position, slots[slot]))
            else:
                self._moving.append((position, slot))
        self.outliving = _fresh(layout)
        steps = range(len(layout.steps))
        self._fixed = Binding(slots, [None] * len(steps), set())
        self._bind(self._fixed, steps)
        self._rest = [i for i in steps if self._fixed.calls[i] is None]
        still = not (self._rest or self._moving or self.outliving)
        calls = self._fixed.calls
        self._direct = [c for c in calls if c is not None and c is not _nothing]
        results = [slots[slot] for slot in outputs]
        still = still and all(map(_is_host, results))
        self._results = results if still else None
        self._bindings: dict[Any, Binding] = {}
        self._unbound = Binding([None] * layout.count, [None] * len(steps), set())
        for slot, value in constants:
            self._unbound.slots[slot] = value
        self._unbound.divide()

    @property
    def slots(self) -> list[Any]:
        """Constants, and None for what a run makes."""
        return self._unbound.slots

    def run(self, feeds: Sequence[Any]) -> list[Any] | None:
        """The results in new memory, if small inputs are all that ever moves."""
        if self._results is None:
            return None
        for position, stage in self._stages:
            x = feeds[position]
            if x.shape != stage.shape or x.dtype is not stage.dtype:
                return None
            stage[...] = x
        for call in self._direct:
            call()
        return [np.array(x, order="C") for x in self._results]

    def fresh(self, feeds: Sequence[Any], lent: Collection[int]) -> dict[int, Any]:
        """Memory for the results that outlive the run, by slot.

        Args:
            feeds: The inputs.
            lent: Which of them may be written over.
        """
        found: dict[int, Any] = {}
        for slot, lender in self.outliving.items():
            source = self._layout.targets.get(slot)
            fits = source is not None and lender.fits(feeds[source])
            if source is not None and fits and source in lent:
                found[slot] = feeds[source]
            else:
                found[slot] = lender.lend()
        return found

    def binding(self, feeds: Sequence[Any], fresh: Mapping[int, Any]) -> Binding:
        """What is bound to these inputs and results; small inputs are copied in."""
        for position, stage in self._stages:
            x = feeds[position]
            if x.shape != stage.shape or x.dtype != stage.dtype:
                return self._unbound
            stage[...] = x
        moving = {slot: feeds[position] for position, slot in self._moving}
        moving.update(fresh)
        key = tuple([_address(x) for x in moving.values()])
        found = self._bindings.get(key)
        if found is None:
            if len(self._bindings) >= _MOST_BINDINGS:
                self._bindings.pop(next(iter(self._bindings)))
            found = self._bindings[key] = self.bound(moving)
        return found

    def bound(self, moving: Mapping[int, Any]) -> Binding:
        """What is bound to inputs and results that outlive the run, by slot."""
        fixed = self._fixed
        found = Binding(list(fixed.slots), list(fixed.calls), set())
        for slot, array in moving.items():
            found.slots[slot] = _stand_in(array)
            if slot not in self.outliving and found.slots[slot] is not None:
                found.slots[slot].flags.writeable = False
        self._bind(found, self._rest)
        self._release(found, moving)
        found.divide()
        return found

    def _release(self, found: Binding, moving: Iterable[int]) -> None:
        """Lets the run make those views of what moves that it hands on itself.

        Bound ones do not keep the caller's memory alive.
        """
        for slot in moving:
            found.slots[slot] = None
        steps, wanted = self._layout.steps, set(self._outputs)
        for number in reversed(range(len(steps))):
            if number in found.views and wanted.intersection(steps[number].outputs):
                found.calls[number] = None
            if found.calls[number] is None:
                wanted.update(steps[number].inputs)
        for number in found.views:
            for slot in steps[number].outputs:
                found.slots[slot] = None

    def _bind(self, found: Binding, numbers: Iterable[int]) -> None:
        for number in numbers:
            step = self._layout.steps[number]
            operands = [found.slots[s] for s in step.inputs]
            found.calls[number] = self._call(found, number, step, operands)

    def _call(
        self, found: Binding, number: int, step: Step, operands: list[Any]
    ) -> Call | None:
        kernel = step.into
        unread = () if kernel is None else kernel.unread
        fixed = all(x is not None or i in unread for i, x in enumerate(operands))
        if kernel is None:
            return (
                _view(found, number, step, operands) if fixed and step.views else None
            )
        places: list[Any] = []
        for slot, place in zip(step.outputs, self.places[number], strict=True):
            places.append(found.slots[slot] if place is None else place)
            found.slots[slot] = places[-1]
        if not fixed or any(place is None for place in places):
            return None
        if kernel.bind is None:
            return partial(kernel.run, *places, *operands)
        if not _contiguous(operands, kernel):
            return None
        return kernel.bind(self._scratch, *places, *operands)


def _fresh(layout: Layout) -> dict[int, Lender]:
    """Memory of results of kernels that have no place in the arena, by slot."""
    found: dict[int, Lender] = {}
    for step, blocks in zip(layout.steps, layout.blocks, strict=True):
        if step.into is not None:
            rows = zip(step.outputs, blocks, step.into.places, strict=True)
            found.update({s: Lender(p) for s, block, p in rows if block is None})
    return found


def _view(found: Binding, number: int, step: Step, operands: list[Any]) -> Call | None:
    """Nothing is left to do for a view of what does not move."""
    (array,) = step.run(operands, {}, None)
    if not (isinstance(array, np.ndarray) and isinstance(operands[0], np.ndarray)):
        return None  # an array of another kind, or fetched from a device
    if not np.may_share_memory(array, operands[0]):
        return None
    found.slots[step.outputs[0]] = array
    found.views.add(number)
    return _nothing


def _nothing() -> None:
    pass


def _contiguous(operands: Sequence[Any], kernel: Into) -> bool:
    rest = [x for i, x in enumerate(operands) if i not in kernel.strided]
    return all(x is None or x.flags.c_contiguous for x in rest)


def _is_host(x: Any) -> bool:
    return type(x) is np.ndarray and not x.dtype.hasobject


def _address(x: Any) -> Any:
    if not _is_host(x):
        return None
    try:  # four times as fast as what works for all
        return ctypes.addressof(_BYTE.from_buffer(x)), x.strides
    except (TypeError, ValueError):  # read-only, not contiguous, or empty
        return x.__array_interface__["data"][0], x.strides


def _stand_in(x: Any) -> Any:
    """The same array, but it does not keep the memory alive; None for other things.

    It may be used while the caller holds an array at that address.
    """
    if not _is_host(x):
        return None
    low, high = np.lib.array_utils.byte_bounds(x)
    if low == high:
        return None
    memory: Any = (ctypes.c_char * (high - low)).from_address(low)
    offset = x.__array_interface__["data"][0] - low
    return np.ndarray(x.shape, x.dtype, memory, offset, x.strides)
