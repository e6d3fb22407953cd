"""Tree ensembles of ai.onnx.ml as arrays over nodes, checked to be free of circles."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from graphwright.frontends.onnx.context import Context
from graphwright.ir.emitter import Value
from graphwright.ir.errors import ModelError
from graphwright.ir.ops.ml import LEAF

_CODES = {
    "BRANCH_LEQ": 0,
    "BRANCH_LT": 1,
    "BRANCH_GTE": 2,
    "BRANCH_GT": 3,
    "BRANCH_EQ": 4,
    "BRANCH_NEQ": 5,
    "LEAF": LEAF,
}


@dataclass
class Trees:
    """Nodes of all trees, and weights of leaves, as ``tree_ensemble`` takes them."""

    feature: Any
    mode: Any
    at: Any
    yes: Any
    no: Any
    lost: Any
    roots: Any
    owner: Any
    target: Any
    weight: Any

    def emit(
        self, c: Context, x: Value, targets: int, aggregate: str
    ) -> tuple[Value, Value]:
        """Scores of rows, and which of them any leaf contributed to.

        Raises:
            ModelError: If nodes or targets are out of range, or nodes form a circle.
        """
        count = len(self.mode)
        width = x.shape[1]
        _check_range(
            c, "feature", self.feature, width if isinstance(width, int) else None
        )
        _check_range(c, "target", self.target, targets)
        depth = _depth(c, self)
        order = np.argsort(self.owner, kind="stable")
        counts = np.bincount(self.owner, minlength=count)
        arrays = [
            self.feature,
            self.mode,
            self.at,
            self.yes,
            self.no,
            self.lost,
            self.roots,
            np.cumsum(counts) - counts,
            counts,
            self.target[order],
            self.weight[order],
        ]
        operands = [c.b.constant(np.ascontiguousarray(a)) for a in arrays]
        scores, seen = c.b.emit_all(
            "tree_ensemble",
            x,
            *operands,
            targets=targets,
            depth=depth,
            aggregate=aggregate,
        )
        return scores, seen


def _check_range(c: Context, what: str, index: Any, end: int | None) -> None:
    low, high = int(index.min(initial=0)), int(index.max(initial=-1))
    if low < 0 or (end is not None and high >= end):
        raise ModelError(f"{c.op_type}: {what} {low if low < 0 else high} of {end}")


def _depth(c: Context, trees: Trees) -> int:
    """The longest way from a root to a leaf; each node is met after its parents."""
    inner = np.flatnonzero(trees.mode != LEAF)
    parents = np.zeros(len(trees.mode), np.int64)
    for child in (trees.yes, trees.no):
        parents += np.bincount(child[inner], minlength=len(parents))
    front = np.flatnonzero(parents == 0)
    met = depth = 0
    while len(front):
        met += len(front)
        depth += 1
        front = front[trees.mode[front] != LEAF]
        children = np.concatenate([trees.yes[front], trees.no[front]])
        np.subtract.at(parents, children, 1)
        front = np.unique(children[parents[children] == 0])
    if met < len(parents):
        raise ModelError(f"{c.op_type}: the nodes of a tree form a circle")
    return depth


def _column(
    c: Context, name: str, dtype: Any, count: int | None, default: Any = None
) -> Any:
    """A list attribute as an array of a known length."""
    tensor = c.tensor(f"{name}_as_tensor") if c.has(f"{name}_as_tensor") else None
    if tensor is not None:
        found = tensor.array().ravel()
    elif dtype is np.float32:
        found = np.array(c.reals(name, []), np.float32)
    else:
        found = np.array(c.integers(name, []), dtype)
    if not len(found) and default is not None:
        return np.full(count or 0, default, dtype)
    if count is not None and len(found) != count:
        raise ModelError(f"{c.op_type}: {name} has {len(found)} elements, not {count}")
    return found


def classic_trees(c: Context, stem: str) -> Trees:
    """Trees of a classifier (``class``) or a regressor (``target``) before opset 5."""
    words = c.strings("nodes_modes")
    n = len(words)
    unknown = set(words) - _CODES.keys()
    if unknown:
        raise ModelError(f"{c.op_type} has no mode {min(unknown)!r}")
    ids = [_column(c, f"nodes_{name}", np.int64, n) for name in ("treeids", "nodeids")]
    owners = [
        _column(c, f"{stem}_{name}", np.int64, None) for name in ("treeids", "nodeids")
    ]
    mode = np.array([_CODES[w] for w in words], np.int8)
    branch = mode != LEAF
    links = [
        _column(c, f"nodes_{name}nodeids", np.int64, n) for name in ("true", "false")
    ]
    place = _Places(c, ids[0], ids[1])
    here = np.arange(n)
    yes, no = (
        np.where(branch, place.find(ids[0], np.where(branch, k, ids[1])), here)
        for k in links
    )
    owner = place.find(*owners)
    return Trees(
        np.where(branch, _column(c, "nodes_featureids", np.int64, n), 0),
        mode,
        _column(c, "nodes_values", np.float32, n),
        yes,
        no,
        _column(c, "nodes_missing_value_tracks_true", np.int64, n, 0).astype(np.bool_),
        _roots(ids[0], branch, yes, no),
        owner,
        _column(c, f"{stem}_ids", np.int64, len(owner)),
        _column(c, f"{stem}_weights", np.float32, len(owner)),
    )


class _Places:
    """Positions of nodes by (tree, node)."""

    def __init__(self, c: Context, trees: Any, nodes: Any) -> None:
        self.c = c
        self.trees, self.nodes = np.unique(trees), np.unique(nodes)
        keys, valid = self._keys(trees, nodes)
        self.order = np.argsort(keys, kind="stable")
        self.keys = keys[self.order]
        if not valid or (np.diff(self.keys) == 0).any():
            raise ModelError(f"{c.op_type}: a tree has two nodes of one number")

    def _keys(self, trees: Any, nodes: Any) -> tuple[Any, bool]:
        t, n = np.searchsorted(self.trees, trees), np.searchsorted(self.nodes, nodes)
        t, n = np.minimum(t, len(self.trees) - 1), np.minimum(n, len(self.nodes) - 1)
        if not len(self.trees):
            return np.zeros(0, np.int64), not len(trees)
        valid = bool(((self.trees[t] == trees) & (self.nodes[n] == nodes)).all())
        return t * len(self.nodes) + n, valid

    def find(self, trees: Any, nodes: Any) -> Any:
        """The positions of nodes.

        Raises:
            ModelError: If there is no such node.
        """
        if len(trees) != len(nodes):
            raise ModelError(
                f"{self.c.op_type}: ids of trees and nodes differ in number"
            )
        keys, valid = self._keys(trees, nodes)
        at = np.minimum(np.searchsorted(self.keys, keys), max(0, len(self.keys) - 1))
        if not valid or (len(keys) and (self.keys[at] != keys).any()):
            raise ModelError(f"{self.c.op_type}: a tree refers to a node that it lacks")
        return self.order[at]


def _roots(trees: Any, branch: Any, yes: Any, no: Any) -> Any:
    """Of each tree the first node that is no other's successor."""
    child = np.zeros(len(trees), np.bool_)
    child[yes[branch]] = True
    child[no[branch]] = True
    free = np.flatnonzero(~child)
    _, first = np.unique(trees[free], return_index=True)
    return free[np.sort(first)]


