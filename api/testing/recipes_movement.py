"""Recipes of ops that make, move, gather or order elements."""

from collections.abc import Sequence

import numpy as np

from graphwright.ir.dim import Dim, floordiv, minimum, product
from graphwright.ir.dtype import DTYPES, int64
from graphwright.ir.emitter import Value
from graphwright.testing.maker import Maker, Reject
from graphwright.testing.registry import recipe

_ANY = "fiubc"


@recipe("iota")
def iota(m: Maker) -> Sequence[Value]:
    shape = m.shape(1, 3)
    axis = m.c.integer(0, len(shape) - 1)
    (y,) = m.emit("iota", shape=shape, axis=axis, dtype=m.dtype("iuf"))
    return [m.state(y, 0.0, float(m.most(shape[axis])), exact=True)]


@recipe("size_of")
def size_of(m: Maker) -> Sequence[Value]:
    x = m.tensor(_ANY, (1, 3))
    dims = (*x.shape, x.tensor.size, x.shape[0] + 1)
    (y,) = m.emit("size_of", dims=dims)
    return [y]


@recipe("bind_dims")
def bind_dims(m: Maker) -> Sequence[Value]:
    sizes = m.constant([m.c.integer(0, 3), m.c.integer(0, 3)], int64)
    line = m.b.abs(m.b.rem(m.b.add(sizes, m.shaped(int64, (2,))), 5))
    dims = tuple(m.b.fresh_symbol() for _ in range(2))
    m.b.emit_all("bind_dims", line, dims=dims)
    return m.emit("iota", shape=dims, axis=1, dtype=DTYPES["float32"])


def _key(m: Maker) -> Value:
    key = DTYPES["uint32"]
    return m.input(m.b.constant([0, 0], key).tensor.with_dtype(key), stem="key")


@recipe("random_bits")
def random_bits(m: Maker) -> Sequence[Value]:
    return m.emit("random_bits", _key(m), shape=m.shape(0, 3))


@recipe("random_uniform")
def random_uniform(m: Maker) -> Sequence[Value]:
    return _random(m, "random_uniform")


@recipe("random_normal")
def random_normal(m: Maker) -> Sequence[Value]:
    return _random(m, "random_normal")


def _random(m: Maker, name: str) -> Sequence[Value]:
    dtype = m.dtype("f")
    if dtype.bits < 16 or m.closed:
        raise Reject
    return m.bounded(12.0, name, _key(m), shape=m.shape(0, 3), dtype=dtype)


@recipe("mersenne_twister_uniform")
def mersenne_twister_uniform(m: Maker) -> Sequence[Value]:
    seed = m.c.integer(0, 99)
    return m.emit("mersenne_twister_uniform", seed=seed, shape=m.shape(0, 3))


# Movement -----------------------------------------------------------------------------


@recipe("reshape")
def reshape(m: Maker) -> Sequence[Value]:
    x = m.tensor(_ANY, (0, 4))
    kind = m.c.integer(0, 2)
    if kind == 0 or not x.rank:
        at = m.c.integer(0, x.rank)
        shape: tuple[Dim, ...] = (*x.shape[:at], 1, *x.shape[at:])
    elif kind == 1:
        shape = (x.tensor.size,)
    else:
        at = m.axis(x)
        shape = (product(x.shape[: at + 1]), *x.shape[at + 1 :])
    return m.emit("reshape", x, shape=shape)


@recipe("transpose")
def transpose(m: Maker) -> Sequence[Value]:
    x = m.tensor(_ANY, (0, 4))
    return m.emit("transpose", x, perm=m.order(x.rank))


@recipe("broadcast_to")
def broadcast_to(m: Maker) -> Sequence[Value]:
    x = m.tensor(_ANY, (0, 3))
    if 1 not in x.shape and x.rank and m.flag():
        x = m.b.reshape(x, (*x.shape, 1))
    shape = [m.dim() if d == 1 else d for d in x.shape]
    return m.emit("broadcast_to", x, shape=(*m.shape(0, 1), *shape))


