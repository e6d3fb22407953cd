"""What graph-building code may say: one method per common operation.

Decompositions, gradients, frontends and passes receive an ``Emitter``; the op families
they speak of are found by name, so that no family imports another.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from graphwright.ir.constant import Constant
from graphwright.ir.dim import Dim, broadcast_dim, ceildiv, product
from graphwright.ir.dtype import DType, bool_, int64
from graphwright.ir.errors import ShapeError, UnsupportedOpError
from graphwright.ir.types import TensorType, Type


class Value:
    """An opaque handle of a value in a graph; it knows its type, not its producer."""

    __slots__ = ("type",)

    def __init__(self, type_: Type) -> None:
        self.type = type_

    def __repr__(self) -> str:
        return f"<value {self.type}>"

    @property
    def tensor(self) -> TensorType:
        """The type of a tensor value."""
        assert isinstance(self.type, TensorType), f"{self.type} is not a tensor"
        return self.type

    @property
    def dtype(self) -> DType:
        """Element type of a tensor value."""
        type_ = self.type
        return type_.dtype if type(type_) is TensorType else self.tensor.dtype

    @property
    def shape(self) -> tuple[Dim, ...]:
        """Shape of a ranked tensor value."""
        type_ = self.type
        if type(type_) is TensorType and type_.shape is not None:
            return type_.shape
        return self.tensor.dims

    @property
    def rank(self) -> int:
        """Number of axes of a ranked tensor value."""
        return len(self.shape)


Operand: TypeAlias = Value | float | int | bool


def broadcast_shape(*shapes: Sequence[Dim]) -> tuple[Dim, ...]:
    """NumPy's broadcasting of shapes, symbolically.

    Raises:
        ShapeError: If two sizes are different and neither is 1.
    """
    wide = [shape for shape in shapes if shape]
    if len(wide) == 1:
        return tuple(wide[0])
    rank = max(map(len, shapes), default=0)
    dims: list[Dim] = [1] * rank
    for shape in shapes:
        for i, dim in enumerate(shape, rank - len(shape)):
            dims[i] = broadcast_dim(dims[i], dim)
    return tuple(dims)


class Emitter(ABC):
    """Adds operations to a graph under construction.

    Elementwise methods broadcast as NumPy does, with explicit ``broadcast_to`` nodes;
    Python numbers become constants of the other operand's dtype. Dtypes are never
    promoted.
    """

    @abstractmethod
    def emit_all(self, name: str, *operands: Value, **fields: Any) -> tuple[Value, ...]:
        """Adds the op called ``name`` and returns all its results."""

    @abstractmethod
    def constant_of(self, constant: Constant) -> Value:
        """A value that stands for a constant."""

    @abstractmethod
    def known(self, value: Value) -> Constant | None:
        """The constant that a value stands for, or None."""

    def producer(self, value: Value) -> Any:
        """The node of this graph that makes a value, or None."""
        return None

    @abstractmethod
    def fresh_symbol(self, minimum: int | None = 0) -> Dim:
        """A symbol that no other dim of this graph uses."""

    source: Any
    """Where what is added next comes from: a ``Source``, or None."""

    last_token: Value | None = None
    """What orders the next effect after those before it."""

    def effect(self, name: str, *operands: Value, **fields: Any) -> tuple[Value, ...]:
        """Adds an op that reads or writes state, after all such ops of this graph.

        Returns its results, the token left out.
        """
        token = self.emit("token") if self.last_token is None else self.last_token
        *results, self.last_token = self.emit_all(name, token, *operands, **fields)
        return tuple(results)

    def variable(self, name: str, initial: Constant) -> None:
        """Declares a variable, unless it is declared, with its first value."""
        raise UnsupportedOpError(
            f"variable {name!r}: this graph takes no new variables"
        )

    def subgraph(self, name: str) -> Any:
        """A builder of a sub-graph for control flow.

        Raises:
            UnsupportedOpError: If this emitter cannot hold sub-graphs.
        """
        raise UnsupportedOpError(f"sub-graph {name!r} cannot be built here")

    def emit(self, name: str, *operands: Value, **fields: Any) -> Value:
        """Adds the op called ``name``, which has one result, and returns it."""
        (result,) = self.emit_all(name, *operands, **fields)
        return result

    # Constants and dims ---------------------------------------------------------

    def constant(self, value: Any, dtype: DType | None = None) -> Value:
        """A constant of an array-like."""
        return self.constant_of(Constant.of(value, dtype))

    def scalar(self, value: float | int | bool, dtype: DType) -> Value:
        """A 0-d constant; wraps around where the dtype is unsigned and value is < 0."""
        if dtype.is_int:
            array = np.asarray(int(value)).astype(dtype.numpy)
            return self.constant_of(Constant.of(array, dtype))
        return self.constant_of(Constant.of(value, dtype))

    def full(
        self, shape: Sequence[Dim], value: float | int | bool, dtype: DType
    ) -> Value:
        """A tensor of one repeated element."""
        return self.broadcast_to(self.scalar(value, dtype), shape)

    def zeros_like(self, x: Value) -> Value:
        """Zeros of the shape and dtype of ``x``."""
        return self.full(x.shape, 0, x.dtype)

    def size_of(self, *dims: Dim) -> Value:
        """int64 vector of the values of dims."""
        if all(isinstance(d, int) for d in dims):
            return self.constant(np.array(dims, np.int64))
        return self.emit("size_of", dims=dims)

    def bind_dims(self, x: Value, minimum: int | None = 0) -> tuple[Dim, ...]:
        """The elements of an integer vector as dims: known ones, else fresh symbols.

        ``minimum`` is the least value they can have, None where unbounded.
        """
        contents = x.tensor.contents
        if contents is not None and None not in contents:
            return tuple(c for c in contents if c is not None)
        (n,) = x.shape
        if not isinstance(n, int):
            raise ShapeError("dims can only be bound from a vector of known length")
        symbols = tuple(self.fresh_symbol(minimum) for _ in range(n))
        self.emit_all("bind_dims", x, dims=symbols)
        known = contents or (None,) * n
        return tuple(s if c is None else c for s, c in zip(symbols, known, strict=True))

    def iota(self, shape: Sequence[Dim], axis: int, dtype: DType) -> Value:
        """0, 1, 2, ... along ``axis``."""
        return self.emit("iota", shape=tuple(shape), axis=axis, dtype=dtype)

    # Elementwise ------------------------------------------------------------------

    def align(self, *operands: Operand) -> list[Value]:
        """Operands as values broadcast to one shape."""
        like = next((x for x in operands if isinstance(x, Value)), None)
        assert like is not None, "an operation needs at least one value"
        values = [
            x if isinstance(x, Value) else self.scalar(x, like.dtype) for x in operands
        ]
        shapes = [v.shape for v in values]
        if shapes.count(shapes[0]) == len(shapes):
            return values
        if shapes[-1] == () and len(shapes) == 2:
            return [values[0], self.broadcast_to(values[1], shapes[0])]
        joined = broadcast_shape(*shapes)
        shape = next((s for s in shapes if s == joined), joined)
        return [v if v.shape is shape else self.broadcast_to(v, shape) for v in values]

    def _binary(self, name: str, x: Operand, y: Operand) -> Value:
        return self.emit(name, *self.align(x, y))

    def add(self, x: Operand, y: Operand) -> Value:
        """``x + y``; integers wrap around."""
        return self._binary("add", x, y)

    def sub(self, x: Operand, y: Operand) -> Value:
        """``x - y``."""
        return self._binary("sub", x, y)

    def mul(self, x: Operand, y: Operand) -> Value:
        """``x * y``."""
        return self._binary("mul", x, y)

    def div(self, x: Operand, y: Operand) -> Value:
        """``x / y``; integers truncate towards zero, and division by zero gives 0."""
        return self._binary("div", x, y)

    def rem(self, x: Operand, y: Operand) -> Value:
        """C's ``fmod`` and ``%``: the sign of ``x``; integer ``y = 0`` gives 0."""
        return self._binary("rem", x, y)

    def pow(self, x: Operand, y: Operand) -> Value:
        """``x ** y``."""
        return self._binary("pow", x, y)

    def max(self, x: Operand, y: Operand) -> Value:
        """The larger; NaN if either is NaN."""
        return self._binary("max", x, y)

    def min(self, x: Operand, y: Operand) -> Value:
        """The smaller; NaN if either is NaN."""
        return self._binary("min", x, y)

    def atan2(self, y: Operand, x: Operand) -> Value:
        """Angle of the point (x, y), in radians."""
        return self._binary("atan2", y, x)

    def and_(self, x: Operand, y: Operand) -> Value:
        """Bitwise and; logical for bool."""
        return self._binary("and", x, y)

    def or_(self, x: Operand, y: Operand) -> Value:
        """Bitwise or; logical for bool."""
        return self._binary("or", x, y)

    def xor(self, x: Operand, y: Operand) -> Value:
        """Bitwise exclusive or; logical for bool."""
        return self._binary("xor", x, y)

    def shl(self, x: Operand, y: Operand) -> Value:
        """Shift left; 0 where the count is at least the width."""
        return self._binary("shl", x, y)

    def shr(self, x: Operand, y: Operand) -> Value:
        """Shift right, arithmetic for signed; a large count shifts all bits out."""
        return self._binary("shr", x, y)

    def eq(self, x: Operand, y: Operand) -> Value:
        """``x == y`` as bool."""
        return self._binary("eq", x, y)

    def lt(self, x: Operand, y: Operand) -> Value:
        """``x < y`` as bool."""
        return self._binary("lt", x, y)

    def gt(self, x: Operand, y: Operand) -> Value:
        """``x > y`` as bool."""
        return self.lt(y, x)

    def le(self, x: Operand, y: Operand) -> Value:
        """``x <= y`` as bool."""
        x, y = self.align(x, y)
        return self.or_(self.lt(x, y), self.eq(x, y))

    def ge(self, x: Operand, y: Operand) -> Value:
        """``x >= y`` as bool."""
        return self.le(y, x)

    def ne(self, x: Operand, y: Operand) -> Value:
        """``x != y`` as bool."""
        return self.not_(self.eq(x, y))

    def not_(self, x: Value) -> Value:
        """Bitwise complement; logical for bool."""
        ones = True if x.dtype is bool_ else -1
        return self.xor(x, self.scalar(ones, x.dtype))

    def neg(self, x: Value) -> Value:
        """``-x``."""
        return self.emit("neg", x)

    def abs(self, x: Value) -> Value:
        """Magnitude; of a complex tensor, its real modulus."""
        return self.emit("abs", x)

    def unary(self, name: str, x: Value) -> Value:
        """An elementwise op of one operand and no fields: ``exp``, ``erf``, ..."""
        return self.emit(name, x)

    def exp(self, x: Value) -> Value:
        """``e ** x``."""
        return self.emit("exp", x)

    def log(self, x: Value) -> Value:
        """Natural logarithm."""
        return self.emit("log", x)

    def sqrt(self, x: Value) -> Value:
        """Square root."""
        return self.emit("sqrt", x)

    def tanh(self, x: Value) -> Value:
        """Hyperbolic tangent."""
        return self.emit("tanh", x)

    def floor(self, x: Value) -> Value:
        """Largest integer not above ``x``."""
        return self.emit("floor", x)

    def is_nan(self, x: Value) -> Value:
        """Whether each element is NaN."""
        return self.not_(self.eq(x, x))

    def sign(self, x: Value) -> Value:
        """-1, 0 or 1; NaN stays."""
        zero, one = self.scalar(0, x.dtype), self.scalar(1, x.dtype)
        positive = self.where(self.gt(x, zero), one, x)
        if x.dtype.kind == "u":
            return positive
        return self.where(self.lt(x, zero), self.scalar(-1, x.dtype), positive)

    def where(self, condition: Value, x: Operand, y: Operand) -> Value:
        """Elements of ``x`` where the condition holds, else of ``y``."""
        x, y = self.align(x, y)
        return self.emit("where", *self.align(condition, x, y))

    def cast(self, x: Value, dtype: DType, *, saturate: bool = False) -> Value:
        """Another dtype, rounded to nearest even; ``x`` itself if it has it."""
        if x.dtype is dtype:
            return x
        return self.emit("cast", x, dtype=dtype, saturate=saturate)

    # Movement ---------------------------------------------------------------------

    def reshape(self, x: Value, shape: Sequence[Dim]) -> Value:
        """Another shape of the same elements in C order."""
        shape = tuple(shape)
        return x if x.shape == shape else self.emit("reshape", x, shape=shape)

    def transpose(self, x: Value, perm: Sequence[int]) -> Value:
        """Axes in another order: axis i of the result is axis ``perm[i]`` of ``x``."""
        perm = tuple(perm)
        if perm == tuple(range(x.rank)):
            return x
        return self.emit("transpose", x, perm=perm)

    def broadcast_to(self, x: Value, shape: Sequence[Dim]) -> Value:
        """NumPy's broadcasting of ``x`` to a shape."""
        shape = tuple(shape)
        return x if x.shape == shape else self.emit("broadcast_to", x, shape=shape)

    def slice(
        self,
        x: Value,
        start: Sequence[Dim],
        size: Sequence[Dim],
        step: Sequence[Dim] | None = None,
    ) -> Value:
        """From each axis ``size`` elements ``start, start + step, ...``, in range."""
        step = (1,) * x.rank if step is None else tuple(step)
        if tuple(size) == x.shape and all(s == 1 for s in step):
            return x
        return self.emit("slice", x, start=tuple(start), size=tuple(size), step=step)

    def slice_axis(self, x: Value, axis: int, start: Dim, stop: Dim) -> Value:
        """``x[start:stop]`` along one axis; both nonnegative and in range."""
        begin: list[Dim] = [0] * x.rank
        size = list(x.shape)
        begin[axis], size[axis] = start, stop - start
        return self.slice(x, begin, size)

    def flip(self, x: Value, axes: Sequence[int]) -> Value:
        """Elements in the opposite order along axes."""
        if not axes:
            return x
        start: list[Dim] = [0] * x.rank
        step: list[Dim] = [1] * x.rank
        for axis in axes:
            start[axis], step[axis] = x.shape[axis] - 1, -1
        return self.emit("slice", x, start=tuple(start), size=x.shape, step=tuple(step))

    def pad(
        self,
        x: Value,
        low: Sequence[Dim],
        high: Sequence[Dim],
        value: Operand = 0,
        interior: Sequence[int] | None = None,
    ) -> Value:
        """A constant border; ``interior`` elements go between neighbours."""
        fill = value if isinstance(value, Value) else self.scalar(value, x.dtype)
        inner = (0,) * x.rank if interior is None else tuple(interior)
        return self.emit(
            "pad", x, fill, low=tuple(low), high=tuple(high), interior=inner
        )

    def concat(self, xs: Sequence[Value], axis: int) -> Value:
        """Tensors one after the other along an axis."""
        return xs[0] if len(xs) == 1 else self.emit("concat", *xs, axis=axis)

    def expand_dims(self, x: Value, axes: Sequence[int]) -> Value:
        """New axes of size 1 at these positions of the result (all nonnegative)."""
        shape = list(x.shape)
        for axis in sorted(axes):
            shape.insert(axis, 1)
        return self.reshape(x, shape)

    def squeeze(self, x: Value, axes: Sequence[int]) -> Value:
        """Without these axes of size 1 (all nonnegative)."""
        return self.reshape(x, [d for i, d in enumerate(x.shape) if i not in axes])

    def stack(self, xs: Sequence[Value], axis: int) -> Value:
        """Tensors along a new axis."""
        return self.concat([self.expand_dims(x, [axis]) for x in xs], axis)

    def split(self, x: Value, sizes: Sequence[Dim], axis: int) -> list[Value]:
        """Consecutive parts of these sizes along an axis."""
        start: Dim = 0
        parts: list[Value] = []
        for size in sizes:
            parts.append(self.slice_axis(x, axis, start, start + size))
            start = start + size
        return parts

    # Indexing -----------------------------------------------------------------------

    def gather(self, x: Value, indices: Value, axis: int, batch_dims: int = 0) -> Value:
        """``numpy.take`` along an axis; the first ``batch_dims`` axes go in step."""
        return self.emit("gather", x, indices, axis=axis, batch_dims=batch_dims)

    def scatter(
        self,
        x: Value,
        indices: Value,
        updates: Value,
        axis: int,
        mode: str = "set",
        batch_dims: int = 0,
    ) -> Value:
        """``x`` with updates at what ``gather`` would read: the transpose of it."""
        fields = {"axis": axis, "mode": mode, "batch_dims": batch_dims}
        return self.emit("scatter", x, indices, updates, **fields)

    def take_along_axis(self, x: Value, indices: Value, axis: int) -> Value:
        """``numpy.take_along_axis`` with indices in range and not negative."""
        return self.emit("take_along_axis", x, indices, axis=axis)

    def sort(
        self, x: Value, axis: int, *, descending: bool = False
    ) -> tuple[Value, Value]:
        """Stable sort along an axis and its permutation (int64); NaN is largest."""
        values, order = self.emit_all("sort", x, axis=axis, descending=descending)
        return values, order

    # Reductions and contractions ----------------------------------------------------

    def reduce(
        self, kind: str, x: Value, axes: Sequence[int], *, keepdims: bool = False
    ) -> Value:
        """``sum``, ``prod``, ``max`` or ``min`` over axes (all nonnegative)."""
        axes = tuple(sorted(axes))
        y = self.emit("reduce", x, kind=kind, axes=axes) if axes else x
        return self.expand_dims(y, axes) if keepdims else y

    def sum(self, x: Value, axes: Sequence[int], *, keepdims: bool = False) -> Value:
        """Sum over axes."""
        return self.reduce("sum", x, axes, keepdims=keepdims)

    def mean(self, x: Value, axes: Sequence[int], *, keepdims: bool = False) -> Value:
        """Arithmetic mean over axes; floats only."""
        wide = self.cast(x, x.dtype.accumulate)  # a sum may exceed what x can hold
        total = self.sum(wide, axes, keepdims=keepdims)
        count = self.dim_scalar(product([x.shape[a] for a in axes]), wide.dtype)
        return self.cast(self.div(total, count), x.dtype)

    def dim_scalar(self, dim: Dim, dtype: DType) -> Value:
        """A dim's value as a 0-d tensor."""
        if isinstance(dim, int):
            return self.scalar(dim, dtype)
        return self.cast(self.reshape(self.size_of(dim), ()), dtype)

    def sum_to(self, x: Value, shape: Sequence[Dim]) -> Value:
        """Sums over what ``broadcast_to`` repeated: its transpose."""
        shape = tuple(shape)
        return x if x.shape == shape else self.emit("sum_to", x, shape=shape)

    def arg_reduce(
        self, kind: str, x: Value, axis: int, *, last: bool = False
    ) -> Value:
        """Index (int64) of the ``max`` or ``min`` along an axis; the first or last."""
        return self.emit("arg_reduce", x, kind=kind, axis=axis, last=last)

    def cumulative(
        self,
        kind: str,
        x: Value,
        axis: int,
        *,
        exclusive: bool = False,
        reverse: bool = False,
    ) -> Value:
        """Running ``sum``, ``prod``, ``max`` or ``min`` along an axis."""
        fields = {"axis": axis, "exclusive": exclusive, "reverse": reverse}
        return self.emit("cumulative", x, kind=kind, **fields)

    def dot(self, x: Value, y: Value, dtype: DType | None = None) -> Value:
        """Matrix product of ``[..., m, k]`` and ``[..., k, n]``, equal leading axes.

        ``dtype`` is that of the result where it is wider than the operands'.
        """
        return self.emit("dot", x, y, dtype=dtype)

    def matmul(self, x: Value, y: Value, dtype: DType | None = None) -> Value:
        """``numpy.matmul``: vectors and broadcasting of leading axes included."""
        left, right = x.rank == 1, y.rank == 1
        x = self.expand_dims(x, [0]) if left else x
        y = self.expand_dims(y, [1]) if right else y
        z = self._matmul(x, y, dtype)
        drop = [z.rank - 2] * left + [z.rank - 1] * right
        return self.squeeze(z, drop) if drop else z

    def _matmul(self, x: Value, y: Value, dtype: DType | None) -> Value:
        if y.rank == 2 and x.rank > 2:
            rows = self.reshape(x, (product(x.shape[:-1]), x.shape[-1]))
            return self.reshape(self.dot(rows, y, dtype), (*x.shape[:-1], y.shape[-1]))
        lead = broadcast_shape(x.shape[:-2], y.shape[:-2])
        x = self.broadcast_to(x, (*lead, *x.shape[-2:]))
        return self.dot(x, self.broadcast_to(y, (*lead, *y.shape[-2:])), dtype)

    # Names that decompositions need often -------------------------------------------

    def arange(self, start: Dim, stop: Dim, step: int = 1) -> Value:
        """int64 ``start, start + step, ...`` below (above, if step < 0) ``stop``."""
        count = (
            ceildiv(stop - start, step) if step > 0 else ceildiv(start - stop, -step)
        )
        steps = self.iota((count,), 0, int64)
        return self.add(self.mul(steps, step), self.dim_scalar(start, int64))
