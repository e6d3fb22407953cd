"""Long unrolled loops become loops again: a thousand steps stay a small graph.

A Python loop under a trace leaves its body once for each iteration. Where nodes repeat
themselves, each operand of a node is one of these in every iteration:

- a result of the same iteration, or of one before: the loop carries it, for as many
  iterations as it is needed;
- the same value from outside: an invariant;
- a constant of its own: a row of a table, which the number of the iteration selects.

Windows that ``slice`` reads and ``update_slice`` writes may move: where they start is
looked up. All this is exact: the body does what each iteration did.

Some iterations stay together in one body, so that a short one is worth a turn of the
loop; those that are left over stay before and after it.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from graphwright.ir.builder import Builder
from graphwright.ir.constant import Constant
from graphwright.ir.dtype import bool_, int64
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph, Node
from graphwright.ir.ops.movement import Slice
from graphwright.ir.ops.slicing import UpdateSlice
from graphwright.ir.types import TensorType
from graphwright.passes.cleanup import remove_dead
from graphwright.passes.repeats import EARLIER, Run, Wiring, cut, repeats, wiring
from graphwright.passes.steps import exhausted, note

LEAST = 384
"""Nodes that repeat themselves, from which on a loop pays."""

LEAST_MOVING = 1 << 14
"""The same where windows move, or constants differ: what they are is looked up."""

TRIPS = 16
"""Iterations of it."""

TURN = 48
"""Nodes that a turn of the loop has at least, if there are so many iterations."""

_FEWEST_TURNS = 4
_MOST_CARRIED = 8
_MOST_TABLE = 1 << 16


def roll_loops(graph: Graph) -> Graph:
    """The graph, its long regular stretches as ``while_loop`` nodes: exact."""
    if len(graph.nodes) < LEAST or exhausted():
        return graph
    live = remove_dead(graph)
    rolled = live
    while len(rolled.nodes) >= LEAST:
        found = _rolled(rolled)
        if found is rolled:
            break
        rolled = found
    return graph if rolled is live else rolled


def _rolled(graph: Graph) -> Graph:
    """The same after one round; the same object if nothing repeats."""
    wires = wiring(graph)
    loops: list[_Loop] = []
    for run in repeats(wires, TRIPS):
        if run.end - run.start >= LEAST:
            loop = _loop(graph, wires, run)
            loops += [] if loop is None else [loop]
    return _replaced(graph, loops) if loops else graph


class _Stretch(NamedTuple):
    """Nodes from ``start`` on: so many turns of so many nodes."""

    start: int
    period: int
    turns: int

    @property
    def end(self) -> int:
        """The first node after it."""
        return self.start + self.period * self.turns


def _loop(graph: Graph, wires: Wiring, run: Run) -> "_Loop | None":
    """The loop of a run, or None if there is none."""
    start = run.start + cut(run.period, _uses(wires, run))
    together = max(1, TURN // run.period)
    while together > 1 and (run.end - start) // (run.period * together) < _FEWEST_TURNS:
        together //= 2
    period = run.period * together
    for _ in range(2):  # what the first turn alone computes may serve all others
        turns = (run.end - start) // period
        if turns < _FEWEST_TURNS or period * turns < LEAST:
            return None
        loop = _Loop(graph, wires, _Stretch(start, period, turns))
        if loop.fits:
            return loop
        start += period
    return None


def _uses(wires: Wiring, run: Run) -> "np.ndarray[Any, Any]":
    """How many nodes later each node of the first period is last needed."""
    classes = wires.classes(run.period)[0][run.start : run.end - run.period]
    makers = wires.makers[run.start : run.end - run.period] - run.start
    inside = (classes == EARLIER) & (makers >= 0) & (makers < run.period)
    rows = np.nonzero(inside)[0]
    found = np.zeros(run.period, np.int64)
    np.maximum.at(found, makers[inside], rows - makers[inside])
    return found


class _Key(NamedTuple):
    """A result of a node of the body, ``back`` turns ago."""

    slot: int
    number: int
    back: int


class _Loop:
    """A stretch of nodes as a loop.

    Attributes:
        fits: Whether it is one.
        carried: What a turn takes from those before it.
        stacked: What later nodes need of early turns.
        fixed: What comes from outside.
    """

    def __init__(self, graph: Graph, wires: Wiring, stretch: _Stretch) -> None:
        self.graph, self.stretch = graph, stretch
        start, period, turns = stretch
        rows = slice(start, stretch.end)
        shape = (turns, period, -1)
        self._makers = wires.makers[rows].reshape(shape)
        self._numbers = wires.numbers[rows].reshape(shape)
        kinds = wires.constants[rows].reshape(shape)
        steady = (self._numbers == self._numbers[0]).all(axis=0)
        same = (self._makers == self._makers[0]).all(axis=0) & steady
        later = (np.diff(self._makers, axis=0) == period).all(axis=0)
        self._same = same
        self._earlier = later & (self._makers >= 0).all(axis=0) & steady
        constant = (kinds >= 0).all(axis=0) & (kinds == kinds[0]).all(axis=0)
        outside = ~same | (self._makers[0] < start)
        self.fits = bool(((same | self._earlier | constant) & outside).all())
        self.carried: dict[_Key, None] = {}
        self.stacked: dict[_Key, None] = {}
        self.fixed: dict[Value, None] = {}
        if self.fits:
            self._read_inside()
            self._read_after()
            self.fits = self.fits and all(map(self._movable, range(period)))
            looked_up = not (same | self._earlier).all() or any(
                self.starts(slot) is not None for slot in range(period)
            )
            self.fits = self.fits and (not looked_up or period * turns >= LEAST_MOVING)

    def nodes(self, slot: int) -> list[Node]:
        """A node of the body in each turn."""
        return list(
            self.graph.nodes[
                self.stretch.start + slot : self.stretch.end : self.stretch.period
            ]
        )

    def key(self, maker: int, number: int) -> _Key:
        """What the first turn reads of this node."""
        turn, slot = divmod(maker - self.stretch.start, self.stretch.period)
        return _Key(slot, number, -turn)

    def operand(self, slot: int, a: int) -> "_Key | Value | None":
        """What a node reads: a result, a value from outside, or None for a table."""
        if self._earlier[slot, a]:
            return self.key(
                int(self._makers[0, slot, a]), int(self._numbers[0, slot, a])
            )
        if self._same[slot, a]:
            return self.graph.nodes[self.stretch.start + slot].operands[a]
        return None

    def _carry(self, key: _Key) -> None:
        for back in range(1, key.back + 1):
            self.carried[key._replace(back=back)] = None
        self.fits = self.fits and key.back <= _MOST_CARRIED

    def _read_inside(self) -> None:
        first = self.graph.nodes[
            self.stretch.start : self.stretch.start + self.stretch.period
        ]
        for slot, node in enumerate(first):
            for a, v in enumerate(node.operands):
                found = self.operand(slot, a)
                if isinstance(found, _Key):
                    self._carry(found)
                elif found is None:
                    self._check_table(slot, a)
                elif v not in self.graph.constants:
                    self.fixed[v] = None
        if self.fits:
            self.fits = all(map(self._begins_alike, self.carried))

    def _check_table(self, slot: int, a: int) -> None:
        node = self.graph.nodes[self.stretch.start + slot]
        size = self.graph.constants[node.operands[a]].nbytes * self.stretch.turns
        self.fits = self.fits and size <= _MOST_TABLE

    def constants(self, slot: int, a: int) -> list[Constant]:
        """What a node reads in each turn."""
        return [self.graph.constants[n.operands[a]] for n in self.nodes(slot)]

    def before(self, key: _Key) -> Value | None:
        """What is carried into the first turn."""
        place = self.stretch.start + key.slot - key.back * self.stretch.period
        results = self.graph.nodes[place].results if place >= 0 else ()
        found = results[key.number] if key.number < len(results) else None
        fits = found is not None and _plain(found) == self.type_of(key)
        return found if fits else None

    def _begins_alike(self, key: _Key) -> bool:
        return self.before(key) is not None

    def type_of(self, key: _Key) -> TensorType:
        """Type of what is carried."""
        return _plain(
            self.graph.nodes[self.stretch.start + key.slot].results[key.number]
        )

    def _read_after(self) -> None:
        """Notes what later nodes, and the graph's outputs, need."""
        self.given: dict[Value, tuple[_Key, int]] = {}
        later = [v for n in self.graph.nodes[self.stretch.end :] for v in n.operands]
        wanted = dict.fromkeys((*later, *self.graph.outputs))
        inside = self.graph.nodes[self.stretch.start : self.stretch.end]
        places = {
            v: (t, k)
            for t, node in enumerate(inside)
            if not wanted.keys().isdisjoint(node.results)
            for k, v in enumerate(node.results)
        }
        for v in wanted:
            if v not in places:
                continue
            t, number = places[v]
            turn, slot = divmod(t, self.stretch.period)
            back = self.stretch.turns - turn
            key = _Key(slot, number, back)
            if back <= 2 and all(
                self._begins_alike(key._replace(back=n)) for n in range(1, back + 1)
            ):
                self._carry(key)
            else:
                key = key._replace(back=0)
                self.stacked[key] = None
            self.given[v] = key, turn

    # Windows that move ----------------------------------------------------------------

    def starts(self, slot: int) -> "np.ndarray[Any, Any] | None":
        """Where a node's windows start, a row a turn; None if they do not move."""
        first = self.graph.nodes[self.stretch.start + slot].op
        if not isinstance(first, Slice | UpdateSlice):
            return None
        ops = [n.op for n in self.nodes(slot)]
        if ops.count(first) == len(ops):
            return None
        return np.array([op.fields["start"] for op in ops], object)

    def _movable(self, slot: int) -> bool:
        starts = self.starts(slot)
        if starts is None:
            return True
        node = self.nodes(slot)[0]
        op: Any = node.op
        moving = (starts != starts[0]).any(axis=0)
        size = op.size if isinstance(op, Slice) else node.operands[1].shape
        known = all(type(s) is int for row in starts for s in row)
        if not known or not all(type(n) is int for n in size):
            return False
        rows = zip(size, op.step, moving, strict=True)
        return isinstance(op, Slice) or all(
            n == 1 or s == 1 for n, s, moves in rows if moves
        )


