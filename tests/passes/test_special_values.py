"""NaN, infinities and the sign of zero through whole pipelines of exact rewrites."""

from typing import Any

import numpy as np
import pytest

from graphwright.ir.emitter import Value
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph, Node
from graphwright.ir.op import Tier
from graphwright.ir.ops.select import Cast
from graphwright.ir.types import TensorType
from graphwright.passes.manager import PASSES
from graphwright.passes.pipeline import manager
from graphwright.passes.precision import PRECISIONS
from graphwright.passes.rules import EXACT, RuleSet
from graphwright.testing import inputs_for
from graphwright.testing.random_graphs import aimed_graph, aims

SPECIAL = (0.0, -0.0, np.nan, np.inf, -np.inf, 1e-40, -3e38, 1.0)
FLOATS = ("float16", "bfloat16", "float32", "float64")


def exact() -> list[str]:
    """Names of the exact rewrites, and of the passes that are walks."""
    rules = [p for p in PASSES.values() if isinstance(p, RuleSet)]
    names = {r.name for each in rules for r in each.rewrites if r.kind is EXACT}
    walks = {n for n, p in PASSES.items() if not isinstance(p, RuleSet)}
    return sorted((names | walks - PRECISIONS.keys() - {"decompose"}) & set(aims()))


def with_special(graph: Graph, seed: int) -> list[Any]:
    """Inputs half of whose floats are special."""
    rng = np.random.default_rng(seed)
    found: list[Any] = []
    for x, type_ in zip(inputs_for(graph, seed), graph.input_types, strict=True):
        if isinstance(type_, TensorType) and type_.dtype.name in FLOATS and np.size(x):
            with np.errstate(over="ignore"):
                special = rng.choice(SPECIAL, np.shape(x)).astype(x.dtype)
            x = np.where(rng.random(np.shape(x)) < 0.5, special, x)  # noqa: PLW2901
        found.append(x)
    return found


def bits(x: Any) -> Any:
    """An array in which NaN equal each other and zeros of different sign do not."""
    if not isinstance(x, np.ndarray) or x.dtype.kind not in "fV":
        return x
    wide = x.astype(np.float64)
    return np.where(np.isnan(wide), np.nan, wide), np.signbit(wide) & (wide == 0)


def check(seed: int, passes: Any) -> bool:
    """Whether passes changed a graph; every bit of its results is the same."""
    graph = aimed_graph(seed, max_nodes=4, rewrites=exact())
    after = manager(passes, strict_float=True, verify=True)(graph)
    if after is graph or any(map(undefined, graph.walk())):
        return False
    names = {node.op.name for node in graph.walk()}
    free = bool(names & {"max", "min", "reduce", "reduce_window", "cumulative"})
    if free and names & {"div", "pow", "atan2"}:
        return False
    inputs = with_special(graph, seed)
    with np.errstate(all="ignore"):
        rows = zip(evaluate(graph, inputs), evaluate(after, inputs), strict=True)
        for want, got in rows:
            a, b = bits(want), bits(got)
            if free and isinstance(a, tuple):  # of 0 and -0 either is the maximum
                a, b = a[0], b[0]
            np.testing.assert_equal(b, a, err_msg=f"seed {seed}")
    return True


def undefined(node: Node) -> bool:
    """Whether special values make an op fail, or give what is not the same everywhere.

    Integers of floats that do not fit are as on the device; factors of matrices, and
    what else the host computes, may not exist.
    """
    op, from_float = node.op, any(is_float(v) for v in node.operands)
    to_int = isinstance(op, Cast) and (op.dtype.is_int and not op.saturate)
    return (to_int and from_float) or op.tier is Tier.HOST


def is_float(v: Value) -> bool:
    return isinstance(v.type, TensorType) and v.dtype.is_float


@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("pipeline", ["strict_float", "lowered"])
def test_exact_pipelines_keep_every_bit(pipeline: str, part: int) -> None:
    more = ["channels_last", "sink_reshapes", "fuse_epilogues", "fuse_elementwise"]
    passes = pipeline if pipeline == "strict_float" else ["simplify", *more]
    assert sum(check(seed, passes) for seed in range(part, 240, 4)) > 20


@pytest.mark.full
@pytest.mark.parametrize("start", range(1000, 9000, 500))
def test_exact_pipelines_keep_every_bit_of_many(start: int) -> None:
    for seed in range(start, start + 500):
        check(seed, "strict_float")
