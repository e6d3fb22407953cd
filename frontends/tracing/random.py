"""Random numbers from explicit keys; public as ``graphwright.random``.

    key = gw.random.key(0)
    key, sub = gw.random.split(key)
    x = gw.random.normal(sub, (3, 4))

A key is uint32[2]. The same key gives the same numbers: traced or not, on any number of
threads; bits, integers and uniform floats have the same bits on every backend. Split a
key, or fold a number into it, for each use. Names and arguments are those of
``jax.random``; dtypes default to float64 and int64, as NumPy's do. The generator is
Philox4x32-10 (Salmon et al., SC 2011).
"""

import math
from collections.abc import Sequence
from typing import Any

from graphwright.frontends.tracing import numpy as namespace
from graphwright.frontends.tracing import state
from graphwright.frontends.tracing.control import while_loop
from graphwright.frontends.tracing.wrap import (
    Operand,
    array_function,
    as_dtype,
    axis_of,
    shape_of,
    strong,
)
from graphwright.ir.dim import Dim, product
from graphwright.ir.dtype import DType, int64, uint32, uint64
from graphwright.ir.dtype import dtype as dtype_of
from graphwright.ir.emitter import Emitter, Value, broadcast_shape
from graphwright.ir.errors import DTypeError, ShapeError

__all__ = [
    "bernoulli",
    "beta",
    "bits",
    "categorical",
    "cauchy",
    "choice",
    "dirichlet",
    "exponential",
    "fold_in",
    "gamma",
    "gumbel",
    "key",
    "laplace",
    "logistic",
    "multivariate_normal",
    "normal",
    "permutation",
    "rademacher",
    "randint",
    "split",
    "uniform",
]

xp: Any = namespace

_SPLIT, _FOLD = 0x53504C49, 0x464F4C44
"""What tells keys for keys from keys for numbers: no draw has the bits of a key."""


# Keys ---------------------------------------------------------------------------------


@array_function
def key(b: Emitter, seed: Operand) -> Value:
    """The key of a seed: an integer, of which 64 bits count."""
    if isinstance(seed, int):
        return b.constant([seed >> 32 & 0xFFFFFFFF, seed & 0xFFFFFFFF], uint32)
    value = strong(b, seed)
    if value.shape or not value.dtype.is_int:
        raise ShapeError(f"{state.where()}: a seed is one integer, got {value.type}")
    words = _halves(b, as_dtype(b, value, uint64))
    return b.stack([b.cast(w, uint32) for w in words], 0)


def _halves(b: Emitter, x: Value) -> list[Value]:
    """High and low 32 bits of uint64."""
    return [b.shr(x, 32), b.and_(x, 0xFFFFFFFF)]


def _checked(x: Value) -> Value:
    if x.dtype is not uint32 or x.shape != (2,):
        raise ShapeError(
            f"{state.where()}: a key is uint32[2], as gw.random.key(seed) makes it, got"
            f" {x.type}: of several keys take one, or draw with gw.vmap"
        )
    return x


def _salted(b: Emitter, x: Value, salt: int) -> Value:
    return b.xor(_checked(x), b.constant([salt, 0], uint32))


@array_function
def split(b: Emitter, key: Value, num: Any = 2) -> Value:
    """``num`` new keys, independent of each other: uint32[num, 2], or ``[*num, 2]``."""
    salted = _salted(b, key, _SPLIT)
    return b.emit("random_bits", salted, shape=(*shape_of(num), 2))


@array_function
def fold_in(b: Emitter, key: Value, data: Operand) -> Value:
    """A new key from a key and an integer, such as the number of a step."""
    value = as_dtype(b, data, int64) if isinstance(data, int) else strong(b, data)
    if value.shape or not value.dtype.is_int:
        raise ShapeError(
            f"{state.where()}: fold_in takes one integer, got {value.type}"
        )
    words = _halves(b, b.cast(value, uint64))
    number = b.stack([b.cast(w, uint32) for w in words], 0)
    mixed = b.emit("random_bits", _salted(b, key, _FOLD), shape=(2,))
    return b.emit("random_bits", b.xor(mixed, number), shape=(2,))


# Bits, integers, uniform and normal floats --------------------------------------------


