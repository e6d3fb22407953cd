"""Random graphs whose decisions hypothesis draws, and shrinks."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from graphwright.ir.errors import BackendUnavailable
from graphwright.ir.graph import Graph
from graphwright.testing.maker import World
from graphwright.testing.random_graphs import RANDOM, make_graph

try:
    from hypothesis import strategies
except ImportError:
    raise BackendUnavailable(
        'graphwright.testing.graphs needs hypothesis: pip install "graphwright[test]"'
    ) from None

T = TypeVar("T")


class Drawn:
    """Decisions that hypothesis draws."""

    def __init__(self, draw: Any) -> None:
        self._draw = draw

    def integer(self, low: int, high: int) -> int:
        """An integer from ``low`` to ``high``, both included."""
        return int(self._draw(strategies.integers(low, high)))

    def pick(self, items: Sequence[T]) -> T:
        """One of several, the simplest first."""
        return items[self.integer(0, len(items) - 1)]

    def rounds(self, most: int) -> Iterator[int]:
        """Counts how often something is done; any round can be shrunk away."""
        for i in range(max(1, most)):
            yield i
            if not self.integer(0, 7):
                return


@strategies.composite
def _graphs(
    draw: Any, max_nodes: int, ops: Sequence[str] | None, world: World
) -> Graph:
    return make_graph(Drawn(draw), max_nodes=max_nodes, ops=ops, world=world)


def graphs(
    *,
    max_nodes: int = 12,
    ops: Sequence[str] | None = None,
    world: World = RANDOM,
) -> "strategies.SearchStrategy[Graph]":
    """A hypothesis strategy of random graphs, which shrinks to few and simple ops.

    Args:
        max_nodes: How many ops are asked for at most; each may bring helpers.
        ops: Names of the ops to choose from; all by default.
        world: Sizes and dtypes to choose from.
    """
    return _graphs(max_nodes, ops, world)
