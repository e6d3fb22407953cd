"""Where a list of nodes repeats itself: periods, found in linear time but for sorting.

Each node has a number for what it is, all but its operands. Of each pair of equal
strings of nodes, the strings of length 1, 2, 4, ..., the distance is a period that may
be; the one by which most nodes repeat the node before is taken. Repeats are looked for
as by Karp, Miller and Rosenberg, "Rapid identification of repeated patterns in strings,
trees and arrays", 1972: strings of twice the length are named by pairs of names.
"""

from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from graphwright.ir.graph import Graph, Node
from graphwright.ir.op import Op, Tier, Trait
from graphwright.ir.ops.movement import Slice
from graphwright.ir.ops.slicing import UpdateSlice
from graphwright.ir.record import record
from graphwright.ir.types import TensorType

Array: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"

MOST_OPERANDS = 6
_CANDIDATES = 2

SAME, EARLIER, CONSTANT = 0, 1, 2
"""What an operand is, compared with that a period before: the same value; the result
of a node a period later; another constant."""


class Run(NamedTuple):
    """Nodes from ``start`` up to ``end`` that repeat themselves each ``period``."""

    start: int
    end: int
    period: int


@record(frozen=True, slots=True)
class Wiring:
    """What nodes are and read, in arrays with a row a node.

    Attributes:
        kinds: Equal for nodes that differ in operands, and in where windows are, alone.
        makers: The node that makes each operand; below -1 a number for one from
            outside, -1 where there is no operand.
        numbers: Which result of that node it is.
        constants: A number for the type of an operand that is a constant, else -1.
    """

    kinds: Array
    makers: Array
    numbers: Array
    constants: Array

    def classes(self, period: int) -> tuple[Array, Array]:
        """What operands are compared with those a period before, and which nodes fit.

        One row for each node but the last ``period``.
        """
        here, there = self.makers[:-period], self.makers[period:]
        number = self.numbers[:-period] == self.numbers[period:]
        kind = self.constants[:-period]
        same = number & (here == there)
        earlier = number & (here >= 0) & (there - here == period)
        constant = (kind >= 0) & (kind == self.constants[period:])
        found = np.where(earlier, np.int8(EARLIER), np.int8(CONSTANT))
        found[same] = SAME
        fits = (same | earlier | constant).all(axis=1)
        return found, fits & (self.kinds[:-period] == self.kinds[period:])


def wiring(graph: Graph) -> Wiring:
    """The wiring of a graph's nodes."""
    inputs, nodes = len(graph.inputs), graph.nodes
    shapes: dict[Hashable, int] = {}
    tables = [
        shapes.setdefault((c.dtype, c.shape), len(shapes))
        for c in graph.constants.values()
    ]
    outside = 1 + inputs + len(tables)  # the first place is of no operand
    values = [v for node in nodes for v in node.results]
    places = dict(
        zip((*graph.inputs, *graph.constants), range(1, outside), strict=True)
    )
    places.update((v, outside + i) for i, v in enumerate(values))
    read = _rows([[places[v] for v in n.operands[:MOST_OPERANDS]] for n in nodes])
    counts = np.array([len(node.results) for node in nodes], np.int32)
    made = np.repeat(np.arange(len(nodes), dtype=np.int32), counts)
    first = (np.cumsum(counts, dtype=np.int32) - counts)[made]
    makers = np.concatenate((np.arange(-1, -outside - 1, -1, dtype=np.int32), made))
    numbers = np.zeros(len(makers), np.int32)
    numbers[outside:] = np.arange(len(values), dtype=np.int32) - first
    constants = np.full(len(makers), -1, np.int32)
    constants[1 + inputs : outside] = tables
    return Wiring(_kinds(nodes), makers[read], numbers[read], constants[read])


def _rows(lists: list[list[int]]) -> Array:
    """A row for each list, filled up with 0."""
    counts = np.array([len(row) for row in lists])
    found = np.zeros((len(lists), max(1, int(counts.max(initial=0)))), np.int32)
    found[np.arange(found.shape[1]) < counts[:, None]] = [
        n for row in lists for n in row
    ]
    return found


def _kinds(nodes: Sequence[Node]) -> Array:
    """Numbers, equal for nodes of one kind; ops and types are often one object."""
    names: dict[Hashable, int] = {}
    seen: dict[tuple[int, ...], int] = {}
    found: list[int] = []
    for t, node in enumerate(nodes):
        key = (len(node.operands), id(node.op), *[id(v.type) for v in node.results])
        number = seen.get(key)
        if number is None:
            kind = _kind(node)
            number = names.setdefault(t if kind is None else kind, len(names))
            if kind is not None:
                seen[key] = number
        found.append(number)
    return np.array(found)


def _kind(node: Node) -> Hashable:
    """What nodes that may repeat each other have in common; None for others."""
    op, results = node.op, list[Hashable]()
    if len(node.operands) > MOST_OPERANDS or not _may_repeat(op):
        return None
    for v in node.results:
        if not isinstance(v.type, TensorType) or v.type.shape is None:
            return None
        results.append((v.type.dtype, v.type.shape))
    if isinstance(op, Slice):
        return op.name, op.size, op.step, *results
    if isinstance(op, UpdateSlice):
        return op.name, op.step, *results
    return op, *results


def _may_repeat(op: Op) -> bool:
    once = op.tier is Tier.CONTROL or Trait.EFFECT in op.traits
    return not (once or op.defined_symbols() or op.subgraphs())


def repeats(found: Wiring, trips: int) -> list[Run]:
    """The longest runs of at least so many periods, none of which overlap."""
    best: list[Run] = []
    most = 0
    for period in _periods(found.kinds, trips):
        runs = _runs(found.classes(period)[1], period, trips)
        length = sum(r.end - r.start - period for r in runs)
        if length > most:
            best, most = runs, length
    return best


def _periods(kinds: Array, trips: int) -> list[int]:
    """Distances at which much repeats, from short to long."""
    found: set[int] = set()
    names, length = kinds, 1
    while length * trips <= len(kinds):
        order = np.argsort(names, kind="stable")
        near = names[order[1:]] == names[order[:-1]]
        distances = (order[1:] - order[:-1])[near]
        distances = distances[distances * trips <= len(kinds)]
        if not len(distances):
            break
        values, counts = np.unique(distances, return_counts=True)
        found.update(values[np.argsort(-counts, kind="stable")[:_CANDIDATES]].tolist())
        pairs = names[:-length] * (int(names.max()) + 1) + names[length:]
        names = np.unique(pairs, return_inverse=True)[1]
        length *= 2
    return sorted(found)


def _runs(fits: Array, period: int, trips: int) -> list[Run]:
    """Stretches of nodes that fit, long enough, apart from each other."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], fits, [0]))))
    found: list[Run] = []
    after = 0
    for low, high in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        start, end = max(low, after), high + period
        if end - start >= trips * period:
            found.append(Run(start, end, period))
            after = end
    return found


def cut(period: int, uses: Array) -> int:
    """By how many nodes to begin later, so that the least is carried over.

    Args:
        period: How many nodes repeat themselves.
        uses: How many nodes later the last use of each of them is.
    """
    place = np.arange(period)
    crossed = [
        int(((place + uses - shift) // period - (place - shift) // period).sum())
        for shift in range(period)
    ]
    return int(np.argmin(crossed))
