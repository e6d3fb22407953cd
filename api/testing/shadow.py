"""The graph over the reals, as near as float64 comes, and how far a backend may be off.

Monte Carlo arithmetic (Parker, "Monte Carlo Arithmetic", 1997): the graph runs in
float64 a few times, each op's operands and results off by random parts of the error
that ``Op.error_bound`` allows, and the spread of what comes out, times a safety factor,
is the tolerance. No rule of propagation per op is needed: cancellation, conditioning
and jumps show.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import ml_dtypes
import numpy as np

from graphwright.ir.arguments import checked
from graphwright.ir.dtype import DTYPES, DType
from graphwright.ir.evaluate import Env, Evaluator, bind_op
from graphwright.ir.graph import Graph, Node
from graphwright.ir.op import Op, Tier, Trait
from graphwright.ir.ops.foreign import Foreign
from graphwright.ir.types import TensorType, Type

RUNS = 6
SAFETY = 8.0
"""Runs of different errors, and how many times their spread is tolerated."""


def epsilon(dtype: DType) -> float:
    """Distance from 1 to the next number of a dtype."""
    real = DTYPES[f"float{dtype.bits // 2}"] if dtype.kind == "c" else dtype
    info: Any = ml_dtypes.finfo(real.numpy)  # type: ignore[no-untyped-call]
    return float(info.eps)


def _inexact(type_: Type) -> bool:
    return isinstance(type_, TensorType) and type_.dtype.kind in "fc"


def widened(x: Any, type_: Type) -> Any:
    """An array in float64 or complex128; what holds no fractions stays."""
    if not isinstance(x, np.ndarray | np.generic) or not isinstance(type_, TensorType):
        return x
    array = np.asarray(x)
    if type_.dtype.kind == "f":
        return array.astype(np.float64, copy=False)
    return array.astype(np.complex128) if type_.dtype.kind == "c" else array


class Shadow(Evaluator):
    """Runs a graph in float64; with ``rng``, each op a little off."""

    def __init__(self, rng: Any = None) -> None:
        super().__init__(np)
        self.rng = rng

    def _apply(self, node: Node, operands: list[Any], env: Env) -> Sequence[Any]:
        types = [v.type for v in node.operands]
        wide = [widened(x, t) for x, t in zip(operands, types, strict=True)]
        op = bind_op(node.op, env)
        if isinstance(op, Foreign):  # its graph has the operands' own dtypes
            own = list(map(_narrowed, operands, types))
            found: Sequence[Any] = self.run(op.expanded(own), wide, env)
        elif op.tier is Tier.CONTROL:
            found = super()._apply(node, wide, env)
        else:
            found = self._computed(op, node, wide)
        pairs = zip(found, node.results, strict=True)
        return [widened(r, v.type) for r, v in pairs]

    def _computed(self, op: Op, node: Node, operands: list[Any]) -> Sequence[Any]:
        ulps = self._ulps(op, node)
        narrow = is_about_bits(op)
        if narrow:
            types = [v.type for v in node.operands]
            operands = [_narrowed(x, t) for x, t in zip(operands, types, strict=True)]
        if narrow or not ulps or self.rng is None:
            results = _run(op, operands)
        else:
            results = _run(op, self._off(operands, node, ulps))
            if any(map(_has_nan, results)):
                results = list(map(_inside_domain, _run(op, operands), results))
        if ulps and self.rng is not None:
            self._blur(op, node, operands, results)
        return results

    def _blur(
        self, op: Op, node: Node, operands: Sequence[Any], results: list[Any]
    ) -> None:
        """Puts results in place that are off by what the op allows."""
        ulps = self._ulps(op, node)
        for i, v in enumerate(node.results):
            if _inexact(v.type):
                wide = widened(results[i], v.type)
                step = epsilon(v.dtype) * ulps
                results[i] = self._noisy(wide, step, op.error_floor)

    def _ulps(self, op: Op, node: Node) -> float:
        ulps = op.error_bound()
        types = [v.type for v in node.operands]
        if not ulps and Trait.ELEMENTWISE in op.traits and any(map(_complex, types)):
            return 2.0  # a modulus
        return ulps

    def _off(self, operands: list[Any], node: Node, ulps: float) -> list[Any]:
        """Operands as a backend that sums in another order seems to see them."""
        kinds = [v.dtype for v in node.results if _inexact(v.type)]
        if not kinds:
            return operands
        own = max(kinds, key=epsilon)
        primitive = node.op.tier is Tier.PRIMITIVE
        step = epsilon(own.accumulate if primitive else own) * ulps
        if Trait.REDUCTION in node.op.traits:
            most = max((np.size(x) for x in operands), default=1)
            step *= sqrt(max(most, 1))
        out: list[Any] = []
        for x, v in zip(operands, node.operands, strict=True):
            out.append(self._noisy(x, step) if _inexact(v.type) else x)
        return out

    def _noisy(self, x: Any, step: float, scale: float = 0.0) -> Any:
        """An array, what is finite off by ``step`` of its size, or of ``scale``."""
        noise = self.rng.uniform(-step, step, np.shape(x))
        if x.dtype.kind == "c":
            noise = noise + 1j * self.rng.uniform(-step, step, np.shape(x))
        with np.errstate(all="ignore"):
            size = np.where(np.isfinite(x), np.maximum(np.abs(x), scale), 0.0)
            return x + size * noise


def _run(op: Op, operands: Sequence[Any]) -> list[Any]:
    with np.errstate(all="ignore"):
        found = wide_op(op).compute(np, *operands)
    return list(found if isinstance(found, tuple) else (found,))


def _has_nan(x: Any) -> bool:
    array = np.asarray(x)
    return array.dtype.kind in "fc" and bool(np.isnan(array).any())


def _inside_domain(right: Any, off: Any) -> Any:
    """A result for operands that are off, but where that leaves the op's domain.

    ``(-2) ** 2.0000001`` is no number, and no backend gives that for ``(-2) ** 2``.
    """
    if not _has_nan(off) or np.shape(right) != np.shape(off):
        return off
    return np.where(np.isnan(off), right, off)


def _complex(type_: Type) -> bool:
    return isinstance(type_, TensorType) and type_.dtype.kind == "c"


def is_about_bits(op: Op) -> bool:
    """Whether an op is about the bits of its operands' own dtypes."""
    to = getattr(op, "dtype", None)
    words = isinstance(to, DType) and to.kind == "S"
    hosted = op.tier is Tier.HOST and not op.has_parts()
    return words or not op.wide or Trait.RANDOM in op.traits or hosted