def modern_trees(c: Context) -> Trees:
    """Trees of TreeEnsemble: interior nodes first, then leaves."""
    modes = _tensor(c, "nodes_modes").astype(np.int64)
    n = len(modes)
    weights = _tensor(c, "leaf_weights")
    targets = _column(c, "leaf_targetids", np.int64, len(weights))
    split = _tensor(c, "nodes_splits")
    sides: list[Any] = []
    for name in ("true", "false"):
        to = _column(c, f"nodes_{name}nodeids", np.int64, n)
        leaf = _column(c, f"nodes_{name}leafs", np.int64, n).astype(np.bool_)
        _check_range(c, "leaf", to[leaf], len(weights))
        _check_range(c, "node", to[~leaf], n)
        sides.append(np.where(leaf, to + n, to))
    roots = _column(c, "tree_roots", np.int64, None)
    _check_range(c, "root", roots, n)
    lost = _column(c, "nodes_missing_value_tracks_true", np.int64, n, 0).astype(
        np.bool_
    )
    feature = _column(c, "nodes_featureids", np.int64, n)
    if len(split) != n or modes.min(initial=0) < 0 or modes.max(initial=0) > LEAF:
        raise ModelError(f"{c.op_type}: nodes_splits or nodes_modes do not fit")
    leaves = np.arange(n, n + len(weights))
    blank = np.zeros(len(weights), np.int64)
    trees = Trees(
        np.concatenate([feature, blank]),
        np.concatenate([modes, blank + LEAF]).astype(np.int8),
        np.concatenate([split, blank.astype(split.dtype)]),
        np.concatenate([sides[0], leaves]),
        np.concatenate([sides[1], leaves]),
        np.concatenate([lost, blank.astype(np.bool_)]),
        roots,
        leaves,
        targets,
        weights,
    )
    return _with_members(c, trees, np.flatnonzero(modes == LEAF))


def _tensor(c: Context, name: str) -> Any:
    found = c.tensor(name)
    if found is None:
        raise ModelError(f"{c.op_type} lacks attribute {name!r}")
    return found.array().ravel()


def _with_members(c: Context, trees: Trees, nodes: Any) -> Trees:
    """Trees in which membership of a set is a chain of comparisons for equality.

    In a TreeEnsemble the code after those of the comparisons is that of membership.
    """
    if not len(nodes):
        return trees
    members = _sets(c, _tensor(c, "membership_values"), len(nodes))
    extra: list[tuple[int, Any, int]] = []
    size = len(trees.mode)
    for node, values in zip(nodes.tolist(), members, strict=True):
        trees.mode[node] = _CODES["BRANCH_EQ"]
        trees.at[node] = values[0] if len(values) else np.nan
        after = int(trees.no[node])
        for value in values[:0:-1]:
            extra.append((node, value, after))
            after = size + len(extra) - 1
        trees.no[node] = after
    if extra:
        source = np.array([e[0] for e in extra])
        trees.feature = np.append(trees.feature, trees.feature[source])
        trees.mode = np.append(trees.mode, trees.mode[source])
        trees.at = np.append(trees.at, np.array([e[1] for e in extra], trees.at.dtype))
        trees.no = np.append(trees.no, np.array([e[2] for e in extra], np.int64))
        trees.yes = np.append(trees.yes, trees.yes[source])
        trees.lost = np.append(trees.lost, trees.lost[source])
    return trees


def _sets(c: Context, values: Any, count: int) -> list[Any]:
    """The sets of members, which NaN separates."""
    ends = np.flatnonzero(np.isnan(values.astype(np.float64)))
    parts = [p[~np.isnan(p.astype(np.float64))] for p in np.split(values, ends)]
    if len(ends) and ends[-1] == len(values) - 1:
        parts = parts[:-1]  # a separator ends the last set too
    if len(parts) != count:
        raise ModelError(f"{c.op_type}: {len(parts)} sets of members for {count} nodes")
    return parts
