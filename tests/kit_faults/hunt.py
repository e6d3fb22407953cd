"""Draws faults by seed, sees that each is one, and has the kit look for it."""

import random
import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from graphwright.backends.contract import Backend
from graphwright.compiled import compile as compile_graph
from graphwright.ir.builder import Builder
from graphwright.ir.dtype import DTYPES
from graphwright.ir.errors import DTypeError
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph
from graphwright.ir.types import TensorType
from graphwright.testing.behaviour import with_constants
from graphwright.testing.cases import DTYPE_NAMES, special_values
from graphwright.testing.choices import Seeded
from graphwright.testing.compare import difference
from graphwright.testing.conformance import Check
from graphwright.testing.kit_checks import all_checks
from graphwright.testing.maker import Maker, Reject, World
from graphwright.testing.registry import recipe_for
from graphwright.testing.report import WRONG, Finding
from graphwright.testing.values import inputs_for
from kit_faults.hosts import clean, faulty
from kit_faults.kinds import BORDERS, ERRORS, HOSTS, KINDS, Fault, Kind

COUNT = 30
SMALL = 1e-3
_TRIES, _WITNESSES = 200, 36
_KINDS = {"f": "float32", "i": "int32", "u": "uint8", "b": "bool", "c": "complex64"}
_WORLDS = (
    World(dims=(2, 5, 7), dtypes={}, fresh=True),
    World(dims=(3, 11), dtypes={}, fresh=True, view="flip"),
    World(dims=(0, 4), dtypes={}, fresh=True),
    World(dims=(6, 1), dtypes={}, fresh=True, alias=True),
    World(dims=(270,), dtypes={}, fresh=True),
    World(dims=(70, 1), dtypes={}, fresh=True, view="turn"),
)


def draw(seed: int, count: int = COUNT) -> Iterator[Fault]:
    """Faults of different kinds, as far as there are; every third is small."""
    rng = random.Random(seed)
    kinds = list(KINDS.values())
    rng.shuffle(kinds)
    scaled = [k for k in kinds if k.scaled]
    left = [k for k in kinds if not k.scaled]
    for index in range(count):
        small = index % 3 == 0
        kind = scaled[index // 3 % len(scaled)] if small else left[index % len(left)]
        yield _drawn(rng, kind, small)


def _drawn(rng: random.Random, kind: Kind, small: bool) -> Fault:
    hosts = [h for h in kind.hosts if h in HOSTS]
    for _ in range(_TRIES):
        host, op = rng.choice(hosts), rng.choice(kind.ops)
        size = 10 ** rng.uniform(-4, -3.1) if small else 10 ** rng.uniform(-2.5, -0.5)
        dtypes = ["float32", "float64"] if small else [*DTYPE_NAMES[:-1]]
        limited = small or kind.name == "one dtype" or rng.random() < 0.3
        fault = Fault(kind, host, op, rng.choice(dtypes) if limited else "", size)
        if is_fault(fault):
            return fault
    raise AssertionError(f"{kind.name}: no fault was found")


def is_fault(fault: Fault) -> bool:
    """Whether it strikes, and shows in a graph that is none of the kit's."""
    if fault.kind.name in BORDERS or fault.kind.name in ERRORS:
        return not fault.dtype
    backend, right = faulty(fault), clean(fault.host)
    for turn in range(_WITNESSES):
        made = _witness(fault, turn)
        if made is None:
            continue
        graph, feeds = made
        if _own(right, graph, fault.op) and _shows(graph, feeds, backend, fault):
            return True
    return False


def _own(backend: Backend, graph: Graph, op: str) -> bool:
    """Whether a clean backend runs the op itself."""
    nodes = [n for n in graph.nodes if n.op.name == op]
    rows = [[v.type for v in node.operands] for node in nodes]
    return any(map(backend.supports, [n.op for n in nodes], rows))


def _shows(
    graph: Graph, feeds: list[list[Any]], backend: Backend, fault: Fault
) -> bool:
    before = fault.struck
    try:
        exe = compile_graph(graph, backend=backend, optimize=False)
        for row in feeds:
            want = evaluate(graph, row)
            kept = [np.copy(x) for x in row]
            got = exe.run(None, dict(zip(graph.input_names, row, strict=True)))
            if not fault.kind.sure and difference(graph, kept, want, got) is not None:
                return True
            if fault.kind.name == "the sign of zero" and _signs(want, got):
                return True
    except Exception:
        return True
    return fault.kind.sure and (
        fault.struck > before or fault.kind.name == "memory is kept"
    )


def _signs(want: list[Any], got: list[Any]) -> bool:
    return any(
        a.dtype.kind == "f" and bool((np.signbit(a) != np.signbit(b))[a == 0].any())
        for a, b in zip(want, got, strict=True)
    )


def _witness(fault: Fault, turn: int) -> tuple[Graph, list[list[Any]]] | None:
    """A graph of the op, and two feeds; some operands may be constants."""
    seed = zlib.crc32(f"witness {fault} {turn}".encode())
    name = fault.dtype or DTYPE_NAMES[seed % (len(DTYPE_NAMES) - 1)]
    have = {**_KINDS, DTYPES[name].kind: name}
    world = replace(_WORLDS[turn % 6], dtypes={k: (v,) for k, v in have.items()})
    m = Maker(Builder("witness"), Seeded(seed), world)
    try:
        with m.attempt():
            graph = m.b.finish(recipe_for(fault.op)(m))
    except (Reject, DTypeError):
        return None
    if name not in m.used or _size(graph) > 1 << 18:
        return None
    feeds = [inputs_for(graph, seed + i, {}, m.within) for i in range(2)]
    if turn % 3 == 0:
        feeds = [_special(graph, row, set(m.within), seed) for row in feeds]
    if fault.kind.name == "constants mixed up":
        return with_constants(graph, feeds[0]), [row[:1] for row in feeds]
    return graph, feeds


def _size(graph: Graph) -> int:
    sizes = [t.size for t in graph.input_types if isinstance(t, TensorType)]
    return sum(n for n in sizes if isinstance(n, int))


def _special(graph: Graph, row: list[Any], bound: set[str], seed: int) -> list[Any]:
    """Special values in place of those that may be any."""
    rng, out = np.random.default_rng(seed), list[Any]()
    for name, x in zip(graph.input_names, row, strict=True):
        values = special_values(DTYPES[x.dtype.name])
        drawn = rng.choice(np.arange(len(values)), x.shape)
        out.append(x if name in bound else values[drawn])
    return out


def look_for(fault: Fault, every: int) -> Finding | None:
    """The first thing that the kit finds wrong with the faulty backend.

    Checks of the op in question run in full, the others on one in ``every`` cases.
    """
    backend = faulty(fault)
    for check in sorted(all_checks(), key=lambda check: _turn(check, fault)):
        for finding in check.run(backend, 1 if check.subject == fault.op else every):
            if finding.status == WRONG:
                return finding
    return None


def _turn(check: Check, fault: Fault) -> int:
    """The order in which checks run: it changes nothing but the time."""
    if check.subject == fault.op:
        return 0
    return {"executables": 1, "onnx suite": 3}.get(check.part, 2)
