"""Constants as kernels read them, packed by threads while other things are done."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any, TypeAlias
from weakref import WeakValueDictionary

from graphwright.backends.codegen.elements import Array
from graphwright.backends.codegen.kernels.table import Pack, Packed
from graphwright.backends.mapped import forget, release
from graphwright.backends.opencl.library import Session
from graphwright.ir.constant import Constant

_Key: TypeAlias = tuple[int, str]
"""A constant and a packing of it."""


@dataclass(eq=False, slots=True, weakref_slot=True)
class Resident:
    """A constant as kernels read it; it lives as long as a plan holds it.

    Attributes:
        constant: The constant.
        packing: What makes this and other arrays of it.
        number: Which of these it is.
    """

    constant: Constant
    packing: Future[Sequence[Any]]
    number: int
    _buffer: Any = None

    @property
    def array(self) -> Any:
        """Its elements, in the order in which they are read."""
        return self.packing.result()[self.number]

    def buffer(self, session: Session) -> Any:
        """Its buffer on a device, made when it is first asked for."""
        if self._buffer is None:
            self._buffer = session.buffer(self.array)
        return self._buffer


class Residents:
    """Packed constants, each one for all plans that hold it."""

    def __init__(self) -> None:
        self._known: WeakValueDictionary[_Key, Resident] = WeakValueDictionary()

    def of(
        self, wanted: Mapping[Array, Packed], pool: Executor
    ) -> dict[Array, Resident]:
        """What is wanted, on its way; each constant is read once for all packings."""
        groups = dict[int, list[Packed]]()
        for packed in wanted.values():
            groups.setdefault(id(packed.constant), []).append(packed)
        held = dict[_Key, Resident]()
        largest_first = sorted(groups.values(), key=lambda x: -x[0].constant.size)
        for group in largest_first:  # so that all threads end at about the same time
            held |= self._packed(group, pool)
        return {array: held[_key(x)] for array, x in wanted.items()}

    def _packed(self, group: Sequence[Packed], pool: Executor) -> dict[_Key, Resident]:
        """A constant packed in some ways."""
        once = {_key(x): x for x in group}
        known = ((key, self._known.get(key)) for key in once)
        held = {key: x for key, x in known if x is not None}
        new = {key: x for key, x in once.items() if key not in held}
        if not new:
            return held
        constant = group[0].constant
        packing = pool.submit(_packings, constant, [x.pack for x in new.values()])
        made = {key: Resident(constant, packing, i) for i, key in enumerate(new)}
        self._known.update(made)
        return held | made


def _key(packed: Packed) -> _Key:
    return id(packed.constant), packed.name


def _packings(constant: Constant, packs: Sequence[Pack]) -> Sequence[Any]:
    array = constant.array()
    found = [pack(array) for pack in packs]
    release(array)  # what is read as it lies is read from the file again
    forget(constant)
    return found
