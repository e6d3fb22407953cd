"""How much wider the derived bounds are than the errors that a backend makes.

    python -m graphwright.testing.tightness --backend numpy

A bound that is much wider than errors are lets small faults pass.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from graphwright.backends.contract import Backend
from graphwright.backends.registry import choose_backend
from graphwright.compiled import compile as compile_graph
from graphwright.ir.op import Tier
from graphwright.ir.types import TensorType
from graphwright.testing.cases import Case, cases, large_cases
from graphwright.testing.compare import bounds_of
from graphwright.testing.conformance import ops_of, sampled


@dataclass(frozen=True, slots=True)
class Tightness:
    """One float output of a case.

    Attributes:
        op: The op that the case is of.
        case: Its name.
        bound: The largest bound of an element.
        error: The largest error of an element, against float64.
    """

    op: str
    case: str
    bound: float
    error: float

    @property
    def ratio(self) -> float:
        """The bound over the error."""
        return self.bound / self.error


def tightness(backend: Backend, every: int = 8) -> Iterator[Tightness]:
    """Bounds and errors of all float results that are not exact."""
    for tier in (Tier.PRIMITIVE, Tier.COMPOSITE):
        for name in ops_of(tier):
            found = [*sampled(cases(name), every), *list(large_cases(name))[::every]]
            for case in found:
                yield from of_case(name, case, backend)


def of_case(name: str, case: Case, backend: Backend) -> Iterator[Tightness]:
    """Bounds and errors of one case's float results."""
    floats = [
        isinstance(t, TensorType) and t.dtype.kind in "fc"
        for t in case.graph.output_types
    ]
    if not any(floats):
        return
    exe = compile_graph(case.graph, backend=backend, optimize=False)
    got = exe.run(None, dict(zip(case.graph.input_names, case.inputs, strict=True)))
    with np.errstate(all="ignore"):
        bounds = bounds_of(case.graph, case.inputs)
        for y, bound, chosen in zip(got, bounds, floats, strict=True):
            if chosen and bound.tolerance is not None:
                yield from _of_output(name, case.name, y, bound)


def _of_output(name: str, case: str, y: Any, bound: Any) -> Iterator[Tightness]:
    wide = np.complex128 if y.dtype.kind == "c" else np.float64
    errors = np.abs(y.astype(wide) - bound.value)
    usable = np.isfinite(errors) & np.isfinite(bound.tolerance)
    error = float(np.max(errors, initial=0.0, where=usable))
    most = float(np.max(bound.tolerance, initial=0.0, where=usable))
    if error > 0 and most > 0:
        yield Tightness(name, case, most, error)


def main(words: Sequence[str] | None = None) -> int:
    """The command: the median over all, and the ops of the widest bounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", default="numpy")
    parser.add_argument("--every", type=int, default=8, help="one in so many cases")
    args = parser.parse_args(words)
    rows = list(tightness(choose_backend(args.backend), args.every))
    by_op: dict[str, list[float]] = {}
    for row in rows:
        by_op.setdefault(row.op, []).append(row.ratio)
    worst = sorted(((median(v), k) for k, v in by_op.items()), reverse=True)
    lines = [f"{k}: {ratio:.3g} ({len(by_op[k])} results)" for ratio, k in worst[:12]]
    overall = median(row.ratio for row in rows)
    lines.append(f"median of {len(rows)} results: {overall:.3g}")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
