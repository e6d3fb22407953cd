"""Named lists of passes."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from graphwright.ir.graph import Graph
from graphwright.passes.cleanup import remove_dead
from graphwright.passes.fold import fold_constants, merge_common
from graphwright.passes.fuse import fuse_epilogues
from graphwright.passes.scale import fold_scales

Pass: TypeAlias = Callable[[Graph], Graph]


def default_passes(*, strict_float: bool = False) -> list[Pass]:
    """What every compilation runs; ``strict_float`` leaves rounding as it is."""
    rounding: list[Pass] = [] if strict_float else [fold_scales, remove_dead]
    exact: list[Pass] = [remove_dead, fold_constants, merge_common, remove_dead]
    return [*exact, *rounding, fuse_epilogues, remove_dead]


def run_passes(graph: Graph, passes: Sequence[Pass]) -> Graph:
    """The graph after all passes, in order."""
    for step in passes:
        graph = step(graph)
    return graph
