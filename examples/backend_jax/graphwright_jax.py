"""graphwright on JAX: whole graphs through ``jax.jit``, on CPUs, GPUs and TPUs.

Each op is a function of ``jax.lax``; a graph is traced once for each binding of its
dims and compiled by XLA. Indices out of range, which XLA clamps, are noted in the run
and raised after it.
"""

from collections.abc import Sequence
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import graphwright as gw
from graphwright.backends.contract import Kernel
from graphwright.ir.dtype import DTYPES, DType
from graphwright.ir.errors import IndexBoundsError
from graphwright.ir.op import Op
from graphwright.ir.ops.reduce import identity, least
from graphwright.ir.types import TensorType, Type

OPTIONS = {"xla_cpu_experimental_ynn_fusion_type": ""}
"""No YNNPACK: jaxlib 0.10.2 sums fused values wrongly with it (jax-ml/jax#39103)."""

DTYPES_TAKEN = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64"
DTYPES_TAKEN += " float16 bfloat16 float32 float64 complex64 complex128"


def whole(x: Any) -> bool:
    return bool(jnp.issubdtype(x.dtype, jnp.integer))


def dtype_of(x: Any) -> DType:
    return DTYPES[x.dtype.name]


def wide(x: Any) -> Any:
    """Floats below 32 bits in float32: sums round once."""
    return x.astype(dtype_of(x).accumulate.numpy)


def div(op: Op, x: Any, y: Any) -> Any:
    if not whole(x):
        return x / y
    trap = (y == 0) | (y == -1 if dtype_of(x).kind == "i" else False)
    q = lax.div(x, jnp.where(trap, jnp.ones_like(y), y))
    return jnp.where(trap, jnp.where(y == 0, 0, -x), q)


def rem(op: Op, x: Any, y: Any) -> Any:
    if not whole(x):
        return lax.rem(x, y)
    return jnp.where(y == 0, 0, x - div(op, x, y) * y)


def power(op: Op, x: Any, y: Any) -> Any:
    if not whole(x):
        return x**y
    negative = y < 0
    result, factor, left = jnp.ones_like(x), x, jnp.where(negative, 0, y)
    for _ in range(8 * x.dtype.itemsize):  # by squaring: every bit of the exponent
        result = jnp.where(left & 1 == 1, result * factor, result)
        factor, left = factor * factor, left >> 1
    if dtype_of(x).kind == "u":
        return result
    unit = jnp.where(x == -1, 1 - 2 * (y & 1), (x == 1).astype(x.dtype))
    return jnp.where(negative, unit, result)


def shift(op: Op, x: Any, y: Any) -> Any:
    width = 8 * x.dtype.itemsize
    fits = (y >= 0) & (y < width)
    count = jnp.where(fits, y, 0)
    if op.name == "shl":
        return jnp.where(fits, lax.shift_left(x, count), 0)
    if dtype_of(x).kind == "u":
        return jnp.where(fits, lax.shift_right_logical(x, count), 0)
    return lax.shift_right_arithmetic(x, jnp.where(fits, y, width - 1))


def cast(op: Any, x: Any) -> Any:
    to = op.dtype.numpy
    if op.dtype.kind == "b":
        return x != 0
    x = x.real if dtype_of(x).kind == "c" and op.dtype.kind != "c" else x
    if not op.dtype.is_int or not (op.saturate or dtype_of(x).is_float):
        return x.astype(to)
    low, high = op.dtype.limits
    if whole(x):
        least, most = dtype_of(x).limits
        return jnp.clip(x, max(low, least), min(high, most)).astype(to)
    x = jnp.where(jnp.isnan(x), 0, x.astype(jnp.float64))
    if op.saturate:
        inside = jnp.clip(x, low, np.nextafter(high + 1.0, 0))
        y = jnp.where(x >= high + 1.0, 0, inside).astype(to)
        return jnp.where(x >= high + 1.0, jnp.asarray(high, to), y)
    return x.astype(jnp.uint64 if op.dtype.name == "uint64" else jnp.int64).astype(to)


