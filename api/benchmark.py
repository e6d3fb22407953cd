"""``bench``: times of a model in blocks with rests, peers beside it, in turns."""

import gc
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from graphwright.backends.executable import StepTime
from graphwright.backends.tuning import Mode, Tuning, tuning_of
from graphwright.comparison.labels import labelled
from graphwright.comparison.peers import PEERS
from graphwright.comparison.runners import (
    GraphwrightRunner,
    ReferenceRunner,
    Runner,
)
from graphwright.comparison.timing import percentile, resident_bytes
from graphwright.display import (
    Shown,
    bytes_text,
    count_text,
    seconds_text,
    stacked,
    table,
)
from graphwright.feeds import random_feeds
from graphwright.files import writing
from graphwright.frontends.onnx.load import load
from graphwright.ir.arguments import checked
from graphwright.ir.errors import BackendUnavailable, FeedError, printable
from graphwright.ir.graph import Graph
from graphwright.threads import get_num_threads, set_num_threads

PERCENTS = (5, 50, 95, 99)


@dataclass(frozen=True)
class Measured:
    """Times of one backend with one size of batch and number of threads.

    Attributes:
        backend: What ran.
        batch: Size of the dim that was varied; None if none was.
        threads: Threads of its kernels.
        compile_seconds: Until it could run.
        warm_up: Seconds of the first run.
        percentiles: Seconds a run, by percent: ``50`` is the median.
        runs: How many there were, in how many blocks.
        blocks: Median of each block, in order.
        throughput: Runs times the batch, a second, at the median.
        resident: Growth of the process until after the first run.
        peak_bytes: Memory of constants and of results alive at once, by its plan.
        fallbacks: What ran elsewhere than asked for.
    """

    backend: str
    batch: int | None
    threads: int
    compile_seconds: float
    warm_up: float
    percentiles: dict[str, float]
    runs: int
    blocks: list[float]
    throughput: float
    resident: int
    peak_bytes: int | None
    fallbacks: list[str] = field(default_factory=list[str])

    @property
    def median(self) -> float:
        """Seconds of a run."""
        return self.percentiles["50"]


@dataclass(frozen=True, slots=True)
class Spent:
    """What a source node took in a run.

    Attributes:
        source: The node, as text.
        seconds: Of all of its steps.
        steps: How many: also a device's kernels.
        flops: Floating-point operations, as they are defined: Winograd's algorithm does
            less, and may seem faster than the device is.
        nbytes: Bytes of operands and results of its steps.
    """

    source: str
    seconds: float
    steps: int
    flops: int
    nbytes: int

    def cells(self) -> tuple[str, ...]:
        """As a row of a table: how near it is to what the device can do, too."""
        rates = (1e-9 * n / self.seconds for n in (self.flops, self.nbytes))
        return (
            *(self.source, seconds_text(self.seconds), str(self.steps)),
            *(_plain(rate) if rate else "" for rate in rates),
        )


