"""Whether values are what the graph means: each node held against its own bound."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from graphwright.backends.numpy.kernels.blas import OneThread
from graphwright.comparison.alignment import Account
from graphwright.comparison.ensemble import FEW, PAIRS, Ensemble
from graphwright.comparison.labels import Labelled
from graphwright.comparison.metrics import Metrics, form_of, measure
from graphwright.comparison.pictures import KEPT
from graphwright.comparison.runners import Outcome
from graphwright.comparison.running import Running
from graphwright.ir.dtype import DType
from graphwright.ir.dtype import dtype as dtype_of
from graphwright.ir.emitter import Value
from graphwright.ir.evaluate import last_uses
from graphwright.ir.graph import Node
from graphwright.ir.types import TensorType
from graphwright.testing.shadow import Bound, epsilon, widened

Follower: TypeAlias = "Ensemble | Running"


@dataclass
class Verdicts:
    """What was found for one sample.

    Attributes:
        values: Metrics by label, then by runner: judged from what the runner itself
            gave before, measured against the float64 run from the inputs on.
        outputs: Metrics by output name, then by runner, judged likewise.
        end_to_end: The same, judged from the inputs on.
        failed: Where the graph itself fails on this sample, and what follows is not
            judged.
        worst: Values of fractions that are farthest off: over their bound by how much,
            label, runner, and arrays: what it is, should be, and how far off it may be.
        shadow_seconds, measure_seconds: Time of the float64 runs, and of the rest.
    """

    values: dict[str, dict[str, Metrics]] = field(
        default_factory=dict[str, dict[str, Metrics]]
    )
    outputs: dict[str, dict[str, Metrics]] = field(
        default_factory=dict[str, dict[str, Metrics]]
    )
    end_to_end: dict[str, dict[str, Metrics]] = field(
        default_factory=dict[str, dict[str, Metrics]]
    )
    failed: str = ""
    worst: list[tuple[float, str, str, tuple[Any, Any, Any]]] = field(
        default_factory=list[tuple[float, str, str, tuple[Any, Any, Any]]]
    )
    shadow_seconds: float = 0.0
    measure_seconds: float = 0.0


class Judge:
    """Judges runs of one graph; a new one for new runners, as it keeps their state."""

    def __init__(self, original: Labelled, seed: int = 0) -> None:
        self.original, self.graph = original, original.graph
        self.seed = seed
        self._common: Ensemble | None = None
        self._own: dict[str, Running] = {}
        self.last = last_uses(self.graph)

    @property
    def common(self) -> Ensemble:
        """The runs from the inputs on."""
        assert self._common is not None, "nothing was judged yet"
        return self._common

    def __call__(
        self,
        feeds: Mapping[str, Any],
        outcomes: Mapping[str, Outcome],
        accounts: Mapping[str, Mapping[str, Account]],
    ) -> Verdicts:
        """Verdicts of a sample.

        Args:
            feeds: Inputs by name.
            outcomes: What each runner gave, by its name; inner values are taken out
                as they are judged.
            accounts: What became of values in each runner, by its name.
        """
        if self._common is None:
            all_shown = all(outcome.values for outcome in outcomes.values())
            self._common = Ensemble(self.graph, self.seed, FEW if all_shown else PAIRS)
        walk = _Walk(self, outcomes, accounts)
        start = time.perf_counter()
        with OneThread():  # others would spin into the next run; they gain little here
            walk.run([feeds[n] for n in self.graph.input_names])
        found = walk.found
        found.shadow_seconds = time.perf_counter() - start - found.measure_seconds
        return found

    def follower(self, name: str, outcome: Outcome) -> Follower:
        """What follows a runner: the runs of all where it shows no value."""
        if not outcome.values:
            return self.common
        if name not in self._own:
            self._own[name] = Running(self.graph, self.seed)
        return self._own[name]


class _Walk:
    """One pass over the nodes."""

    def __init__(
        self,
        judge: Judge,
        outcomes: Mapping[str, Outcome],
        accounts: Mapping[str, Mapping[str, Account]],
    ) -> None:
        self.judge, self.graph = judge, judge.graph
        self.outcomes, self.accounts = outcomes, accounts
        self.ensembles = {n: judge.follower(n, o) for n, o in outcomes.items()}
        self.found = Verdicts()
        used = self.graph.use_counts()
        self.names = {v: n for v, n in judge.original.values.items() if used.get(v)}
        self.ends: dict[Value, dict[str, Bound]] = {}

    def run(self, feeds: Sequence[Any]) -> None:
        """Judges every value, node after node, then the outputs."""
        graph = self.graph
        outputs = set(graph.outputs)
        for ensemble in self._distinct():
            ensemble.begin(feeds)
        for v, x in zip(graph.inputs, feeds, strict=True):
            if v in outputs:
                self._given(v, x)
        for v in graph.outputs:
            if v in graph.constants:
                self._given(v, graph.constants[v].array())
        for index, node in enumerate(graph.nodes):
            constants = [v for v in node.operands if v in graph.constants]
            own = {v: graph.constants[v].array() for v in constants}
            wide = {v: widened(x, v.type) for v, x in own.items()}
            going = {id(e): e.step(node, own, wide) for e in self._distinct()}
            if not going[id(self.judge.common)]:
                self.found.failed = str(node.source or node.op.name)
                return
            for v in node.results:
                alive = {n: e for n, e in self.ensembles.items() if going[id(e)]}
                self._value(v, node, alive, v in outputs)
            for ensemble in self._distinct():
                ensemble.drop(self.judge.last.get(index, ()))
        self._outputs()

    def _distinct(self) -> Iterator[Follower]:
        yield self.judge.common
        yield from (e for e in self.ensembles.values() if e is not self.judge.common)

    def _given(self, v: Value, x: Any) -> None:
        bound = Bound(widened(x, v.type))
        self.ends[v] = {"": bound, **dict.fromkeys(self.outcomes, bound)}

    def _value(
        self,
        v: Value,
        node: Node,
        alive: Mapping[str, Follower],
        is_output: bool,
    ) -> None:
        common = self.judge.common
        bounds: dict[int, Bound] = {}

        def bound(ensemble: Follower) -> Bound:
            if id(ensemble) not in bounds:
                bounds[id(ensemble)] = ensemble.bound(v)
            return bounds[id(ensemble)]

        if is_output:
            ends = {name: bound(e) for name, e in alive.items()}
            self.ends[v] = {**ends, "": bound(common)}
        label = self.names.get(v)
        if label is None:
            return  # nobody reads it
        for name, ensemble in alive.items():
            have = self.outcomes[name].values.pop(label, None)
            if have is None:
                continue
            account = self.accounts[name].get(label)
            judged = _for_account(bound(ensemble), account, v)
            have, wide = _in_order(have, v)
            metrics = self._measured(have, v, common.value(v), judged, wide)
            self.found.values.setdefault(label, {})[name] = metrics
            arrays = (have, judged.value, judged.tolerance)
            self._keep_worst(metrics, label, name, arrays)
            if not metrics.form:
                self.ensembles[name].adopt(v, have, wide, node)

    def _keep_worst(
        self, metrics: Metrics, label: str, name: str, arrays: tuple[Any, Any, Any]
    ) -> None:
        """Keeps arrays that are among the farthest off."""
        worst = self.found.worst
        score = metrics.excess
        dull = metrics.form or not metrics.size or arrays[2] is None or score <= 0
        if dull or (len(worst) >= KEPT and score <= worst[-1][0]):
            return
        worst.append((score, label, name, arrays))
        worst.sort(key=lambda row: -row[0])
        del worst[KEPT:]

    def _measured(
        self,
        have: Any,
        v: Value,
        want: Any,
        bound: Bound,
        wide: Any = None,
    ) -> Metrics:
        start = time.perf_counter()
        form = form_of(have, _form(want, v))
        if form:
            metrics = Metrics(form=form, excess=np.inf)
        else:
            if isinstance(want, np.ndarray) and want.shape != bound.value.shape:
                want = bound.value
            metrics = measure(have, want, _dtype(v), bound, wide)
        self.found.measure_seconds += time.perf_counter() - start
        return metrics

    def _outputs(self) -> None:
        for i, name in enumerate(self.graph.output_names):
            v = self.graph.outputs[i]
            rows = self.ends.get(v)
            if rows is None:
                continue
            for runner, outcome in self.outcomes.items():
                bound = rows.get(runner)
                if bound is None:
                    continue
                account = self.accounts[runner].get(self.names.get(v, ""))
                have = outcome.outputs[i]
                want, judged = rows[""].value, _for_account(bound, account, v)
                metrics = self._measured(have, v, want, judged)
                self.found.outputs.setdefault(name, {})[runner] = metrics
                if bound is not rows[""]:
                    judged = _for_account(rows[""], account, v)
                    metrics = self._measured(have, v, want, judged)
                self.found.end_to_end.setdefault(name, {})[runner] = metrics


def _in_order(x: Any, v: Value) -> tuple[Any, Any]:
    """A value with its elements in the graph's order, and the same in float64."""
    if isinstance(x, np.ndarray):
        x = np.asarray(x, order="C")
    return x, widened(x, v.type)


def _form(wide: Any, v: Value) -> Any:
    """An array of the declared dtype and the shape that the float64 run gave."""
    if not isinstance(wide, np.ndarray) or not isinstance(v.type, TensorType):
        return wide
    return np.broadcast_to(np.zeros((), v.dtype.numpy), wide.shape)


def _dtype(v: Value) -> DType:
    if isinstance(v.type, TensorType):
        return v.dtype
    return dtype_of(np.dtype(np.int64))


def _for_account(bound: Bound, account: Account | None, v: Value) -> Bound:
    """Wider for rewrites that round, which may compute what is copied once more.

    They promise nothing of what is not finite.
    """
    if bound.tolerance is None or account is None or not account.rounding:
        return bound
    if bound.value.dtype.kind not in "fc":
        return bound
    with np.errstate(all="ignore"):
        last = epsilon(_dtype(v)) * np.abs(bound.value)
        most = np.fmax(bound.tolerance, last)
    return Bound(bound.value, np.where(np.isfinite(bound.value), most, np.inf))
