"""Motifs of control flow that need not be: known branches, short loops, idle values."""

from collections.abc import Sequence
from typing import Any

from graphwright.ir.dtype import bool_, int64
from graphwright.ir.emitter import Value
from graphwright.ir.types import TensorType
from graphwright.testing.maker import Maker
from graphwright.testing.motifs import motif, often, rarely

_UNIT = (-1.0, 1.0)


@motif("simplify_control")
def simplify_control(m: Maker) -> Sequence[Value]:
    return _branch(m) if m.flag() else _loop(m)


def _branch(m: Maker) -> Sequence[Value]:
    """One of two functions, by a constant or by what only the run knows."""
    x = m.tensor("f", (0, 2), within=_UNIT)
    plain = TensorType(x.dtype, x.shape)
    graphs: dict[str, Any] = {}
    for name, op in (("then_graph", "neg"), ("else_graph", "tanh")):
        sub = m.inner(name)
        inner = sub.state(sub.b.input("x", plain), *_UNIT)
        graphs[name] = sub.b.finish([sub.elementwise(op, inner)[0]])
    taken = m.constant(m.flag()) if often(m) else m.shaped(bool_, ())
    return m.bounded(1.0, "cond", taken, x, types=(plain,), **graphs)


def _loop(m: Maker) -> Sequence[Value]:
    """A loop with a value that may not change, and results that may not be read."""
    x = m.tensor("f", (1, 2), within=_UNIT)
    fixed, idle = m.inside(m.like(x), _UNIT), m.inside(m.like(x), _UNIT)
    sub, plain = m.inner("body"), TensorType(x.dtype, x.shape)
    step = sub.b.input("step", TensorType(int64, ()))
    going = sub.b.input("going", TensorType(bool_, ()))
    state, other, same = (sub.b.input(n, plain) for n in ("state", "idle", "same"))
    for v in (state, other, same):
        sub.state(v, *_UNIT)
    after = sub.inside(sub.elementwise("mul", state, same)[0], _UNIT)
    if m.flag():
        after = sub.elementwise("tanh", sub.elementwise("add", after, other)[0])[0]
    kept = other if m.flag() else sub.elementwise("neg", other)[0]
    again = sub.b.and_(going, sub.b.lt(step, 2)) if rarely(m) else going
    body = sub.b.finish([again, after, kept])
    trips = m.constant(m.c.pick([0, 1, 2, 3, 20]), int64)
    fields: dict[str, Any] = {"types": (plain, plain), "carried": 2, "body": body}
    operands = (trips, m.constant(not rarely(m)), x, idle, fixed)
    found = m.bounded(1.0, "while_loop", *operands, fresh=(), **fields)
    return found if m.flag() else found[:1]
