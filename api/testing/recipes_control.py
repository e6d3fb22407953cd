"""Recipes of control flow, state and placement."""

import base64
from collections.abc import Sequence
from typing import Any

from graphwright.ir.constant import Constant
from graphwright.ir.dim import Dim
from graphwright.ir.dtype import DTYPES, int64
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph
from graphwright.ir.op import OPS
from graphwright.ir.ops.foreign import EXPANDERS
from graphwright.ir.parser import parse
from graphwright.ir.types import TensorType, Type
from graphwright.testing.maker import BOOL, Maker, Reject, bare
from graphwright.testing.registry import RECIPES, is_plain, recipe

_RANGE = (-2.0, 2.0)
_REAL = "fiu"


def _steps() -> list[str]:
    """Ops that keep dtype and shape, for bodies."""
    bool_results = ("eq", "lt")
    return [n for n in RECIPES if is_plain(OPS[n]) and n not in bool_results]


def _churn(m: Maker, x: Value, most: int) -> Value:
    """A few elementwise ops of ``x``, clipped so that it can go round a loop."""
    names = _steps()
    for _ in range(m.c.integer(0, most)):
        m.admit(x)
        with_x = _Only(m, x)
        try:
            (y,) = RECIPES[m.c.pick(names)](with_x)
        except Reject:
            continue
        if bare(y) == bare(x):
            x = m.inside(y, None)
    return m.inside(x, _RANGE) if x.dtype.kind in _REAL else x


class _Only(Maker):
    """A maker of whose values only one can be had, by its type."""

    def __init__(self, m: Maker, x: Value) -> None:
        super().__init__(m.b, m.c, m.world)
        self.facts, self.only, self.closed = m.facts, x, True

    def tensor(self, kinds: str = "f", rank: Any = (0, 3), **rules: Any) -> Value:
        if self.only.dtype.kind not in kinds:
            raise Reject
        if rules.get("exact") and not self.fact(self.only).exact:
            raise Reject
        return self.inside(self.only, rules.get("within"))

    def like(self, x: Value, **rules: Any) -> Value:
        return self.tensor(x.dtype.kind, **rules)


def _inputs(sub: Maker, types: Sequence[Type], exact: bool = False) -> list[Value]:
    values = [sub.b.input(f"a{i}", t) for i, t in enumerate(types)]
    for v in values:
        sub.state(v, *_RANGE, exact=exact)
    return values


def _ready(m: Maker, x: Value) -> Value:
    """``x`` in the range that bodies expect."""
    return m.inside(x, _RANGE) if x.dtype.kind in _REAL else x


def _predicate(m: Maker) -> Value:
    return m.shaped(BOOL, ())


@recipe("cond")
def cond(m: Maker) -> Sequence[Value]:
    xs = [_ready(m, m.tensor("fiub"))]
    xs.append(_ready(m, m.like(xs[0])))
    branches: list[Graph] = []
    for name in ("then", "else"):
        sub = m.inner(name)
        x, y = _inputs(sub, [bare(v) for v in xs])
        branches.append(sub.b.finish([_churn(sub, x, 3), _churn(sub, y, 1)]))
    fields: dict[str, Any] = {"types": tuple(map(bare, xs)), "fresh": ()}
    then_graph, else_graph = branches
    fields |= {"then_graph": then_graph, "else_graph": else_graph}
    return m.bounded(2.0, "cond", _predicate(m), *xs, **fields)


@recipe("while_loop")
def while_loop(m: Maker) -> Sequence[Value]:
    x = _ready(m, m.tensor("fiub", (0, 2)))
    fixed = _ready(m, m.like(x))
    sub = m.inner("body")
    types = [TensorType(int64, ()), TensorType(BOOL, ()), bare(x), bare(fixed)]
    step, going, state, other = _inputs(sub, types)
    again = sub.b.and_(going, sub.b.lt(step, m.c.integer(0, 4)))
    after = _churn(sub, state, 3)
    item = _churn(sub, other, 2)
    body = sub.b.finish([again, after, item])
    count = m.b.fresh_symbol()
    stacked = TensorType(x.dtype, (count, *x.shape))
    (name,) = str(count).split()
    trips = m.constant(m.c.pick([0, 1, 3, -1]), int64)
    going = m.constant(True) if m.flag() else _predicate(m)
    return m.bounded(
        2.0,
        "while_loop",
        trips,
        going,
        x,
        fixed,
        types=(bare(x), stacked),
        fresh=(name,),
        body=body,
        carried=1,
    )


