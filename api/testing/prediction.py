"""Whether what ``check`` foretells is what happens."""

from graphwright.backends.executable import Executable
from graphwright.checks import DEFERRED, FALLS_BACK, CheckReport


def unforeseen(report: CheckReport, exe: Executable) -> str:
    """How the fallbacks of an executable that ran differ from what was foretold.

    Nothing is said of nodes which are known when run only; and one that is foretold
    need not run where the graph has branches.

    Args:
        report: What ``check`` says of the graph and the backend.
        exe: The graph compiled for the backend, after its runs.

    Returns:
        What differs, in words; nothing if all came as foretold.
    """
    rows = report.findings
    late = {f.source for f in rows if f.outcome == DEFERRED}
    told = {(f.op, f.source) for f in rows if f.outcome == FALLS_BACK}
    seen = {(f.op, f.source) for f in exe.fallbacks}
    sudden = {row for row in seen - told if row[1] not in late}
    branches = any(node.op.subgraphs() for node in exe.graph.walk())
    idle = set[tuple[str, str]]() if branches else told - seen
    words = [_listed("falls back, not foretold", sudden)] if sudden else []
    if idle:
        words.append(_listed("foretold to fall back, but runs", idle))
    return "; ".join(words)


def _listed(what: str, rows: set[tuple[str, str]]) -> str:
    names = sorted(f"{op} ({source})" if source else op for op, source in rows)
    return f"{what}: {', '.join(names)}"
