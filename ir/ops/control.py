"""Control flow over sub-graphs, which are isolated: what they use is an operand.

Dims are the exception: the symbols of the enclosing graph are visible inside.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from graphwright.ir.errors import BudgetError, ShapeError
from graphwright.ir.op import Call, Declared, Op, Tier
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
