"""A comparison as a page."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from graphwright.backends.executable import StepTime
from graphwright.comparison.labels import Labelled
from graphwright.comparison.metrics import Metrics
from graphwright.comparison.pictures import Picture
from graphwright.display import bytes_text, counted, seconds_text
from graphwright.report.charts import bar_chart, error_chart, histogram
from graphwright.report.layout import layered
from graphwright.report.page import GRAPH, NODES, legend, page, section, table

if TYPE_CHECKING:
    from graphwright.comparison.report import ComparisonReport, RunnerReport

SHOWN = 12


def comparison_page(report: "ComparisonReport") -> str:
    """The page of a comparison."""
    graph = Graphic(report)
    name = report.original.graph.name
    parts = [
        f"<h1>{escape(name)}</h1>",
        f'<p class="dim">{counted(len(report.original.labels), "value")},'
        f" {counted(len(report.samples), 'sample')}:"
        f" {escape(', '.join(report.samples))}</p>",
        _verdict(report),
        section("What else was found", _findings(report)),
        section("Outputs, from the inputs on", _outputs(report.end_to_end)),
        section("Error along the graph", _chart(graph)),
        section("Backends", _runners(report.runners) + _left_out(report)),
        section("Graph", GRAPH if graph.count else ""),
        section("Nodes", NODES if graph.count else ""),
        section("Tensors that are farthest off", _tensors(report.pictures)),
    ]
    return page(f"Comparison of {name}", "\n".join(parts), graph.data())


class Graphic:
    """What the script shows: the nodes outside sub-graphs, by column."""

    def __init__(self, report: "ComparisonReport") -> None:
        self.report = report
        original = report.original
        self.rows = first_results(original)
        self.count = len(self.rows)
        self.names = [original.values[node.results[0]] for node in self.rows.values()]
        self.series = {
            r.name: [self._error(name, r) for name in self.names]
            for r in report.runners
        }
        self.series = {
            name: row
            for name, row in self.series.items()
            if any(v is not None for v in row)
        }

    def _error(self, name: str, runner: "RunnerReport") -> float | None:
        metrics = self.report.values.get(name, {}).get(runner.name)
        if metrics is None:
            return None
        worst = max(metrics.excess, metrics.spread / 0.25 if not metrics.ok else 0.0)
        return 1e9 if metrics.form else float(f"{min(worst, 1e9):.4g}")

    def data(self) -> dict[str, Any]:
        """Columns of nodes, edges, and what may colour them."""
        if not self.count:
            return {}
        original = self.report.original
        edges = edges_of(original.graph, list(self.rows))
        x, y = layered(self.count, edges, _fixed(original.graph, list(self.rows)))
        columns = [*map(self._error_column, self.report.runners), *self._times()]
        columns = [c for c in columns if c is not None]
        colours: list[Any] = [
            {"title": f"error of {n}", "kind": "error", "values": v}
            for n, v in self.series.items()
        ]
        colours += [
            {**c, "kind": "time", "most": max(filter(None, c["values"]), default=1)}
            for c in self._times()
        ]
        return {
            "nodes": {
                "name": self.names,
                "op": [node.op.name for node in self.rows.values()],
                "source": [str(node.source or "") for node in self.rows.values()],
                "x": [round(v, 2) for v in x],
                "y": y,
            },
            "edges": [i for pair in edges for i in pair],
            "columns": columns,
            "colours": colours or [{"title": "plain", "kind": "error", "values": []}],
            "chosen": self._chosen(),
        }

    def _chosen(self) -> int:
        wrong = {f.value for f in self.report.findings[:1]}
        return next((i for i, n in enumerate(self.names) if n in wrong), -1)

    def _error_column(self, runner: "RunnerReport") -> dict[str, Any] | None:
        values = self.series.get(runner.name)
        if values is None:
            return None
        other: list[str] = []
        for name in self.names:
            account = runner.accounts.get(name)
            other.append(str(account) if account else "")
        title = f"{runner.name}: error/bound"
        return {"title": title, "kind": "error", "values": values, "other": other}

    def _times(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for runner in self.report.runners:
            spent = self._spent(runner.profile)
            if not spent:
                continue
            values = [
                float(f"{spent[i]:.4g}") if i in spent else None
                for i in range(self.count)
            ]
            title = f"{runner.name}: time"
            found.append({"title": title, "kind": "time", "values": values})
        return found

    def _spent(self, profile: Sequence[StepTime]) -> dict[int, float]:
        """Milliseconds by node: of the value that a step gives, else of its source."""
        by_name = {name: i for i, name in enumerate(self.names)}
        rows = enumerate(self.rows.values())
        by_source = {str(node.source or ""): i for i, node in rows}
        found: dict[int, float] = {}
        for step in profile:
            known = [by_name[name] for name in step.values if name in by_name]
            place = known[-1] if known else by_source.get(step.source)
            if place is not None:
                found[place] = found.get(place, 0.0) + 1e3 * step.seconds
        return found


def first_results(original: Labelled) -> dict[int, Any]:
    """Nodes with results by their numbers."""
    return {i: n for i, n in enumerate(original.graph.nodes) if n.results}


def edges_of(graph: Any, numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Which node reads which, as places in ``numbers``."""
    place = {number: i for i, number in enumerate(numbers)}
    maker = {v: i for i, n in enumerate(graph.nodes) for v in n.results}
    found: dict[tuple[int, int], None] = {}
    for number in numbers:
        for v in graph.nodes[number].operands:
            if v in maker:
                found[place[maker[v]], place[number]] = None
    return list(found)


