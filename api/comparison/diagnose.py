"""What is at fault where a value is wrong: a kernel, or a rewrite."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from graphwright.comparison.findings import Finding
from graphwright.comparison.judge import Judge
from graphwright.comparison.labels import Labelled, labelled
from graphwright.comparison.runners import (
    EvaluatedRunner,
    GraphwrightRunner,
    Outcome,
    Runner,
)
from graphwright.comparison.samples import Sample
from graphwright.comparison.windows import feeds_of, window
from graphwright.ir.graph import Graph
from graphwright.ir.ops.fused import Fused
from graphwright.passes.steps import Step, limited


@dataclass(frozen=True)
class Fault:
    """What is at fault.

    Attributes:
        kind: ``kernel``, ``rewrite``, or nothing where it was not found.
        name: The kernel's op, or the rewrite.
        text: The same, for people.
    """

    kind: str = ""
    name: str = ""
    text: str = "not found: it may depend on earlier runs"


def diagnosed(
    findings: Sequence[Finding],
    runners: Mapping[str, Runner],
    samples: Sequence[Sample],
    original: Labelled,
) -> list[Finding]:
    """Findings, of which each runner's first says what is at fault."""
    seen: set[str] = set()
    out: list[Finding] = []
    for finding in findings:
        runner = runners.get(finding.runner)
        if finding.runner in seen or not isinstance(runner, GraphwrightRunner):
            out.append(finding)
            continue
        seen.add(finding.runner)
        fault = fault_of(finding, runner, samples, original)
        out.append(replace(finding, guilty=fault.text))
    return out


def fault_of(
    finding: Finding,
    runner: GraphwrightRunner,
    samples: Sequence[Sample],
    original: Labelled,
) -> Fault:
    """What is at fault for a finding."""
    found = faulty_kernel(runner, samples, finding.sample)
    if found is not None:
        return found
    (sample,) = [s for s in samples if s.name == finding.sample]
    outcome = runner.run(sample.feeds)
    piece = window(original, finding.value, sample.feeds, outcome)
    whole = (original.graph, [sample.feeds[n] for n in original.graph.input_names])
    for graph, inputs in (piece, whole) if piece is not None else (whole,):
        rewrite = faulty_rewrite(graph, inputs, runner)
        if rewrite is not None:
            return rewrite
    return Fault()


def faulty_kernel(
    runner: GraphwrightRunner, samples: Sequence[Sample], name: str
) -> Fault | None:
    """The first step of a compiled graph whose results are not what its op means.

    Each step is held against its own op, on the operands that it had; the samples
    before run first, as what they leave behind may matter.
    """
    lowered = labelled(runner.exe.program.graph)
    for sample in samples:
        if sample.name != name:
            runner.plain(sample.feeds)
            continue
        readings = runner.readings(sample.feeds)
        names = lowered.values
        values = {names[v]: x for v, x in readings.items() if v in names}
        outcome = Outcome(runner.plain(sample.feeds), values)
        verdicts = Judge(lowered)(sample.feeds, {"": outcome}, {"": {}})
        for found, rows in verdicts.values.items():
            if not rows[""].ok:
                return _kernel(lowered, found, runner)
        break
    return None


def _kernel(lowered: Labelled, name: str, runner: GraphwrightRunner) -> Fault:
    label = lowered.labels[name]
    node = lowered.graph.nodes[label.node]
    inner = node.op.body.nodes if isinstance(node.op, Fused) else ()
    op = node.op.kind if isinstance(node.op, Fused) else node.op.name
    made_of = ", ".join(dict.fromkeys(str(n.source or n.op.name) for n in inner))
    place = made_of or label.source
    types = ", ".join(str(v.type) for v in node.operands)
    text = f"the kernel of {runner.backend.name} for {op}({types})"
    return Fault("kernel", op, f"{text}, {place}" if place else text)


def faulty_rewrite(
    graph: Graph, inputs: Sequence[Any], runner: GraphwrightRunner
) -> Fault | None:
    """The first change of a compilation after which a graph means something else.

    The compiled graph runs in the reference evaluator: no kernel takes part.
    """
    original = labelled(graph)
    feeds = feeds_of(graph, inputs)
    wrong, taken = _wrong(original, feeds, runner, None)
    if not wrong or not taken or _wrong(original, feeds, runner, 0)[0]:
        return None
    low, high, step = 0, len(taken), taken[-1]
    while high - low > 1:
        middle = (low + high) // 2
        wrong, taken = _wrong(original, feeds, runner, middle)
        if wrong:
            high, step = middle, taken[-1]
        else:
            low = middle
    return Fault("rewrite", step.rewrite, f"the rewrite {step}")


def _wrong(
    original: Labelled,
    feeds: Mapping[str, Any],
    runner: GraphwrightRunner,
    limit: int | None,
) -> tuple[bool, list[Step]]:
    """Whether a graph is compiled wrongly with so many changes, and the changes."""
    with limited(limit) as steps:
        try:
            tried = EvaluatedRunner("", original, runner.backend, **runner.options)
            outcome = tried.run(feeds)
        except Exception:
            return True, steps.taken
    verdicts = Judge(original)(feeds, {"": outcome}, {"": tried.accounts()})
    tables = (*verdicts.values.values(), *verdicts.outputs.values())
    return any(not rows[""].ok for rows in tables), steps.taken