def _narrowed(x: Any, type_: Type) -> Any:
    if not isinstance(type_, TensorType) or not isinstance(x, np.ndarray):
        return x
    return x.astype(type_.dtype.numpy, copy=False)


def wide_op(op: Op) -> Op:
    """An op with float64 where it names a float dtype of its result."""
    to = getattr(op, "dtype", None)
    if not isinstance(to, DType) or not to.is_float or is_about_bits(op):
        return op
    if op.name == "quantize":
        return op
    return op.replace(dtype=DTYPES["float64"])


@dataclass(frozen=True)
class Bound:
    """What an output is over the reals, and how far from it a backend may be.

    Attributes:
        value: The output in float64, or what the reference gives where it is no float.
        tolerance: Of each element; None where nothing but equality will do.
    """

    value: Any
    tolerance: Any = None


@checked
def bounds_of(graph: Graph, inputs: Sequence[Any], seed: int = 0) -> list[Bound]:
    """What a backend may give for each output of a graph."""
    exact = Shadow().run(graph, inputs)
    others = [
        Shadow(np.random.default_rng([seed, i])).run(graph, inputs) for i in range(RUNS)
    ]
    rows = zip(*others, strict=True)
    types = graph.output_types
    return [bound_from(x, row, t) for x, row, t in zip(exact, rows, types, strict=True)]


def bound_from(exact: Any, others: Sequence[Any], type_: Type) -> Bound:
    """A bound from an exact run and others, each a little off."""
    if not isinstance(type_, TensorType) or type_.dtype.kind not in "fc":
        return Bound(exact)
    exact = widened(exact, type_)
    with np.errstate(all="ignore"):
        last = epsilon(type_.dtype) * np.abs(exact)
        spread = np.zeros(np.shape(exact))
        for x in others:
            spread = np.maximum(spread, _gap(exact, widened(x, type_), last))
        if _are_lost(spread, np.abs(exact)):
            spread = np.full_like(spread, spread.max())
        floor = np.where(spread > 0, least_normal(type_.dtype), 0.0)
        return Bound(exact, SAFETY * spread + last + floor)


def _are_lost(spread: Any, size: Any) -> bool:
    """Whether most elements, the largest too, have no digit left.

    Then chance decides which of them are how far off, as in a softmax of huge numbers
    that one alone wins: each may be as far off as any.
    """
    if not size.size or not spread.max() >= size.max() / 2 > 0:
        return False
    return bool(np.mean(spread >= size / 2) > 0.5)


def _gap(exact: Any, other: Any, last: Any) -> Any:
    """How far two runs lie apart; ``last`` where an error left the op's domain."""
    if np.shape(exact) != np.shape(other):
        return np.inf
    gap = np.abs(other - exact)
    return np.where(np.isnan(gap), last, gap)


def least_normal(dtype: DType) -> float:
    """The least normal number: what is smaller a device may flush to zero."""
    real = DTYPES[f"float{dtype.bits // 2}"] if dtype.kind == "c" else dtype
    info: Any = ml_dtypes.finfo(real.numpy)  # type: ignore[no-untyped-call]
    return float(info.smallest_normal)
