"""The discrete Fourier transform."""

from collections.abc import Sequence
from typing import Any, ClassVar

from graphwright.ir.dim import Dim, evaluate, floordiv
from graphwright.ir.dtype import DTYPES, int64
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.op import Cotangents, Op, Rows, Trait
from graphwright.ir.rules import check_axes, need, need_kind, ranked
from graphwright.ir.types import TensorType, require

_KINDS = ("fft", "ifft", "rfft", "irfft")


class Fft(Op):
    """Discrete Fourier transform over one axis.

    Kinds: ``fft``, ``ifft`` (divided by n) on complex; ``rfft`` from real to the first
    ``n // 2 + 1`` terms; ``irfft`` back to a real axis of ``n``. The operand is cut or
    zero-padded to ``n`` terms (``irfft``: ``n // 2 + 1``) first.
    """

    name = "fft"
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.REDUCTION})
    kind: str
    axis: int
    n: Dim

    def result_type(self, x: TensorType) -> TensorType:
        ranked("fft", x)
        check_axes("fft", [self.axis], x.rank)
        need(self.kind in _KINDS, f"fft has no kind {self.kind}")
        need(not isinstance(self.n, int) or self.n > 0, f"fft over {self.n} terms")
        require(1, "<=", self.n)
        need_kind(f"fft {self.kind}", x, "f" if self.kind == "rfft" else "c")
        shape = list(x.dims)
        shape[self.axis] = self._terms() if self.kind == "rfft" else self.n
        bits = x.dtype.bits
        if self.kind == "rfft":
            return TensorType(DTYPES[f"complex{2 * max(bits, 32)}"], tuple(shape))
        real = DTYPES[f"float{bits // 2}"]
        return TensorType(real if self.kind == "irfft" else x.dtype, tuple(shape))

    def _terms(self) -> Dim:
        return floordiv(self.n, 2) + 1

    def compute(self, xp: Any, x: Any) -> Any:
        n = evaluate(self.n, {})
        need(n > 0, f"fft over {n} terms")
        y = getattr(xp.fft, self.kind)(x, n=n, axis=self.axis)
        single = x.dtype.itemsize <= (8 if x.dtype.kind == "c" else 4)
        if self.kind == "irfft":
            return y.astype(xp.float32 if single else xp.float64, copy=False)
        return y.astype(xp.complex64 if single else xp.complex128, copy=False)

    def sizes_of_terms(self, xp: Any, x: Any) -> Any:
        """All weights have size 1, but for the division by n."""
        n = evaluate(self.n, {})
        used = evaluate(self._terms(), {}) if self.kind == "irfft" else n
        total = xp.moveaxis(xp.moveaxis(x, self.axis, 0)[:used], 0, self.axis)
        total = xp.sum(total, axis=self.axis, keepdims=True)
        if self.kind in ("ifft", "irfft"):
            total = total * ((2.0 if self.kind == "irfft" else 1.0) / n)
        shape = list(x.shape)
        shape[self.axis] = evaluate(self._terms(), {}) if self.kind == "rfft" else n
        return xp.broadcast_to(total, tuple(shape))

    def vjp(
        self, b: Emitter, operands: Any, results: Any, cotangents: Any
    ) -> Cotangents:
        (x,), (ct,) = operands, cotangents
        if self.kind == "irfft":
            grown = self._irfft_vjp(b, ct)
        elif self.kind == "rfft":
            whole = _resized(b, ct, self.axis, self.n)
            grown = b.emit("fft", whole, kind="fft", axis=self.axis, n=self.n)
            grown = b.emit("complex_part", grown, part="real")
        else:
            grown = b.emit("fft", ct, kind=self.kind, axis=self.axis, n=self.n)
        return (b.cast(_resized(b, grown, self.axis, x.shape[self.axis]), x.dtype),)

    def batch(self, b: Emitter, operands: Any, rows: Rows) -> Sequence[Value] | None:
        return self.again(b, operands, axis=self.axis + 1)

    def _irfft_vjp(self, b: Emitter, ct: Value) -> Value:
        """Conjugate terms over n; those with a mirror image count twice."""
        terms = b.emit("fft", ct, kind="rfft", axis=self.axis, n=self.n)
        k = b.iota((self._terms(),), 0, int64)
        n = b.dim_scalar(self.n, int64)
        alone = b.or_(b.eq(k, 0), b.eq(b.mul(k, 2), n))
        weight = b.div(b.where(alone, b.scalar(1, ct.dtype), 2), b.cast(n, ct.dtype))
        column = [1] * ct.rank
        weight = b.reshape(
            weight, [*column[: self.axis], self._terms(), *column[self.axis + 1 :]]
        )
        real, imag = (b.emit("complex_part", terms, part=p) for p in ("real", "imag"))
        return b.emit("complex", b.mul(real, weight), b.neg(b.mul(imag, weight)))


def _resized(b: Emitter, x: Value, axis: int, n: Dim) -> Value:
    """An axis cut or zero-padded at its end to ``n`` elements."""
    high: list[Dim] = [0] * x.rank
    high[axis] = n - x.shape[axis]
    return x if high[axis] == 0 else b.pad(x, [0] * x.rank, high)
