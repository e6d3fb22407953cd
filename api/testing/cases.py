"""Cases per op: what every backend must get right.

Each op runs over the dtypes that it takes, on sizes that are usual, 0, 1 and symbolic,
on operands that were turned, flipped or spread, on one operand given twice; elementwise
ops on each pair of special values, others on operands that hold some.
"""

import itertools
import zlib
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from graphwright.ir.builder import Builder
from graphwright.ir.dtype import DTYPES, DType, string
from graphwright.ir.errors import DTypeError, FeedError
from graphwright.ir.graph import Graph
from graphwright.ir.op import OPS, Tier
from graphwright.ir.types import TensorType
from graphwright.testing import recipes
from graphwright.testing.choices import Seeded
from graphwright.testing.maker import SYMBOLS, Maker, Reject, World
from graphwright.testing.registry import arity, is_plain, kinds_of, recipe_for
from graphwright.testing.values import inputs_for

FAMILIES = recipes.FAMILIES

Feeds: TypeAlias = tuple[Any, ...]

DTYPE_NAMES = (
    *("float32", "float64", "float16", "bfloat16", "float8_e4m3fn"),
    *("int32", "int64", "int8", "int16", "int4"),
    *("uint8", "uint16", "uint32", "uint64", "bool", "complex64", "complex128"),
    "string",
)

_FEWER = ("float32", "float64", "float16", "int64", "uint8", "complex64", "string")

_PLAIN = World(dims=(2, 3), dtypes={}, fresh=True)
_ROOMY = World(dims=(3, 5), dtypes={}, fresh=True)
_DYNAMIC_SIZES = {"n": 3, "m": 1, "k": 2}
_OTHER_SIZES = {"n": 2, "m": 3, "k": 5}

WORLDS: dict[str, World] = {
    "static": _PLAIN,
    "zero": replace(_PLAIN, dims=(0, 2)),
    "one": replace(_PLAIN, dims=(1,)),
    "dynamic": replace(_PLAIN, dims=(*SYMBOLS.values(),), sizes=(_DYNAMIC_SIZES,)),
    "flip": replace(_PLAIN, view="flip"),
    "turn": replace(_PLAIN, view="turn"),
    "spread": replace(_PLAIN, view="spread"),
    "alias": replace(_PLAIN, dims=(3,), alias=True),
}
"""Kinds of operands."""

LARGE: dict[str, World] = {
    "odd": World(dims=(5, 9, 17), dtypes={}, fresh=True),
    "long": World(dims=(1, 33, 130), dtypes={}, fresh=True),
    "many": World(dims=(260, 2, 1, 257), dtypes={}, fresh=True),
}
"""Operands in which vectors, tiles and threads have whole parts and rests; the last
have more elements than 16 bits count."""

_DEFAULTS = {"f": "float32", "i": "int32", "u": "uint8", "b": "bool", "c": "complex64"}
"""What stands beside the dtype in question."""

_SEEDS = {"static": 6, "dynamic": 2}
"""Of how many cases there are several of a kind; the first of them runs twice."""


@dataclass(frozen=True)
class Case:
    """A graph of one op, and what to feed it with.

    Attributes:
        name: Op, kind of operands, dtype and a number.
        graph: The graph; views of operands stand in it too.
        inputs: Its inputs, in order.
        more: Other inputs, for runs after the first: of other sizes where they vary.
    """

    name: str
    graph: Graph
    inputs: tuple[Any, ...]
    more: tuple[tuple[Any, ...], ...] = ()

    def __str__(self) -> str:
        return self.name


def cases(op_name: str) -> Iterable[Case]:
    """The cases of an op.

    Raises:
        UnsupportedOpError: If nobody said how to make one.
    """
    recipe_for(op_name)
    seen: set[str] = set()
    made = (_worlds(op_name), _specials(op_name), _extremes(op_name))
    for case in itertools.chain(*made):
        key = str(case.graph)
        if key not in seen or "special" in case.name or "extreme" in case.name:
            seen.add(key)
            yield case


