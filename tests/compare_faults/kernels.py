"""Kernels of the numpy backend that are wrong in a class of cases, drawn by seed."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from exporter_models import FOLDER, MODELS
from faulty_backend import Faulty

import graphwright as gw
from graphwright.backends.numpy.backend import NumpyBackend
from graphwright.feeds import random_feeds
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph
from graphwright.ir.op import OPS, Tier
from graphwright.ir.ops.fused import Fused
from graphwright.ir.types import TensorType
from graphwright.testing import inputs_for, random_graph
from graphwright.testing.compare import difference
from graphwright.testing.registry import recipe_for

SMALL = 1e-3
_TRIES = 2000
_SIZE_OF_MODEL = 150
"""Nodes of the largest model that is taken."""

Change = Callable[..., Any]


@dataclass(frozen=True)
class KernelFault:
    """A kernel that is wrong.

    Attributes:
        op: Its op, or the kind of a region.
        what: How it is wrong, and where.
        graph: A graph in which it matters.
        inputs: What to feed it with.
        fault: What changes the results.
        moved: The largest change of an output, over the largest element.
    """

    op: str
    what: str
    graph: Graph
    inputs: Sequence[Any]
    fault: Callable[[], Change]
    moved: float = 0.0

    def feeds(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Inputs by name: of a run before, elements in another order, and of the run.

        What is stale shows after other inputs alone.
        """
        names = self.graph.input_names
        before = (
            np.roll(x, 1) if isinstance(x, np.ndarray) else x for x in self.inputs
        )
        first = dict(zip(names, before, strict=True))
        return first, dict(zip(names, self.inputs, strict=True))

    def backend(self) -> Faulty:
        """A backend with the fault, its state fresh."""
        return Faulty(self.op, self.fault())


def names() -> list[str]:
    """Ops that may have a kernel."""
    found: list[str] = []
    for name, cls in sorted(OPS.items()):
        own = cls.__module__.startswith("graphwright.ir.ops.")
        if own and cls.tier in (Tier.PRIMITIVE, Tier.COMPOSITE):
            try:
                recipe_for(name)
            except gw.GraphwrightError:
                continue
            found.append(name)
    return found


def draw(rng: random.Random, small: bool) -> KernelFault:
    """A fault that shows: an output is out of bounds, and nothing raises."""
    for _ in range(_TRIES):
        found = _attempt(rng, small)
        if found is not None and (found.moved < SMALL) is small:
            return found
    raise AssertionError("no fault was found")


def _attempt(rng: random.Random, small: bool) -> KernelFault | None:
    try:
        graph, inputs, wanted = _graph(rng)
        exe = gw.compile(graph, backend=NumpyBackend())
    except gw.GraphwrightError:
        return None
    nodes = [n for n in exe.program.graph.nodes if n.results]
    rows = [(_kind(n.op), n.results[0].type) for n in nodes]
    kernels = [
        (k, t) for k, t in rows if isinstance(t, TensorType) and wanted in ("", k)
    ]
    if not kernels:
        return None
    op, type_ = rng.choice(kernels)
    size = 10 ** (rng.uniform(-5, -3) if small else rng.uniform(-2.5, -0.5))
    what, fault = rng.choice(list(_faults(type_, size)))
    found = KernelFault(op, what, graph, inputs, fault)
    moved = _moved(found)
    return replace(found, moved=moved) if moved else None


def _kind(op: Any) -> str:
    return op.kind if isinstance(op, Fused) else str(op.name)


def _graph(rng: random.Random) -> tuple[Graph, Sequence[Any], str]:
    """A model of an exporter, or a random graph with one op above all."""
    seed = rng.randrange(1 << 30)
    if rng.random() < 0.4:
        row = rng.choice(MODELS)
        graph = gw.load(FOLDER / row["file"])
        if len(graph.nodes) > _SIZE_OF_MODEL:
            raise gw.ModelError("a large model")
        feeds = random_feeds(graph, {}, seed)
        return graph, [feeds[n] for n in graph.input_names], ""
    name = rng.choice(names())
    others = rng.sample(names(), 3)
    graph = random_graph(seed, max_nodes=8, ops=[name, name, *others])
    return graph, inputs_for(graph, seed), name


