"""Arrays to feed graphs with, and sizes for their symbols."""

import itertools
import random
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from graphwright.ir.arguments import checked
from graphwright.ir.dim import Dim, symbols
from graphwright.ir.dim import evaluate as evaluate_dim
from graphwright.ir.dtype import DType, string
from graphwright.ir.errors import FeedError
from graphwright.ir.graph import Graph
from graphwright.ir.types import (
    Guard,
    MapType,
    OptionalType,
    SequenceType,
    TensorType,
    Type,
)

NEAR = 2.0
"""Floats lie in [-2, 2] where nothing else is said."""

WHOLE = 8
"""Integers lie in [-8, 8], unsigned ones in [0, 8]."""

WORDS = ("", "a", "b", "cat", "The cat", "2.5", "ä b", "a,b,,c")

Interval = tuple[Dim | float, Dim | float]
"""From and to, both included; dims stand for their values."""

_LARGEST = 5
_TRIES = 4096


def holds(guard: Guard, sizes: Mapping[str, int]) -> bool:
    """Whether a guard holds for these sizes, as far as they say."""
    if (symbols(guard.left) | symbols(guard.right)) - sizes.keys():
        return True
    left, right = evaluate_dim(guard.left, sizes), evaluate_dim(guard.right, sizes)
    return guard.holds(left, right)


def _candidates(names: Sequence[str], rng: random.Random) -> Iterator[dict[str, int]]:
    """Sizes to try: all small ones where they are few, in random order."""
    span = range(_LARGEST + 1)
    if len(names) <= 4:
        rows = list(itertools.product(span, repeat=len(names)))
        rng.shuffle(rows)
        yield from (dict(zip(names, row, strict=True)) for row in rows)
    else:
        for _ in range(_TRIES):
            yield {name: rng.choice(span) for name in names}


def sizes_for(
    graph: Graph, seed: int, sizes: Mapping[str, int] | None = None
) -> dict[str, int]:
    """Values of the symbols of a graph's inputs that its guards admit.

    Raises:
        FeedError: If none are found.
    """
    given = dict(sizes or {})
    free = sorted(graph.input_symbols() - given.keys())
    for found in _candidates(free, random.Random(seed)):
        env = {**given, **found}
        shaped = all(_exists(t, env) for t in graph.input_types)
        if shaped and all(holds(g, env) for g in graph.guards):
            return env
    raise FeedError(f"no sizes of {', '.join(free)} up to {_LARGEST} fit the graph")


def _exists(type_: Type, env: Mapping[str, int]) -> bool:
    if not isinstance(type_, TensorType) or type_.shape is None:
        return True
    return all(evaluate_dim(d, env) >= 0 for d in type_.shape)


@checked
def inputs_for(
    graph: Graph,
    seed: int = 0,
    sizes: Mapping[str, int] | None = None,
    within: Mapping[str, Interval] | None = None,
) -> list[Any]:
    """Values for a graph's inputs, in order, the same for the same seed.

    Floats lie in [-2, 2], integers in [-8, 8], unsigned ones in [0, 8].

    Args:
        graph: The graph.
        seed: Of the pseudo-random generator.
        sizes: Values of symbols; the others are chosen as the guards admit.
        within: Intervals of elements, by the input's name.

    Raises:
        FeedError: If no sizes fit the graph's guards.
    """
    env = sizes_for(graph, seed, sizes)
    found: list[Any] = []
    for v, name in zip(graph.inputs, graph.input_names, strict=True):
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        found.append(draw_value(rng, v.type, env, (within or {}).get(name)))
    return found


def draw_value(
    rng: Any, type_: Type, env: Mapping[str, int], within: Interval | None = None
) -> Any:
    """A value of a type: an array, a list, an optional or a dictionary."""
    match type_:
        case TensorType(dtype, shape) if shape is not None:
            sizes = tuple(evaluate_dim(d, env) for d in shape)
            ends = within and (_end(within[0], env), _end(within[1], env))
            return draw_array(rng, dtype, sizes, ends)
        case SequenceType(element):
            return [draw_value(rng, element, env, within) for _ in range(3)]
        case OptionalType(element):
            return draw_value(rng, element, env, within)
        case MapType(key, value):
            keys = WORDS[:3] if key is string else range(3)
            return {k: draw_value(rng, value, env, within) for k in keys}
        case _:
            raise FeedError(f"no values of type {type_} can be drawn")


def _end(end: Dim | float, env: Mapping[str, int]) -> float:
    return end if isinstance(end, float) else evaluate_dim(end, env)


def draw_array(
    rng: Any,
    dtype: DType,
    shape: tuple[int, ...],
    within: tuple[float, float] | None = None,
) -> Any:
    """An array of elements in an interval, some of them equal."""
    if dtype is string:
        out = np.empty(shape, object)
        out[...] = rng.choice(np.array(WORDS, object), shape)
        return out
    if dtype.kind == "b":
        return np.asarray(rng.integers(0, 2, shape), np.bool_)
    if dtype.is_int:
        low, high = within or (-WHOLE, WHOLE)
        least, greatest = dtype.limits
        low, high = max(int(low), least), min(int(high), greatest)
        return np.asarray(rng.integers(low, max(high, low) + 1, shape)).astype(
            dtype.numpy
        )
    low, high = within or (-NEAR, NEAR)
    x = _reals(rng, shape, low, high)
    if dtype.kind == "c":
        x = x + 1j * _reals(rng, shape, low, high)
    return np.asarray(x).astype(dtype.numpy)


def _reals(rng: Any, shape: tuple[int, ...], low: float, high: float) -> Any:
    """Half of them on a coarse grid, so that some meet."""
    x = rng.uniform(low, high, shape)
    step = (high - low) / 16 or 1.0
    coarse = low + np.round((x - low) / step) * step
    return np.where(rng.integers(0, 2, shape) == 0, x, coarse)
