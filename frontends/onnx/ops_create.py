"""Operators that make tensors: constants, ranges, shapes as values, masks."""

import numpy as np

from graphwright.frontends.onnx.context import Context
from graphwright.frontends.onnx.exporting import Export, Exported
from graphwright.frontends.onnx.kernels import holder
from graphwright.frontends.onnx.registry import converter, exporter
from graphwright.frontends.onnx.shapes import known_elements, need_rank
from graphwright.frontends.onnx.tensors import constant_of_proto, dtype_of
from graphwright.ir.constant import Constant
from graphwright.ir.dim import Dim, Expr, ceildiv, equal, maximum, product, symbols
from graphwright.ir.dtype import float32, float64, int64, string, uint32, uint64
from graphwright.ir.emitter import Value
from graphwright.ir.errors import ModelError, ShapeError
from graphwright.ir.ops.create import philox_words


@converter("Constant")
def constant(c: Context) -> Value:
    """The one attribute that is given: a tensor, numbers or strings."""
    dense = c.tensor("value")
    if dense is not None:
        return c.b.constant_of(dense)
    if c.has("sparse_value"):
        sparse = c.attributes["sparse_value"].sparse_tensor
        return c.b.constant_of(constant_of_proto(sparse))
    return c.b.constant_of(_plain(c))


def _plain(c: Context) -> Constant:
    if c.has("value_int"):
        return Constant.of(c.integer("value_int"), int64)
    if c.has("value_ints"):
        return Constant.of(c.integers("value_ints"), int64)
    if c.has("value_float"):
        return Constant.of(c.real("value_float"), float32)
    if c.has("value_floats"):
        return Constant.of(c.reals("value_floats"), float32)
    if c.has("value_string"):
        return Constant.of(c.string("value_string"), string)
    if c.has("value_strings"):
        return Constant.of(c.strings("value_strings"), string)
    raise ModelError("Constant has no value")


@converter("ConstantOfShape", since=9)
def constant_of_shape(c: Context) -> Value:
    """One element (float 0 by default) repeated to a shape."""
    shape, value = c.dims(c[0], 0), c.tensor("value")
    if value is None:
        return c.b.full(shape, 0.0, float32)
    fill = Constant.of(value.array().reshape(()), value.dtype)
    return c.b.broadcast_to(c.b.constant_of(fill), shape)


@converter("Shape")
def shape(c: Context) -> Value:
    """Sizes of the axes ``[start, end)`` as int64."""
    dims = c[0].shape
    start, end = c.integer("start", 0), c.integer("end", len(dims))
    return c.b.size_of(*dims[start:end])


@converter("Size")
def size(c: Context) -> Value:
    """Number of elements, a 0-d int64."""
    return c.b.reshape(c.b.size_of(c[0].tensor.size), ())


@converter("Range", since=11)
def range_(c: Context) -> Value:
    """``start, start + delta, ...`` before ``limit``."""
    b = c.b
    start, limit, delta = (b.reshape(x, ()) for x in c.values())
    step = b.known(delta)
    if step is not None and not step.array().any():
        raise ModelError("Range: delta is 0")
    count = _range_length(c, start, limit, delta)
    dtype = start.dtype.accumulate
    steps = b.iota((count,), 0, dtype)
    y = b.add(b.mul(steps, b.cast(delta, dtype)), b.cast(start, dtype))
    return b.cast(y, start.dtype)


def _range_length(c: Context, start: Value, limit: Value, delta: Value) -> Dim:
    """``max(ceil((limit - start) / delta), 0)``."""
    b = c.b
    if start.dtype.is_float:
        first, last, by = (b.cast(x, float64) for x in (start, limit, delta))
        count = b.cast(b.unary("ceil", b.div(b.sub(last, first), by)), int64)
        return c.dims(b.max(count, 0), 0)[0]
    known = [known_elements(c, x)[0] for x in (start, limit, delta)]
    match known:
        case [int() | Expr() as begin, int() | Expr() as end, int() as step] if step:
            distance = end - begin if step > 0 else begin - end
            return maximum(ceildiv(distance, abs(step)), 0)
    first, last, by = (b.cast(x, int64) for x in (start, limit, delta))
    far = b.sub(last, first)
    far = b.where(b.lt(by, 0), b.neg(far), far)
    count = b.add(b.div(b.sub(far, 1), b.abs(by)), 1)
    return c.dims(b.where(b.gt(far, 0), count, 0), 0)[0]


