"""Writing to a strided window: what assignment to a slice means."""

from collections.abc import Sequence
from typing import Any

from graphwright.ir.dim import Dim, product
from graphwright.ir.dtype import int64
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.op import Cotangents, Op, Rows, Tier
from graphwright.ir.ops.movement import Slice
from graphwright.ir.rules import need, ranked, same_dtype, small_size, typed
from graphwright.ir.types import Contents, TensorType


class UpdateSlice(Op):
    """``x`` with ``y`` written to the window that ``slice`` would read.

    From each axis the window takes elements ``start, start + step, ...``, as many as
    ``y`` has.
    """

    name = "update_slice"
    tier = Tier.COMPOSITE
    start: tuple[Dim, ...]
    step: tuple[Dim, ...]

    def result_type(self, x: TensorType, y: TensorType) -> TensorType:
        ranked(self.name, x, y)
        same_dtype(self.name, x, y)
        need(x.rank == y.rank, "{} of {} into {}", self.name, y, x)
        self.window(y.dims).result_type(x)
        return typed(x.dtype, x.dims, self._contents(x, y))

    def window(self, size: tuple[Dim, ...]) -> Slice:
        """What reads a part of that size back."""
        return Slice(start=self.start, size=size, step=self.step)

    def _contents(self, x: TensorType, y: TensorType) -> Contents | None:
        size = small_size(y.dims)
        if x.contents is None or x.rank != 1 or size is None:
            return None
        (start,), (step,) = self.start, self.step
        if not isinstance(start, int) or not isinstance(step, int):
            return None
        found = list(x.contents)
        for i, item in enumerate(y.contents or (None,) * size):
            found[start + i * step] = item
        return tuple(found)

    def compute(self, xp: Any, x: Any, y: Any) -> Any:
        out = x.copy()
        window = self.window(y.shape).compute(xp, out) if y.ndim else out
        window[...] = y
        return out

    def decompose(self, b: Emitter, *operands: Value) -> Value:
        x, y = operands
        if all(s == 1 for s in self.step):
            at = [b.dim_scalar(s, int64) for s in self.start]
            return b.emit("dynamic_update_slice", x, y, *at)
        flat: Value = b.full(y.shape, 0, int64)
        stride: Dim = 1
        for i in reversed(range(x.rank)):
            place = b.mul(b.iota(y.shape, i, int64), b.dim_scalar(self.step[i], int64))
            place = b.add(place, b.dim_scalar(self.start[i], int64))
            flat = b.add(flat, b.mul(place, b.dim_scalar(stride, int64)))
            stride = stride * x.shape[i]
        line = b.reshape(x, (product(x.shape),))
        at_line = b.reshape(flat, (product(y.shape),))
        written = b.scatter(line, at_line, b.reshape(y, (product(y.shape),)), 0)
        return b.reshape(written, x.shape)

    def flops(self, operands: Any, results: Any) -> Dim:
        return 0

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        y, (ct,) = operands[1], cotangents
        hole = b.emit(self.name, ct, b.zeros_like(y), start=self.start, step=self.step)
        return hole, b.slice(ct, self.start, y.shape, self.step)

    def batch(self, b: Emitter, operands: Any, rows: Rows) -> Sequence[Value] | None:
        start, step = (0, *self.start), (1, *self.step)
        return self.again(b, rows.spread(b, operands), start=start, step=step)
