"""The checks of the conformance kit: of ops, random graphs and executables.

Each check gives findings; it runs alone and in any order. What a backend gives is held
to the reference evaluator within derived bounds (``shadow``).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from graphwright.backends.contract import Backend
from graphwright.backends.executable import Executable
from graphwright.checks import check
from graphwright.compiled import compile as compile_graph
from graphwright.ir.errors import ShapeError, UnsupportedOpError
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph
from graphwright.ir.op import OPS, Op, Tier
from graphwright.ir.types import TensorType
from graphwright.passes.gradients import gradient
from graphwright.testing.cases import Case, cases, large_cases
from graphwright.testing.compare import assert_within
from graphwright.testing.prediction import unforeseen
from graphwright.testing.random_graphs import random_graph
from graphwright.testing.report import (
    DECLINED,
    FALLS_BACK,
    FIRST_PART,
    PASSES,
    WRONG,
    Finding,
)
from graphwright.testing.values import inputs_for

FIRST = ("add", "mul", "max", "exp", "reshape", "transpose", "broadcast_to", "dot")
"""Primitives of the first stage, in float32."""

STAGES = ("first", "primitives", "all")
"""How much of the kit runs: each stage holds the one before it."""

Run: TypeAlias = Callable[[Backend, int], Iterable[Finding]]


@dataclass(frozen=True)
class Check:
    """A part of the kit that runs alone.

    Attributes:
        part: Its part in the report.
        subject: What it checks.
        stage: The first stage in which it runs.
        run: Gives findings about a backend from one in so many cases.
        owned: Whether the backend fails if it declines what is checked.
    """

    part: str
    subject: str
    stage: str
    run: Run
    owned: bool = False

    @property
    def name(self) -> str:
        """Its name in a list of tests."""
        return f"{self.part}-{self.subject}"


def ops_of(tier: Tier) -> list[str]:
    """Names of the library's ops of a tier."""
    own = (c for c in OPS.values() if c.__module__.startswith("graphwright.ir.ops."))
    return sorted(c.name for c in own if c.tier is tier)


def op_checks() -> Iterator[Check]:
    """Every op: on all kinds of operands, in large sizes, and its gradient."""
    for name in FIRST:
        yield Check(FIRST_PART, name, "first", partial(_first, name), owned=True)
    for name in ops_of(Tier.PRIMITIVE):
        yield Check("primitives", name, "primitives", partial(_op, "primitives", name))
        yield Check("sizes", name, "primitives", partial(_sizes, name))
    for tier in (Tier.COMPOSITE, Tier.HOST, Tier.CONTROL):
        for name in ops_of(tier):
            part = f"{tier.value} ops"
            yield Check(part, name, "all", partial(_op, part, name))
    for tier in (Tier.PRIMITIVE, Tier.COMPOSITE):
        for name in ops_of(tier):
            if _has_gradient(name):
                yield Check("gradients", name, "all", partial(_gradients, name))


def _has_gradient(name: str) -> bool:
    cls = OPS[name]
    return cls.vjp is not Op.vjp or cls.has_parts()


def graph_checks(count: int = 400, block: int = 20) -> Iterator[Check]:
    """Random graphs, in blocks of seeds."""
    for start in range(0, count, block):
        name = f"{start}-{start + block - 1}"
        yield Check("random graphs", name, "all", partial(_random, start, block))


def examine(
    part: str,
    subject: str,
    case: Case,
    backend: Backend,
    *,
    optimize: bool = True,
) -> Finding:
    """Runs one case, again if it has more inputs, and holds it to the reference."""
    try:
        exe = compile_graph(case.graph, backend=backend, optimize=optimize)
        for inputs in (case.inputs, *case.more):
            assert_right(exe, case.graph, inputs)
        told = check(case.graph, backend=backend, optimize=optimize)
        differs = unforeseen(told, exe)
        assert not differs, differs
    except Exception as error:
        return Finding(part, subject, case.name, WRONG, words(error))
    lacking = sorted({fallback.op for fallback in exe.fallbacks})
    if subject in lacking and OPS[subject].tier is not Tier.HOST:
        return Finding(part, subject, case.name, DECLINED, "runs on the host")
    if lacking:
        return Finding(part, subject, case.name, FALLS_BACK, ", ".join(lacking))
    return Finding(part, subject, case.name, PASSES)