@converter("EyeLike", since=9)
def eye_like(c: Context) -> Value:
    """Ones on the diagonal ``k`` of a matrix of the operand's shape."""
    b, x = c.b, c[0]
    need_rank(c, x, 2)
    dtype = dtype_of(c.integer("dtype")) if c.has("dtype") else x.dtype
    rows, columns = (b.iota(x.shape, i, int64) for i in (0, 1))
    return b.cast(b.eq(b.add(rows, c.integer("k", 0)), columns), dtype)


@converter("Trilu", since=14)
def trilu(c: Context) -> Value:
    """The upper or lower triangle from diagonal ``k`` on; zeros elsewhere."""
    b, x, k = c.b, c[0], c.optional(1)
    matrix = x.shape[-2:]
    rows, columns = (b.iota(matrix, i, int64) for i in (0, 1))
    if k is not None:
        rows = b.add(rows, b.reshape(k, ()))
    keep = b.ge(columns, rows) if c.integer("upper", 1) else b.le(columns, rows)
    return b.where(b.broadcast_to(keep, x.shape), x, b.scalar(0, x.dtype))


@converter("OneHot", since=9)
def one_hot(c: Context) -> Value:
    """``values[1]`` at the positions given along a new axis, else ``values[0]``.

    Negative indices count from the end; those out of range mark nothing.
    """
    b, values = c.b, c[2]
    if equal(need_rank(c, values, 1)[0], 2) is False:
        raise ShapeError(f"OneHot takes two values, got {values.type}")
    indices = b.cast(c[0], int64)
    (depth,) = c.dims(b.cast(b.reshape(c[1], (1,)), int64), 0)
    axis = c.axis(c.integer("axis", -1), indices.rank + 1)
    negative = b.lt(indices, 0)
    indices = b.where(negative, b.add(indices, b.dim_scalar(depth, int64)), indices)
    shape = [*indices.shape[:axis], depth, *indices.shape[axis:]]
    hot = b.eq(b.expand_dims(indices, [axis]), b.iota(shape, axis, int64))
    off, on = (b.reshape(b.slice_axis(values, 0, i, i + 1), ()) for i in (0, 1))
    return b.where(hot, b.broadcast_to(on, shape), b.broadcast_to(off, shape))


# Export -------------------------------------------------------------------------------


_STORED = 1024
"""Up to how many elements a range is stored."""


@exporter("iota")
def iota(e: Export) -> Exported:
    """A range, repeated along the other axes."""
    b, op = e.b, e.op
    if len(op.shape) > 1:
        line = b.iota((op.shape[op.axis],), 0, op.dtype)
        column = [d if i == op.axis else 1 for i, d in enumerate(op.shape)]
        return b.broadcast_to(b.reshape(line, column), op.shape)
    (n,) = op.shape
    if isinstance(n, int) and n <= _STORED:
        return b.constant(np.arange(n).astype(op.dtype.numpy), op.dtype)
    wide = holder("Range", op.dtype, e.version)
    if wide.is_float and wide.bits < 32:
        wide = int64
    limit = e.dim(n) if wide is int64 else e.cast(e.dim(n), wide)
    line_name = e.add("Range", e.constant(0, wide), limit, e.constant(1, wide))
    return line_name if wide is op.dtype else e.cast(line_name, op.dtype)


@exporter("size_of")
def size_of(e: Export) -> str:
    """The dims as a vector."""
    return e.dims(e.op.dims)


@exporter("bind_dims")
def bind_dims(e: Export) -> Exported:
    """Nothing to write: the symbols are elements of the operand from here on."""
    x = e.b.cast(e.operands[0], int64)
    for i, dim in enumerate(e.op.dims):
        for word in symbols(dim):
            e.writer.define_from(word, e.name(x), i)
    return []


@exporter("random_bits")
def random_bits(e: Export) -> Value:
    """Philox4x32-10 in 64-bit integers."""
    b, shape = e.b, e.op.shape
    size = product(shape)
    blocks = ceildiv(size, 4)
    key, counter = e.operands[0], b.cast(b.iota((blocks,), 0, int64), uint64)
    halves = [b.cast(b.slice_axis(key, 0, i, i + 1), uint64) for i in (0, 1)]
    words = philox_words(b, halves, counter)
    flat = b.reshape(b.stack(words, 1), (blocks * 4,))
    return b.reshape(b.cast(b.slice_axis(flat, 0, 0, size), uint32), shape)
