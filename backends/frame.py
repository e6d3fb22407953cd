"""Frames: memory of one run at a time, and steps bound to it.

What a step reads and writes lies in the arena, in constants or in the caller's inputs.
Where these stay from run to run, nothing is left to do for a step but to call its
kernel; so the views that kernels work on are made once, and again only when an input
lies elsewhere than in the last runs.
"""

import ctypes
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextvars import Context
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from graphwright.backends.arena import SMALL, Layout, Step, aligned
from graphwright.backends.contract import Into, Place
from graphwright.backends.lease import Lender
from graphwright.backends.settings import settle

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
        whole: The calls that are all of it, if there is no step left.
        results: Of each output of a whole run its slot, the position of the input that
            it is, and what gives it; neither of these where its memory is new.
    """

    __slots__ = ("calls", "results", "segments", "slots", "views", "whole")

    def __init__(
        self, slots: list[Any], calls: list[Call | None], views: set[int]
    ) -> None:
        self.slots, self.calls, self.views = slots, calls, views
        self.segments: list[Segment] = []
        self.whole: Sequence[Call] | None = None
        self.results: list[tuple[int, int | None, Callable[[], Any] | None]] = []

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
        self.whole = calls if len(self.segments) == 1 else None


class Frame:
    """The arena of a run, and what is bound to it.

    Args:
        layout: Where results lie.
        constants: Slots and arrays that never change.
        inputs: Slots of the inputs.
        outputs: Slots of the results.

    Attributes:
        outliving: What results that outlive the run need, by slot.
        run: Calls in turn what is bound. Floating-point errors are no news there:
            ``np.errstate`` would see to that too, in ten times the time.
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
        self._stages: list[tuple[int, Any, Any, Any]] = []
        self._moving: list[tuple[int, int]] = []
        for position, slot in enumerate(inputs):
            if slot in layout.pinned:
                block = layout.pinned[slot]
                stage = slots[slot] = block.view(aligned(block.nbytes))
                self._stages.append((position, stage, stage.shape, stage.dtype))
            else:
                self._moving.append((position, slot))
        self.outliving = _lenders(layout)
        steps = range(len(layout.steps))
        self._fixed = Binding(slots, [None] * len(steps), set())
        self._bind(self._fixed, steps)
        self._rest = [i for i in steps if self._fixed.calls[i] is None]
        self._copies: dict[int, Lender] = {}
        context = Context()
        context.run(settle)
        inside: Any = context.run
        self.run: Callable[[Sequence[Call]], None] = partial(inside, _in_turn)
        self._bindings: dict[Any, Binding] = {}
        self._unbound = Binding([None] * layout.count, [None] * len(steps), set())
        for slot, value in constants:
            self._unbound.slots[slot] = value
        self._unbound.divide()

    @property
    def slots(self) -> list[Any]:
        """Constants, and None for what a run makes."""
        return self._unbound.slots

    def bind(
        self, feeds: Sequence[Any], lent: Collection[int]
    ) -> tuple[Binding, dict[int, Any]]:
        """What is bound to these inputs, and memory of results that outlive the run.

        Args:
            feeds: The inputs; small ones are copied in.
            lent: Which of them may be written over.
        """
        for position, stage, shape, dtype in self._stages:
            x = feeds[position]
            if x.shape != shape or (x.dtype is not dtype and x.dtype != dtype):
                return self._unbound, self._fresh(feeds, lent, [])
            stage[...] = x
        key: list[Any] = []
        for position, _ in self._moving:
            key.append(address(feeds[position]))
        fresh = self._fresh(feeds, lent, key) if self.outliving else {}
        where = tuple(key)
        found = self._bindings.get(where)
        if found is None:
            if len(self._bindings) >= _MOST_BINDINGS:
                self._bindings.pop(next(iter(self._bindings)))
            moving = {slot: feeds[position] for position, slot in self._moving}
            found = self._bindings[where] = self.bound({**moving, **fresh})
        return found, fresh

    def _fresh(
        self, feeds: Sequence[Any], lent: Collection[int], key: list[Any]
    ) -> dict[int, Any]:
        """Memory for results by slot; its addresses are added to the key."""
        found: dict[int, Any] = {}
        targets = self._layout.targets
        for slot, lender in self.outliving.items():
            source = targets.get(slot) if lent else None
            if source is not None and source in lent and lender.fits(feeds[source]):
                found[slot] = feeds[source]
                key.append(address(feeds[source]))
            else:
                memory: Any = lender.lend()
                found[slot] = memory
                key.append(memory.base.address)
        return found

    def copied(self, row: int, x: Any) -> Any:
        """A result of the run in memory of its own; of large ones it comes back."""
        if x.nbytes <= SMALL or x.dtype.hasobject:
            return np.array(x, order="C")
        lender = self._copies.get(row)
        if lender is None or lender.place.shape != x.shape:
            lender = self._copies[row] = Lender(Place(x.shape, x.dtype))
        copy = lender.lend()
        copy[...] = x
        return copy

    def bound(self, moving: Mapping[int, Any]) -> Binding:
        """What is bound to inputs and results that outlive the run, by slot."""
        fixed = self._fixed
        found = Binding(list(fixed.slots), list(fixed.calls), set())
        for slot, array in moving.items():
            found.slots[slot] = stand_in(array)
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
        if not contiguous(operands, kernel):
            return None
        return kernel.bind(self._scratch, *places, *operands)


def _lenders(layout: Layout) -> dict[int, Lender]:
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


def _in_turn(calls: Sequence[Call]) -> None:
    for call in calls:
        call()


def contiguous(operands: Sequence[Any], kernel: Into) -> bool:
    """Whether ``bind`` takes operands as they are."""
    rest = [x for i, x in enumerate(operands) if i not in kernel.strided]
    return all(x is None or x.flags.c_contiguous for x in rest)


def _is_host(x: Any) -> bool:
    return type(x) is np.ndarray and not x.dtype.hasobject


def address(x: Any) -> Any:
    """Where an array of the host lies, and by which steps if it is not contiguous."""
    try:  # four times as fast as what works for all
        return ctypes.addressof(_BYTE.from_buffer(x))
    except (TypeError, ValueError, BufferError):  # read-only, empty, bfloat16
        where = x.__array_interface__["data"][0] if _is_host(x) else None
        return None if where is None else (where, x.strides)


def stand_in(x: Any) -> Any:
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
