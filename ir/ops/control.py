"""Control flow over sub-graphs, which are isolated: what they use is an operand.

Dims are the exception: the symbols of the enclosing graph are visible inside.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, TypeAlias

import numpy as np

from graphwright.ir.dtype import bool_, int64
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import BudgetError, ShapeError, UnsupportedOpError
from graphwright.ir.op import Call, Declared, Op, Rows, Tier
from graphwright.ir.rules import need
from graphwright.ir.types import TensorType, Type

MAX_ITERATIONS = 2**31


class Control(Declared):
    """An op that runs sub-graphs; the types of its results are declared."""

    tier: ClassVar[Tier] = Tier.CONTROL

    def result_type(self, *operands: Type, **_: Any) -> tuple[Type, ...]:
        self.check(operands)
        return self.types

    def check(self, operands: Sequence[Type]) -> None:
        """Raises ShapeError where operands do not fit the sub-graphs."""


_Around: TypeAlias = tuple[list[bool], list[bool], list[bool]]


def _with_rows(rows: Rows, types: Sequence[Type]) -> tuple[TensorType, ...]:
    """Types with the axis of rows."""
    found: list[TensorType] = []
    for t in types:
        if not isinstance(t, TensorType):
            raise UnsupportedOpError(f"no rows can be made of {t}")
        found.append(TensorType(t.dtype, (rows.size, *t.dims)))
    return tuple(found)


def _over_rows(
    b: Emitter, graph: Any, rows: Rows, mapped: Sequence[bool], wanted: Sequence[bool]
) -> tuple[Any, list[bool]]:
    """A sub-graph over rows: those inputs have the axis, and these outputs at least.

    Returns it, with which of its outputs have the axis.
    """
    inner = b.subgraph(graph.name)
    inputs = [
        inner.input(name, _with_rows(rows, [t])[0] if m else t)
        for name, t, m in zip(graph.input_names, graph.input_types, mapped, strict=True)
    ]
    values, found = rows.inline(inner, graph, inputs, mapped)
    outputs = _lifted(inner, rows, values, found, wanted)
    have = [want or m for want, m in zip(wanted, found, strict=True)]
    return inner.finish(outputs, graph.output_names), have


def _settled(
    b: Emitter,
    graph: Any,
    rows: Rows,
    around: _Around,
    ends: tuple[int, int],
) -> tuple[Any, list[bool]]:
    """A loop's body over rows, the axis given to all that comes to have it.

    ``around`` tells of the inputs before, at and after the carried values; ``ends``
    how many outputs there are before and after them.
    """
    before, carried, after = around
    lead, tail = ends
    while True:
        wanted = [*[False] * lead, *carried, *[True] * tail]
        body, have = _over_rows(b, graph, rows, [*before, *carried, *after], wanted)
        grown = have[lead : lead + len(carried)]
        if grown == carried:
            return body, have
        carried = grown


def _lifted(
    b: Emitter, rows: Rows, values: Sequence[Value], have: Any, want: Any
) -> list[Value]:
    """Values that have the axis where they should."""
    lacking = [w and not h for w, h in zip(want, have, strict=True)]
    return rows.spread(b, values, [not lacks for lacks in lacking])


def _any(b: Emitter, x: Value) -> Value:
    """Whether an element of a bool vector holds."""
    return b.ne(b.sum(b.cast(x, int64), [0]), 0)


def _chosen(b: Emitter, rows: Rows, alive: Value, new: Value, old: Value) -> Value:
    """Rows of ``new`` where ``alive`` holds, else of ``old``; all have the axis."""
    column = b.reshape(alive, (rows.size, *(1 for _ in new.shape[1:])))
    return b.where(b.broadcast_to(column, new.shape), new, old)


def _fits(op: Op, graph: Any, count: int) -> None:
    have = len(graph.inputs)
    need(have == count, f"{op.name}: sub-graph takes {have} values, {count} are given")


class Cond(Control):
    """``then_graph`` of the other operands if the first holds, else ``else_graph``."""

    name = "cond"
    then_graph: Any
    else_graph: Any

    def check(self, operands: Sequence[Type]) -> None:
        for graph in (self.then_graph, self.else_graph):
            _fits(self, graph, len(operands) - 1)
            need(
                len(graph.outputs) == len(self.types),
                "cond: branches differ in results",
            )

    def run(self, call: Call, operands: Sequence[Any]) -> Sequence[Any]:
        taken = bool(_item(operands[0]))
        return call(self.then_graph if taken else self.else_graph, operands[1:])

    def batch(
        self, b: Emitter, operands: Sequence[Value], rows: Rows
    ) -> Sequence[Value] | None:
        """One branch if all rows take it; else both, and a choice for each row."""
        pred, mapped = operands[0], rows.mapped[1:]
        all_mapped = [True] * len(self.types)
        if not rows.mapped[0]:
            graphs = [
                _over_rows(b, g, rows, mapped, all_mapped)[0]
                for g in (self.then_graph, self.else_graph)
            ]
            types = _with_rows(rows, self.types)
            fields = {"then_graph": graphs[0], "else_graph": graphs[1], "types": types}
            return self.again(b, operands, **fields)
        branches: list[list[Value]] = []
        for graph in (self.then_graph, self.else_graph):
            values, found = rows.inline(b, graph, operands[1:], mapped)
            branches.append(rows.spread(b, values, found))
        alive = b.reshape(pred, (rows.size,))
        return [_chosen(b, rows, alive, x, y) for x, y in zip(*branches, strict=True)]


class WhileLoop(Control):
    """A loop with a trip count, a condition, carried values and invariants.

    Operands: trip count (int64, negative for none), condition (bool), ``carried``
    values, then invariants. The body takes (iteration, condition, carried...,
    invariants...) and gives (condition, carried..., scanned...). Results: the carried
    values and, stacked along a new first axis, the scanned ones.
    """

    name = "while_loop"
    body: Any
    carried: int
    max_iterations: int = MAX_ITERATIONS

    def check(self, operands: Sequence[Type]) -> None:
        _fits(self, self.body, len(operands))
        need(
            len(self.body.outputs) == len(self.types) + 1, "while_loop: results differ"
        )

    def run(self, call: Call, operands: Sequence[Any]) -> Sequence[Any]:
        trips, going = int(_item(operands[0])), bool(_item(operands[1]))
        state = list(operands[2 : 2 + self.carried])
        fixed = operands[2 + self.carried :]
        rows: list[list[Any]] = [[] for _ in self.types[self.carried :]]
        i = 0
        while going and (trips < 0 or i < trips):
            if i >= self.max_iterations:
                raise BudgetError(
                    f"a loop ran {i} iterations: raise max_loop_iterations"
                )
            out = call(self.body, [np.int64(i), np.bool_(going), *state, *fixed])
            going = bool(_item(out[0]))
            state = list(out[1 : 1 + self.carried])
            for row, item in zip(rows, out[1 + self.carried :], strict=True):
                row.append(item.copy())
            i += 1
        return [*state, *(self._stack(r, k) for k, r in enumerate(rows))]

    def _stack(self, row: list[Any], k: int) -> Any:
        return _stacked(row, 0, self.types[self.carried + k])

    def batch(
        self, b: Emitter, operands: Sequence[Value], rows: Rows
    ) -> Sequence[Value] | None:
        """The loop of all rows; those that end at different times wait for the last."""
        n, stacked = self.carried, len(self.types) - self.carried
        starts, fixed = [*rows.mapped[2 : 2 + n]], [*rows.mapped[2 + n :]]
        around = ([False, False], starts, fixed)
        body, (ragged, *have) = _settled(b, self.body, rows, around, (1, stacked))
        if ragged or rows.mapped[0] or rows.mapped[1]:
            return self._batch_ragged(b, operands, rows)
        state = _lifted(b, rows, operands[2 : 2 + n], starts, have[:n])
        types = [
            t if not m else _with_rows(rows, [t])[0]
            for t, m in zip(self.types, have, strict=True)
        ]
        types[n:] = [_second(t) for t in types[n:]]
        operands = [*operands[:2], *state, *operands[2 + n :]]
        found = self.again(b, operands, body=body, types=tuple(types))
        turned = [b.transpose(v, (1, 0, *range(2, v.rank))) for v in found[n:]]
        return rows.spread(b, [*found[:n], *turned], have)

    def _batch_ragged(
        self, b: Emitter, operands: Sequence[Value], rows: Rows
    ) -> Sequence[Value]:
        n, size = self.carried, rows.size
        if self.types[n:]:
            raise UnsupportedOpError(
                "a loop that stacks results cannot end at different times for each row"
            )
        ends = rows.spread(b, operands[:2], rows.mapped[:2])
        trips, alive = (b.reshape(v, (size,)) for v in ends)
        alive = b.and_(alive, b.ne(trips, 0))
        state = rows.spread(b, operands[2 : 2 + n], rows.mapped[2 : 2 + n])
        fixed, fixed_rows = operands[2 + n :], rows.mapped[2 + n :]
        inner = b.subgraph(self.body.name)
        types = [TensorType(int64, ()), TensorType(bool_, ())]
        types += [TensorType(v.dtype, v.shape) for v in (alive, *state, trips, *fixed)]
        i, going, *ours = (inner.input(f"x{k}", t) for k, t in enumerate(types))
        live, old, most, rest = ours[0], ours[1 : 1 + n], ours[1 + n], ours[2 + n :]
        mapped = [False, False, *[True] * n, *fixed_rows]
        inputs = [i, going, *old, *rest]
        values, found = rows.inline(inner, self.body, inputs, mapped)
        more, *new = rows.spread(inner, values, found)
        kept = [_chosen(inner, rows, live, x, y) for x, y in zip(new, old, strict=True)]
        next_ = inner.add(i, 1)
        within = inner.or_(inner.lt(most, 0), inner.lt(next_, most))
        more = inner.and_(inner.reshape(more, (size,)), within)
        live = inner.and_(live, more)
        body = inner.finish([_any(inner, live), live, *kept])
        bound = b.scalar(-1, int64)
        operands = [bound, _any(b, alive), alive, *state, trips, *fixed]
        results = (TensorType(bool_, (size,)), *_with_rows(rows, self.types))
        return self.again(b, operands, body=body, carried=n + 1, types=results)[1:]


class Scan(Control):
    """A loop over slices: carried values, scanned inputs along axes, stacked outputs.

    Operands: ``carried`` initial values, ``scanned`` tensors, then invariants. The body
    takes (carried..., slices..., invariants...) and gives (carried..., items...).
    Results: final carried values, then items stacked along ``out_axes``. ``reverse``
    tells, per scanned input, to run from the end; ``out_reverse`` likewise for outputs.
    """

    name = "scan"
    body: Any
    carried: int
    scanned: int
    in_axes: tuple[int, ...]
    out_axes: tuple[int, ...]
    reverse: tuple[bool, ...]
    out_reverse: tuple[bool, ...]

    def check(self, operands: Sequence[Type]) -> None:
        _fits(self, self.body, len(operands))
        need(len(self.body.outputs) == len(self.types), "scan: results differ")

    def run(self, call: Call, operands: Sequence[Any]) -> Sequence[Any]:
        state = list(operands[: self.carried])
        scanned = operands[self.carried : self.carried + self.scanned]
        fixed = operands[self.carried + self.scanned :]
        lines = [
            _unstack(x, axis, back)
            for x, axis, back in zip(scanned, self.in_axes, self.reverse, strict=True)
        ]
        if len({len(line) for line in lines}) > 1:
            raise ShapeError("scan: scanned inputs differ in length")
        rows: list[list[Any]] = [[] for _ in self.out_axes]
        for items in zip(*lines, strict=True):
            out = call(self.body, [*state, *items, *fixed])
            state = list(out[: self.carried])
            for row, item in zip(rows, out[self.carried :], strict=True):
                row.append(item.copy())
        return [*state, *(self._join(k, row) for k, row in enumerate(rows))]

    def _join(self, k: int, row: list[Any]) -> Any:
        if self.out_reverse[k]:
            row = row[::-1]
        return _stacked(row, self.out_axes[k], self.types[self.carried + k])

    def batch(
        self, b: Emitter, operands: Sequence[Value], rows: Rows
    ) -> Sequence[Value] | None:
        n, end = self.carried, self.carried + self.scanned
        starts, rest = [*rows.mapped[:n]], [*rows.mapped[n:]]
        around: _Around = ([], starts, rest)
        body, have = _settled(b, self.body, rows, around, (0, len(self.types) - n))
        state = _lifted(b, rows, operands[:n], starts, have[:n])
        types = [
            t if not m else _with_rows(rows, [t])[0]
            for t, m in zip(self.types, have, strict=True)
        ]
        pairs = zip(self.in_axes, rows.mapped[n:end], strict=True)
        found = self.again(
            b,
            [*state, *operands[n:]],
            body=body,
            in_axes=tuple(axis + (m and axis >= 0) for axis, m in pairs),
            out_axes=tuple(axis + (axis >= 0) for axis in self.out_axes),
            types=tuple(types),
        )
        return rows.spread(b, found, have)


def _second(t: Type) -> TensorType:
    """A type whose first two axes have changed places."""
    assert isinstance(t, TensorType)
    first, second, *rest = t.dims
    return TensorType(t.dtype, (second, first, *rest))


def _item(x: Any) -> Any:
    """The one element of an array, as a Python number.

    Raises:
        ShapeError: If it has another number of elements.
    """
    array = x if hasattr(x, "item") else np.asarray(x)
    if array.size != 1:
        raise ShapeError(f"control flow takes one element, got shape {array.shape}")
    return array.item()


def _stacked(row: list[Any], axis: int, declared: Type) -> Any:
    """Items along a new axis; of a loop that did not run, sizes nobody knows are 0."""
    if row:
        shapes = {item.shape for item in row}
        need(len(shapes) == 1, f"a loop cannot stack items of shapes {sorted(shapes)}")
        return np.stack(row, axis=axis)
    need(isinstance(declared, TensorType), f"a loop stacks tensors, not {declared}")
    assert isinstance(declared, TensorType)
    dims = declared.shape or (0,)
    return np.zeros(
        [d if isinstance(d, int) else 0 for d in dims], declared.dtype.numpy
    )


def _unstack(x: Any, axis: int, back: bool) -> list[Any]:
    moved = np.moveaxis(x, axis, 0)
    return list(moved[::-1] if back else moved)


class CallGraph(Control):
    """The results of one sub-graph: a function that was not inlined."""

    name = "call"
    graph: Any

    def check(self, operands: Sequence[Type]) -> None:
        _fits(self, self.graph, len(operands))

    def run(self, call: Call, operands: Sequence[Any]) -> Sequence[Any]:
        return call(self.graph, operands)

    def batch(
        self, b: Emitter, operands: Sequence[Value], rows: Rows
    ) -> Sequence[Value] | None:
        return rows.spread(b, *rows.inline(b, self.graph, operands, rows.mapped))
