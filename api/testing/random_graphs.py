"""Random graphs over all ops, valid by construction.

Ops come in by their recipes (``registry``), which draw operands from what is there.
Floats stay away from singular points and small; what jumps as its operands vary
(comparisons, rounding, sorting) gets values that all backends compute alike.
"""

import itertools
from collections.abc import Iterable, Sequence
from functools import cache

from graphwright.ir.arguments import checked
from graphwright.ir.builder import Builder
from graphwright.ir.emitter import Value
from graphwright.ir.errors import UnsupportedOpError
from graphwright.ir.graph import Graph
from graphwright.ir.op import OPS
from graphwright.ir.types import TensorType
from graphwright.passes.manager import PASSES
from graphwright.passes.pattern import OpPattern
from graphwright.passes.rules import RuleSet
from graphwright.testing import (
    motifs_control,
    motifs_fused,
    motifs_linear,
    motifs_movement,
    motifs_quantized,
    motifs_rotary,
    motifs_windows,
    recipes,
)
from graphwright.testing.choices import Choices, Seeded
from graphwright.testing.maker import SYMBOLS, Maker, Recipe, Reject, World
from graphwright.testing.motifs import MOTIFS, grown, is_own_motif
from graphwright.testing.registry import ALONE, RECIPES, recipe_for

FAMILIES = (
    *(*recipes.FAMILIES, motifs_movement, motifs_linear, motifs_control),
    *(motifs_fused, motifs_quantized, motifs_rotary, motifs_windows),
)

_SIZES = tuple(
    dict(zip(SYMBOLS, row, strict=True))
    for row in itertools.product((0, 1, 2, 3), repeat=len(SYMBOLS))
)

RANDOM = World(
    dims=(2, 3, *SYMBOLS.values(), 1, 0),
    dtypes={
        "f": ("float32", "float32", "float32", "float64", "float16", "bfloat16"),
        "i": ("int32", "int64", "int64", "int8", "int16"),
        "u": ("uint8", "uint32", "uint64", "uint16"),
        "b": ("bool",),
        "c": ("complex64", "complex128"),
    },
    sizes=_SIZES,
)
"""What random graphs are made of."""

FLOAT32 = World(
    dims=RANDOM.dims, dtypes={"f": ("float32",), "b": ("bool",)}, sizes=_SIZES
)
"""Graphs of one dtype, for what knows only that."""

_TRIES, _MANY = 5, 20


@cache
def _default_ops() -> tuple[str, ...]:
    """Ops that have a recipe and can stand among others, elementary ones first."""
    own = [n for n, cls in OPS.items() if hasattr(cls, "recipe") and n not in RECIPES]
    return tuple(n for n in (*RECIPES, *own) if n not in ALONE)


def make_graph(
    c: Choices,
    *,
    max_nodes: int = 12,
    ops: Sequence[str] | None = None,
    world: World = RANDOM,
) -> Graph:
    """A graph that these decisions make.

    Args:
        c: The decisions.
        max_nodes: How many ops are asked for at most; each may bring helpers.
        ops: Names of the ops to choose from; all by default.
        world: Sizes and dtypes to choose from.
    """
    m = Maker(Builder("random"), c, world)
    names = tuple(ops) if ops is not None else _default_ops()
    m.admit(m.tensor("fiub"))
    for _ in c.rounds(max_nodes):
        _grow(m, names)
    return m.b.finish(_outputs(m))


def _grow(m: Maker, names: Sequence[str]) -> None:
    """Adds one op, of a few that are tried."""
    _add(m, (recipe_for(m.c.pick(names)) for _ in range(_TRIES)))


def _add(m: Maker, recipes: Iterable[Recipe]) -> None:
    """Adds the first of some recipes that is not rejected."""
    for recipe in recipes:
        try:
            with m.attempt():
                results = recipe(m)
            m.admit(*(_useful(m, v) for v in results))
        except Reject:
            continue
        return


def _useful(m: Maker, v: Value) -> Value:
    """A result, scaled down where it would grow and grow."""
    ranked = isinstance(v.type, TensorType) and v.type.shape is not None
    return m.inside(v, None) if ranked else v


def _outputs(m: Maker) -> list[Value]:
    """The last value and a few others."""
    pool = m.pool
    chosen = {len(pool) - 1: None}
    for _ in range(m.c.integer(0, 2)):
        chosen[m.c.integer(0, len(pool) - 1)] = None
    return [pool[i] for i in chosen]


@checked
def random_graph(
    seed: int,
    *,
    max_nodes: int = 12,
    ops: Sequence[str] | None = None,
    world: World = RANDOM,
) -> Graph:
    """The random graph of a seed: for bulk runs."""
    return make_graph(Seeded(seed), max_nodes=max_nodes, ops=ops, world=world)


# Aimed at rewrites --------------------------------------------------------------------


@cache
def aims() -> tuple[str, ...]:
    """Names of all rewrites and passes that graphs can be aimed at."""
    return tuple(sorted({*_patterns(), *MOTIFS}))


@cache
def _patterns() -> dict[str, tuple[OpPattern, ...]]:
    """Patterns that are their own motif, by the name of their rewrite."""
    found: dict[str, tuple[OpPattern, ...]] = {}
    for rules in (p for p in PASSES.values() if isinstance(p, RuleSet)):
        for r in rules.rewrites:
            if r.name not in MOTIFS and is_own_motif(r.pattern):
                found[r.name] = (*found.get(r.name, ()), r.pattern)
    return {name: tuple(dict.fromkeys(row)) for name, row in found.items()}


def motif_of(name: str) -> Recipe:
    """The motif of a rewrite or pass.

    Raises:
        UnsupportedOpError: If it has none.
    """
    if name in MOTIFS:
        return MOTIFS[name]
    patterns = _patterns().get(name)
    if patterns is None:
        raise UnsupportedOpError(f"{name} has no motif: write one in a motifs_*.py")
    return lambda m: grown(m, m.c.pick(patterns))


def aimed_graph(
    seed: int,
    *,
    max_nodes: int = 8,
    rewrites: Sequence[str] | None = None,
    world: World = RANDOM,
) -> Graph:
    """The random graph of a seed, of what rewrites look for and ops between.

    Args:
        seed: The seed; graphs of successive seeds begin with one rewrite after another.
        max_nodes: How many motifs and ops are asked for at most.
        rewrites: Names of the rewrites and passes to aim at; all by default.
        world: Sizes and dtypes to choose from.
    """
    c = Seeded(seed)
    names = tuple(rewrites) if rewrites is not None else aims()
    m = Maker(Builder("aimed"), c, world)
    m.admit(m.tensor("fiub"))
    m.sure = seed // len(names) % 2 == 0
    _add(m, [motif_of(names[seed % len(names)])] * _MANY)
    m.sure = False
    for _ in c.rounds(max_nodes - 1):
        if c.integer(0, 2):
            _add(m, (motif_of(c.pick(names)) for _ in range(_TRIES)))
        else:
            _grow(m, _default_ops())
    return m.b.finish(_outputs(m))
