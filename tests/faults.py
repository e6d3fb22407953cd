"""Faults drawn by seed: kernels wrong in a class of cases, rewrites changed in a place.

A drawn fault is live: it changes a result of its graph by more than rounding does, and
raises nothing.
"""

import ast
import inspect
import random
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from faulty_backend import Faulty
from rewrite_examples import EXAMPLES

import graphwright as gw
from graphwright.backends.contract import Backend
from graphwright.backends.numpy.backend import NumpyBackend
from graphwright.feeds import random_feeds
from graphwright.ir.graph import Graph
from graphwright.ir.ops.fused import Fused
from graphwright.passes import manager
from graphwright.passes.rules import Rewrite, RuleSet

EXPORTERS = Path(__file__).parent / "data" / "exporters"
MODELS = (
    *("torch_dynamo/encoder", "torch_legacy/cnn", "transformers/vit", "keras/conv"),
    *("transformers/resnet", "torch_dynamo/gru", "transformers/llama"),
)
SETS = ("simplify", "recognize", "recognize_attention", "fold_scales")
LEAST = 2e-5
"""Changes below are within what roundings of float32 may do to these graphs."""

_TRIES = 400


@dataclass(frozen=True)
class Drawn:
    """A fault.

    Attributes:
        kind: ``kernel`` or ``rewrite``.
        name: Op of the kernel, or name of the rewrite: what has to be named.
        what: How it is wrong.
        graph: A graph in which it matters.
        backend: What runs it.
        passes: Rule sets that take the place of others while it runs.
        change: The largest change of an output, over the largest output.
    """

    kind: str
    name: str
    what: str
    graph: Graph
    backend: Callable[[], Backend]
    passes: dict[str, RuleSet]
    change: float = 0.0

    @contextmanager
    def active(self) -> Iterator[Backend]:
        """A block in which the passes are the faulty ones."""
        before = dict(manager.PASSES)
        manager.PASSES.update(self.passes)
        try:
            yield self.backend()
        finally:
            manager.PASSES.update(before)


def draw(seed: int) -> Drawn:
    """The fault of a seed: every third is a small one, half are in rewrites."""
    rng = random.Random(seed)
    small = seed % 3 == 0
    make = _rewrite if seed % 2 else _kernel
    for _ in range(_TRIES):
        found = make(rng, small)
        if found is None:
            continue
        change = _change(found)
        if change > LEAST and (change < 1e-3) is small:
            return replace(found, change=change)
    raise AssertionError(f"seed {seed}: no fault was found")


def _change(drawn: Drawn) -> float:
    """How much a fault changes outputs; 0 if it raises or changes nothing."""
    most = 0.0
    right = gw.compile(drawn.graph, backend=NumpyBackend())
    try:
        with drawn.active() as backend:
            wrong = gw.compile(drawn.graph, backend=backend)
            for seed in range(2):
                feeds = random_feeds(drawn.graph, {}, seed)
                rows = zip(right.run(None, feeds), wrong.run(None, feeds), strict=True)
                for a, b in rows:
                    if a.shape != b.shape or a.dtype != b.dtype:
                        return 0.0
                    most = max(most, _relative(a, b))
    except Exception:
        return 0.0
    return most


def _relative(a: Any, b: Any) -> float:
    if not a.size or a.dtype.kind not in "fiub":
        return 0.0
    x, y = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(all="ignore"):
        found = float(np.abs(x - y).max() / (np.abs(x).max() + 1e-30))
    return found if np.isfinite(found) else 0.0


# Kernels ------------------------------------------------------------------------------


def _kernel(rng: random.Random, small: bool) -> Drawn | None:
    path = EXPORTERS / f"{rng.choice(MODELS)}.onnx"
    graph = gw.load(path)
    exe = gw.compile(graph, backend=NumpyBackend())
    ops = [n.op for n in exe.program.graph.nodes if n.results[0].dtype.kind == "f"]
    op = rng.choice(ops)
    name = op.kind if isinstance(op, Fused) else op.name
    size = 10 ** rng.uniform(-4, -3) if small else 10 ** rng.uniform(-2.5, -0.5)
    ways: dict[str, Callable[..., Any]] = {
        "a coefficient": lambda y, *_: y * y.dtype.type(1 + size),
        "the last rows": lambda y, *_: _last_rows(y, size),
        "one shape class": lambda y, *_: (
            y * y.dtype.type(1 + size) if y.shape and y.shape[-1] % 8 == 0 else y
        ),
        "a cast through half": lambda y, *_: y.astype(np.float16).astype(y.dtype),
        "a shift": lambda y, *_: np.roll(y, 1, -1) if y.ndim else y,
        "a stale buffer": _stale(),
    }
    what = rng.choice([*ways])
    fault = ways[what]
    return Drawn("kernel", name, what, graph, lambda: Faulty(name, fault), {})