@recipe("sum_to")
def sum_to(m: Maker) -> Sequence[Value]:
    x = m.tensor("fiuc", (1, 4))
    lead = m.c.integer(0, 1)
    shape = tuple(1 if m.flag() else d for d in x.shape[lead:])
    size = m.size(x) * m.most(x.tensor.size)
    return m.bounded(size, "sum_to", x, shape=shape)


def window(m: Maker, dim: Dim) -> tuple[Dim, Dim, Dim]:
    """Start, size and step of a part of an axis."""
    kind = m.c.integer(0, 3)
    if kind == 0:
        return 0, dim, 1
    if kind == 1:
        return dim - 1, dim, -1
    if isinstance(dim, int) and dim:
        start = m.c.integer(0, dim - 1)
        step = m.c.pick([1, 2, -1, -2])
        room = start // -step if step < 0 else (dim - 1 - start) // step
        return start, m.c.integer(0, room + 1), step
    return (0, floordiv(dim + 1, 2), 2) if kind == 2 else (0, minimum(dim, 1), 1)


@recipe("slice")
def slice_of(m: Maker) -> Sequence[Value]:
    x = m.tensor(_ANY, (1, 4))
    start, size, step = zip(*(window(m, d) for d in x.shape), strict=True)
    return m.emit("slice", x, start=start, size=size, step=step)


@recipe("slice_add")
def slice_add(m: Maker) -> Sequence[Value]:
    x = m.tensor("fiuc", (1, 3))
    start, size, step = zip(*(window(m, d) for d in x.shape), strict=True)
    y = m.shaped(x.dtype, size)
    return m.bounded(m.size(x) + m.size(y), "slice_add", x, y, start=start, step=step)


@recipe("pad")
def pad(m: Maker) -> Sequence[Value]:
    x = m.tensor(_ANY, (1, 3))
    low = tuple(m.c.pick([0, 1, 2]) for _ in x.shape)
    high = tuple(m.c.pick([0, 1, -1]) if n != 0 else 0 for n in x.shape)
    inner = tuple(m.c.pick([0, 0, 1]) for _ in x.shape)
    fill = m.shaped(x.dtype, ())
    return m.emit("pad", x, fill, low=low, high=high, interior=inner)


@recipe("concat")
def concat(m: Maker) -> Sequence[Value]:
    x = m.tensor(_ANY, (1, 3))
    axis = m.axis(x)
    others = [m.like(x) for _ in range(m.c.integer(0, 2))]
    if m.flag():
        shape = list(x.shape)
        shape[axis] = m.dim(static=True)
        others.append(m.shaped(x.dtype, shape))
    return m.emit("concat", x, *others, axis=axis)


@recipe("dynamic_update_slice")
def dynamic_update_slice(m: Maker) -> Sequence[Value]:
    x = m.tensor(_ANY, (1, 3))
    shape = [m.c.pick([d, min(d, 1)]) if isinstance(d, int) else d for d in x.shape]
    start = [m.shaped(int64, ()) for _ in x.shape]
    return m.emit("dynamic_update_slice", x, m.shaped(x.dtype, shape), *start)


# Indices ------------------------------------------------------------------------------


def _taken(m: Maker, x: Value) -> tuple[Value, dict[str, int], tuple[Dim, ...]]:
    """Indices into an axis, the fields, and the shape of what is taken."""
    axis = m.axis(x)
    batch = m.c.integer(0, min(axis, 1))
    shape = (*x.shape[:batch], *m.shape(0, 2))
    indices = m.indices(shape, x.shape[axis], DTYPES[m.c.pick(["int64", "int32"])])
    taken = (*x.shape[:axis], *shape[batch:], *x.shape[axis + 1 :])
    return indices, {"axis": axis, "batch_dims": batch}, taken


@recipe("gather")
def gather(m: Maker) -> Sequence[Value]:
    x = m.tensor(_ANY, (1, 3))
    indices, fields, _ = _taken(m, x)
    return m.emit("gather", x, indices, **fields)


