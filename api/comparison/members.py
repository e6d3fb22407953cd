"""What an ensemble is made of: runs of one graph, each with errors of its own."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from graphwright.comparison.errors import OPERANDS, all_finite, is_fraction
from graphwright.ir.emitter import Value
from graphwright.ir.errors import GraphwrightError
from graphwright.ir.evaluate import Env, Evaluator, bind_inputs, define_symbols
from graphwright.ir.graph import Graph, Node
from graphwright.testing.shadow import Shadow, epsilon

_NOISE = 1 << 16


class Wobbly(Shadow):
    """A shadow run whose errors have the size that is allowed, and random signs.

    Args:
        seed: Of the signs.
        side: 1 or -1: two that differ in this alone lie on both sides.
    """

    def __init__(self, seed: int, side: int) -> None:
        super().__init__(np.random.default_rng(seed))
        signs = self.rng.integers(0, 2, 2 * _NOISE).astype(np.float64) * 2 - 1
        self._signs = side * signs

    def off_by(self, x: Any, sizes: Any) -> Any:
        """An array that is off by errors of these sizes."""
        with np.errstate(all="ignore"):
            moved = x + self._noise(x) * sizes
        return moved if all_finite(moved) else np.where(np.isnan(moved), x, moved)

    def _off(self, operands: list[Any], node: Node, ulps: float) -> list[Any]:
        """Operands as an implementation seems to see them."""
        kinds = [v.dtype for v in node.results if is_fraction(v)]
        if not kinds:
            return operands
        step = epsilon(max(kinds, key=epsilon)) * ulps
        rows = enumerate(zip(operands, node.operands, strict=True))
        return [
            self._noisy(x, OPERANDS[i % 2] * step) if is_fraction(v) else x
            for i, (x, v) in rows
        ]

    def _noisy(self, x: Any, step: float, scale: float = 0.0) -> Any:
        noise = self._noise(x) * step
        with np.errstate(all="ignore"):
            noise *= np.maximum(np.abs(x), scale) if scale else np.abs(x)
            moved = x + noise
        return moved if all_finite(moved) else np.where(np.isfinite(moved), moved, x)

    def _noise(self, x: Any) -> Any:
        start, size = int(self.rng.integers(0, _NOISE)), np.size(x)
        noise = np.resize(self._signs[start : start + _NOISE], size)
        if x.dtype.kind == "c":  # in full in both parts, one of which may be 0
            noise = noise + 1j * np.roll(noise, 1)
        return noise.reshape(np.shape(x))


class Member:
    """One of the runs: values and symbols.

    Attributes:
        broken: Whether errors led it out of what an op is defined on.
    """

    def __init__(self, runner: Evaluator) -> None:
        self.runner = runner
        self.values: dict[Value, Any] = {}
        self.env: Env = {}
        self.broken = False

    def begin(self, graph: Graph, feeds: Sequence[Any]) -> None:
        """Starts a run; variables keep what the last one left."""
        self.env, self.values, self.broken = {}, {}, False
        bind_inputs(graph, feeds, self.env)
        self.values.update(zip(graph.inputs, feeds, strict=True))
        for name, constant in graph.variables.items():
            self.runner.state.setdefault(name, constant.array())

    def step(self, node: Node, held: Mapping[Value, Any]) -> Sequence[Any] | None:
        """A node's results, or None if errors led it out of what the op allows."""
        if self.broken:
            return None
        operands = [self.read(v, held) for v in node.operands]
        try:
            found = self.runner.step(node, operands, self.env)
        except GraphwrightError:
            self.broken = True
            return None
        self.values.update(zip(node.results, found, strict=True))
        return found

    def read(self, v: Value, held: Mapping[Value, Any]) -> Any:
        """An operand."""
        return self.values[v] if v in self.values else held[v]

    def take(self, node: Node, results: Sequence[Any]) -> None:
        """Goes on by a node with results that are known."""
        if self.broken:
            return
        self.values.update(zip(node.results, results, strict=True))
        if node.op.defined_symbols():
            define_symbols(node, [], results, self.env)

    def inside(
        self, node: Node, found: Sequence[Any], exact: Sequence[Any]
    ) -> Sequence[Any]:
        """Results, the exact ones where an error led out of what the op is defined on.

        The square of a negative number is one, its power 2.0000001 is none.
        """
        kept = list(found)
        for i, v in enumerate(node.results):
            if is_fraction(v) and np.shape(found[i]) == np.shape(exact[i]):
                if all_finite(found[i]):
                    continue
                lost = np.isnan(found[i]) & ~np.isnan(exact[i])
                if np.any(lost):
                    kept[i] = self.values[v] = np.where(lost, exact[i], found[i])
        return kept
