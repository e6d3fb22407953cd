"""Places in sorted vectors."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from graphwright.ir.dim import Dim
from graphwright.ir.dtype import int64
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import UnsupportedOpError
from graphwright.ir.op import Cotangents, Op, Rows, Tier
from graphwright.ir.rules import need, ranked, same_dtype
from graphwright.ir.types import TensorType


class SearchSorted(Op):
    """How many elements of an ascending vector lie before each value (int64).

    Equal elements lie before it with ``right`` only; NaN counts as largest.
    """

    name = "search_sorted"
    tier: ClassVar[Tier] = Tier.COMPOSITE
    right: bool = False

    def result_type(self, line: TensorType, values: TensorType) -> TensorType:
        ranked(self.name, line, values)
        same_dtype(self.name, line, values)
        need(line.rank == 1, f"{self.name} takes a sorted vector, got {line}")
        return TensorType(int64, values.shape)

    def compute(self, xp: Any, line: Any, values: Any) -> Any:
        side = "right" if self.right else "left"
        return xp.asarray(xp.searchsorted(line, values, side)).astype(np.int64)

    def decompose(self, b: Emitter, *operands: Value) -> Value:
        """Halves the range that may hold the place, once for each bit of the size."""
        line, values = operands
        if line.dtype.kind not in "biuf":
            raise UnsupportedOpError(f"{self.name} of {line.dtype} has no comparisons")
        n = line.shape[0]
        if isinstance(n, int) and n == 0:
            return b.full(values.shape, 0, int64)
        low = b.full(values.shape, 0, int64)
        high = b.broadcast_to(b.dim_scalar(n, int64), values.shape)
        last: Dim = n - 1
        if not isinstance(n, int):  # it may be empty, and the walk reads all the same
            line, last = b.pad(line, [0], [1]), n
        for _ in range(_halvings(n)):
            middle = b.div(b.add(low, high), 2)
            inside = b.min(middle, b.dim_scalar(last, int64))
            before = self._before(b, b.gather(line, inside, 0), values)
            going = b.lt(low, high)
            low = b.where(b.and_(going, before), b.add(middle, 1), low)
            high = b.where(b.and_(going, b.not_(before)), middle, high)
        return low

    def _before(self, b: Emitter, element: Value, value: Value) -> Value:
        first, second = (value, element) if self.right else (element, value)
        less = b.lt(first, second)
        if element.dtype.is_float:
            nan = b.and_(b.is_nan(second), b.not_(b.is_nan(first)))
            less = b.or_(less, nan)
        return b.not_(less) if self.right else less

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        return None, None

    def batch(self, b: Emitter, operands: Any, rows: Rows) -> Sequence[Value] | None:
        return None if rows.mapped[0] else self.again(b, operands)


def _halvings(n: Dim) -> int:
    return n.bit_length() if isinstance(n, int) else 48