def _moved(fault: KernelFault) -> float:
    """How far outputs are off; 0 if within bounds, or if it raises."""
    graph, inputs = fault.graph, fault.inputs
    first, feeds = fault.feeds()
    try:
        exe = gw.compile(graph, backend=fault.backend())
        exe.run(None, first)
        got = exe.run(None, feeds)
        want = evaluate(graph, inputs)
    except Exception:
        return 0.0
    if difference(graph, inputs, want, got) is None:
        return 0.0
    return max((relative(a, b) for a, b in zip(want, got, strict=True)), default=0.0)


def relative(want: Any, got: Any) -> float:
    """The largest difference over the largest element; 0 where that is no number."""
    if not isinstance(want, np.ndarray) or want.dtype == object or not want.size:
        return 0.0
    if np.shape(want) != np.shape(got) or want.dtype != got.dtype:
        return 0.0
    wide = np.complex128 if want.dtype.kind == "c" else np.float64
    x, y = want.astype(wide), got.astype(wide)
    with np.errstate(all="ignore"):
        found = float(np.abs(x - y).max() / (np.abs(x).max() + 1e-30))
    return found if np.isfinite(found) else 0.0


# Ways to be wrong ---------------------------------------------------------------------


def _faults(
    type_: TensorType, size: float
) -> Iterator[tuple[str, Callable[[], Change]]]:
    """In words, and what makes a change; each for one dtype or one class of shapes."""
    want = type_.dtype.numpy
    classes: dict[str, Callable[[Any], bool]] = {
        f"of {type_.dtype.name}": lambda y: y.dtype == want,
        f"of rank {len(type_.shape or ())}": lambda y: y.ndim == len(type_.shape or ()),
        "of whole vectors": lambda y: y.ndim > 0 and y.shape[-1] % 4 == 0,
        "with a rest": lambda y: y.ndim > 0 and y.shape[-1] % 4 != 0,
        "of one row": lambda y: y.ndim > 1 and y.shape[0] == 1,
    }
    ways: dict[str, Callable[[], Change]] = {
        "a shift": lambda: _shifted,
        "turned": lambda: _turned,
        "a stale buffer": _stale,
        "a last row not written": lambda: _unwritten,
    }
    if type_.dtype.kind in "fc":
        ways["a coefficient"] = lambda: partial(_scaled, size)
        ways["the last element of a row"] = lambda: partial(_last, size)
        ways["an offset"] = lambda: partial(_offset, size)
        ways["a cast"] = lambda: _narrowed
    elif type_.dtype.kind in "iu":
        ways["one too many"] = lambda: _one_more
    for where, holds in classes.items():
        for what, make in ways.items():
            yield f"{what}, {where}", partial(_limited, make, holds)


def _limited(make: Callable[[], Change], holds: Callable[[Any], bool]) -> Change:
    change = make()

    def fault(y: Any, *operands: Any) -> Any:
        if not isinstance(y, np.ndarray) or not holds(y):
            return y
        return np.asarray(change(y, *operands)).astype(y.dtype).reshape(y.shape)

    return fault


def _scaled(size: float, y: Any, *_: Any) -> Any:
    return y * y.dtype.type(1 + size)


def _offset(size: float, y: Any, *_: Any) -> Any:
    return y + y.dtype.type(size)


def _last(size: float, y: Any, *_: Any) -> Any:
    out = y.copy()
    if y.ndim:
        out[..., -1:] = out[..., -1:] * y.dtype.type(1 + size)
    return out


def _one_more(y: Any, *_: Any) -> Any:
    out = y.copy()
    out.reshape(-1)[-1:] += y.dtype.type(1)
    return out


def _shifted(y: Any, *_: Any) -> Any:
    return np.roll(y, 1, -1) if y.ndim else y


def _turned(y: Any, *_: Any) -> Any:
    if y.ndim > 1 and y.shape[-1] == y.shape[-2]:
        return np.swapaxes(y, -1, -2).copy()
    return y[..., ::-1].copy() if y.ndim else y


def _unwritten(y: Any, *_: Any) -> Any:
    out = y.copy()
    if y.ndim:
        out[..., -1:] = 0
    return out


def _narrowed(y: Any, *_: Any) -> Any:
    half = np.float16 if y.dtype == np.float32 else np.float32
    return y.real.astype(half) if y.dtype.kind == "c" else y.astype(half)


def _stale() -> Change:
    """Parts of what was given first for that shape."""
    held: dict[tuple[int, ...], Any] = {}

    def change(y: Any, *_: Any) -> Any:
        first = held.setdefault(y.shape, y.copy())
        out = y.copy()
        out[..., :1] = first[..., :1]
        return out

    return change