def _mode(m: Maker, x: Value) -> str:
    """How updates combine; what they give does not hang on their order."""
    if x.dtype.kind in "bc":
        return "set"
    return m.c.pick(["set", "add", "min", "max", "mul"])


def _combined(
    m: Maker,
    name: str,
    x: Value,
    indices: Value,
    updates: Value,
    mode: str,
    **fields: int,
) -> Sequence[Value]:
    if mode == "mul" and x.dtype.is_float:
        updates = m.inside(updates, (-1.0, 1.0))
    size = m.size(x) + m.size(updates) * m.most(updates.tensor.size)
    operands = (x, indices, updates)
    if mode in ("add", "mul"):
        return m.bounded(size, name, *operands, mode=mode, **fields)
    return m.emit(name, *operands, mode=mode, **fields)


@recipe("scatter")
def scatter(m: Maker) -> Sequence[Value]:
    x = m.tensor(_ANY, (1, 3))
    indices, fields, shape = _taken(m, x)
    updates = m.shaped(x.dtype, shape)
    return _combined(m, "scatter", x, indices, updates, _mode(m, x), **fields)


def _along(m: Maker, x: Value) -> tuple[Value, int]:
    axis = m.axis(x)
    shape = list(x.shape)
    shape[axis] = m.dim()
    return m.indices(shape, x.shape[axis]), axis


@recipe("take_along_axis")
def take_along_axis(m: Maker) -> Sequence[Value]:
    x = m.tensor(_ANY, (1, 3))
    indices, axis = _along(m, x)
    return m.emit("take_along_axis", x, indices, axis=axis)


@recipe("scatter_along_axis")
def scatter_along_axis(m: Maker) -> Sequence[Value]:
    x = m.tensor(_ANY, (1, 3))
    indices, axis = _along(m, x)
    updates = m.shaped(x.dtype, indices.shape)
    name, mode = "scatter_along_axis", _mode(m, x)
    return _combined(m, name, x, indices, updates, mode, axis=axis)


@recipe("nonzero")
def nonzero(m: Maker) -> Sequence[Value]:
    x = m.tensor(_ANY, (0, 3), exact=True)
    return m.emit("nonzero", x, count=m.b.fresh_symbol())


@recipe("unique")
def unique(m: Maker) -> Sequence[Value]:
    x = m.tensor("fiub", (1, 2), exact=True)
    axis = m.axis(x) if m.flag() else None
    fields = {"axis": axis, "sorted": m.flag(), "count": m.b.fresh_symbol()}
    return m.emit("unique", x, **fields)


@recipe("sort")
def sort(m: Maker) -> Sequence[Value]:
    x = m.tensor("fiub", (1, 3), exact=True)
    return m.emit("sort", x, axis=m.axis(x), descending=m.flag())


@recipe("resample_table")
def resample_table(m: Maker) -> Sequence[Value]:
    fields = {"mode": m.c.pick(["nearest", "linear", "cubic"])}
    source, target = m.dim(static=True), m.dim(static=True)
    m.positive(source)
    return m.emit(
        "resample_table",
        coordinates=m.c.pick(["half_pixel", "asymmetric", "align_corners"]),
        nearest=m.c.pick(["floor", "round_prefer_ceil"]),
        cubic=float(np.float32(-0.75)),
        antialias=m.flag(),
        exclude_outside=m.flag(),
        source=source,
        target=target,
        scale=0.0,
        roi=(),
        **fields,
    )


@recipe("search_sorted")
def search_sorted(m: Maker) -> Sequence[Value]:
    values = m.tensor("fiu", (0, 2), exact=True)
    line = m.shaped(values.dtype, (m.dim(),), exact=True)
    line, _ = m.emit("sort", line, axis=0)
    return m.emit("search_sorted", line, values, right=m.flag())


@recipe("update_slice")
def update_slice(m: Maker) -> Sequence[Value]:
    x = m.tensor(_ANY, (1, 3))
    start, size, step = zip(*(window(m, d) for d in x.shape), strict=True)
    y = m.shaped(x.dtype, size)
    return m.emit("update_slice", x, y, start=start, step=step)