def _wide_bits(b: Emitter, key: Value, shape: Sequence[Dim]) -> Value:
    """uint64 of equal probability."""
    words = b.cast(b.emit("random_bits", key, shape=(2, *shape)), uint64)
    high, low = (b.reshape(w, shape) for w in b.split(words, [1, 1], 0))
    return b.or_(b.shl(high, 32), low)


@array_function
def bits(b: Emitter, key: Value, shape: Any = (), dtype: Any = "uint32") -> Value:
    """Unsigned integers of equal probability."""
    d, sizes = dtype_of(dtype), shape_of(shape)
    if d is uint64:
        return _wide_bits(b, _checked(key), sizes)
    if d.kind != "u" or d.bits < 8:
        raise DTypeError(
            f"{state.where()}: bits are uint8, uint16, uint32 or uint64, not {d.name}"
        )
    found = b.emit("random_bits", _checked(key), shape=sizes)
    return b.cast(b.shr(found, 32 - d.bits) if d.bits < 32 else found, d)


def _float(d: DType) -> DType:
    if not d.is_float or d.bits < 16:
        raise DTypeError(
            f"{state.where()}: the dtype is a float of 16 bits or more, not {d.name}"
        )
    return d


@array_function
def uniform(
    b: Emitter,
    key: Value,
    shape: Any = (),
    dtype: Any = "float64",
    minval: Operand = 0.0,
    maxval: Operand = 1.0,
) -> Value:
    """Floats of equal probability in ``[minval, maxval)``, up to rounding."""
    d, sizes = _float(dtype_of(dtype)), shape_of(shape)
    found = b.emit("random_uniform", _checked(key), shape=sizes, dtype=d)
    if (minval, maxval) == (0.0, 1.0):
        return found
    low, high = as_dtype(b, minval, d), as_dtype(b, maxval, d)
    return _fits(sizes, b.add(b.mul(found, b.sub(high, low)), low))


def _fits(shape: Sequence[Dim], x: Value) -> Value:
    if tuple(x.shape) != tuple(shape):
        raise ShapeError(
            f"{state.where()}: parameters of shape {list(x.shape)} do not broadcast to"
            f" {list(shape)}"
        )
    return x


@array_function
def normal(b: Emitter, key: Value, shape: Any = (), dtype: Any = "float64") -> Value:
    """Normally distributed floats of mean 0 and standard deviation 1."""
    d = _float(dtype_of(dtype))
    return b.emit("random_normal", _checked(key), shape=shape_of(shape), dtype=d)


@array_function
def randint(
    b: Emitter,
    key: Value,
    shape: Any,
    minval: Operand,
    maxval: Operand,
    dtype: Any = "int64",
) -> Value:
    """Integers of equal probability in ``[minval, maxval)``.

    They are 64 bits modulo the number of integers ``n``: no probability is off by more
    than a factor of ``1 + n / 2**64``. Where the range is empty, they are ``minval``.

    Raises:
        ValueError: If both ends are numbers, and there is no integer between them.
    """
    if isinstance(minval, int) and isinstance(maxval, int) and minval >= maxval:
        raise ValueError(f"randint: there is no integer in [{minval}, {maxval})")
    d, sizes = dtype_of(dtype), shape_of(shape)
    if not d.is_int or d.bits < 8:
        raise DTypeError(f"{state.where()}: randint draws integers, not {d.name}")
    wide = uint64 if d is uint64 else int64
    low, high = (b.cast(as_dtype(b, x, wide), uint64) for x in (minval, maxval))
    low, high = b.align(low, high)
    count = b.where(b.lt(b.cast(low, wide), b.cast(high, wide)), b.sub(high, low), 1)
    offset = b.rem(_wide_bits(b, _checked(key), sizes), count)
    return _fits(sizes, b.cast(b.add(offset, low), d))


# By transformation --------------------------------------------------------------------


def _open(key: Any, shape: Any, dtype: Any) -> Any:
    """Floats in (0, 1): no logarithm of them is infinite."""
    d = _float(dtype_of(dtype))
    digits = {"bfloat16": 8, "float16": 11, "float32": 24}.get(d.name, 53)
    half = 0.5 ** (digits + 1)
    return xp.where((u := uniform(key, shape, d.numpy)) == 0, half, u).astype(d.numpy)