def bitcast(op: Any, x: Any) -> Any:
    if "b" in (op.dtype.kind, dtype_of(x).kind):
        return x.astype(op.dtype.numpy)
    return lax.bitcast_convert_type(x, op.dtype.numpy)


def rounded(x: Any, zero: Any) -> Any:
    """A float to which XLA can apply no excess precision.

    Where a maximum of ``x`` is taken and subtracted from it, XLA computes ``x`` in both
    loops and contracts one, ``a * b - m``, to an FMA (optimization barriers are gone by
    then): the difference is above 0 and a softmax infinite. Bits that meet a number
    known only in the run have to be rounded first.
    """
    if whole(x) or x.dtype == bool:
        return x
    bits = lax.bitcast_convert_type(x, f"uint{8 * x.dtype.itemsize}")
    return lax.bitcast_convert_type(bits ^ zero.astype(bits.dtype), x.dtype)


MONOID = {"sum": lax.add, "prod": lax.mul, "max": jnp.maximum, "min": jnp.minimum}
RUNNING = {"sum": lax.cumsum, "prod": lax.cumprod, "max": lax.cummax, "min": lax.cummin}


def reduced(kind: str, x: Any, axes: Sequence[int]) -> Any:
    if kind in ("sum", "prod"):
        y = getattr(jnp, kind)(wide(x), axis=tuple(axes), dtype=wide(x).dtype)
        return y.astype(x.dtype)
    start = jnp.asarray(identity(kind, dtype_of(x)), x.dtype)
    return getattr(jnp, kind)(x, axis=tuple(axes), initial=start)


def sum_to(op: Any, x: Any) -> Any:
    shape = (1,) * (x.ndim - len(op.shape)) + op.shape
    axes = [i for i, n in enumerate(x.shape) if shape[i] != n]
    return reduced("sum", x, axes).reshape(op.shape)


def arg_reduce(op: Any, x: Any) -> Any:
    y = jnp.flip(x, op.axis) if op.last else x
    found = (jnp.argmax if op.kind == "max" else jnp.argmin)(y, op.axis)
    found = found.astype(jnp.int64)
    return x.shape[op.axis] - 1 - found if op.last else found


def cumulative(op: Any, x: Any) -> Any:
    if x.size == 0:
        return x
    y = wide(x).astype(jnp.int8) if x.dtype == bool else wide(x)
    y = RUNNING[op.kind](y, op.axis, op.reverse).astype(x.dtype)
    if op.exclusive:
        low, high = [[0] * x.ndim for _ in range(2)]
        low[op.axis], high[op.axis] = (-1, 1) if op.reverse else (1, -1)
        y = padded(y, low, high, [0] * x.ndim, identity(op.kind, dtype_of(x)))
    return y


def padded(x: Any, low: Any, high: Any, gaps: Any, value: Any) -> Any:
    fill = jnp.asarray(value, x.dtype)
    return lax.pad(x, fill, list(zip(low, high, gaps, strict=True)))


