"""``check``: what a backend will not run itself, found out before running."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from graphwright.backends.compile import arrange, decomposing, optimized
from graphwright.backends.contract import Backend
from graphwright.backends.registry import choose_backends, get_backend
from graphwright.display import Shown, stacked, styled, table
from graphwright.frontends.onnx.load import find_unknown, load
from graphwright.ir.arguments import checked
from graphwright.ir.errors import UnsupportedOpError
from graphwright.ir.graph import Graph, Node
from graphwright.ir.op import Op, Tier, is_table
from graphwright.ir.ops.effects import CopyTo, Effect
from graphwright.ir.ops.foreign import Foreign
from graphwright.ir.ops.fused import Placed
from graphwright.ir.printer import field_text
from graphwright.passes.pipeline import optimize as run_pipeline

DECOMPOSED = "decomposed"
FALLS_BACK = "falls back to numpy"
PLACED = "runs on"
DEFERRED = "known when run"
UNKNOWN = "unknown operator"


@dataclass(frozen=True, slots=True)
class Finding:
    """An op that a backend does not run itself.

    Attributes:
        op: The op's name in the IR, or the operator's where it is unknown.
        source: The node it comes from.
        types: Types of its operands.
        attributes: The op's attributes as in the text form, but for sub-graphs and
            what is its default.
        outcome: ``decomposed`` (it runs as simpler ops), ``falls back to numpy`` (on
            the host; an error with ``strict=True``), ``runs on NAME`` (another backend
            of those asked about), ``known when run`` (what it computes hangs on
            values; it is imported when they are there) or ``unknown operator`` (the
            model cannot be loaded).
    """

    op: str
    source: str
    types: str
    attributes: str
    outcome: str


@dataclass(frozen=True, slots=True, repr=False)
class CheckReport(Shown):
    """What ``check`` found.

    Attributes:
        graph: Name of the graph.
        backend: Name of the backend.
        nodes: How many ops it was asked for, after optimisation.
        findings: Ops that it does not run itself.
    """

    graph: str
    backend: str
    nodes: int
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing falls back and nothing is unknown."""
        bad = (FALLS_BACK, UNKNOWN)
        return not any(finding.outcome in bad for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain dictionaries and lists."""
        return {
            "ok": self.ok,
            **asdict(self),
            "findings": list(map(asdict, self.findings)),
        }

    def to_json(self) -> str:
        """The report as JSON."""
        return json.dumps(self.to_dict(), indent=2)

    def __repr__(self) -> str:
        return f"<check of {self.graph!r} on {self.backend}: {self._summary()}>"

    def _summary(self) -> str:
        outcomes = [finding.outcome for finding in self.findings]
        counts = [f"{outcomes.count(o)} {o}" for o in dict.fromkeys(outcomes)]
        return ", ".join(counts) or f"runs all {self.nodes} ops itself"

    def __rich__(self) -> Any:
        style = "bold green" if self.ok else "bold red"
        head = styled(f"{self.graph} on {self.backend}: {self._summary()}", style)
        if not self.findings:
            return head
        heads = ("node", "op", "operands", "attributes", "what happens")
        rows = [
            (f.source, f.op, f.types, f.attributes, f.outcome) for f in self.findings
        ]
        return stacked(head, table("", heads, rows))


@checked
def check(
    model: "Graph | str | os.PathLike[str] | bytes | Any",
    backend: "str | Backend | Sequence[str | Backend]" = "auto",
    *,
    optimize: bool = True,
    fast_math: bool = False,
    strict_float: bool = False,
) -> CheckReport:
    """What a backend does not run itself of a graph, or of what ``load`` takes.

    It asks what compiling asks, so what it says is what happens; it needs no device.
    The options are those of ``compile``.

    Raises:
        BackendUnavailable: If there is no such backend.
        ModelError: If the model is not valid.
    """
    chosen = _backends(backend)
    how = {"optimize": optimize, "fast_math": fast_math, "strict_float": strict_float}
    if isinstance(model, Graph):
        return _check_graph(model, chosen, **how)
    try:
        graph = load(model)
    except UnsupportedOpError:
        unknown = find_unknown(model)
        if not unknown:
            raise
        rows = (Finding(u.operator, u.node, str(u), "", UNKNOWN) for u in unknown)
        return CheckReport("model", chosen[0].name, len(unknown), tuple(rows))
    return _check_graph(graph, chosen, **how)


def _backends(backend: "str | Backend | Sequence[str | Backend]") -> list[Backend]:
    """Those asked about, whether they can run here or not."""
    if isinstance(backend, Backend):
        return [backend]
    names = [backend] if isinstance(backend, str) else list(backend)
    if "auto" in names or not names:
        return choose_backends(backend)
    return [b if isinstance(b, Backend) else get_backend(b) for b in names]


def _check_graph(
    graph: Graph,
    backends: Sequence[Backend],
    *,
    optimize: bool,
    fast_math: bool,
    strict_float: bool,
) -> CheckReport:
    own, before = backends[0], graph
    if optimize:
        before = optimized(graph, own, fast_math=fast_math, strict_float=strict_float)
    simple = run_pipeline(before, [decomposing(own)])
    kept = {v for node in simple.walk() for v in node.results}
    found: dict[Finding, None] = {}
    for node in before.walk():
        if not kept.issuperset(node.results):
            found.setdefault(_finding(node, DECOMPOSED))
    after, devices = arrange(
        graph,
        backends,
        optimize=optimize,
        fast_math=fast_math,
        strict_float=strict_float,
    )
    steps = list(_steps(after, own))
    for node in steps:
        if isinstance(node.op, Placed):
            outcome = f"{PLACED} {node.op.device}"
            rows = [_finding(inner, outcome) for inner in node.op.body.nodes]
            found.update(dict.fromkeys(rows))
        elif isinstance(node.op, Foreign):
            found.setdefault(_finding(node, DEFERRED))
        elif not _runs(node, own) and not (devices and isinstance(node.op, CopyTo)):
            found.setdefault(_finding(node, FALLS_BACK))
    return CheckReport(graph.name, own.name, sum(map(_size, steps)), tuple(found))


def _steps(graph: Graph, backend: Backend) -> Iterator[Node]:
    """The nodes that the executor runs one by one, those of sub-graphs included."""
    stack = [iter(graph.nodes)]
    while stack:
        node = next(stack[-1], None)
        if node is None:
            stack.pop()
        elif isinstance(node.op, Effect):
            continue
        elif (
            node.op.tier is not Tier.CONTROL
            or isinstance(node.op, Foreign | Placed)
            or _runs(node, backend)
        ):
            yield node
        else:
            stack.extend(iter(g.nodes) for g in reversed(node.op.subgraphs()))


def _size(node: Node) -> int:
    """How many ops a step is: those of its region, if it is one."""
    inner = sum(_size(n) for g in node.op.subgraphs() for n in g.nodes)
    return inner or 1


def _runs(node: Node, backend: Backend) -> bool:
    types = [v.type for v in node.operands]
    results = [v.type for v in node.results]
    return backend.supports(node.op, types) or is_table(node.op, types, results)


def _finding(node: Node, outcome: str) -> Finding:
    op, types = node.op, ", ".join(str(v.type) for v in node.operands)
    source = str(node.source or "")
    if isinstance(op, Foreign):  # its fields are a file's bytes
        return Finding(op.kind, source, types, "", outcome)
    return Finding(op.name, source, types, _attributes(op), outcome)


def _attributes(op: Op) -> str:
    rows = [
        f"{name}={field_text(value)}"
        for name, value in op.fields.items()
        if not isinstance(value, Graph) and value != getattr(type(op), name, ...)
    ]
    return ", ".join(rows)