@dataclass(repr=False)
class BenchReport(Shown):
    """What ``bench`` measured.

    Attributes:
        graph: Name of the graph.
        rows: Times.
        left_out: Backends that could not take part, and why.
        profile: Times of the steps of the first backend, if asked for.
    """

    graph: str
    rows: list[Measured]
    left_out: dict[str, str] = field(default_factory=dict[str, str])
    profile: list[StepTime] = field(default_factory=list[StepTime])

    def to_dict(self) -> dict[str, Any]:
        """The report as plain dictionaries and lists."""
        return {
            "graph": self.graph,
            "rows": list(map(asdict, self.rows)),
            "left_out": dict(self.left_out),
            "profile": list(map(asdict, self.profile)),
        }

    def to_json(self) -> str:
        """The report as JSON."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False)

    def trace(self) -> dict[str, Any]:
        """The profile as Chrome's trace viewer takes it, one step after another."""
        events: list[dict[str, Any]] = []
        start = 0.0
        for step in self.profile:
            events.append(
                {
                    "name": step.op,
                    "ph": "X",
                    "pid": 1,
                    "tid": 1,
                    "ts": 1e6 * start,
                    "dur": 1e6 * step.seconds,
                    "args": {"source": step.source, "kernel": step.kernel},
                }
            )
            start += step.seconds
        return {"traceEvents": events, "displayTimeUnit": "ms"}

    def by_source(self) -> list[Spent]:
        """What each source node took, the slowest first."""
        found: dict[str, list[StepTime]] = {}
        for step in self.profile:
            found.setdefault(step.source or step.op, []).append(step)
        rows = [
            Spent(
                source,
                sum(step.seconds for step in steps),
                len(steps),
                sum(step.flops for step in steps),
                sum(step.nbytes for step in steps),
            )
            for source, steps in found.items()
        ]
        return sorted(rows, key=lambda row: -row.seconds)

    def plot(self, path: "str | os.PathLike[str]") -> None:
        """Draws latency and throughput to a PNG; needs the extra ``report``.

        Raises:
            BackendUnavailable: If matplotlib is not installed.
            ModelError: If the file cannot be written.
        """
        plot_rows(self.graph, self.rows, path)

    def __repr__(self) -> str:
        return f"<bench of {self.graph!r}: {len(self.rows)} rows>"

    def __rich__(self) -> Any:
        best = min((row.median for row in self.rows), default=1.0)
        unit, scale = ("µs", 1e6) if best < 1e-3 else ("ms", 1e3)
        sizes = [
            (name, {getattr(row, name) for row in self.rows})
            for name in ("batch", "threads")
        ]
        varied = [name for name, values in sizes if len(values) > 1]
        fixed = [f"{name} {v}" for name, (v, *more) in sizes if not more and v]
        percents = PERCENTS[len(varied) == 2 :]  # room for both in 80 columns
        memory = len(varied) < 2
        lines = [
            (
                *(row.backend, *(getattr(row, name) for name in varied)),
                seconds_text(row.warm_up),
                *(_plain(scale * row.percentiles[str(p)]) for p in percents),
                count_text(round(row.throughput))
                if row.throughput >= 1000
                else _plain(row.throughput),
                f"{row.median / best:.2f}",
                *([bytes_text(row.resident)] * memory),
            )
            for row in self.rows
        ]
        head = (
            *("backend", *varied, "warm-up", *(f"p{p}" for p in percents)),
            *("per s", "of best", *["resident"] * memory),
        )
        title = ", ".join([f"{self.graph}: times in {unit}", *fixed])
        parts = [table(title, head, lines, range(1, len(head)))]
        parts += [printable(f"left out: {k}: {v}") for k, v in self.left_out.items()]
        parts += [
            printable(f"fallback on {row.backend}: {text}")
            for row in self.rows
            for text in row.fallbacks
        ]
        if self.profile:
            steps = [row.cells() for row in self.by_source()[:30]]
            head = ("source", "time", "steps", "GFLOP/s", "GB/s")
            parts.append(table("Profile", head, steps, range(1, len(head))))
        return stacked(*parts)


def _plain(x: float) -> str:
    """A number with three digits at least, and no exponent."""
    return f"{x:.3g}" if x < 999.5 else f"{x:.0f}"


@checked
def bench(
    model: "Graph | str | os.PathLike[str] | bytes | Any",
    backends: Sequence[str] = ("numpy",),
    *,
    batches: Sequence[int] = (),
    batch_dim: str | None = None,
    threads: Sequence[int] = (),
    dims: Mapping[str, int] | None = None,
    blocks: int = 5,
    seconds: float = 0.5,
    rest: float = 0.2,
    profile: bool = False,
    tune: Mode = "off",
    tuning: "str | os.PathLike[str] | None" = None,
) -> BenchReport:
    """Times of a model on random inputs.

    Backends take turns in blocks, with a rest before each, so that all meet the same
    state of the machine.

    Args:
        model: A graph, or what ``load`` takes.
        backends: Names of backends; also ``reference``, ``onnxruntime``, ``openvino``.
        batches: Sizes to give to ``batch_dim``.
        batch_dim: A named dim; by default the first of the first input.
        threads: Numbers of threads.
        dims: Sizes of other named dims.
        blocks: How many blocks each runs.
        seconds: How long a block is, three runs at least.
        rest: Seconds before each block.
        profile: Also time each step of the first backend.
        tune: What OpenCL measures to choose between ways to compute, as in ``compile``.
        tuning: A file with choices that were made, and where such are added.

    Raises:
        FeedError: If there is no dim to give sizes to, or no block.
        BackendUnavailable: If no backend can run.
        CacheError: If ``tuning`` is no record, or cannot be read.
    """
    if blocks < 1 or seconds < 0 or rest < 0:
        given = f"blocks={blocks}, seconds={seconds}, rest={rest}"
        raise FeedError(f"{given}: at least one block, and no time below 0")
    own = tuning_of(tune, tuning)
    graph = model if isinstance(model, Graph) else load(model)
    source = graph if isinstance(model, Graph) else model
    dim = _batch_dim(graph, batch_dim) if batches or batch_dim else None
    report = BenchReport(graph.name, [])
    before = get_num_threads()
    try:
        for count in threads or (before,):
            set_num_threads(count)
            for batch in batches or (None,):
                sizes = dict(dims or {})
                if dim is not None and batch is not None:
                    sizes[dim] = batch
                feeds = random_feeds(graph, {}, 0, sizes)
                entries = _entries(graph, source, backends, feeds, report, own)
                _measure(entries, blocks, seconds, rest)
                report.rows += [e.row(batch, count) for e in entries]
                if profile and entries and not report.profile:
                    report.profile = entries[0].runner.profile(feeds)
    finally:
        set_num_threads(before)
    if not report.rows:
        reasons = "; ".join(f"{k}: {v}" for k, v in report.left_out.items())
        raise BackendUnavailable(f"no backend could run: {reasons}")
    return report