def windows(op: Any, x: Any, value: Any) -> Any:
    """The last axes of a padded copy in windows, whose axes come last."""
    n = len(op.window)
    lead = x.ndim - n
    low, high = ([0] * lead + [pair[i] for pair in op.padding] for i in (0, 1))
    x = padded(x, low, high, [0] * x.ndim, value)
    for axis in range(n):
        gap, by, size = op.dilations[axis], op.strides[axis], op.window[axis]
        count = max(0, (x.shape[lead + axis] - (size - 1) * gap - 1) // by + 1)
        at = np.arange(count)[:, None] * by + np.arange(size) * gap
        x = jnp.moveaxis(jnp.take(x, at, axis=lead + axis), lead + axis + 1, -1)
    return x


def reduce_window(op: Any, x: Any) -> Any:
    y = windows(op, x, identity(op.kind, dtype_of(x)))
    return reduced(op.kind, y, range(x.ndim, y.ndim))


def window_argmax(op: Any, x: Any) -> Any:
    n = len(op.window)
    sizes, flat = x.shape[x.ndim - n :], (*range(x.ndim), -1)
    y = windows(op, x, least(dtype_of(x)))
    at = windows(op, jnp.arange(prod(sizes), dtype=jnp.int64).reshape(sizes), -1)
    y = y.reshape(*y.shape[: len(flat) - 1], -1)
    at = jnp.broadcast_to(at.reshape(*at.shape[:n], -1), y.shape)
    best = jnp.take_along_axis(at, jnp.argmax(y, -1)[..., None], -1)
    first = jnp.take_along_axis(at, jnp.argmax(at >= 0, -1)[..., None], -1)
    return jnp.where(best < 0, first, best)[..., 0]


def dot(op: Any, x: Any, y: Any) -> Any:
    own = (op.dtype or dtype_of(x)).accumulate.numpy
    out = (op.dtype or dtype_of(x)).numpy
    found = jnp.matmul(x.astype(own), y.astype(own), precision=lax.Precision.HIGHEST)
    return found.astype(out)


def conv(op: Any, x: Any, w: Any) -> Any:
    out = op.dtype or dtype_of(x)
    x, w = x.astype(out.accumulate.numpy), w.astype(out.accumulate.numpy)
    y = lax.conv_general_dilated(
        x,
        w,
        op.strides,
        op.padding,
        lhs_dilation=op.lhs_dilation,
        rhs_dilation=op.rhs_dilation,
        feature_group_count=op.groups,
        batch_group_count=op.batch_groups,
        precision=lax.Precision.HIGHEST,
    )
    return y.astype(out.numpy)


def taken(op: Any, x: Any) -> Any:
    turned = [i for i, by in enumerate(op.step) if by < 0]
    rows = list(zip(op.start, op.size, op.step, strict=True))
    low = [s if by > 0 or not n else s + (n - 1) * by for s, n, by in rows]
    high = [
        s + (n - 1) * abs(by) + 1 if n else s
        for s, (_, n, by) in zip(low, rows, strict=True)
    ]
    low = [min(max(s, 0), n) for s, n in zip(low, x.shape, strict=True)]
    high = [max(min(e, n), s) for s, e, n in zip(low, high, x.shape, strict=True)]
    return lax.rev(lax.slice(x, low, high, [abs(by) for by in op.step]), turned)


def dynamic_update_slice(op: Op, x: Any, y: Any, *start: Any) -> Any:
    room = [n - m for n, m in zip(x.shape, y.shape, strict=True)]
    inside = [jnp.clip(s, 0, r) for s, r in zip(start, room, strict=True)]
    return lax.dynamic_update_slice(x, y, [s.astype(jnp.int64) for s in inside])


def log1p(op: Op, x: Any) -> Any:
    """XLA's own loses digits near -0.4; one of Newton's steps brings them back."""
    y = lax.log1p(x)
    return jnp.where(jnp.abs(x) < 0.5, y - (jnp.expm1(y) - x) / (1 + x), y)


def places(op: Any, shape: Sequence[int], indices: Any) -> tuple[Any, ...]:
    """An index for each axis: of the elements that ``indices`` mean."""
    axis, batch = op.axis, op.batch_dims
    inner = indices.ndim - batch
    rows = []
    for i, n in enumerate(shape):
        after = len(shape) - i - 1 + (inner - 1 if i < axis else 0)
        rows.append(jnp.arange(n).reshape([-1, *[1] * after]))
    sizes = list(indices.shape)
    sizes[batch:batch] = [1] * (axis - batch)
    rows[axis] = indices.reshape([*sizes, *[1] * (len(shape) - axis - 1)])
    return tuple(rows)


def gather(op: Any, x: Any, indices: Any) -> Any:
    if op.batch_dims == 0:
        return jnp.take(x, indices, axis=op.axis, mode="clip")
    return x.at[places(op, x.shape, indices)].get(mode="clip")


def scatter(op: Any, x: Any, indices: Any, updates: Any) -> Any:
    at = places(op, x.shape, indices)
    if op.mode == "set":  # of several updates the last
        turns = jnp.arange(updates.size).reshape(updates.shape)
        last = jnp.full(x.shape, -1).at[at].max(turns)
        line = jnp.append(updates.reshape(-1), jnp.zeros(1, x.dtype))
        return jnp.where(last < 0, x, line[last])
    y = wide(x).at[at]
    mode = {"mul": "multiply"}.get(op.mode, op.mode)
    return getattr(y, mode)(wide(updates)).astype(x.dtype)


def sort(op: Any, x: Any) -> Any:
    y = jnp.flip(x, op.axis) if op.descending else x
    order = jnp.argsort(y, axis=op.axis, stable=True).astype(jnp.int64)
    if op.descending:
        order = x.shape[op.axis] - 1 - jnp.flip(order, op.axis)
    return jnp.take_along_axis(x, order, op.axis), order


def iota(op: Any) -> Any:
    line = jnp.arange(op.shape[op.axis]).astype(op.dtype.numpy)
    column = [1] * len(op.shape)
    column[op.axis] = -1
    return jnp.broadcast_to(line.reshape(column), op.shape)


def random_bits(op: Any, key: Any) -> Any:
    """Philox4x32-10 in uint64."""
    size, low = prod(op.shape), jnp.uint64(0xFFFFFFFF)
    k, m = key[0].astype(jnp.uint64), key[1].astype(jnp.uint64)
    a = jnp.arange(-(-size // 4), dtype=jnp.uint64)
    a, b, c, d = a & low, a >> 32, a * 0, a * 0
    for _ in range(10):
        p, q = a * jnp.uint64(0xD2511F53), c * jnp.uint64(0xCD9E8D57)
        a, b, c, d = (q >> 32) ^ b ^ k, q & low, (p >> 32) ^ d ^ m, p & low
        k = (k + jnp.uint64(0x9E3779B9)) & low
        m = (m + jnp.uint64(0xBB67AE85)) & low
    found = jnp.stack([a, b, c, d], 1).reshape(-1)[:size]
    return found.reshape(op.shape).astype(jnp.uint32)


def fft(op: Any, x: Any) -> Any:
    x = wide(x) if dtype_of(x).kind == "f" else x
    if x.size:
        return getattr(jnp.fft, op.kind)(x, op.n, op.axis)
    shape = list(x.shape)
    shape[op.axis] = op.n // 2 + 1 if op.kind == "rfft" else op.n
    bits = 2 if dtype_of(x).bits in (32, 64) and op.kind == "rfft" else 1
    kind = {"rfft": "complex", "irfft": "float"}.get(op.kind, "complex")
    bits = dtype_of(x).bits * bits // (2 if op.kind == "irfft" else 1)
    return jnp.zeros(shape, f"{kind}{bits}")


def plain(function: Any) -> Any:
    return lambda op, *xs: function(*xs)


SAME = (
    "neg abs floor ceil round sqrt exp expm1 log log1p sin cos tanh erf eq lt complex"
)
OTHER = {
    "add": jnp.add,
    "sub": jnp.subtract,
    "mul": jnp.multiply,
    "max": jnp.maximum,
    "min": jnp.minimum,
    "and": jnp.bitwise_and,
    "or": jnp.bitwise_or,
    "xor": jnp.bitwise_xor,
    "atan2": jnp.arctan2,
    "where": jnp.where,
    "trunc": jnp.trunc,
    "round": jnp.round,
}
OWN: Any = (div, rem, cast, bitcast, sum_to, arg_reduce, cumulative, reduce_window)
OWN += (window_argmax, dot, conv, dynamic_update_slice, gather, scatter, sort, iota)
OWN += (random_bits, fft, log1p)

TABLE: dict[str, Any] = {
    **{name: plain(getattr(lax, name)) for name in SAME.split() if hasattr(lax, name)},
    **{name: plain(function) for name, function in OTHER.items()},
    **{function.__name__: function for function in OWN},
    "pow": power,
    "shl": shift,
    "shr": shift,
    "abs": lambda op, x: x if dtype_of(x).kind == "u" else jnp.abs(x),
    "slice": taken,
    "reduce": lambda op, x: reduced(op.kind, x, op.axes),
    "complex_part": lambda op, x: getattr(jnp, op.part)(x),
    "reshape": lambda op, x: x.reshape(op.shape),
    "transpose": lambda op, x: x.transpose(op.perm),
    "broadcast_to": lambda op, x: jnp.broadcast_to(x, op.shape),
    "pad": lambda op, x, v: padded(x, op.low, op.high, op.interior, v),
    "concat": lambda op, *xs: jnp.concatenate(xs, op.axis),
    "size_of": lambda op: jnp.asarray(np.array(op.dims, np.int64)),
}


class JaxBackend(gw.GraphBackend):
    """Compiles graphs with XLA."""

    name = "jax"
    contract = 1

    def holds(self, type_: Type) -> bool:
        """Tensors of the dtypes that XLA computes with everywhere."""
        taken_ = isinstance(type_, TensorType) and type_.dtype.name in TAKEN
        return bool(taken_)

    def claims(self, op: Op, types: Sequence[Type]) -> bool:
        """Ops of the table; functions of complex numbers differ at infinities."""
        named = getattr(op, "dtype", None)
        ends = [TensorType(named, ())] if isinstance(named, DType) else []
        known = op.name in TABLE and all(map(self.holds, [*types, *ends]))
        kinds = {t.dtype.kind for t in types if isinstance(t, TensorType)}
        return known and ("c" not in kinds or op.name in COMPLEX.split())

    def compile(self, graph: gw.Graph) -> Kernel:
        """The graph as one jitted function, and a look at the indices that it noted."""
        names: list[str] = []

        def run(zero: Any, *arrays: Any) -> Any:
            values = dict(zip(graph.inputs, arrays, strict=True))
            for v, constant in graph.constants.items():
                values[v] = constant.array()
            bad: list[Any] = []
            for node in graph.nodes:
                xs = [jnp.asarray(values[v]) for v in node.operands]
                if node.op.fields.get("kind") == "max":
                    xs[0] = values[node.operands[0]] = rounded(xs[0], zero)
                if node.op.name in ("gather", "scatter"):
                    names.append(f"{node.source or node.op.name}")
                    size = xs[0].shape[node.op.fields["axis"]]
                    bad.append(((xs[1] < 0) | (xs[1] >= size)).any())
                found = TABLE[node.op.name](node.op, *xs)
                results = found if isinstance(found, tuple) else (found,)
                for v, y in zip(node.results, results, strict=True):
                    values[v] = y.astype(v.dtype.numpy)
            outputs = tuple(jnp.asarray(values[v]) for v in graph.outputs)
            return outputs, jnp.stack(bad) if bad else None

        jitted = jax.jit(run, compiler_options=OPTIONS)

        def call(*arrays: Any) -> Any:
            with jax.enable_x64(True):
                outputs, bad = jitted(np.uint8(0), *arrays)
            if bad is not None and np.asarray(bad).any():
                where = names[int(np.argmax(np.asarray(bad)))]
                raise IndexBoundsError(f"{where}: an index lies outside its axis")
            return outputs

        return call

    def to_device(self, array: Any) -> Any:
        """A copy on JAX's default device."""
        with jax.enable_x64(True):
            return jnp.array(np.ascontiguousarray(array).reshape(array.shape))

    def to_host(self, array: Any) -> Any:
        """The array on the host."""
        return np.array(array)

    def copy(self, array: Any) -> Any:
        """Itself: JAX's arrays never change."""
        return array


TAKEN = frozenset(DTYPES_TAKEN.split())

COMPLEX = (
    "add sub mul neg abs eq where cast complex_part reshape transpose slice pad conv"
)
COMPLEX += " broadcast_to concat gather scatter dynamic_update_slice sum_to dot fft"
"""Ops that it runs on complex numbers."""