def _worlds(op_name: str) -> Iterator[Case]:
    """Cases of all kinds of operands; first which dtypes the op takes is found out."""
    taken = list[str]()
    for name in DTYPE_NAMES:
        found = list(_seeded(op_name, "static", name))
        taken += [name] * bool(found)
        yield from found
    for kind in itertools.islice(WORLDS, 1, None):
        for name in taken:
            if kind == "alias" or name in _FEWER:
                yield from _seeded(op_name, kind, name)


def _seeded(op_name: str, kind: str, name: str) -> Iterator[Case]:
    """Cases of a kind and a dtype; none if the op does not take it."""
    for turn in range(_SEEDS.get(kind, 1)):
        case = _case(op_name, kind, WORLDS[kind], name, turn)
        if case is None and not turn:
            return
        if case is not None:
            yield case


_LARGEST = 1 << 18
_VIEWS = {"flip": 1, "spread": 1, "turn": 2}
_ATTEMPTS = {"many": 30, "static": 32, "alias": 24, **dict.fromkeys(_VIEWS, 12)}
_MANY = 1 << 16


def large_cases(op_name: str, *, every_dtype: bool = False) -> Iterator[Case]:
    """Cases of an op on operands of up to a few thousand elements, or many more."""
    usual = ("float32", "float64", "int32", "int64", "uint8", "bool")
    for kind, world in LARGE.items():
        for name in DTYPE_NAMES[:-1] if every_dtype else usual:
            for turn in range(1 if kind == "many" else 3):
                case = _case(op_name, kind, world, name, turn)
                if case is None:
                    break
                yield case


def _fits(graph: Graph, kind: str) -> bool:
    """Whether a graph is neither too large nor, where it should be, too small.

    A view changes nothing of an operand that has no axes to turn, and there is an alias
    where an op takes one value twice.
    """
    if kind == "alias":
        return any(len({*n.operands}) < len(n.operands) for n in graph.nodes)
    if kind in _VIEWS:
        types = (t for t in graph.input_types if isinstance(t, TensorType))
        return max((t.rank for t in types), default=0) >= _VIEWS[kind]
    if kind not in LARGE:
        return True
    values = [*graph.inputs, *(v for node in graph.nodes for v in node.results)]
    sizes = [v.tensor.size for v in values if isinstance(v.type, TensorType)]
    most = max((size for size in sizes if isinstance(size, int)), default=0)
    return (_MANY if kind == "many" else 0) < most <= _LARGEST


def _has_some(graph: Graph) -> bool:
    """Whether an input has several elements: what is wrong in one may not show."""
    sizes = [t.size for t in graph.input_types if isinstance(t, TensorType)]
    return not sizes or max(int(n) for n in sizes if isinstance(n, int)) > 1


def _world_of(world: World, name: str) -> World:
    """The world in which one dtype stands for its kind."""
    have = {**_DEFAULTS, DTYPES[name].kind: name}
    return replace(world, dtypes={k: (v,) for k, v in have.items()})


def _case(op_name: str, kind: str, world: World, dtype: str, turn: int) -> Case | None:
    """A case, or None if the dtype is not taken; several seeds are tried."""
    label = f"{op_name}-{kind}-{dtype}-{turn}"
    for attempt in range(_ATTEMPTS.get(kind, 6)):
        seed = zlib.crc32(f"{label}-{attempt}".encode())
        m = Maker(Builder(op_name), Seeded(seed), _world_of(world, dtype))
        try:
            with m.attempt():
                results = recipe_for(op_name)(m)
        except (Reject, DTypeError):
            continue
        plain = kind in ("static", "dynamic") and dtype == DTYPE_NAMES[0]
        if dtype not in m.used and not (plain and not m.used):
            continue
        graph = m.b.finish(results)
        if all(node.op.name != op_name for node in graph.walk()):
            continue  # such as a cast to the dtype that is there
        if _fits(graph, kind) and (turn or kind != "static" or _has_some(graph)):
            sizes = _DYNAMIC_SIZES if kind == "dynamic" else {}
            inputs = _feeds(graph, seed, sizes, m)
            if kind == "extreme":
                inputs = _strewn(graph, inputs, m.within, seed)
            return Case(label, graph, inputs, tuple(_more(kind, turn, graph, seed, m)))
    return None


