"""ONNX's own tests as checks of the kit."""

from graphwright.backends.contract import Backend
from graphwright.checks import check
from graphwright.frontends.onnx.suite import Suite, SuiteResult
from graphwright.ir.errors import UnsupportedOpError
from graphwright.ir.evaluate import evaluate
from graphwright.testing.compare import assert_within
from graphwright.testing.prediction import unforeseen
from graphwright.testing.report import DECLINED, FALLS_BACK, PASSES, WRONG, Finding

PART = "onnx suite"


def onnx_check(suite: Suite, name: str, backend: Backend) -> Finding:
    """One test of the suite on its backend.

    What differs from the suite's own numbers by more than its tolerance is held to the
    derived bounds, as everything else is: some sums of the suite are ill-conditioned.
    """
    result = suite.run(name)
    lacking = ", ".join(sorted({f.op for f in result.fallbacks}))
    if isinstance(result.error, UnsupportedOpError):
        return Finding(PART, name, name, DECLINED, str(result.error))
    if result.error is not None:
        words = _second_opinion(result)
        if words:
            return Finding(PART, name, name, WRONG, words)
    for exe, _ in result.runs:
        differs = unforeseen(check(exe.graph, backend=backend), exe)
        if differs:
            return Finding(PART, name, name, WRONG, differs)
    if lacking:
        return Finding(PART, name, name, FALLS_BACK, lacking)
    return Finding(PART, name, name, PASSES)


def _second_opinion(result: SuiteResult) -> str:
    """What is wrong by the derived bounds; nothing if all results are within them."""
    words = str(result.error)[:400]
    if not isinstance(result.error, AssertionError) or not result.runs:
        return f"{type(result.error).__name__}: {words}"
    for exe, feeds in result.runs:
        graph = exe.graph
        try:
            got = exe.run(None, dict(zip(graph.input_names, feeds, strict=False)))
            assert_within(graph, feeds, evaluate(graph, feeds), got)
        except Exception as error:
            return f"{words} ({type(error).__name__}: {str(error)[:200]})"
    return ""