def _plain(v: Value) -> TensorType:
    return (
        TensorType(v.dtype, v.shape)
        if isinstance(v.type, TensorType)
        else TensorType(bool_, (-1,))
    )


# Building -----------------------------------------------------------------------------


def _replaced(graph: Graph, loops: Sequence[_Loop]) -> Graph:
    """The graph with loops in place of their stretches."""
    b = Builder.extending(graph)
    b.nodes = []
    names: dict[Value, Value] = {}
    at = 0
    for loop in loops:
        _copy(b, graph.nodes[at : loop.stretch.start], names)
        names.update(_emit(b, loop, names))
        at = loop.stretch.end
    _copy(b, graph.nodes[at:], names)
    outputs = [names.get(v, v) for v in graph.outputs]
    read = {v for node in b.nodes for v in node.operands}.union(outputs)
    b.constants = {v: c for v, c in b.constants.items() if v in read}
    made = read.union(*(node.results for node in b.nodes), graph.inputs)
    b.origins = {v: o for v, o in b.origins.items() if v in made}
    return b.finish(outputs, graph.output_names)


def _copy(b: Builder, nodes: Sequence[Node], names: dict[Value, Value]) -> None:
    for node in nodes:
        b.source = node.source
        operands = [names.get(v, v) for v in node.operands]
        if any(v.type != w.type for v, w in zip(operands, node.operands, strict=True)):
            found = b.apply(node.op, operands)  # less may be known of its contents
            names.update(zip(node.results, found, strict=True))
        else:
            b.add_node(node.op, operands, node.results)


