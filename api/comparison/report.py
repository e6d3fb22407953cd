"""What a comparison found: verdict, findings, every value's account, times."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from graphwright.backends.executable import StepTime
from graphwright.comparison.alignment import Account, Fate
from graphwright.comparison.findings import Finding
from graphwright.comparison.labels import Labelled
from graphwright.comparison.metrics import Metrics
from graphwright.comparison.minimal import Reproducer
from graphwright.comparison.page import comparison_page
from graphwright.comparison.pictures import Picture
from graphwright.display import (
    bytes_text,
    counted,
    seconds_text,
    stacked,
    styled,
    table,
)
from graphwright.ir.errors import FeedError, printable
from graphwright.report.page import Paged

SHOWN = 20


@dataclass(frozen=True, slots=True)
class Times:
    """Wall times of plain runs, in seconds, taken in turns with those of others.

    Attributes:
        warm_up: The first run.
        median, low, high: Of the others: median and quartiles.
        runs: How many there were.
    """

    warm_up: float
    median: float
    low: float
    high: float
    runs: int


@dataclass
class RunnerReport:
    """One of those compared.

    Attributes:
        name: What it is called.
        note: What the reader should know of it.
        accounts: What became of each value, by label; empty where it does not say.
        fallbacks: What it ran elsewhere.
        digest: What tells its plan from others.
        times: Of plain runs, if they were timed.
        peak_bytes: Memory of constants and of results alive at once, by its plan.
        resident: Growth of the process while it was made and first run.
        profile: Times of its steps.
    """

    name: str
    note: str = ""
    accounts: Mapping[str, Account] = field(default_factory=dict[str, Account])
    fallbacks: list[str] = field(default_factory=list[str])
    digest: str = ""
    times: Times | None = None
    peak_bytes: int | None = None
    resident: int | None = None
    profile: list[StepTime] = field(default_factory=list[StepTime])


Rows = Mapping[str, Mapping[str, Metrics]]
"""Metrics by name of the value, then by name of the runner."""


@dataclass(repr=False)
class ComparisonReport(Paged):
    """What ``compare`` found.

    Attributes:
        original: The graph, each value labelled.
        runners: Those compared.
        left_out: Those that could not take part, and why.
        samples: Names of the inputs.
        values: Worst metrics of each value over the samples, judged from what the same
            runner gave before it.
        outputs: The same of the graph's outputs.
        end_to_end: Of the outputs, judged from the inputs on.
        findings: Values that are not what the graph means, in the graph's order.
        failed: Samples on which the graph itself fails, and where.
        seconds: Time spent, by what it was spent on.
        pictures: The tensors that are farthest off.
        written: Files that were written, by what they are.
        reproducer: The smallest case that shows the first finding, if asked for.
        per_node: Whether text shows every node.
    """

    original: Labelled
    runners: list[RunnerReport]
    left_out: dict[str, str]
    samples: list[str]
    values: Rows
    outputs: Rows
    end_to_end: Rows
    findings: list[Finding]
    failed: dict[str, str]
    seconds: dict[str, float]
    pictures: list[Picture] = field(default_factory=list[Picture])
    written: dict[str, str] = field(default_factory=dict[str, str])
    reproducer: Reproducer | None = None
    per_node: bool = False

    @property
    def ok(self) -> bool:
        """Whether all that was compared is what the graph means."""
        return not self.findings

    @property
    def verdict(self) -> str:
        """The answer in a line: who agrees, or the first node where two part."""
        if self.findings:
            return str(self.findings[0])
        names = [r.name for r in self.runners]
        said = (
            f"{', '.join(names[:-1])} and {names[-1]} agree"
            if names[1:]
            else (f"{names[0]} agrees with the definition")
        )
        outputs = counted(len(self.outputs), "output")
        inner = counted(len(self.values), "inner value")
        samples = counted(len(self.samples), "sample")
        text = f"{said}: {outputs} and {inner} within their bounds, on {samples}"
        missing = f"; {', '.join(self.left_out)} left out" if self.left_out else ""
        return text + missing

    def _runner(self, name: str) -> RunnerReport:
        for runner in self.runners:
            if runner.name == name:
                return runner
        known = ", ".join(runner.name for runner in self.runners)
        raise FeedError(f"no runner is called {name!r}; there are {known}")

    def accounting(self, runner: str) -> dict[str, int]:
        """How many values of the graph met which fate in a runner; all add up."""
        found = self._runner(runner)
        return dict(Counter(a.fate.value for a in found.accounts.values()))

    def fusions(self, runner: str) -> dict[str, list[str]]:
        """Labels of the values inside each fusion of a runner."""
        found = self._runner(runner)
        groups: dict[str, list[str]] = {}
        for name, account in found.accounts.items():
            if account.fate is Fate.FUSED:
                groups.setdefault(account.where, []).append(name)
        return groups

    # Forms ----------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """The report as plain dictionaries and lists."""
        return {
            "ok": self.ok,
            "verdict": self.verdict,
            "graph": self.original.graph.name,
            "runners": list(map(self._runner_dict, self.runners)),
            "left_out": dict(self.left_out),
            "samples": list(self.samples),
            "findings": [f.to_dict() for f in self.findings],
            "outputs": _plain(self.outputs),
            "end_to_end": _plain(self.end_to_end),
            "values": [
                {
                    "name": name,
                    "op": label.op,
                    "source": label.source,
                    "path": list(label.path),
                    "metrics": {
                        k: m.to_dict() for k, m in self.values.get(name, {}).items()
                    },
                    "accounts": {
                        r.name: asdict(r.accounts[name])
                        for r in self.runners
                        if name in r.accounts
                    },
                }
                for name, label in self.original.labels.items()
            ],
            "failed": dict(self.failed),
            "seconds": dict(self.seconds),
            "written": dict(self.written),
        }

    def _runner_dict(self, runner: RunnerReport) -> dict[str, Any]:
        found = asdict(runner)
        del found["accounts"]
        return {**found, "accounting": self.accounting(runner.name)}

    def page(self) -> str:
        """The report as one HTML page."""
        return comparison_page(self)

    def __repr__(self) -> str:
        return f"<comparison of {self.original.graph.name!r}: {self.verdict}>"

    def __str__(self) -> str:
        return f"{printable(self.verdict)}\n{super().__str__()}"

    def __rich__(self) -> Any:
        parts: list[Any] = []
        parts += [styled(str(f), "red") for f in self.findings[1:SHOWN]]
        if len(self.findings) > SHOWN:
            parts.append(styled(f"and {len(self.findings) - SHOWN} more", "red"))
        if self.reproducer is not None:
            parts.append(styled(str(self.reproducer), "bold"))
        parts.append(self._output_table())
        parts.append(self._runner_table())
        parts.append(self._values_table())
        parts += [
            styled(printable(f"left out: {name}: {why}"), "yellow")
            for name, why in self.left_out.items()
        ]
        parts += [
            styled(printable(f"{name}: the graph itself fails at {where}"), "yellow")
            for name, where in self.failed.items()
        ]
        for runner in self.runners:
            parts += [
                styled(printable(f"fallback on {runner.name}: {text}"), "yellow")
                for text in runner.fallbacks
            ]
        if self.per_node:
            parts.append(self._node_table())
        parts += [
            styled(printable(f"{what} written to {path}"), "dim")
            for what, path in self.written.items()
        ]
        return stacked(*parts)

    def _output_table(self) -> Any:
        rows = [*_rows(self.end_to_end)]
        if len(self.end_to_end) != 1:
            return table("Outputs", _COLUMNS, rows, _NUMBERS, empty=False)
        (name,) = self.end_to_end
        short = [row[1:] for row in rows]
        numbers = [i - 1 for i in _NUMBERS]
        return table(f"Output {name}", _COLUMNS[1:], short, numbers, empty=False)

    def _runner_table(self) -> Any:
        rows = [
            (
                r.name,
                *_time_cells(r.times),
                "" if r.peak_bytes is None else bytes_text(r.peak_bytes),
                "" if not r.resident else bytes_text(r.resident),
            )
            for r in self.runners
        ]
        columns = ("backend", "warm-up", "median", "quartiles", "plan", "resident")
        return table("Backends", columns, rows, range(1, len(columns)), empty=False)

    def _values_table(self) -> Any:
        fates = [fate.value for fate in Fate]
        rows: list[Sequence[object]] = []
        for runner in self.runners:
            counts = self.accounting(runner.name)
            if counts:
                rows.append((runner.name, *(counts.get(fate, "") for fate in fates)))
        right = range(1, 1 + len(fates))
        head = ("backend", *fates)
        return table("Values of the graph", head, rows, right, empty=False)

    def _node_table(self) -> Any:
        rows: list[Sequence[object]] = []
        for name, label in self.original.labels.items():
            if label.node < 0:
                continue
            rows.append(
                (name, label.place, *(self._cell(name, r) for r in self.runners))
            )
        names = [r.name for r in self.runners]
        right = range(2, 2 + len(names))
        return table("Error over bound", ("value", "node", *names), rows, right)

    def _cell(self, name: str, runner: RunnerReport) -> str:
        metrics = self.values.get(name, {}).get(runner.name)
        if metrics is not None:
            return "form" if metrics.form else f"{metrics.excess:.3g}"
        account = runner.accounts.get(name)
        if account is None:
            return ""
        return str(account)


_COLUMNS = (
    *("output", "backend", "max abs", "max rel", "ULP", "cosine", "SNR dB"),
    *("argmax", "NaN/inf", "of bound"),
)
_NUMBERS = range(2, len(_COLUMNS))


def _rows(rows: Rows) -> Iterator[Sequence[object]]:
    for name, found in rows.items():
        for runner, m in found.items():
            if m.form:
                yield name, runner, m.form, *[""] * 7
                continue
            numbers = (m.max_abs, m.max_rel, m.max_ulp)
            yield (
                name,
                runner,
                *(f"{x:.2g}" for x in numbers),
                f"{m.cosine:.6f}",
                f"{m.snr:.1f}",
                f"{m.argmax:.0%}",
                f"{m.nan}/{m.inf}" if m.nan or m.inf else "",
                f"{m.excess:.2g}",
            )


def _time_cells(times: Times | None) -> tuple[str, str, str]:
    if times is None:
        return "", "", ""
    quartiles = f"{seconds_text(times.low)} to {seconds_text(times.high)}"
    return seconds_text(times.warm_up), seconds_text(times.median), quartiles


def _plain(rows: Rows) -> dict[str, dict[str, Any]]:
    return {
        name: {k: m.to_dict() for k, m in found.items()} for name, found in rows.items()
    }
