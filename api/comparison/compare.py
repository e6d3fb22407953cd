"""``compare``: do backends give what a graph means, and where do they part?"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np

from graphwright.backends.contract import Backend
from graphwright.comparison.diagnose import diagnosed
from graphwright.comparison.findings import Finding
from graphwright.comparison.golden import GoldenRunner, read_golden, save_golden
from graphwright.comparison.judge import Judge, Verdicts
from graphwright.comparison.labels import Labelled, labelled
from graphwright.comparison.metrics import Metrics, alike
from graphwright.comparison.minimal import Reproducer, minimal, write_case
from graphwright.comparison.peers import PEERS
from graphwright.comparison.pictures import KEPT, Picture, picture
from graphwright.comparison.precision import with_float
from graphwright.comparison.rehearsal import rehearse
from graphwright.comparison.report import ComparisonReport, RunnerReport
from graphwright.comparison.runners import (
    CallableRunner,
    Feeds,
    GraphwrightRunner,
    Outcome,
    ReferenceRunner,
    Runner,
)
from graphwright.comparison.samples import (
    Sample,
    Samples,
    given_samples,
    make_samples,
)
from graphwright.comparison.searching import searched
from graphwright.comparison.timing import resident_bytes, timed
from graphwright.files import check_writable
from graphwright.frontends.onnx.load import load
from graphwright.frontends.tracing.trace import trace
from graphwright.ir.arguments import checked
from graphwright.ir.errors import FeedError, GraphwrightError
from graphwright.ir.graph import Graph

Path: TypeAlias = str | os.PathLike[str]
Contestant: TypeAlias = str | Backend | Runner | Callable[..., Any]
"""A backend's name or a backend, ``reference``, ``onnx``, ``onnxruntime``,
``openvino``, a function, or a runner."""


@checked
def compare(
    model: "Graph | str | bytes | Callable[..., Any] | Any",
    backends: Sequence[Contestant] = ("numpy", "reference"),
    inputs: Any = None,
    samples: Samples | None = None,
    *,
    dtype: str | None = None,
    dims: Mapping[str, int] | None = None,
    seed: int = 0,
    search: int = 0,
    golden: Path | None = None,
    save: Path | None = None,
    bisect: Path | None = None,
    per_node: bool = False,
    rounds: int = 0,
    strict: bool = False,
    optimize: bool = True,
    strict_float: bool = False,
) -> ComparisonReport:
    """Whether backends give what a graph means, value by value, through fusion.

    Every value that survives compilation is read while the unchanged plan runs, brought
    to the form that it has in the graph, and held against a bound that is derived from
    a float64 run: what the node that made it may be off, given what that backend
    computed before.

    Args:
        model: A graph, what ``load`` takes, or a Python function, which is traced with
            the types of ``inputs``.
        backends: What to compare.
        inputs: Arrays by name or by position; a list of such for several runs.
        samples: How many random inputs to make, or for each its kind: ``random``,
            ``special``, ``LOW:HIGH``. Two if neither they nor ``inputs`` are given.
        dtype: Convert all floats of the graph to this dtype first.
        dims: Sizes of named dims, where inputs are made up; else 1.
        seed: Of the made-up inputs.
        search: How many steps to go from the worst sample to a worse one.
        golden: A file that ``save_golden`` wrote: its inputs are run, and its values
            take part as ``golden``.
        save: Write what the first of ``backends`` gave to this file, for ``golden``.
        bisect: Make the graph and the input of the first finding as small as can be,
            and write them to this folder as ONNX, with a script.
        per_node: Also read ONNX Runtime's inner values, in a session of their own, and
            show every node in the text.
        rounds: How many timed runs each does, in turns; none if 0.
        strict: Whether one that cannot take part is an error.
        optimize: Whether passes run, as in ``compile``.
        strict_float: Keep to what does not change rounding, as in ``compile``.

    Raises:
        FeedError: If inputs do not fit.
        ModelError: If a file cannot be read or written.
        BackendUnavailable: With ``strict``, or if none is left.
    """
    check_writable(save)
    graph, function = _graph_of(model, inputs)
    source: Any = graph if isinstance(model, Graph) or callable(model) else model
    if dtype is not None:
        source = graph = with_float(graph, dtype)
    if rounds < 0 or search < 0 or seed < 0:
        given = f"rounds={rounds}, search={search}, seed={seed}"
        raise FeedError(f"{given}: none may be negative")
    options = {"optimize": optimize, "strict_float": strict_float}
    session = _Session(labelled(graph), source, function, options, strict)
    sets = given_samples(graph, inputs)
    if dtype is not None:
        (session.trial,) = sets[:1] or make_samples(graph, 1, seed, dims or {})
    session.add(backends, per_node=per_node)
    if golden is not None:
        sets += session.add_golden(golden)
    count: Samples = samples if samples is not None else (0 if sets else 2)
    sets += make_samples(graph, count, seed, dims or {})
    session.judge_all(sets, search, seed)
    session.diagnose()
    if save is not None:
        session.save(save)
    if bisect is not None:
        session.bisect(bisect)
    if rounds:
        session.time(sets[0].feeds, rounds)
    return session.report(per_node)


def _graph_of(model: Any, inputs: Any) -> tuple[Graph, Callable[..., Any] | None]:
    if isinstance(model, Graph):
        return model, None
    if not callable(model):
        return load(model), None
    if inputs is None or isinstance(inputs, Mapping):
        raise FeedError("to compare a function, give its arguments: inputs=(x, y)")
    if not isinstance(inputs, list | tuple):
        raise FeedError(
            f"to compare a function, give its arguments as inputs=(x, y),"
            f" got {type(inputs).__name__}"
        )
    rows: list[Any] = list(inputs)
    first = rows[0] if rows and isinstance(rows[0], tuple | list) else rows
    return trace(model, *(np.asarray(x) for x in first)), model


@dataclass
class _Session:
    """A comparison under way."""

    original: Labelled
    source: Any
    function: Callable[..., Any] | None
    options: Mapping[str, Any]
    strict: bool = False
    trial: Sample | None = None
    runners: list[Runner] = field(default_factory=list[Runner])
    left_out: dict[str, str] = field(default_factory=dict[str, str])
    resident: dict[str, int] = field(default_factory=dict[str, int])
    done: list[tuple[Sample, dict[str, Outcome], Verdicts]] = field(
        default_factory=list[tuple[Sample, dict[str, Outcome], Verdicts]]
    )
    findings: list[Finding] = field(default_factory=list[Finding])
    reports: dict[str, RunnerReport] = field(default_factory=dict[str, RunnerReport])
    seconds: dict[str, float] = field(default_factory=dict[str, float])
    pictures: list[Picture] = field(default_factory=list[Picture])
    written: dict[str, str] = field(default_factory=dict[str, str])
    reproducer: Reproducer | None = None

    def __post_init__(self) -> None:
        self._judge = Judge(self.original)

    def _spent(self, what: str, start: float) -> None:
        passed = time.perf_counter() - start
        self.seconds[what] = self.seconds.get(what, 0.0) + passed

    # Who takes part -------------------------------------------------------------------

    def add(self, wanted: Sequence[Contestant], *, per_node: bool) -> None:
        """Makes runners; what cannot run here is left out, or an error if strict."""
        start = time.perf_counter()
        rows: list[tuple[Contestant, bool]] = []
        for each in [wanted] if isinstance(wanted, str) else wanted:
            rows.append((each, False))
            if per_node and each == "onnxruntime":
                rows.append((each, True))
        for each, inner in rows:
            before = resident_bytes()
            try:
                runner = self._runner(each, inner)
            except Exception as error:
                if self.strict or not isinstance(each, str):
                    raise
                self.left_out[each] = f"{error}"
                continue
            self.runners.append(runner)
            self.resident[runner.name] = max(resident_bytes() - before, 0)
        self._spent("compile", start)
        self._need_some()

    def _need_some(self) -> None:
        if not self.runners:
            reasons = "; ".join(f"{k}: {v}" for k, v in self.left_out.items())
            raise FeedError(f"there is nothing to compare: {reasons or 'no backends'}")

    def _runner(self, each: Contestant, inner: bool) -> Runner:
        if isinstance(each, Runner):
            return each
        if isinstance(each, Backend):
            return self._own(each.name, each)
        if not isinstance(each, str):
            name = getattr(each, "__name__", type(each).__name__)
            return CallableRunner(self._free(name), self.original, each)
        if each == "reference":
            return ReferenceRunner(self.original)
        if each == "python" and self.function is not None:
            return CallableRunner(each, self.original, self.function)
        if each in PEERS:
            if self.trial is not None:
                rehearse(PEERS[each], self.source, self.trial.feeds)
            extra = {"inner": True} if inner else {}
            return PEERS[each](self.original, self.source, **extra)
        return self._own(each, each)

    def _own(self, name: str, backend: "str | Backend") -> Runner:
        return GraphwrightRunner(
            self._free(name), self.original, backend, **self.options
        )

    def _free(self, name: str) -> str:
        taken = {r.name for r in self.runners}
        number = 2
        found = name
        while found in taken:
            found, number = f"{name} {number}", number + 1
        return found

    def add_golden(self, path: Path) -> list[Sample]:
        """Lets a golden file take part; its samples."""
        saved = read_golden(path, self.original)
        self.runners.append(GoldenRunner(saved))
        return [sample for sample, _ in saved.rows]

    # Judging --------------------------------------------------------------------------

    def judge_all(self, sets: Sequence[Sample], search: int, seed: int) -> None:
        """Judges samples, then the worst near them that a search finds."""
        if not sets:
            raise FeedError("there is nothing to compare on: give inputs or samples")
        for sample in sets:
            self.judge(sample)
        if search:
            self.judge(searched(self.runners, sets, search, seed))

    def judge(self, sample: Sample) -> None:
        """Runs all on a sample and judges what they gave."""
        start = time.perf_counter()
        outcomes: dict[str, Outcome] = {}
        for runner in list(self.runners):
            try:
                found = runner.run(sample.feeds)
                outcomes[runner.name] = replace(found, values={**found.values})
            except Exception as error:
                self._failed(runner, sample, error)
        self._spent("run", start)
        self._need_some()
        accounts = {r.name: r.accounts() for r in self.runners}
        kept = {name: Outcome(o.outputs) for name, o in outcomes.items()}
        verdicts = self._judge(sample.feeds, outcomes, accounts)
        for what, seconds in (
            ("shadow", verdicts.shadow_seconds),
            ("measure", verdicts.measure_seconds),
        ):
            self.seconds[what] = self.seconds.get(what, 0.0) + seconds
        self.findings += self._found(sample, verdicts)
        self._picture(sample, verdicts)
        self.done.append((sample, kept, verdicts))

    def _picture(self, sample: Sample, verdicts: Verdicts) -> None:
        """Keeps pictures of what is farthest off in all samples."""
        start = time.perf_counter()
        for excess, label, runner, arrays in verdicts.worst:
            full = len(self.pictures) >= KEPT
            if not full or excess > self.pictures[-1].excess:
                made = picture(label, runner, sample.name, excess, arrays)
                self.pictures.append(made)
                self.pictures.sort(key=lambda p: -p.excess)
        verdicts.worst.clear()
        del self.pictures[KEPT:]
        self._spent("picture", start)

    def _failed(self, runner: Runner, sample: Sample, error: Exception) -> None:
        """One that fails: ours is at fault, another system merely cannot."""
        if self.strict and not isinstance(runner, GraphwrightRunner):
            raise error
        self.runners.remove(runner)
        words = f"{type(error).__name__}: {error}"
        self.left_out[runner.name] = f"{sample.name}: {words}"
        if not isinstance(runner, GraphwrightRunner):
            return
        try:
            ReferenceRunner(self.original).plain(sample.feeds)
        except GraphwrightError:
            return  # the graph itself fails on this input
        metrics = Metrics(form=f"an error: {words}", excess=np.inf)
        place = str(error).partition(":")[0]
        self.findings.append(
            Finding(runner.name, "", place, "", sample.name, metrics, node=-1)
        )

    def _found(self, sample: Sample, verdicts: Verdicts) -> list[Finding]:
        labels = self.original.labels
        found: list[Finding] = []
        for name, rows in verdicts.values.items():
            for runner, metrics in rows.items():
                if not metrics.ok:
                    label = labels[name]
                    other = _agreeing(rows) or _agreeing_outputs(verdicts, runner)
                    found.append(
                        Finding(
                            *(runner, name, label.place, other, sample.name, metrics),
                            node=label.node,
                        )
                    )
        known = {f.runner for f in found}
        for name, rows in verdicts.outputs.items():
            for runner, metrics in rows.items():
                if not metrics.ok and runner not in known:
                    v = self.original.graph.outputs[
                        self.original.graph.output_names.index(name)
                    ]
                    made = labels.get(self.original.values.get(v, ""))
                    place = f"output {name!r}"
                    if made is not None:
                        place += f", {made.place}"
                    node = made.node if made else -1
                    found.append(
                        Finding(
                            *(runner, name, place, _agreeing(rows)),
                            *(sample.name, metrics),
                            node=node,
                        )
                    )
        return found

    def diagnose(self) -> None:
        """Puts the findings in order, and finds what is at fault."""
        self.findings.sort(key=lambda f: f.node)
        start = time.perf_counter()
        runners = {r.name: r for r in self.runners}
        sets = [sample for sample, _, _ in self.done]
        self.findings = diagnosed(self.findings, runners, sets, self.original)
        self._spent("diagnose", start)

    # Files ----------------------------------------------------------------------------

    def save(self, path: Path) -> None:
        """Writes a golden run of the first runner."""
        sets = [sample for sample, _, _ in self.done]
        save_golden(path, self.runners[0], sets, self.original)
        self.written["golden"] = os.fspath(path)

    def bisect(self, folder: Path) -> None:
        """Writes the smallest case that shows the first finding."""
        runners = {r.name: r for r in self.runners}
        for finding in self.findings:
            if finding.runner in runners:
                sets = [sample for sample, _, _ in self.done]
                start = time.perf_counter()
                found = minimal(finding, runners[finding.runner], sets, self.original)
                if found is not None:
                    self.written["reproducer"] = write_case(found, os.fspath(folder))
                    self.reproducer = found
                self._spent("bisect", start)
                return

    # Times ----------------------------------------------------------------------------

    def time(self, feeds: Feeds, rounds: int) -> None:
        """Times plain runs, in turns, and checks that they give what was judged."""
        start = time.perf_counter()
        runners = [r for r in self.runners if not isinstance(r, GoldenRunner)]
        results = timed(runners, feeds, rounds)
        sample, judged, _ = self.done[0]
        for runner in runners:
            times, outputs = results[runner.name]
            report = self._report_of(runner)
            report.times = times
            report.profile = runner.profile(feeds)
            report.peak_bytes = runner.peak_bytes(feeds)
            if not isinstance(runner, GraphwrightRunner):
                continue
            for name, a, b in zip(
                self.original.graph.output_names,
                judged[runner.name].outputs,
                outputs,
                strict=True,
            ):
                if not alike(a, b):
                    metrics = Metrics(form="another when nobody looks", excess=np.inf)
                    self.findings.append(
                        Finding(
                            *(runner.name, name, f"output {name!r}", ""),
                            *(sample.name, metrics, "a run that depends on others"),
                        )
                    )
        self._spent("time", start)

    def _report_of(self, runner: Runner) -> RunnerReport:
        if runner.name not in self.reports:
            self.reports[runner.name] = RunnerReport(
                runner.name,
                runner.note,
                runner.accounts(),
                runner.fallbacks(),
                runner.digest(self.done[0][0].feeds),
                resident=self.resident.get(runner.name),
            )
        return self.reports[runner.name]

    def report(self, per_node: bool) -> ComparisonReport:
        """What was found."""
        return ComparisonReport(
            self.original,
            list(map(self._report_of, self.runners)),
            self.left_out,
            [sample.name for sample, _, _ in self.done],
            _worst([v.values for _, _, v in self.done], self.original.labels),
            _worst([v.outputs for _, _, v in self.done]),
            _worst([v.end_to_end for _, _, v in self.done]),
            self.findings,
            {s.name: v.failed for s, _, v in self.done if v.failed},
            self.seconds,
            self.pictures,
            self.written,
            self.reproducer,
            per_node,
        )


def _agreeing(rows: Mapping[str, Metrics]) -> str:
    return next((name for name, m in rows.items() if m.ok), "")


def _agreeing_outputs(verdicts: Verdicts, runner: str) -> str:
    """A runner other than this one whose outputs are right."""
    for rows in verdicts.outputs.values():
        for name, metrics in rows.items():
            if name != runner and metrics.ok:
                return name
    return ""


def _worst(
    tables: Sequence[Mapping[str, Mapping[str, Metrics]]],
    order: Mapping[str, Any] | None = None,
) -> dict[str, dict[str, Metrics]]:
    """The worst over samples, of each metric."""
    found: dict[str, dict[str, Metrics]] = {}
    for rows in tables:
        for name, by_runner in rows.items():
            mine = found.setdefault(name, {})
            for runner, metrics in by_runner.items():
                before = mine.get(runner)
                mine[runner] = metrics if before is None else worse(before, metrics)
    if order is None:
        return found
    return {name: found[name] for name in order if name in found}


def worse(a: Metrics, b: Metrics) -> Metrics:
    """The worst of each metric; the place is where the bound is passed most."""
    base = b if (b.excess, b.max_abs) > (a.excess, a.max_abs) else a
    return replace(
        base,
        max_abs=max(a.max_abs, b.max_abs),
        mean_abs=max(a.mean_abs, b.mean_abs),
        max_rel=max(a.max_rel, b.max_rel),
        max_ulp=max(a.max_ulp, b.max_ulp),
        cosine=min(a.cosine, b.cosine),
        snr=min(a.snr, b.snr),
        argmax=min(a.argmax, b.argmax),
        nan=max(a.nan, b.nan),
        inf=max(a.inf, b.inf),
        spread=max(a.spread, b.spread),
        form=a.form or b.form,
    )
