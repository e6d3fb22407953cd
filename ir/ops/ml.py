"""Classical machine learning on the host: look-up tables, tree ensembles, maps."""

import math
from typing import Any, ClassVar

import numpy as np

from graphwright.ir.dim import Dim
from graphwright.ir.dtype import DType, bool_, float32, float64, int64, string
from graphwright.ir.errors import DTypeError, ShapeError
from graphwright.ir.op import Op, Tier
from graphwright.ir.rules import need, need_kind
from graphwright.ir.types import MapType, SequenceType, TensorType, Type

_PAIRS = 1 << 20
"""Row and tree pairs followed at once."""

MODES = ("<=", "<", ">=", ">", "==", "!=")
"""Comparisons of a tree's nodes; their position is the code."""

LEAF = len(MODES)
"""The code of a leaf."""

_COMPARE = (
    np.less_equal,
    np.less,
    np.greater_equal,
    np.greater,
    np.equal,
    np.not_equal,
)


class LookupTable(Op):
    """Each element's value in a table, or a default.

    Operands: the elements, the keys (of several equal ones the first counts; NaN is
    found like any key), their values, and a one-element default. ``strict`` forbids
    elements that are no key.
    """

    name = "lookup_table"
    tier: ClassVar[Tier] = Tier.HOST
    strict: bool = False

    def result_type(
        self, x: TensorType, keys: TensorType, values: TensorType, default: TensorType
    ) -> TensorType:
        if x.dtype is not keys.dtype or values.dtype is not default.dtype:
            raise DTypeError(f"lookup_table of {x} in a table of {keys} to {values}")
        need(keys.shape == values.shape, f"lookup_table: {keys} for {values}")
        return TensorType(values.dtype, x.shape)

    def compute(self, xp: Any, x: Any, keys: Any, values: Any, default: Any) -> Any:
        table: dict[Any, int] = {}
        for i, key in enumerate(map(_key, keys.tolist())):
            table.setdefault(key, i)
        at = [table.get(_key(item), -1) for item in x.ravel().tolist()]
        if self.strict and -1 in at:
            raise ShapeError(f"lookup_table: {x.ravel()[at.index(-1)]!r} is no key")
        extended = np.concatenate([values, default.reshape(1)])
        return extended[np.array(at, np.int64)].reshape(x.shape)


def _key(item: Any) -> Any:
    return "nan" if isinstance(item, float) and math.isnan(item) else item


