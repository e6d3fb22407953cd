"""All checks of the conformance kit, and the kit as a function."""

from collections.abc import Iterator, Sequence
from functools import cache, partial

from graphwright.backends.contract import Backend
from graphwright.backends.registry import choose_backend
from graphwright.frontends.onnx.suite import CANNOT_PASS, Suite
from graphwright.ir.arguments import checked
from graphwright.testing.behaviour import behaviour_checks
from graphwright.testing.conformance import STAGES, Check, graph_checks, op_checks
from graphwright.testing.executables import executable_checks
from graphwright.testing.onnx_checks import PART, onnx_check
from graphwright.testing.report import Finding, KitReport

BLOCKS = 40
"""Checks into which ONNX's suite is divided."""


def all_checks(stage: str = "all") -> list[Check]:
    """The checks up to a stage: ``first``, ``primitives`` or ``all``."""
    found = [*op_checks(), *behaviour_checks(), *executable_checks()]
    found += [*graph_checks(), *_onnx_checks()]
    last = STAGES.index(stage)
    return [check for check in found if STAGES.index(check.stage) <= last]


@cache
def _suite(backend: Backend) -> Suite:
    return Suite(backend)


def _onnx_checks() -> Iterator[Check]:
    for block in range(BLOCKS):
        yield Check(PART, f"block {block}", "all", partial(_onnx, block))


def _onnx(block: int, backend: Backend, every: int) -> Iterator[Finding]:
    suite = _suite(backend)
    names = [name for name in suite.names if name not in CANNOT_PASS]
    for name in names[block :: BLOCKS * every]:
        yield onnx_check(suite, name, backend)


@checked
def conform(
    backend: "str | Backend",
    stage: str = "all",
    *,
    every: int = 8,
    parts: Sequence[str] | None = None,
) -> KitReport:
    """Runs the conformance kit on a backend, in this process.

    Args:
        backend: A name, or a backend.
        stage: How much runs: ``first`` (a handful of primitives), ``primitives``, or
            ``all``.
        every: One in so many cases runs; 1 for all of them.
        parts: Names of the parts that run, by default all.

    Raises:
        BackendUnavailable: If there is no such backend here.
    """
    chosen = choose_backend(backend)
    rows: list[Finding] = []
    for check in all_checks(stage):
        if parts is None or check.part in parts:
            rows += check.run(chosen, every)
    return KitReport(chosen.name, tuple(rows))