def _fixed(graph: Any, numbers: Sequence[int]) -> set[int]:
    """The nodes that depend on no input, as places in ``numbers``."""
    moving = set(graph.inputs)
    found: set[int] = set()
    for place, number in enumerate(numbers):
        node = graph.nodes[number]
        if moving.isdisjoint(node.operands):
            found.add(place)
        else:
            moving.update(node.results)
    return found


# Parts ------------------------------------------------------------------------------


def _verdict(report: "ComparisonReport") -> str:
    head = "They agree" if report.ok else "They part"
    kind = "verdict" if report.ok else "verdict bad"
    text = escape(report.verdict)
    return f'<div class="{kind}" role="status"><b>{head}</b>{text}</div>'


def _findings(report: "ComparisonReport") -> str:
    rows = report.findings[1:SHOWN]
    if not rows:
        return ""
    items = "".join(f"<li>{escape(str(f))}</li>" for f in rows)
    more = len(report.findings) - 1 - len(rows)
    rest = f'<p class="dim">and {more} more, in the table of nodes</p>' if more else ""
    return f'<ol class="findings">{items}</ol>{rest}'


_METRICS = (
    *("output", "backend", "max abs", "mean abs", "max rel", "ULP", "cosine", "SNR dB"),
    *("argmax alike", "NaN", "inf", "over bound"),
)


def _outputs(rows: Mapping[str, Mapping[str, Metrics]]) -> str:
    lines: list[Sequence[object]] = []
    for name, found in rows.items():
        for runner, m in found.items():
            if m.form:
                lines.append((name, runner, m.form, *[""] * 9))
                continue
            numbers = (m.max_abs, m.mean_abs, m.max_rel, m.max_ulp)
            lines.append(
                (
                    *(name, runner, *(f"{x:.3g}" for x in numbers)),
                    *(f"{m.cosine:.9f}", f"{m.snr:.1f}", f"{m.argmax:.0%}"),
                    *(m.nan, m.inf, f"{m.excess:.3g}"),
                )
            )
    return table(_METRICS, lines) if lines else ""


def _chart(graph: Graphic) -> str:
    if not graph.series:
        return ""
    chart = error_chart(graph.series, graph.count)
    note = (
        '<p class="dim">Each node is held against its own bound, given what the same'
        " backend computed before it; above the dashed line it is wrong.</p>"
    )
    return legend(list(graph.series)) + chart + note


def _runners(runners: Sequence["RunnerReport"]) -> str:
    rows: list[Sequence[object]] = []
    for r in runners:
        t = r.times
        spread = f"{seconds_text(t.low)} to {seconds_text(t.high)}" if t else ""
        counts: dict[str, int] = {}
        for account in r.accounts.values():
            counts[account.fate.value] = counts.get(account.fate.value, 0) + 1
        rows.append(
            (
                r.name,
                seconds_text(t.warm_up) if t else "",
                seconds_text(t.median) if t else "",
                spread,
                "" if r.peak_bytes is None else bytes_text(r.peak_bytes),
                bytes_text(r.resident) if r.resident else "",
                ", ".join(f"{n} {fate}" for fate, n in counts.items()),
                "; ".join(filter(None, [r.note, *r.fallbacks])),
            )
        )
    columns = ("backend", "warm-up", "median", "quartiles", "plan", "resident")
    timed = [(r.name, r.times) for r in runners if r.times is not None]
    bars = [(n, 1e3 * t.median, 1e3 * t.low, 1e3 * t.high) for n, t in timed]
    chart = bar_chart(bars) if bars else ""
    return chart + table((*columns, "values of the graph", "notes, fallbacks"), rows)


def _left_out(report: "ComparisonReport") -> str:
    rows = {**report.left_out}
    rows.update({k: f"the graph itself fails at {v}" for k, v in report.failed.items()})
    if not rows:
        return ""
    return table(("left out", "why"), list(rows.items()))


def _about(p: Picture) -> str:
    rows, columns = p.field.shape
    return f"Error over bound, {rows} by {columns}"


def _tensors(pictures: Sequence[Picture]) -> str:
    figures = "".join(
        f"<figure><figcaption><b>{escape(p.value)}</b> of {escape(p.runner)},"
        f" {escape(p.sample)}: {p.excess:.3g} times its bound</figcaption>"
        f"{histogram(p.have, p.want, p.low, p.high)}"
        f'<img alt="{_about(p)}" src="{p.image}">'
        "</figure>"
        for p in pictures
    )
    if not figures:
        return ""
    note = (
        '<p class="dim">Histograms of what the backend gave (filled) and of the float64'
        " run (line); below, the error of the last two axes, worst of the others:"
        " dark is none, bright is at the bound or above.</p>"
    )
    return f'{note}<div class="tensors">{figures}</div>'
