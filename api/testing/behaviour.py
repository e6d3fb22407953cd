"""Checks of each primitive over several runs: operands, constants, threads, memory.

What one run does not show: a kernel that writes to its operands, that mixes up the
constants it has packed, that shares scratch between threads, that keeps what it made.
"""

import gc
import sys
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from graphwright.backends.contract import Backend
from graphwright.backends.executable import Executable
from graphwright.compiled import compile as compile_graph
from graphwright.ir.builder import Builder
from graphwright.ir.constant import Constant
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph
from graphwright.ir.op import Tier
from graphwright.ir.types import TensorType
from graphwright.testing.cases import Case, cases
from graphwright.testing.compare import assert_within
from graphwright.testing.conformance import Check, assert_right, ops_of, words
from graphwright.testing.report import DECLINED, FALLS_BACK, PASSES, WRONG, Finding

PART = "behaviour"

_THREADS, _ROUNDS = 8, 4
_RUNS, _TURNS, _LEFT = 100, 6, 100 * 96
"""Runs in which memory is watched, how often, and bytes that they may leave."""

_COMPILE: dict[str, Any] = {"optimize": False}


def behaviour_checks() -> Iterator[Check]:
    """What every primitive does over several runs."""
    for name in ops_of(Tier.PRIMITIVE):
        yield Check(PART, name, "primitives", partial(_behaviour, name))


def _behaviour(name: str, backend: Backend, every: int) -> Iterator[Finding]:
    found = [case for case in cases(name) if _is_plain(case)]
    chosen = found if every == 1 else found[:1]
    for case in found:
        if case.inputs:
            yield _checked(name, "operands", _operands, case, backend)
        if len(case.inputs) > 1:
            yield _checked(name, "constants", _constants, case, backend)
    for case in chosen:
        yield _checked(name, "threads", _threads, case, backend)
        yield _checked(name, "memory", _memory, case, backend)


def _is_plain(case: Case) -> bool:
    return bool(case.more) and "-static-" in case.name and _numeric(case.graph)


def _numeric(graph: Graph) -> bool:
    types = (*graph.input_types, *graph.output_types)
    return all(isinstance(t, TensorType) and t.dtype.kind != "S" for t in types)


def _checked(
    subject: str,
    what: str,
    function: Callable[[Backend, Case], Executable],
    case: Case,
    backend: Backend,
) -> Finding:
    name = f"{case.name} {what}"
    try:
        exe = function(backend, case)
    except Exception as error:
        return Finding(PART, subject, name, WRONG, words(error))
    lacking = sorted({fallback.op for fallback in exe.fallbacks})
    if subject in lacking:
        return Finding(PART, subject, name, DECLINED, "runs on the host")
    status = FALLS_BACK if lacking else PASSES
    return Finding(PART, subject, name, status, ", ".join(lacking))


def _compiled(graph: Graph, backend: Backend) -> Executable:
    return compile_graph(graph, backend=backend, **_COMPILE)


def _operands(backend: Backend, case: Case) -> Executable:
    """Operands are results too: a kernel that changed them shows."""
    graph, extra = case.graph, [*case.graph.inputs]
    names = [f"operand{i}" for i in range(len(extra))]
    graph = replace(
        graph,
        outputs=(*graph.outputs, *extra),
        output_names=(*graph.output_names, *names),
    )
    exe = _compiled(graph, backend)
    assert_right(exe, graph, case.inputs)
    return exe


def _constants(backend: Backend, case: Case) -> Executable:
    """Two graphs that differ in their constants only, in turn."""
    made: list[tuple[Executable, Graph, Sequence[Any]]] = []
    for inputs in (case.inputs, *case.more):
        graph = with_constants(case.graph, inputs)
        made.append((_compiled(graph, backend), graph, inputs[:1]))
    for exe, graph, row in (*made, made[0]):
        assert_right(exe, graph, row)
    return made[0][0]


def with_constants(graph: Graph, inputs: Sequence[Any]) -> Graph:
    """A graph whose inputs but the first are constants."""
    b = Builder(graph.name)
    rest = [b.constant_of(Constant.of(np.array(x, order="C"))) for x in inputs[1:]]
    first = b.input(graph.input_names[0], graph.inputs[0].type)
    return b.finish(b.splice(graph, [first, *rest]), graph.output_names)


def _threads(backend: Backend, case: Case) -> Executable:
    """Many threads run one executable, each on feeds of its own."""
    exe = _compiled(case.graph, backend)
    rows = [case.inputs, *case.more]
    wants = [evaluate(case.graph, row) for row in rows]
    for row in rows:
        exe.execute(row)

    def run(index: int) -> list[Any]:
        names = case.graph.input_names
        return exe.run(None, dict(zip(names, rows[index], strict=True)))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # threads take turns often: races show
    try:
        with ThreadPoolExecutor(_THREADS) as pool:
            order = list(range(len(rows))) * (_THREADS * _ROUNDS // len(rows))
            for index, got in zip(order, pool.map(run, order), strict=True):
                assert_within(case.graph, rows[index], wants[index], got)
    finally:
        sys.setswitchinterval(interval)
    return exe


def _memory(backend: Backend, case: Case) -> Executable:
    """What Python and NumPy allocate in a run is given back after it."""
    exe = _compiled(case.graph, backend)
    exe.execute(case.inputs)
    tracing = tracemalloc.is_tracing()
    if not tracing:
        tracemalloc.start()
    gc.freeze()  # what there is need not be looked at again
    try:
        left = sys.maxsize
        for _ in range(_TURNS):  # free lists of Python and NumPy fill up first
            left = min(left, _left_by(exe, case.inputs))
            if left <= _LEFT:
                break
    finally:
        gc.unfreeze()
        if not tracing:
            tracemalloc.stop()
    assert left <= _LEFT, f"{_RUNS} runs leave {left} bytes"
    return exe


def _left_by(exe: Executable, inputs: Sequence[Any]) -> int:
    before, _ = tracemalloc.get_traced_memory()
    for _ in range(_RUNS):
        exe.execute(inputs)
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    return after - before