def _emit(b: Builder, loop: _Loop, names: dict[Value, Value]) -> dict[Value, Value]:
    """Adds a loop; gives what stands for values that it made."""
    first = loop.graph.nodes[loop.stretch.start]
    note("roll_loops", first)
    b.source = first.source
    body = _Body(b, loop).graph
    carried = [_begin(b, loop, key, names) for key in loop.carried]
    fixed = [names.get(v, v) for v in loop.fixed]
    trips = b.constant(np.asarray(loop.stretch.turns), int64)
    going = b.constant(np.asarray(True), bool_)
    types = [loop.type_of(key) for key in loop.carried]
    types += [_stack(loop, key) for key in loop.stacked]
    found = b.emit_all(
        "while_loop",
        *(trips, going, *carried, *fixed),
        body=body,
        carried=len(carried),
        types=tuple(types),
    )
    results = dict(zip([*loop.carried, *loop.stacked], found, strict=True))
    return {
        v: results[key] if key.back else _row(b, results[key], turn)
        for v, (key, turn) in loop.given.items()
    }


def _begin(b: Builder, loop: _Loop, key: _Key, names: dict[Value, Value]) -> Value:
    before = loop.before(key)
    assert before is not None
    return names.get(before, before)


def _stack(loop: _Loop, key: _Key) -> TensorType:
    type_ = loop.type_of(key)
    return TensorType(type_.dtype, (loop.stretch.turns, *type_.dims))


def _row(b: Builder, rows: Value, turn: int) -> Value:
    rest = rows.shape[1:]
    part = b.slice(rows, (turn, *(0 for _ in rest)), (1, *rest), (1,) * rows.rank)
    return b.reshape(part, rest)


