"""Constant tensors: in memory, mapped from a file, or computed when they are needed."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, TypeAlias

import numpy as np

from graphwright.ir.dtype import DType, dtype, string
from graphwright.ir.errors import ModelError
from graphwright.ir.types import MAX_CONTENTS, Contents, TensorType, plain_type

Handle: TypeAlias = tuple[str, int, int]
"""Where data lies: real path of a file, offset and length in bytes."""

_INLINE = 8
_SMALL = 1 << 16


class Constant:
    """An immutable tensor, equal to another by handle, else by digest.

    Attributes:
        dtype: Element type.
        shape: Sizes, all known.
        handle: Where the data lies in a file, if it does.
        source: The constant that it is computed from each time, if it is.
        growth: How many times as large as that its elements are at most, if known.
        factors: What its elements are products of, if that is known.
        held_in: A dtype of which all its elements are, narrower if that is known.
    """

    __slots__ = (
        "_array",
        "_digest",
        "_keep",
        "_load",
        "dtype",
        "factors",
        "growth",
        "handle",
        "held_in",
        "shape",
        "source",
    )

    def __init__(
        self,
        dtype: DType,
        shape: tuple[int, ...],
        array: "np.ndarray[Any, Any] | None" = None,
        load: "Callable[[], np.ndarray[Any, Any]] | None" = None,
        handle: Handle | None = None,
        digest: str | None = None,
    ) -> None:
        self.dtype, self.shape, self.handle = dtype, shape, handle
        self._array, self._load, self._digest = array, load, digest
        self._keep, self.held_in = True, dtype
        self.source: Constant | None = None
        self.growth: float | None = None
        self.factors: Factors | None = None

    @classmethod
    def of(cls, value: Any, type_: DType | None = None) -> "Constant":
        """A constant of an array-like value, which must not be written to later."""
        array = np.asarray(value) if type_ is None else np.asarray(value, type_.numpy)
        found = type_ or dtype(array.dtype)
        if array.dtype != found.numpy:
            array = array.astype(found.numpy)
        if array.flags.writeable:
            array = array.view()
            array.flags.writeable = False
        return cls(found, array.shape, array)

    @classmethod
    def mapped(
        cls,
        dtype: DType,
        shape: tuple[int, ...],
        load: "Callable[[], np.ndarray[Any, Any]]",
        handle: Handle,
    ) -> "Constant":
        """A constant whose data ``load`` maps when it is first read."""
        return cls(dtype, shape, None, load, handle)

    @classmethod
    def derived(
        cls,
        dtype: DType,
        shape: tuple[int, ...],
        compute: "Callable[[], np.ndarray[Any, Any]]",
        source: "Constant | None" = None,
        factors: "Factors | None" = None,
        growth: float | None = None,
        held_in: DType | None = None,
    ) -> "Constant":
        """A constant that is computed each time its data is read: it keeps none."""
        found = cls(dtype, shape, None, compute)
        found._keep, found.source, found.growth = False, source, growth
        found.factors, found.held_in = factors, held_in or dtype
        return found

    def scaled_from(self) -> "tuple[Constant, float]":
        """The constant that it is a multiple of, and by how much at most.

        Itself and 1, if it is none: so its size is known without computing it.
        """
        if self.source is None or self.growth is None:
            return self, 1.0
        root, growth = self.source.scaled_from()
        return root, growth * self.growth

    @property
    def is_held(self) -> bool:
        """Whether its data is somewhere; else it is computed each time it is read."""
        return self._keep

    @property
    def size(self) -> int:
        """Number of elements."""
        n = 1
        for dim in self.shape:
            n *= dim
        return n

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return self.size * self.dtype.itemsize

    def uniform(self) -> "Constant | None":
        """The one element that it repeats, bit by bit, if it does and is small."""
        if not 0 < self.nbytes <= _SMALL or self.dtype is string:
            return None
        flat = np.ascontiguousarray(self.array()).reshape(-1)
        rows = flat.view(np.uint8).reshape(self.size, -1)
        return Constant.of(flat[0], self.dtype) if (rows == rows[0]).all() else None

    def array(self) -> "np.ndarray[Any, Any]":
        """The data, read-only.

        Raises:
            ModelError: If only a digest is known (a graph parsed from text).
        """
        if self._array is None:
            if self._load is None:
                raise ModelError(
                    f"constant {self.digest} has no data: graphs parsed from text take"
                    " theirs from parse(text, constants=[...])"
                )
            array = self._load()
            if not self._keep:
                array.flags.writeable = False
                return array
            self._array = array
        return self._array

    @property
    def digest(self) -> str:
        """32 hexadecimal digits of the data's BLAKE2b hash, type and shape included."""
        if self._digest is None:
            hasher = blake2b(f"{self.dtype.name}{self.shape}".encode(), digest_size=16)
            array = self.array()
            if self.dtype is string:
                for item in array.ravel().tolist():
                    text = str(item).encode("utf-8", "surrogateescape")
                    hasher.update(len(text).to_bytes(8, "little") + text)
            else:
                flat = np.ascontiguousarray(array).reshape(-1)
                hasher.update(flat.view(np.uint8).data)
            self._digest = hasher.hexdigest()
        return self._digest

    @property
    def inline(self) -> bool:
        """Whether it is so small that text shows its elements.

        It is where the type shows the contents, so that text suffices to read it.
        """
        return self.dtype is not string and (
            self.size <= _INLINE or self._has_contents()
        )

    def _has_contents(self) -> bool:
        dtype = self.dtype
        return dtype.kind in "iub" and dtype.bits >= 8 and self.size <= MAX_CONTENTS

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Constant):
            return NotImplemented
        if self.dtype is not other.dtype or self.shape != other.shape:
            return False
        same = self.handle is not None and self.handle == other.handle
        return same or self.digest == other.digest

    def __hash__(self) -> int:
        return hash((self.dtype.name, self.shape))

    def __repr__(self) -> str:
        return f"Constant({self.type})"

    @property
    def type(self) -> TensorType:
        """Its type, with contents where it is a small integer or boolean tensor."""
        contents = self._contents()
        if contents is None:
            return plain_type(self.dtype, self.shape)
        return TensorType(self.dtype, self.shape, contents)

    def _contents(self) -> Contents | None:
        if not self._has_contents():
            return None
        flat: list[int] = self.array().ravel().tolist()
        return tuple(map(int, flat))


@dataclass(frozen=True, eq=False, slots=True, weakref_slot=True)
class Factors:
    """Two constants of one shape, whose product another one is.

    Attributes:
        codes: As a rule integers of few bits, whatever their dtype.
        scales: As a rule the same ones for whole blocks.
    """

    codes: Constant
    scales: Constant
