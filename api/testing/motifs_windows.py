"""Motifs of windows: written and read again, the same one or another."""

from collections.abc import Sequence
from typing import Any

from graphwright.ir.dtype import bool_
from graphwright.ir.emitter import Value
from graphwright.testing.maker import Maker
from graphwright.testing.motifs import motif, rarely, read_again
from graphwright.testing.motifs_movement import view
from graphwright.testing.recipes_movement import window

_ANY = "fiub"


class _Window:
    """A part of every axis of a tensor."""

    def __init__(self, m: Maker, x: Value) -> None:
        parts: Any = zip(*(window(m, d) for d in x.shape), strict=True)
        self.start, self.size, self.step = parts

    def read(self, m: Maker, x: Value) -> Value:
        """What is there."""
        fields = {"start": self.start, "size": self.size, "step": self.step}
        return view(m, "slice", x, **fields)

    def written(self, m: Maker, x: Value, y: Value | None = None) -> Value:
        """The tensor with something there."""
        y = m.shaped(x.dtype, self.size) if y is None else y
        return m.emit("update_slice", x, y, start=self.start, step=self.step)[0]


def _start(m: Maker) -> tuple[Value, _Window]:
    x = m.tensor(_ANY, (1, 3))
    return x, _Window(m, x)


@motif("window_written_back")
def window_written_back(m: Maker) -> Sequence[Value]:
    x, here = _start(m)
    y = here.read(m, x)
    return [here.written(m, m.like(x) if rarely(m) else x, y)]


@motif("window_read_back")
def window_read_back(m: Maker) -> Sequence[Value]:
    x = m.shaped(m.tensor(_ANY, (1, 3)).dtype, (5, 3))
    at: tuple[int, ...] = (0,) * x.rank
    here = {"start": at, "step": (1,) * x.rank}
    y = m.shaped(x.dtype, (1, *x.shape[1:]))
    (z,) = m.emit("update_slice", x, y, **here)
    read_again(m, z)
    if rarely(m):
        here["step"] = (-1, *here["step"][1:])
    return [view(m, "slice", z, **here, size=y.shape)]


@motif("window_read_beside")
def window_read_beside(m: Maker) -> Sequence[Value]:
    dtype = m.tensor(_ANY, (1, 3)).dtype
    x, y = m.shaped(dtype, (5, 3)), m.shaped(dtype, (2, 3))
    (z,) = m.emit("update_slice", x, y, start=(1, 0), step=(1, 1))
    if rarely(m):
        read_again(m, z)
    at = (2 if rarely(m) else 3, 0)
    return [view(m, "slice", z, start=at, size=(2, 3), step=(1, 1))]


@motif("update_where")
def update_where(m: Maker) -> Sequence[Value]:
    dtype = m.tensor(_ANY, (1, 3)).dtype
    x, other = m.shaped(dtype, (2, 6)), m.shaped(dtype, (2, 6))
    count = m.b.fresh_symbol()
    (places,) = m.emit("nonzero", m.shaped(bool_, (6,)), count=count)
    (at,) = m.emit("reshape", places, shape=(count,))
    at_other = at
    if rarely(m):
        (at_other,) = m.emit("min", at, m.like(at))
    parts = [
        m.emit("gather", v, i, axis=1, batch_dims=0)[0]
        for v, i in ((x, at), (other, at_other))
    ]
    (y,) = m.emit("max", *parts)
    return m.emit("scatter", x, at, y, axis=1, mode="set", batch_dims=0)


@motif("nothing_written")
def nothing_written(m: Maker) -> Sequence[Value]:
    x = m.shaped(m.tensor(_ANY, (1, 3)).dtype, (5, 3))
    y = m.shaped(x.dtype, (1 if rarely(m) else 0, 3))
    return m.emit("update_slice", x, y, start=(2, 0), step=(1, 1))


@motif("sum_of_nothing")
def sum_of_nothing(m: Maker) -> Sequence[Value]:
    dtype = m.tensor("f", (1, 3)).dtype
    depth = 1 if rarely(m) else 0
    x, y = m.shaped(dtype, (2, depth)), m.shaped(dtype, (depth, 3))
    return m.emit("dot", x, y, dtype=None)


@motif("window_written_twice")
def window_written_twice(m: Maker) -> Sequence[Value]:
    x, here = _start(m)
    there = _Window(m, x) if rarely(m) else here
    y = here.written(m, x)
    read_again(m, y)
    return [there.written(m, y)]


@motif("all_written")
def all_written(m: Maker) -> Sequence[Value]:
    x = m.tensor(_ANY, (1, 3))
    start, step = (0,) * x.rank, (1,) * x.rank
    return m.emit("update_slice", x, m.like(x), start=start, step=step)
