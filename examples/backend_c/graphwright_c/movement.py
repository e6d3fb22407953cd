"""Ops that move elements: each says at which index of an operand an element lies."""

from math import prod
from typing import Any

import numpy as np

from graphwright.ir.dtype import DType
from graphwright_c.elements import combined
from graphwright_c.writer import Array, C, Index, Writer, linear, number


def reshape(w: Writer, op: Any, out: DType, x: Array) -> Array:
    def at(index: Index) -> str:
        place, inner = w.let(linear(index, op.shape)), list[str]()
        for i, n in reversed(list(enumerate(x.shape))):
            after = max(prod(x.shape[i + 1 :]), 1)
            inner.append(w.let(f"{place} / {after}" + (f" % {max(n, 1)}" if i else "")))
        return x.at(inner[::-1])

    return Array(op.shape, out, at, x.computes)


def transpose(w: Writer, op: Any, out: DType, x: Array) -> Array:
    shape = tuple(x.shape[p] for p in op.perm)
    order = np.argsort(op.perm).tolist()
    return Array(shape, out, lambda ix: x.at([ix[p] for p in order]), x.computes)


def broadcast_to(w: Writer, op: Any, out: DType, x: Array) -> Array:
    def at(index: Index) -> str:
        own = index[len(index) - len(x.shape) :]
        rows = zip(own, x.shape, strict=True)
        return x.at(["0" if n == 1 else i for i, n in rows])

    return Array(op.shape, out, at, x.computes)


def slice_(w: Writer, op: Any, out: DType, x: Array) -> Array:
    def at(index: Index) -> str:
        rows = zip(index, op.start, op.step, strict=True)
        return x.at([w.let(f"{s} + {i} * ({by})") for i, s, by in rows])

    return Array(op.size, out, at, x.computes)


def pad(w: Writer, op: Any, out: DType, x: Array, value: Array) -> Array:
    rows = list(zip(x.shape, op.low, op.high, op.interior, strict=True))
    shape = tuple(n + max(n - 1, 0) * g + lo + hi for n, lo, hi, g in rows)

    def at(index: Index) -> str:
        tests, inner = list[str](), list[str]()
        for i, (n, low, _, gap) in zip(index, rows, strict=True):
            place = w.let(f"{i} - ({low})")
            inner.append(w.let(f"{place} / {gap + 1}"))
            tests.append(f"{place} >= 0 && {inner[-1]} < {n}")
            tests += [f"{place} % {gap + 1} == 0"] if gap else []
        return f"({' && '.join(tests) or '1'} ? {x.at(inner)} : {value.at([])})"

    return Array(shape, out, at, computes=True)


def concat(w: Writer, op: Any, out: DType, *xs: Array) -> Array:
    total = sum(x.shape[op.axis] for x in xs)
    shape = (*xs[0].shape[: op.axis], total, *xs[0].shape[op.axis + 1 :])

    def at(index: Index) -> str:
        found, start = xs[0].at(index), xs[0].shape[op.axis]
        for x in xs[1:]:
            inner = [*index]
            inner[op.axis] = w.let(f"{index[op.axis]} - {start}")
            found = f"({index[op.axis]} >= {start} ? {x.at(inner)} : {found})"
            start += x.shape[op.axis]
        return found

    return Array(shape, out, at, any(x.computes for x in xs) or len(xs) > 2)


def iota(w: Writer, op: Any, out: DType) -> Array:
    return Array(op.shape, out, lambda index: f"(({C[out.name]}){index[op.axis]})")


def size_of(w: Writer, op: Any, out: DType) -> Array:
    y = w.buffer((len(op.dims),), out)
    for i, dim in enumerate(op.dims):
        w.line(f"{y.at([str(i)])} = {number(dim, out)};")
    return y


def update(w: Writer, op: Any, out: DType, x: Array, y: Array, *start: Array) -> Array:
    first = [w.name() for _ in start]
    rows = zip(first, start, x.shape, y.shape, strict=True)
    for name, s, n, m in rows:
        w.line(f"int64_t {name} = {s.at([])};")
        w.line(f"{name} = {name} < 0 ? 0 : {name} > {n - m} ? {n - m} : {name};")

    def at(index: Index) -> str:
        inner = [w.let(f"{i} - {s}") for i, s in zip(index, first, strict=True)]
        pairs = zip(inner, y.shape, strict=True)
        inside = " && ".join(f"{i} >= 0 && {i} < {n}" for i, n in pairs) or "1"
        return f"({inside} ? {y.at(inner)} : {x.at(index)})"

    return Array(x.shape, out, at, computes=True)


def checked(w: Writer, indices: Array, size: int) -> Array:
    """Indices in memory, all of them in range: else the run ends here."""
    held = w.store(indices)
    with w.loop(held.shape) as index:
        w.line(f"if ({held.at(index)} < 0 || {held.at(index)} >= {size}) return WHERE;")
    return held


def place(op: Any, index: Index, rank: int, indices: Array) -> Index:
    """The index into an operand at which ``gather`` reads, ``scatter`` writes."""
    inner = len(indices.shape) - op.batch_dims
    own = [*index[: op.batch_dims], *index[op.axis : op.axis + inner]]
    return [*index[: op.axis], indices.at(own), *index[op.axis + inner :]]


def gather(w: Writer, op: Any, out: DType, x: Array, indices: Array) -> Array:
    held = checked(w, indices, x.shape[op.axis])
    own = held.shape[op.batch_dims :]
    shape = (*x.shape[: op.axis], *own, *x.shape[op.axis + 1 :])
    return Array(shape, out, lambda ix: x.at(place(op, ix, len(x.shape), held)), True)


def scatter(w: Writer, op: Any, out: DType, x: Array, i: Array, y: Array) -> Array:
    held, z = checked(w, i, x.shape[op.axis]), w.store(x)
    join = {"add": "add", "mul": "mul", "min": "min", "max": "max"}.get(op.mode)
    with w.loop(y.shape) as index:
        to, new = z.at(place(op, index, len(x.shape), held)), y.at(index)
        w.line(f"{to} = {combined(w, join, out, to, new) if join else new};")
    return z
