"""Findings: values that are not what a graph means, and what is at fault."""

from dataclasses import asdict, dataclass
from typing import Any

from graphwright.comparison.metrics import Metrics
from graphwright.ir.errors import printable

_EQUAL = 1e100
"""How far beyond its bound is only what was to be equal."""


@dataclass(frozen=True)
class Finding:
    """A value that is not what the graph means.

    Attributes:
        runner: Who gave it.
        value: Its label.
        place: The node that makes it, with its source.
        against: A runner that gave what the graph means, if one did.
        sample: On which input.
        metrics: How far it is off.
        guilty: What is at fault, as far as it was found: a kernel, a rewrite.
        node: Number of the node in the graph.
    """

    runner: str
    value: str
    place: str
    against: str
    sample: str
    metrics: Metrics
    guilty: str = ""
    node: int = 0

    def __str__(self) -> str:
        other = f"{self.runner} and {self.against} part" if self.against else ""
        head = f"{other or f'{self.runner} parts from the definition'} at {self.place}"
        text = f"{head}: {self._words()}"
        return printable(f"{text}; guilty: {self.guilty}" if self.guilty else text)

    def _words(self) -> str:
        m = self.metrics
        if m.form:
            return f"{self.value!r} is {m.form}"
        where = f" at {list(m.at)}" if m.at else ""
        times = f", {m.excess:.3g} times its bound" if m.excess < _EQUAL else ""
        if m.excess <= 1:
            times = f", {m.spread:.2g} of its bound everywhere"
        return f"{self.value!r}{where} is {m.got}, not {m.want}{times} ({self.sample})"

    def to_dict(self) -> dict[str, Any]:
        """The same as a dictionary."""
        return {
            **{k: v for k, v in asdict(self).items() if k != "metrics"},
            "metrics": self.metrics.to_dict(),
            "text": str(self),
        }
