"""Where the values of a graph are after compilation: kept, folded, fused or gone."""

import enum
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphwright.comparison.labels import Labelled
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph, Node, Origin
from graphwright.ir.op import Tier
from graphwright.ir.ops.fused import Fused


class Fate(enum.StrEnum):
    """What compilation did to a value."""

    KEPT = "kept"
    FOLDED = "folded"
    FUSED = "inside a fusion"
    CONTROL = "inside control flow"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Account:
    """What became of one value of the original graph.

    Attributes:
        fate: What compilation did to it.
        where: The fusion, named by its own results, or the pass that removed it.
        view: How the value there equals it.
        rounding: Whether a rewrite of the rounding class lies between.
    """

    fate: Fate
    where: str = ""
    view: str = "identity"
    rounding: bool = False

    def __str__(self) -> str:
        if not self.where:
            return self.fate.value
        if self.fate is Fate.GONE:
            return f"gone in {self.where}"
        return f"{self.fate.value}: {self.where}"


_PERMUTED = re.compile(r"transpose \[([\d, ]*)\]")


def original_form(array: Any, view: str, shape: tuple[int, ...] | None) -> Any:
    """An array as the original value has it, or None where a view is not known.

    Args:
        array: What the compiled graph holds.
        view: How it equals the original: ``transpose [0, 2, 3, 1]`` is the original
            so transposed, ``reshape [...]`` holds its elements in their order.
        shape: The original's shape.
    """
    if view == "identity":
        return array
    found = _PERMUTED.fullmatch(view)
    if found is not None:
        perm = [int(word) for word in found[1].split(",") if word.strip()]
        return np.transpose(array, np.argsort(perm))
    if view.startswith("reshape") and shape is not None:
        fits = np.size(array) == int(np.prod(shape))
        return np.reshape(array, shape) if fits else None
    return None


class Alignment:
    """The values of a compiled graph that are values of the original one.

    Attributes:
        kept: Origins by value, of what a run shows.
        accounts: What became of each labelled value.
    """

    def __init__(
        self, original: Labelled, lowered: Graph, removed: Mapping[str, str]
    ) -> None:
        self.kept: dict[Value, tuple[Origin, ...]] = {}
        self.folded: dict[str, tuple[Value, Origin]] = {}
        found: dict[str, Account] = {}
        inputs = set(lowered.inputs)
        made = {v for node in lowered.nodes for v in node.results}
        for v, origins in lowered.origins.items():
            for origin in origins:
                self._note(v, origin, inputs, made, lowered, found)
        for node in lowered.nodes:
            for origin, fate, where in _held(node, lowered.origins):
                found.setdefault(
                    origin.value,
                    Account(fate, where, origin.view, origin.rounding),
                )
        self.accounts = {
            name: found.get(name) or Account(Fate.GONE, removed.get(name, ""))
            for name in original.labels
        }

    def _note(
        self,
        v: Value,
        origin: Origin,
        inputs: set[Value],
        made: set[Value],
        lowered: Graph,
        found: dict[str, Account],
    ) -> None:
        if origin.path or not (v in inputs or v in made or v in lowered.constants):
            return
        known = found.get(origin.value)
        if known is not None and known.view == "identity":
            return
        fate = Fate.FOLDED if v in lowered.constants else Fate.KEPT
        found[origin.value] = Account(fate, "", origin.view, origin.rounding)
        if fate is Fate.FOLDED:
            self.folded[origin.value] = v, origin
        else:
            self.kept[v] = (*self.kept.get(v, ()), origin)


def _held(
    node: Node, origins: Mapping[Value, tuple[Origin, ...]], outer: str = ""
) -> Iterator[tuple[Origin, Fate, str]]:
    """Origins of the values inside a node's sub-graphs."""
    if node.op.tier is not Tier.CONTROL:
        return
    fused = isinstance(node.op, Fused)
    names = [o.value for v in node.results for o in origins.get(v, ())]
    where = outer or (names[0] if names else str(node.source or node.op.name))
    for part in node.op.subgraphs():
        for rows in part.origins.values():
            for origin in rows:
                yield origin, Fate.FUSED if fused else Fate.CONTROL, where
        for inner in part.nodes:
            yield from _held(inner, part.origins, where)


class Watcher:
    """Notes after which pass each value of the original graph is gone."""

    def __init__(self, original: Labelled) -> None:
        self._alive: set[str] = set(original.labels)
        self.removed: dict[str, str] = {}

    def __call__(self, name: str, graph: Graph) -> None:
        """Notes what is gone after a pass."""
        here = set(_named(graph))
        for gone in self._alive - here:
            self.removed[gone] = name
        self._alive &= here


def _named(graph: Graph) -> Iterator[str]:
    live: set[Value] = {*graph.inputs, *graph.constants}
    for node in graph.nodes:
        live.update(node.results)
        for part in node.op.subgraphs():
            yield from _named(part)
    for v, origins in graph.origins.items():
        if v in live:
            yield from (origin.value for origin in origins)