def bernoulli(key: Any, p: Any = 0.5, shape: Any = None) -> Any:
    """Booleans that hold with probability ``p``."""
    p = xp.asarray(p)
    sizes = p.shape if shape is None else shape_of(shape)
    return uniform(key, sizes, p.dtype if p.dtype.kind == "f" else "float64") < p


def rademacher(key: Any, shape: Any = (), dtype: Any = "int64") -> Any:
    """-1 and 1 with equal probability."""
    return ((bits(key, shape) >> 31) * 2).astype(dtype) - xp.asarray(1, dtype)


def exponential(key: Any, shape: Any = (), dtype: Any = "float64") -> Any:
    """Exponentially distributed floats of mean 1."""
    return -xp.log1p(-uniform(key, shape, dtype))


def gumbel(key: Any, shape: Any = (), dtype: Any = "float64") -> Any:
    """Floats of the standard Gumbel distribution: ``-log(-log(u))``."""
    return -xp.log(-xp.log(_open(key, shape, dtype)))


def logistic(key: Any, shape: Any = (), dtype: Any = "float64") -> Any:
    """Floats of the standard logistic distribution: ``log(u / (1 - u))``."""
    u = _open(key, shape, dtype)
    return xp.log(u) - xp.log1p(-u)


def laplace(key: Any, shape: Any = (), dtype: Any = "float64") -> Any:
    """Floats of density ``exp(-abs(x)) / 2``."""
    u = _open(key, shape, dtype)
    return xp.where(u < 0.5, xp.log(2 * u), -xp.log(2 - 2 * u))


def cauchy(key: Any, shape: Any = (), dtype: Any = "float64") -> Any:
    """Floats of the standard Cauchy distribution: ``tan(pi (u - 1/2))``."""
    return xp.tan(math.pi * (_open(key, shape, dtype) - 0.5))


def categorical(key: Any, logits: Any, axis: int = -1, shape: Any = None) -> Any:
    """Indices (int64) along ``axis`` with probabilities ``softmax(logits)``.

    By Gumbel's trick: the index of the largest ``logits + gumbel``.

    Args:
        key: The key.
        logits: Logarithms of probabilities, up to a constant.
        axis: The axis of ``logits`` that is drawn from.
        shape: Shape of the result, to which that of ``logits`` without the axis
            broadcasts; that itself if None.
    """
    logits = xp.moveaxis(xp.asarray(logits), axis, -1)
    sizes = logits.shape[:-1] if shape is None else shape_of(shape)
    d = logits.dtype if logits.dtype.kind == "f" else "float64"
    noise = gumbel(key, (*sizes, logits.shape[-1]), d)
    return xp.argmax(noise + logits, axis=-1)


# Of sets ------------------------------------------------------------------------------


def permutation(key: Any, x: Any, axis: int = 0, independent: bool = False) -> Any:
    """``x`` (or ``0, 1, ..., x - 1``) in random order along ``axis``.

    Args:
        key: The key.
        x: An array, or how many integers.
        axis: The axis along which the order is random.
        independent: Whether each line along the axis has an order of its own.
    """
    x = xp.arange(x) if xp.ndim(x) == 0 else xp.asarray(x)
    axis = axis_of(axis, x.ndim)
    if independent:
        order = xp.argsort(bits(key, x.shape, "uint64"), axis=axis)
        return xp.take_along_axis(x, order, axis)
    return xp.take(x, xp.argsort(bits(key, (x.shape[axis],), "uint64")), axis)


def choice(
    key: Any,
    a: Any,
    shape: Any = (),
    replace: bool = True,
    p: Any = None,
    axis: int = 0,
) -> Any:
    """Random elements of ``a`` (or of ``0, 1, ..., a - 1``).

    Args:
        key: The key.
        a: An array, or how many integers.
        shape: Shape of what takes the place of ``axis``.
        replace: Whether an element may be drawn twice.
        p: Probabilities of the elements along ``axis``; equal ones if None.
        axis: The axis of ``a`` that is drawn from.

    Raises:
        ShapeError: If more elements are drawn than there are, without ``replace``.
    """
    a = xp.arange(a) if xp.ndim(a) == 0 else xp.asarray(a)
    axis, sizes = axis_of(axis, a.ndim), shape_of(shape)
    n, count = a.shape[axis], product(sizes)
    if isinstance(n, int) and isinstance(count, int):
        if n == 0 and count:
            raise ShapeError(f"{state.where()}: choice: there is nothing to draw from")
        if count > n and not replace:
            raise ShapeError(
                f"{state.where()}: choice of {count} from {n} needs replace=True"
            )
    return xp.take(a, _places(key, n, sizes, count, replace, p), axis)