class TreeEnsemble(Op):
    """Sums (or averages, minima, maxima) of the leaves that rows of features end in.

    Operands: rows [n, features]; of each node its feature, comparison (see ``MODES``),
    threshold, successor where it holds and where not (a leaf is its own), and whether a
    missing value (NaN) counts as holding; the root of each tree; of each node where its
    weights start and how many they are; of each weight its target and value. Results:
    scores [n, targets], and which of them any leaf contributed to.
    """

    name = "tree_ensemble"
    tier: ClassVar[Tier] = Tier.HOST
    targets: int
    depth: int
    aggregate: str = "sum"

    def result_type(self, x: TensorType, *nodes: TensorType) -> tuple[TensorType, ...]:
        need_kind(self.name, x, "f")
        need(x.rank == 2, f"tree_ensemble takes rows of features, got {x}")
        need(len(nodes) == 11, "tree_ensemble takes 12 operands")
        need(
            self.aggregate in ("sum", "average", "min", "max"),
            "tree_ensemble: aggregate",
        )
        shape: tuple[Dim, ...] = (x.dims[0], self.targets)
        return TensorType(x.dtype, shape), TensorType(bool_, shape)

    def compute(self, xp: Any, x: Any, *nodes: Any) -> Any:
        wide = x.astype(np.float32) if x.dtype.itemsize < 4 else x
        trees = max(1, len(nodes[6]))
        rows = max(1, _PAIRS // trees)
        parts = [
            self._scores(wide[i : i + rows], nodes) for i in range(0, len(x), rows)
        ] or [self._scores(wide, nodes)]
        scores = np.concatenate([p[0] for p in parts]).astype(x.dtype)
        return scores, np.concatenate([p[1] for p in parts])

    def _scores(self, x: Any, nodes: Any) -> tuple[Any, Any]:
        *_, roots, start, count, target, weight = nodes
        n, trees = len(x), len(roots)
        leaves = self._leaves(x, *nodes[:7])
        rows = np.repeat(np.arange(n) * self.targets, trees)
        size = n * self.targets
        seen = np.zeros(size, np.bool_)
        scores = self._start(size)
        for k in range(int(count.max(initial=0))):
            has = count[leaves] > k
            entry = start[leaves[has]] + k
            cell = rows[has] + target[entry]
            seen[cell] = True
            self._collect(scores, cell, weight[entry])
        scores = np.where(seen, scores, 0)
        if self.aggregate == "average":
            scores = scores / max(1, trees)
        return scores.reshape(n, self.targets), seen.reshape(n, self.targets)

    def _start(self, size: int) -> Any:
        first = {"min": np.inf, "max": -np.inf}.get(self.aggregate, 0.0)
        return np.full(size, first, np.float64)

    def _collect(self, scores: Any, cell: Any, weight: Any) -> None:
        """Adds (or compares) weights to the scores of cells, in place."""
        if self.aggregate == "min":
            np.minimum.at(scores, cell, weight)
        elif self.aggregate == "max":
            np.maximum.at(scores, cell, weight)
        else:
            scores += np.bincount(cell, weight, len(scores))

    def _leaves(
        self,
        x: Any,
        feature: Any,
        mode: Any,
        at: Any,
        yes: Any,
        no: Any,
        lost: Any,
        roots: Any,
    ) -> Any:
        """The leaf that each row ends in, tree by tree, as a flat array."""
        here = np.tile(roots, len(x))
        row = np.repeat(np.arange(len(x)), len(roots))
        active = np.flatnonzero(mode[here] != LEAF)
        modes = np.unique(mode[mode != LEAF])
        nan = bool(lost.any()) and bool(np.isnan(x).any())
        for _ in range(self.depth):
            node = here[active]
            value, bound = x[row[active], feature[node]], at[node]
            holds = _holds(mode[node], modes, value, bound)
            if nan:
                holds |= np.isnan(value) & lost[node]
            step = np.where(holds, yes[node], no[node])
            here[active] = step
            active = active[mode[step] != LEAF]
            if not len(active):
                break
        return here


def _holds(mode: Any, modes: Any, value: Any, bound: Any) -> Any:
    if len(modes) == 1:
        return _COMPARE[modes[0]](value, bound)
    holds = np.zeros(len(value), np.bool_)
    for code in modes:
        mine = mode == code
        holds[mine] = _COMPARE[code](value[mine], bound[mine])
    return holds


class CoupledProbabilities(Op):
    """Probabilities of classes from those of pairs of them (i < j), row by row.

    Wu, Lin and Weng (JMLR 2004), second method, as libsvm iterates it.
    """

    name = "coupled_probabilities"
    tier: ClassVar[Tier] = Tier.HOST
    classes: int

    def result_type(self, x: TensorType) -> TensorType:
        pairs = self.classes * (self.classes - 1) // 2
        need(x.rank == 2 and x.dims[1] == pairs, f"coupled_probabilities of {x}")
        return x.with_shape((x.dims[0], self.classes))

    def compute(self, xp: Any, x: Any) -> Any:
        k, n = self.classes, len(x)
        i, j = np.triu_indices(k, 1)
        r = np.zeros((n, k, k))
        r[:, i, j] = np.clip(x, 1e-7, 1 - 1e-7)
        r[:, j, i] = 1 - r[:, i, j]
        q = -r * r.transpose(0, 2, 1)
        diagonal = np.arange(k)
        q[:, diagonal, diagonal] = (r**2).sum(1)
        return self._solve(q).astype(x.dtype)

    def _solve(self, q: Any) -> Any:
        """The distribution p that minimises p'Qp, for each row."""
        k = self.classes
        p = np.full(q.shape[:2], 1 / k)
        for _ in range(max(100, k)):
            qp = np.einsum("nij,nj->ni", q, p)
            total = (p * qp).sum(1)
            active = np.abs(qp - total[:, None]).max(1) >= 0.005 / k
            if not active.any():
                break
            for t in range(k):
                step = np.where(active, (total - qp[:, t]) / q[:, t, t], 0)
                p[:, t] += step
                grown = 1 + step
                total = (total + step * (step * q[:, t, t] + 2 * qp[:, t])) / grown**2
                qp = (qp + step[:, None] * q[:, t]) / grown[:, None]
                p /= grown[:, None]
        return p


# Maps ---------------------------------------------------------------------------------


class ZipMap(Op):
    """For each row of scores a map from labels to its elements."""

    name = "zip_map"
    tier: ClassVar[Tier] = Tier.HOST
    labels: tuple[int | str, ...]

    def result_type(self, x: TensorType) -> SequenceType:
        need(x.rank <= 2, f"zip_map takes rows of scores, got {x}")
        width = x.dims[-1] if x.rank else 1
        fits = not isinstance(width, int) or width == len(self.labels)
        need(fits, f"zip_map of {x} to {len(self.labels)} labels")
        key = string if self.labels and isinstance(self.labels[0], str) else int64
        return SequenceType(MapType(key, TensorType(x.dtype, ())))

    def compute(self, xp: Any, x: Any) -> Any:
        rows = x.reshape(-1, len(self.labels)).tolist()
        return [dict(zip(self.labels, row, strict=True)) for row in rows]


def need_map(name: str, type_: Type) -> MapType:
    """Raises DTypeError unless the type is that of a map to tensors."""
    if not isinstance(type_, MapType) or not isinstance(type_.value, TensorType):
        raise DTypeError(f"{name} takes a map, got {type_}")
    return type_


class MapToTensor(Op):
    """The values of a map in one row [1, n].

    With ``keys`` those of these keys, 0 or ``""`` where one is missing; else all of
    them in the order of their keys, or (``length`` at least 0) each at the place that
    its key says. Values are cast to ``dtype``.
    """

    name = "map_to_tensor"
    tier: ClassVar[Tier] = Tier.HOST
    dtype: DType
    count: Dim
    keys: tuple[int | str, ...] = ()
    length: int = -1

    def result_type(self, x: Type) -> TensorType:
        need_map(self.name, x)
        return TensorType(self.dtype, (1, self.count))

    def defined_symbols(self) -> tuple[str, ...]:
        return () if isinstance(self.count, int) else tuple(self.used_symbols())

    def compute(self, xp: Any, x: Any) -> Any:
        if self.keys or self.length >= 0:
            return self._placed(x)
        return np.array([self._cast(x[k]) for k in sorted(x)], self.dtype.numpy)[None]

    def _placed(self, x: Any) -> Any:
        places = {k: i for i, k in enumerate(self.keys)}
        size = len(self.keys) or self.length
        out = np.full((1, size), "" if self.dtype is string else 0, self.dtype.numpy)
        for key, value in x.items():
            place = places.get(key, -1) if self.keys else key
            if not self.keys and not 0 <= place < size:
                raise ShapeError(f"map_to_tensor: key {key} of a row of {size}")
            if place >= 0:
                out[0, place] = self._cast(value)
        return out

    def _cast(self, value: Any) -> Any:
        plain = value.item() if hasattr(value, "item") else value
        if self.dtype is string:
            return plain if isinstance(plain, str) else f"{plain:g}"
        return float(plain) if self.dtype in (float32, float64) else int(float(plain))