@recipe("scan")
def scan(m: Maker) -> Sequence[Value]:
    x = _ready(m, m.tensor("fiu", (1, 3)))
    axis = m.axis(x)
    slice_shape = (*x.shape[:axis], *x.shape[axis + 1 :])
    state = _ready(m, m.shaped(x.dtype, slice_shape))
    sub = m.inner("body")
    before, item = _inputs(sub, [bare(state)] * 2)
    after = _churn(sub, sub.b.add(_churn(sub, before, 2), item), 1)
    after = sub.state(after, -4.0, 4.0)
    body = sub.b.finish([sub.inside(after, _RANGE), _churn(sub, item, 2)])
    out = m.c.integer(0, x.rank - 1)
    shape: list[Dim] = list(slice_shape)
    shape.insert(out, x.shape[axis])
    return m.bounded(
        2.0,
        "scan",
        state,
        x,
        types=(bare(state), TensorType(x.dtype, tuple(shape))),
        body=body,
        carried=1,
        scanned=1,
        in_axes=(axis,),
        out_axes=(out,),
        reverse=(m.flag(),),
        out_reverse=(m.flag(),),
    )


def _called(m: Maker) -> tuple[Value, Graph]:
    x = _ready(m, m.tensor("fiub"))
    sub = m.inner("body")
    (inner,) = _inputs(sub, [bare(x)])
    return x, sub.b.finish([_churn(sub, inner, 3)])


@recipe("call")
def call(m: Maker) -> Sequence[Value]:
    x, body = _called(m)
    return m.bounded(2.0, "call", x, types=(bare(x),), graph=body)


@recipe("fused")
def fused(m: Maker) -> Sequence[Value]:
    x, body = _called(m)
    return m.bounded(2.0, "fused", x, kind="elementwise", body=body)


@recipe("placed")
def placed(m: Maker) -> Sequence[Value]:
    x, body = _called(m)
    return m.bounded(2.0, "placed", x, kind="placed", body=body, device="numpy")


TEXT = "graphwright.ir"
"""Format of foreign operations that are graphs in text form."""


def _read(op: Any, _: Sequence[Any]) -> Graph:
    return parse(base64.b64decode(op.payload).decode())


EXPANDERS.setdefault(TEXT, _read)


@recipe("foreign")
def foreign(m: Maker) -> Sequence[Value]:
    x, body = _called(m)
    payload = base64.b64encode(str(body).encode()).decode()
    if "constant" in str(body) and "@" in str(body):
        raise Reject  # the text does not hold large constants
    types = (bare(body.outputs[0]),)
    fields = {"format": TEXT, "kind": "graph", "payload": payload, "types": types}
    return m.bounded(2.0, "foreign", x, **fields)


@recipe("refine_shape")
def refine_shape(m: Maker) -> Sequence[Value]:
    x = m.tensor("fiubc")
    return m.emit("refine_shape", x, shape=x.shape)


@recipe("barrier")
def barrier(m: Maker) -> Sequence[Value]:
    return m.emit("barrier", m.tensor("fiubc"), m.tensor("fiubc"))


@recipe("copy_to")
def copy_to(m: Maker) -> Sequence[Value]:
    return m.emit("copy_to", m.tensor("fiubc"), device="numpy")


# State --------------------------------------------------------------------------------


def _variable(m: Maker) -> tuple[str, TensorType]:
    if m.closed:
        raise Reject
    type_ = TensorType(DTYPES["float32"], (2,))
    m.b.variable("state", Constant.of([0.5, -1.0], type_.dtype))
    return "state", type_


@recipe("token")
def token(m: Maker) -> Sequence[Value]:
    return read(m)


@recipe("read")
def read(m: Maker) -> Sequence[Value]:
    name, type_ = _variable(m)
    (x,) = m.b.effect("read", variable=name, type=type_)
    return [m.state(x, *_RANGE, exact=False)]


@recipe("write")
def write(m: Maker) -> Sequence[Value]:
    name, type_ = _variable(m)
    x = m.inside(m.shaped(type_.dtype, type_.dims), _RANGE)
    m.b.effect("write", x, variable=name)
    return read(m)
