"""Inputs to compare on: given, random, in ranges, with special values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import ml_dtypes
import numpy as np

from graphwright.feeds import random_feeds
from graphwright.ir.dtype import DType
from graphwright.ir.errors import FeedError
from graphwright.ir.graph import Graph
from graphwright.ir.types import TensorType

Samples: TypeAlias = int | Sequence[str]
"""How many random ones, or what kind each is."""

_SPECIAL_SHARE = 8


@dataclass(frozen=True)
class Sample:
    """Inputs of one run.

    Attributes:
        name: What the report calls it, such as ``random 0``.
        feeds: Inputs by name.
    """

    name: str
    feeds: Mapping[str, Any]


def given_samples(graph: Graph, inputs: Any) -> list[Sample]:
    """Samples that the caller gives: by name, by position, or a list of such.

    Raises:
        FeedError: If an input is missing or unknown.
    """
    if inputs is None:
        return []
    if isinstance(inputs, Mapping):
        return [Sample("given", _by_name(graph, inputs))]
    if not isinstance(inputs, list | tuple):
        raise FeedError(
            "inputs are arrays by name or a list of them by position,"
            f" got {type(inputs).__name__}"
        )
    rows: list[Any] = list(inputs)
    many = bool(rows) and all(isinstance(row, Mapping | tuple | list) for row in rows)
    if not many:
        return [Sample("given", _by_name(graph, rows))]
    return [Sample(f"given {i}", _by_name(graph, row)) for i, row in enumerate(rows)]


def _by_name(graph: Graph, row: Any) -> dict[str, Any]:
    names = graph.input_names
    if isinstance(row, Mapping):
        found: dict[str, Any] = dict(row)
    else:
        found = dict(zip(names, row, strict=False))
        if len(row) != len(names):
            raise FeedError(f"{graph.name} takes {len(names)} inputs, got {len(row)}")
    odd = [n for n in found if n not in names]
    missing = [n for n in names if n not in found]
    if odd or missing:
        words = f"no input is called {odd[0]!r}" if odd else ""
        words = words or f"input {missing[0]!r} is missing"
        raise FeedError(f"{words}; the inputs are {', '.join(map(repr, names))}")
    types = dict(zip(names, graph.input_types, strict=True))
    return {n: _typed(found[n], types[n]) for n in names}


def _typed(x: Any, type_: Any) -> Any:
    if isinstance(x, np.ndarray) or not isinstance(type_, TensorType):
        return x
    return np.asarray(x, type_.dtype.numpy)


def make_samples(
    graph: Graph, kinds: Samples, seed: int, dims: Mapping[str, int]
) -> list[Sample]:
    """Samples that are made up.

    Args:
        graph: The graph.
        kinds: How many random ones; or for each ``random``, ``special`` (infinities,
            NaN, zeros of both signs, the least and the greatest numbers among random
            ones) or ``LOW:HIGH``, a range for numbers.
        seed: Of the generator; the sample's number is added.
        dims: Sizes of named dims.

    Raises:
        FeedError: If there is no such kind.
    """
    if isinstance(kinds, int) and kinds < 0:
        raise FeedError(f"samples={kinds}: a number of samples is not negative")
    words = ["random"] * kinds if isinstance(kinds, int) else list(kinds)
    return [
        Sample(f"{word} {seed + i}", _made(graph, word, seed + i, dims))
        for i, word in enumerate(words)
    ]


def _made(
    graph: Graph, word: str, seed: int, dims: Mapping[str, int]
) -> dict[str, Any]:
    feeds = random_feeds(graph, {}, seed, dims)
    if word == "random":
        return feeds
    rng = np.random.default_rng([seed, 1])
    for name, type_ in zip(graph.input_names, graph.input_types, strict=True):
        if isinstance(type_, TensorType) and type_.dtype.kind in "fiu":
            feeds[name] = _changed(feeds[name], type_.dtype, word, rng)
    return feeds


def _changed(x: Any, dtype: DType, word: str, rng: np.random.Generator) -> Any:
    if word == "special":
        if dtype.kind != "f":
            return x
        chosen = rng.choice(_special(dtype), x.shape)
        mask = rng.integers(0, _SPECIAL_SHARE, x.shape) == 0
        return np.where(mask, chosen, x).astype(dtype.numpy)
    low, colon, high = word.partition(":")
    try:
        ends = float(low), float(high)
    except ValueError:
        ends = (1.0, 0.0)
    if not colon or ends[0] > ends[1]:
        raise FeedError(f"no samples are {word!r}: say random, special or LOW:HIGH")
    drawn = rng.uniform(*ends, x.shape)
    return (np.rint(drawn) if dtype.kind in "iu" else drawn).astype(dtype.numpy)


def _special(dtype: DType) -> Any:
    info: Any = ml_dtypes.finfo(dtype.numpy)  # type: ignore[no-untyped-call]
    most, least = float(info.max), float(info.smallest_subnormal)
    tiny, eps = float(info.smallest_normal), float(info.eps)
    return np.array(
        [0.0, -0.0, np.inf, -np.inf, np.nan, most, -most, least, tiny, 1 + eps, 0.5]
    )