class _Body:
    """The graph of one turn."""

    def __init__(self, b: Builder, loop: _Loop) -> None:
        self.loop = loop
        self.b = inner = b.subgraph("turn")
        self._turn = inner.input("turn", TensorType(int64, ()))
        inner.input("going", TensorType(bool_, ()))
        self._values: dict[_Key | Value, Value] = {}
        self._starts: dict[bytes, Value] = {}
        for i, key in enumerate(loop.carried):
            self._values[key] = inner.input(f"carried{i}", loop.type_of(key))
        for i, v in enumerate(loop.fixed):
            self._values[v] = inner.input(f"fixed{i}", v.type)
        first = loop.stretch.start
        nodes = loop.graph.nodes[first : first + loop.stretch.period]
        for slot, node in enumerate(nodes):
            inner.source = node.source
            operands = [self._operand(slot, a) for a in range(len(node.operands))]
            for k, v in enumerate(self._apply(slot, node, operands)):
                self._values[_Key(slot, k, 0)] = v
        going = inner.constant(np.asarray(True), bool_)
        kept = [self._values[key._replace(back=key.back - 1)] for key in loop.carried]
        items = [self._values[key] for key in loop.stacked]
        self.graph = roll_loops(inner.finish([going, *kept, *items]))

    def _operand(self, slot: int, a: int) -> Value:
        found = self.loop.operand(slot, a)
        if found is None:
            constants = self.loop.constants(slot, a)
            table = np.stack([c.array() for c in constants])
            rows = self.b.constant(table, constants[0].dtype)
            return self.b.emit("gather", rows, self._turn, axis=0)
        if isinstance(found, Value) and found in self.loop.graph.constants:
            return self.b.constant_of(self.loop.graph.constants[found])
        return self._values[found]

    def _apply(
        self, slot: int, node: Node, operands: Sequence[Value]
    ) -> Sequence[Value]:
        starts = self.loop.starts(slot)
        if starts is None:
            return self.b.apply(node.op, operands)
        if isinstance(node.op, Slice):
            return (self._read(node.op, operands[0], starts),)
        assert isinstance(node.op, UpdateSlice)
        return (self._write(node.op, operands, starts),)

    def _write(self, op: UpdateSlice, operands: Sequence[Value], starts: Any) -> Value:
        """A window written: all of its lines, first, if what stays has gaps."""
        x, y = operands
        at = [self._start(column) for column in starts.T]
        if any(n != 1 and s != 1 for n, s in zip(y.shape, op.step, strict=True)):
            moving = [bool((column != column[0]).any()) for column in starts.T]
            rows = list(zip(moving, x.shape, y.shape, strict=True))
            size = tuple(n if moves else whole for moves, whole, n in rows)
            ones = (1,) * x.rank
            zeros = (0,) * x.rank
            lines = self._read(Slice(start=zeros, size=size, step=ones), x, starts)
            inside = [
                0 if moves else s for moves, s in zip(moving, op.start, strict=True)
            ]
            y = self.b.emit("update_slice", lines, y, start=tuple(inside), step=op.step)
            zero = self.b.scalar(0, int64)
            at = [s if moves else zero for moves, s in zip(moving, at, strict=True)]
        return self.b.emit("dynamic_update_slice", x, y, *at)

    def _start(self, starts: Any) -> Value:
        """Where a window starts, on one axis."""
        if (starts == starts[0]).all():
            return self.b.scalar(int(starts[0]), int64)
        numbers = np.array(starts, np.int64)
        key = numbers.tobytes()
        if key not in self._starts:
            table = self.b.constant(numbers, int64)
            self._starts[key] = self.b.emit("gather", table, self._turn, axis=0)
        return self._starts[key]

    def _read(self, op: Slice, x: Value, starts: Any) -> Value:
        """A window: what stays is sliced, what moves is gathered."""
        moving = [bool((column != column[0]).any()) for column in starts.T]
        start, size, step = list(op.start), list(op.size), list(op.step)
        for axis, moves in enumerate(moving):
            if moves:
                start[axis], size[axis], step[axis] = 0, x.shape[axis], 1
        part = self.b.slice(x, start, size, step)
        for axis, moves in enumerate(moving):
            if moves:
                width, stride = op.size[axis], op.step[axis]
                assert isinstance(width, int)
                assert isinstance(stride, int)
                offsets = np.arange(width) * stride
                places = self.b.reshape(self._start(starts[:, axis]), (1,))
                if len(offsets) > 1:
                    line = self.b.broadcast_to(places, (len(offsets),))
                    places = self.b.add(line, self.b.constant(offsets, int64))
                part = self.b.emit("gather", part, places, axis=axis)
        return part