def _last_rows(y: Any, size: float) -> Any:
    out = y.copy()
    if y.ndim and y.shape[-1] > 1:
        out[..., -1] *= y.dtype.type(1 + size)
    return out


def _stale() -> Callable[..., Any]:
    """Parts of what was given first for that shape."""
    held: dict[tuple[int, ...], Any] = {}

    def fault(y: Any, *_: Any) -> Any:
        first = held.setdefault(y.shape, y.copy())
        out = y.copy()
        out[..., :1] = first[..., :1]
        return out

    return fault


# Rewrites -----------------------------------------------------------------------------


def _rewrite(rng: random.Random, small: bool) -> Drawn | None:
    name = rng.choice(SETS)
    rules: Any = manager.PASSES[name]
    chosen = rng.choice(rules.rewrites)
    graph = EXAMPLES.get(chosen.name)
    if graph is None:
        return None
    if small:
        size = 10 ** rng.uniform(-4, -3)
        function, what = _scaled(chosen, size), f"a coefficient of 1 + {size:.1g}"
    else:
        found = _mutated(chosen.function, rng)
        if found is None:
            return None
        function, what = found
    wrong = replace(chosen, function=function)
    rewrites = [wrong if r is chosen else r for r in rules.rewrites]
    passes = {name: RuleSet(name, rewrites)}
    return Drawn("rewrite", chosen.name, what, graph, NumpyBackend, passes)


def _scaled(rewrite: Rewrite, size: float) -> Callable[..., Any]:
    def function(b: Any, **captures: Any) -> Any:
        found: Any = rewrite.function(b, **captures)
        if found is None or isinstance(found, list | tuple):
            return found
        if not found.dtype.is_float:
            return found
        return b.mul(found, b.full(found.shape, 1 + size, found.dtype))

    return function


_SWAPS: dict[type, type] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}


def _mutated(
    function: Callable[..., Any], rng: random.Random
) -> tuple[Callable[..., Any], str] | None:
    """A function with one number, operator or guard changed."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    body: Any = tree.body[0]
    body.decorator_list = []
    sites = list(_sites(body))
    if not sites:
        return None
    what, change = rng.choice(sites)
    change()
    names: dict[str, Any] = dict(function.__globals__)
    code = compile(ast.fix_missing_locations(tree), "<fault>", "exec")
    exec(code, names)
    found: Callable[..., Any] = names[body.name]
    return found, what


def _sites(body: Any) -> Iterator[tuple[str, Callable[[], None]]]:
    """What may be changed, in words, and what changes it."""
    for node in ast.walk(body):
        if isinstance(node, ast.Constant) and type(node.value) in (int, float):
            yield f"{node.value!r} + 1", partial(_add_one, node)
        elif isinstance(node, ast.BinOp | ast.BoolOp) and type(node.op) in _SWAPS:
            yield f"not {type(node.op).__name__}", partial(_swap, node)
        elif isinstance(node, ast.Compare) and type(node.ops[0]) in _SWAPS:
            yield f"not {type(node.ops[0]).__name__}", partial(_swap_comparison, node)
        elif isinstance(node, ast.If):
            yield "no guard", partial(_unguard, node)
        elif isinstance(node, ast.Call) and len(node.args) == 2:
            yield "operands swapped", node.args.reverse


def _add_one(node: Any) -> None:
    node.value += 1


def _swap(node: Any) -> None:
    node.op = _SWAPS[type(node.op)]()


def _swap_comparison(node: Any) -> None:
    node.ops[0] = _SWAPS[type(node.ops[0])]()


def _unguard(node: Any) -> None:
    node.test = ast.Constant(value=False)
