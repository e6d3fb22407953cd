"""Random inputs for a graph."""

import math
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from graphwright.backends.limits import Limits
from graphwright.ir.dim import Dim, substitute, symbols
from graphwright.ir.dtype import string
from graphwright.ir.errors import BudgetError, FeedError
from graphwright.ir.evaluate import bind_shape
from graphwright.ir.graph import Graph
from graphwright.ir.types import OptionalType, SequenceType, TensorType, Type

Feeds = dict[str, Any]


def random_feeds(
    graph: Graph, given: Feeds, seed: int, dims: Mapping[str, int] | None = None
) -> Feeds:
    """Random inputs in the place of those that are not given.

    Floats are normal (mean 0, variance 1), integers and booleans 0 or 1, strings "a" or
    "b". Dims that nothing determines are 1. An input's values depend on the seed, its
    name, type and sizes alone.

    Raises:
        FeedError: If the seed is negative, a rank is not known, or the kind of an input
            cannot be made.
        BudgetError: If an input would not fit in memory.
    """
    if seed < 0:
        raise FeedError(f"seed={seed}: it may not be negative")
    env: dict[str, int] = dict(dims or {})
    types = dict(zip(graph.input_names, graph.input_types, strict=True))
    for name, x in given.items():
        bind_shape(types[name], getattr(x, "shape", ()), env, f"input {name!r}")
    made: Feeds = {}
    for name, type_ in types.items():
        if name not in given:
            rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
            made[name] = _random(type_, name, rng, env)
    return {**made, **given}


def _random(
    type_: Type, name: str, rng: np.random.Generator, env: dict[str, int]
) -> Any:
    match type_:
        case TensorType(_, None):
            raise FeedError(f"the rank of input {name!r} is not known: give a file")
        case TensorType(_, shape):
            sizes = tuple(_size(dim, env) for dim in shape or ())
            need = math.prod(sizes) * max(8, type_.dtype.itemsize)
            if need > Limits().bytes:
                raise BudgetError(f"input {name!r} of {list(sizes)} needs {need} bytes")
            return _values(type_, sizes, rng)
        case SequenceType(element):
            return [_random(element, name, rng, env)]
        case OptionalType(element):
            return _random(element, name, rng, env)
        case _:
            raise FeedError(f"input {name!r} is {type_}, which cannot be made")


def _size(dim: Dim, env: dict[str, int]) -> int:
    for symbol in sorted(symbols(dim)):
        env.setdefault(symbol, 1)
    found = substitute(dim, env)
    return found if isinstance(found, int) else 1


def _values(type_: TensorType, sizes: tuple[int, ...], rng: np.random.Generator) -> Any:
    dtype = type_.dtype
    if dtype.kind in "fc":
        return rng.standard_normal(sizes).astype(dtype.numpy)
    bits = rng.integers(0, 2, sizes)
    if dtype is string:
        return np.array(["a", "b"], object)[bits]
    return np.asarray(bits).astype(dtype.numpy)
