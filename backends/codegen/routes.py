"""How often elements of a value are asked for: what tells whether it is stored."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from graphwright.backends.codegen.elements import REDUCING, sizes_of
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Node
from graphwright.ir.op import Op, Trait

_MOST = 16
"""Routes that are told apart."""


class Routes:
    """How many elements of a value are computed for one that is stored or reduced.

    A route leads from an *end*, stored values or a reduction, down to a value that is
    written out there. It notes where elements are taken from elsewhere: neighbours in a
    grid are computed again for each of their neighbours. Stored values of one shape and
    level may be of one stage; a reduction is of the stage in which it is written out.
    """

    def __init__(
        self, levels: Mapping[Value, int], roots: Mapping[Value, frozenset[Value]]
    ) -> None:
        self._levels, self._roots = levels, roots
        self._numbers: dict[tuple[object, object], int] = {}
        self._ends: list[tuple[object, object]] = []
        self._found: dict[Value, frozenset[int]] = {}

    def start(self, v: Value) -> None:
        """Notes a value that is stored."""
        stage = self._stage(v)
        self._found[v] = frozenset({self._number(stage, None, (None, stage))})

    def lead_to(self, v: Value, users: Sequence[Node]) -> None:
        """Notes the routes by which elements of a value are asked for."""
        found = {route for user in users for route in self._through(user)}
        self._found[v] = frozenset(sorted(found)[:_MOST])

    def of(self, v: Value) -> tuple[int, int, int]:
        """The most routes to a value from one end, its stages, and its ends.

        Many routes are counted as most.
        """
        ends = [self._ends[route] for route in self._found[v]]
        most = max(Counter(end for end, _ in ends).values(), default=0)
        return most, len({stage for _, stage in ends}), len(set(ends))

    def are_reduced(self, v: Value) -> bool:
        """Whether a reduction leads to a value."""
        return any(self._ends[route][0] is not None for route in self._found[v])

    def _through(self, user: Node) -> Iterable[int]:
        (result, *_) = user.results
        if user.op.name in REDUCING:
            return [self._number(user, None, (user, self._stage_of(user)))]
        above = self._found[result]
        if not takes_elsewhere(user.op):
            return above
        return [self._number(user, route, self._ends[route]) for route in above]

    def _stage(self, v: Value) -> object:
        return sizes_of(v.type), self._levels[v]

    def _stage_of(self, reduction: Node) -> object:
        """The stage of a reduction: its own, if its result is stored."""
        (result, *_) = reduction.results
        (root, *more) = self._roots[result]
        return reduction if more or root is result else self._stage(root)

    def _number(self, step: object, route: object, end: tuple[object, object]) -> int:
        found = self._numbers.setdefault((step, route), len(self._ends))
        if found == len(self._ends):
            self._ends.append(end)
        return found


def takes_elsewhere(op: Op) -> bool:
    """Whether elements come from other places: of reductions, from all of a row."""
    return Trait.ELEMENTWISE not in op.traits and op.name not in REDUCING
