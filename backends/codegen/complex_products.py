"""Products of many complex numbers, each in few steps that are sums of real ones."""

from collections.abc import Callable, Sequence
from typing import Any

from graphwright.backends.codegen.complex_functions import Complex, mul
from graphwright.backends.codegen.elements import product, sizes_of
from graphwright.ir.builder import Builder
from graphwright.ir.emitter import Value


def multiplied(b: Builder, op: Any, x: Complex) -> Complex:
    """A reduction of kind ``prod``: halves of what is left times each other."""
    shape = sizes_of(x[0].type)
    kept = [i for i in range(len(shape)) if i not in op.axes]
    order, rest = (*kept, *op.axes), [shape[i] for i in kept]
    n = product([shape[i] for i in op.axes])
    x = _both(x, lambda v: b.reshape(b.transpose(v, order), (*rest, n)))
    while n > 1:
        half = n // 2
        found = mul(b, _cut(b, x, 0, half), _cut(b, x, half, 2 * half))
        x = _joined(b, [found, _cut(b, x, 2 * half, n)]) if n % 2 else found
        n -= half
    if not n:
        return _ones(b, x[0], rest)
    return _both(x, lambda v: b.reshape(v, rest))


def running(b: Builder, op: Any, x: Complex) -> Complex:
    """A running product: each element times those 1, 2, 4, ... before it.

    Source: Hillis and Steele, "Data parallel algorithms" (1986).
    """
    shape = sizes_of(x[0].type)
    n, last = shape[op.axis], len(shape) - 1
    perm = [i for i in range(len(shape)) if i != op.axis]
    back = [*range(op.axis), last, *range(op.axis, last)]
    flipped = [last] if op.reverse else []
    x = _both(x, lambda v: b.flip(b.transpose(v, [*perm, op.axis]), flipped))
    step = 1
    while step < n:
        more = mul(b, _cut(b, x, step, n), _cut(b, x, 0, n - step))
        x = _joined(b, [_cut(b, x, 0, step), more])
        step *= 2
    if op.exclusive and n:
        one = _ones(b, x[0], [*(shape[i] for i in perm), 1])
        x = _joined(b, [one, _cut(b, x, 0, n - 1)])
    return _both(x, lambda v: b.transpose(b.flip(v, flipped), back))


def _both(x: Complex, function: Callable[[Value], Value]) -> Complex:
    return function(x[0]), function(x[1])


def _cut(b: Builder, x: Complex, start: int, stop: int) -> Complex:
    """Some elements of the last axis."""
    return _both(x, lambda v: b.slice_axis(v, v.rank - 1, start, stop))


def _joined(b: Builder, xs: Sequence[Complex]) -> Complex:
    """Along the last axis."""
    real, imag = (b.concat(part, part[0].rank - 1) for part in zip(*xs, strict=True))
    return real, imag


def _ones(b: Builder, like: Value, shape: Sequence[int]) -> Complex:
    return b.full(shape, 1, like.dtype), b.full(shape, 0, like.dtype)