def assert_right(exe: Executable, graph: Graph, inputs: Sequence[Any]) -> None:
    """Asserts that a run gives what the reference does, and leaves its inputs alone.

    Raises:
        AssertionError: If not.
    """
    want = evaluate(graph, inputs)
    before = [_bytes(x) for x in inputs]
    got = exe.run(None, dict(zip(graph.input_names, inputs, strict=True)))
    assert before == [_bytes(x) for x in inputs], "a run changes its inputs"
    assert_within(graph, inputs, want, got)
    if all(_means_signs(node.op) for node in graph.nodes):
        for name, x, y in zip(graph.output_names, want, got, strict=True):
            _assert_signs(name, x, y)


def _bytes(x: Any) -> bytes:
    return x.tobytes() if isinstance(x, np.ndarray) and x.dtype.kind in "biufc" else b""


def _means_signs(op: Op) -> bool:
    return op.tier is Tier.PRIMITIVE and (op.signed_zeros or op.moves is not None)


def _assert_signs(name: str, want: Any, got: Any) -> None:
    if want.dtype.kind != "f":
        return
    zero = (want == 0) & (got == 0)
    wrong = zero & (np.signbit(want) != np.signbit(got))
    if wrong.any():
        at = [int(i[0]) for i in np.nonzero(wrong)]
        raise AssertionError(
            f"output {name!r}: {got[tuple(at)]} at {at}, the reference gives"
            f" {want[tuple(at)]}: the sign of zero counts"
        )


def words(error: BaseException) -> str:
    """What a finding says of an error."""
    kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
    return f"{kind}{str(error)[:400]}"


def _first(name: str, backend: Backend, every: int) -> Iterator[Finding]:
    for case in cases(name):
        if _only_float32(case.graph):
            yield examine(FIRST_PART, name, case, backend, optimize=False)


def _only_float32(graph: Graph) -> bool:
    types = [v.type for node in graph.nodes for v in (*node.operands, *node.results)]
    names = {t.dtype.name for t in types if isinstance(t, TensorType)}
    return names == {"float32"} and {n.op.name for n in graph.nodes} <= set(FIRST)


def _op(part: str, name: str, backend: Backend, every: int) -> Iterator[Finding]:
    for case in sampled(cases(name), every):
        yield examine(part, name, case, backend, optimize=False)


def sampled(found: Iterable[Case], every: int) -> Iterator[Case]:
    """One case in so many; but of each kind and dtype the first, and all special ones.

    What is wrong at one dtype only is seen by that.
    """
    seen: set[tuple[str, ...]] = set()
    for index, case in enumerate(found):
        kind = tuple(case.name.split("-")[1:3])
        if index % every == 0 or "special" in kind or kind not in seen:
            yield case
        seen.add(kind)


def _sizes(name: str, backend: Backend, every: int) -> Iterator[Finding]:
    for case in large_cases(name, every_dtype=every == 1):
        yield examine("sizes", name, case, backend, optimize=False)


def _gradients(name: str, backend: Backend, every: int) -> Iterator[Finding]:
    for index, case in enumerate(c for c in cases(name) if _takes_gradient(c)):
        if index % every:
            continue
        graph = case.graph
        floats = [
            n
            for n, t in zip(graph.input_names, graph.input_types, strict=True)
            if isinstance(t, TensorType) and t.dtype.is_float
        ]
        try:
            found = gradient(graph, floats)
        except (UnsupportedOpError, ShapeError):
            continue
        yield examine("gradients", name, Case(case.name, found, case.inputs), backend)


def _takes_gradient(case: Case) -> bool:
    wanted = ("-static-float32", "-dynamic-float32", "-zero-float32", "-static-float64")
    return any(word in case.name for word in wanted)


def _random(start: int, block: int, backend: Backend, every: int) -> Iterator[Finding]:
    for seed in range(start, start + block, every):
        graph = random_graph(seed)
        case = Case(f"random_graph({seed})", graph, tuple(inputs_for(graph, seed)))
        yield examine("random graphs", f"{start}-{start + block - 1}", case, backend)