def _feeds(graph: Graph, seed: int, sizes: Mapping[str, int], m: Maker) -> Feeds:
    known = {n: v for n, v in sizes.items() if n in graph.input_symbols()}
    return tuple(inputs_for(graph, seed, known, m.within))


def _more(kind: str, turn: int, graph: Graph, seed: int, m: Maker) -> Iterator[Feeds]:
    """Feeds for a second run, if the graph takes them."""
    if turn or kind not in _SEEDS:
        return
    sizes = _OTHER_SIZES if kind == "dynamic" else {}
    try:
        yield _feeds(graph, seed + 1, sizes, m)
    except FeedError:  # other sizes do not fit together
        return


# Special values -----------------------------------------------------------------------


def special_values(dtype: DType) -> "np.ndarray[Any, Any]":
    """Elements at which kernels go wrong: NaN, infinities, zeros, ends, halves."""
    if dtype.kind == "b":
        return np.array([False, True])
    if dtype.is_int:
        low, high = dtype.limits
        whole = [0, 1, 2, 3, 5, -1, -2, -7, dtype.bits - 1, dtype.bits]
        held = sorted(
            {v for v in (*whole, low, low + 1, high, high - 1) if low <= v <= high}
        )
        return np.array([_of(v, dtype) for v in held], dtype.numpy)
    if dtype.kind == "c":
        parts = special_values(DTYPES[f"float{dtype.bits // 2}"])[:8]
        return np.array([complex(a, b) for a in parts for b in parts], dtype.numpy)
    low, high = dtype.limits
    small = 2.0**-10 if dtype.bits < 32 else 1e-30
    near = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 0.5, -0.5, 1.5, 2.5, -2.5]
    return np.array([*near, 3.0, -3.75, small, -small, high, low, 20.0]).astype(
        dtype.numpy
    )


def _of(value: int, dtype: DType) -> Any:
    return np.asarray(value).astype(dtype.numpy)


def _specials(op_name: str) -> Iterator[Case]:
    """An elementwise op on all pairs of special values."""
    cls = OPS[op_name]
    if not is_plain(cls):
        return
    for name in DTYPE_NAMES:
        dtype = DTYPES[name]
        if dtype.kind not in kinds_of(cls) or dtype is string:
            continue
        values = special_values(dtype)
        n = arity(cls)
        grid = np.meshgrid(*[values] * n, indexing="ij")
        rows = [np.ascontiguousarray(g.reshape(-1)) for g in grid]
        b = Builder(op_name)
        type_ = TensorType(dtype, rows[0].shape)
        inputs = [b.input(f"x{i}", type_) for i in range(n)]
        graph = b.finish([b.emit(op_name, *inputs)])
        yield Case(f"{op_name}-special-{name}", graph, tuple(rows))


def _extremes(op_name: str) -> Iterator[Case]:
    """Any other primitive on operands that hold special values where they may."""
    cls = OPS[op_name]
    if is_plain(cls) or cls.tier is not Tier.PRIMITIVE:
        return
    for name in DTYPE_NAMES[:-1]:
        for turn in range(4):
            case = _case(op_name, "extreme", _ROOMY, name, turn)
            if case is not None:
                yield case


def _strewn(graph: Graph, inputs: Feeds, within: Container[str], seed: int) -> Feeds:
    """Inputs of which half are special values, where they may lie anywhere."""
    rng, out = np.random.default_rng(seed), list[Any]()
    for name, x in zip(graph.input_names, inputs, strict=True):
        dtype = DTYPES.get(x.dtype.name)
        if name in within or dtype is None:
            out.append(x)
            continue
        values = special_values(dtype)
        if dtype.kind == "c":  # products of infinities depend on the formula
            values = values[np.isfinite(values)]
        elif dtype.is_float:  # whether sums of the largest overflow, on their order
            size = np.abs(values.astype(np.float64))
            values = values[~np.isfinite(size) | (size <= np.sqrt(dtype.limits[1]))]
        drawn = values[rng.integers(0, len(values), x.shape)]
        out.append(np.where(rng.integers(0, 2, x.shape) == 1, drawn, x))
    return tuple(out)
