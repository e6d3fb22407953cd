"""``dump``: what a compilation made, written to a folder to be read."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from graphwright.backends.contract import Into, Part
from graphwright.backends.steps import Step
from graphwright.ir.errors import ModelError
from graphwright.ir.graph import Graph
from graphwright.ir.types import bind_type


class Dump:
    """A folder that shows lowered graphs, their plans, and the device's kernels.

    ``graph-0.txt`` is a graph as the backend runs it, ``plan-0.json`` has its steps for
    one binding of its dims, and for each step the device's kernels: source nodes,
    schedule, and seconds, the shortest of some runs on zeros. ``kernels/`` has their
    sources.

    Args:
        folder: It is made where it is missing.

    Raises:
        ModelError: If it cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._lock, self._plans = folder, Lock(), 0
        self._graphs: dict[int, tuple[Graph, str]] = {}
        try:
            (folder / "kernels").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._refused(error) from None

    def plan(self, graph: Graph, env: Mapping[str, int], steps: Sequence[Step]) -> None:
        """Writes a plan: the steps of a graph for sizes of its dims.

        Raises:
            ModelError: If it cannot be written.
        """
        with self._lock:
            rows = [self._step(step, env) for step in steps]
            found = {"graph": self._graph(graph), "dims": dict(env), "steps": rows}
            self._write(f"plan-{self._plans}.json", json.dumps(found, indent=1))
            self._plans += 1

    def _graph(self, graph: Graph) -> str:
        """The file of a graph, written when it is first met."""
        if id(graph) not in self._graphs:
            name = f"graph-{len(self._graphs)}.txt"
            self._graphs[id(graph)] = graph, name
            self._write(name, str(graph))
        return self._graphs[id(graph)][1]

    def _step(self, step: Step, env: Mapping[str, int]) -> dict[str, Any]:
        node, into = step.node, step.into
        kernels: list[dict[str, Any]] = []
        if into is not None and into.timed is not None:
            times = into.timed(*_zeros(into, step, env))
            pairs = zip(into.parts, times, strict=True)
            kernels = [self._part(part, seconds) for part, seconds in pairs]
        source = str(node.source or "")
        return {"op": node.op.name, "source": source, "kernels": kernels}

    def _part(self, part: Part, seconds: float) -> dict[str, Any]:
        name = f"kernels/{part.name}{part.suffix}"
        self._write(name, part.text)
        return {
            "op": part.node.op.name,
            "sources": part.sources,
            "values": part.values,
            "seconds": seconds,
            "file": name,
            "schedule": part.schedule,
        }

    def _write(self, name: str, text: str) -> None:
        try:
            (self._folder / name).write_text(text, "utf-8")
        except OSError as error:
            raise self._refused(error) from None

    def _refused(self, error: OSError) -> ModelError:
        folder, reason = str(self._folder), error.strerror or error
        return ModelError(
            f"cannot write to dump={folder!r}: {reason}; name a folder of your own"
        )


def _zeros(into: Into, step: Step, env: Mapping[str, int]) -> list[Any]:
    """Memory for results, and operands."""
    types: Any = [bind_type(v.type, env) for v in step.node.operands]
    operands = [np.zeros(t.dims, t.dtype.numpy) for t in types]
    return [place.empty() for place in into.places] + operands