def _batch_dim(graph: Graph, name: str | None) -> str:
    known = sorted(graph.input_symbols())
    shape = getattr(graph.input_types[0], "shape", None) if graph.inputs else None
    found = name or (str(shape[0]) if shape else "")
    if found not in known:
        words = ", ".join(known) or "none"
        raise FeedError(f"no dim is called {found!r}; the named dims are {words}")
    return found


@dataclass
class _Entry:
    """One backend that is measured."""

    runner: Runner
    feeds: Mapping[str, Any]
    compile_seconds: float
    warm_up: float
    resident: int
    blocks: list[list[float]] = field(default_factory=list[list[float]])

    def block(self, seconds: float) -> None:
        """Runs for some time."""
        times: list[float] = []
        end = time.perf_counter() + seconds
        while len(times) < 3 or time.perf_counter() < end:
            start = time.perf_counter()
            self.runner.plain(self.feeds)
            times.append(time.perf_counter() - start)
        self.blocks.append(times)

    def row(self, batch: int | None, threads: int) -> Measured:
        """What was measured."""
        times = sorted(t for block in self.blocks for t in block)
        found = {str(p): percentile(times, p) for p in PERCENTS}
        return Measured(
            *(self.runner.name, batch, threads, self.compile_seconds, self.warm_up),
            *(found, len(times)),
            [percentile(sorted(block), 50) for block in self.blocks],
            (batch or 1) / found["50"],
            *(self.resident, self.runner.peak_bytes(self.feeds)),
            self.runner.fallbacks(),
        )


def _entries(
    graph: Graph,
    source: Any,
    backends: Sequence[str],
    feeds: Mapping[str, Any],
    report: BenchReport,
    tuning: Tuning | None,
) -> list[_Entry]:
    original = labelled(graph)
    entries: list[_Entry] = []
    for name in backends:
        gc.collect()
        held, start = resident_bytes(), time.perf_counter()
        try:
            runner: Runner
            if name in PEERS:
                runner = PEERS[name](original, source)
            elif name == "reference":
                runner = ReferenceRunner(original)
            else:
                runner = GraphwrightRunner(name, original, name, tuning=tuning)
            made = time.perf_counter() - start
            start = time.perf_counter()
            runner.plain(feeds)
        except Exception as error:
            report.left_out[name] = f"{type(error).__name__}: {error}"
            continue
        first = time.perf_counter() - start
        grown = max(resident_bytes() - held, 0)
        entries.append(_Entry(runner, feeds, made, first, grown))
    return entries


def _measure(
    entries: Sequence[_Entry], blocks: int, seconds: float, rest: float
) -> None:
    for entry in _turns(entries, blocks):
        time.sleep(rest)
        entry.block(seconds)


def _turns(entries: Sequence[_Entry], blocks: int) -> Iterator[_Entry]:
    """Each entry in turn, the other way round every second time."""
    for number in range(blocks):
        yield from entries if number % 2 == 0 else reversed(entries)


def plot_rows(
    title: str, rows: Sequence[Measured], path: "str | os.PathLike[str]"
) -> None:
    """Draws latency and throughput of rows to a PNG.

    Raises:
        BackendUnavailable: If matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise BackendUnavailable(
            "plots need matplotlib, which is not installed:"
            ' pip install "graphwright[report]"'
        ) from None
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    by_threads = len({row.threads for row in rows}) > 1
    series: dict[str, list[Measured]] = {}
    for row in rows:
        many = by_threads and len({r.batch for r in rows}) > 1
        label = f"{row.backend}, {row.threads} threads" if many else row.backend
        series.setdefault(label, []).append(row)
    batched = any(row.batch is not None for row in rows)
    for label, found in series.items():
        x = [(row.batch or 1) if batched else row.threads for row in found]
        low = [1e3 * (row.median - row.percentiles["5"]) for row in found]
        high = [1e3 * (row.percentiles["95"] - row.median) for row in found]
        y = [1e3 * row.median for row in found]
        left.errorbar(x, y, yerr=[low, high], marker="o", capsize=3, label=label)
        right.plot(x, [row.throughput for row in found], marker="o", label=label)
    for axes, name in ((left, "latency, ms"), (right, "throughput, 1/s")):
        axes.set_xlabel("batch" if batched else "threads")
        axes.set_ylabel(name)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    left.legend()
    figure.suptitle(printable(title).replace("$", r"\$"))
    with writing(path):
        figure.savefig(os.fspath(path), dpi=130)