def _places(
    key: Any, n: Dim, sizes: Sequence[Dim], count: Dim, replace: bool, p: Any
) -> Any:
    if not replace:
        if p is None:
            order = permutation(key, n)
        else:  # the largest of log p + gumbel: Efraimidis and Spirakis, 2006
            order = xp.argsort(-(gumbel(key, (n,)) + xp.log(xp.asarray(p))))
        return xp.reshape(order[:count], tuple(sizes))
    if p is None:
        return randint(key, sizes, 0, n)
    sums = xp.cumsum(xp.asarray(p))
    drawn = sums[-1] * (1 - uniform(key, sizes, sums.dtype))
    return xp.searchsorted(sums, drawn)


# Gamma and what is made of it ---------------------------------------------------------


def gamma(key: Any, a: Any, shape: Any = None, dtype: Any = "float64") -> Any:
    """Floats of the gamma distribution with shape parameter ``a`` and scale 1.

    Marsaglia and Tsang, "A simple method for generating gamma variables" (2000): what
    is not accepted is drawn anew, until all is.
    """
    a = xp.asarray(a, dtype)
    sizes = a.shape if shape is None else shape_of(shape)
    a = xp.broadcast_to(a, sizes)
    small = a < 1
    boost_key, loop_key = (k for k in split(key))
    d = xp.where(small, a + 1, a) - 1 / 3
    c = 1 / xp.sqrt(9 * d)

    def draw(carry: Any) -> Any:
        key, found, done = carry
        key, first, second = (k for k in split(key, 3))
        x = normal(first, sizes, dtype)
        v = (1 + c * x) ** 3
        inside = v > 0
        v = xp.where(inside, v, 1)
        u = _open(second, sizes, dtype)
        kept = inside & (xp.log(u) < x * x / 2 + d - d * v + d * xp.log(v))
        return key, xp.where(kept & ~done, d * v, found), done | kept

    start = loop_key, xp.zeros(sizes, dtype), xp.zeros(sizes, bool)
    _, found, _ = while_loop(lambda carry: ~xp.all(carry[2]), draw, start)
    u = _open(boost_key, sizes, dtype)
    return xp.where(small, found * u ** (1 / xp.where(small, a, 1)), found)


def beta(key: Any, a: Any, b: Any, shape: Any = None, dtype: Any = "float64") -> Any:
    """Floats of the beta distribution with parameters ``a`` and ``b``."""
    a, b = xp.asarray(a, dtype), xp.asarray(b, dtype)
    sizes = broadcast_shape(a.shape, b.shape) if shape is None else shape_of(shape)
    first, second = (k for k in split(key))
    x, y = gamma(first, a, sizes, dtype), gamma(second, b, sizes, dtype)
    return x / (x + y)


def dirichlet(key: Any, alpha: Any, shape: Any = None, dtype: Any = "float64") -> Any:
    """Vectors of the Dirichlet distribution; they add up to 1 along the last axis.

    ``shape`` is that of the result without the last axis.
    """
    alpha = xp.asarray(alpha, dtype)
    lead = alpha.shape[:-1] if shape is None else shape_of(shape)
    found = gamma(key, alpha, (*lead, alpha.shape[-1]), dtype)
    return found / xp.sum(found, axis=-1, keepdims=True)


def multivariate_normal(
    key: Any, mean: Any, cov: Any, shape: Any = None, dtype: Any = "float64"
) -> Any:
    """Normally distributed vectors of a mean and a covariance matrix.

    ``shape`` is that of the result without the last axis.
    """
    mean, cov = xp.asarray(mean, dtype), xp.asarray(cov, dtype)
    lead = broadcast_shape(mean.shape[:-1], cov.shape[:-2])
    sizes = lead if shape is None else shape_of(shape)
    drawn = normal(key, (*sizes, mean.shape[-1]), dtype)
    turned = xp.linalg.cholesky(cov) @ drawn[..., None]
    return mean + turned[..., 0]
