"""ai.onnx.ml: tree ensembles."""

import numpy as np

from graphwright.frontends.onnx.context import Context
from graphwright.frontends.onnx.ops_ml import ML
from graphwright.frontends.onnx.registry import converter
from graphwright.frontends.onnx.scores import (
    TRANSFORMS,
    as_floats,
    as_rows,
    labels_of,
    opposite,
    pick,
    transformed,
)
from graphwright.frontends.onnx.trees import Trees, classic_trees, modern_trees
from graphwright.ir.dtype import float32, int64
from graphwright.ir.emitter import Value
from graphwright.ir.errors import ModelError

_AGGREGATES = ("average", "sum", "min", "max")


def _base(c: Context) -> list[float]:
    tensor = (
        c.tensor("base_values_as_tensor") if c.has("base_values_as_tensor") else None
    )
    if tensor is not None:
        return [float(v) for v in tensor.array().ravel()]
    return c.reals("base_values", [])


def _with_base(c: Context, scores: Value, base: list[float]) -> Value:
    if not base:
        return scores
    return c.b.add(scores, c.b.constant(np.array(base, scores.dtype.numpy)))


@converter("TreeEnsembleRegressor", domain=ML)
def tree_regressor(c: Context) -> Value:
    """Leaves' weights over the trees, by target."""
    targets, base = c.integer("n_targets", 1), _base(c)
    aggregate = c.string("aggregate_function", "SUM").lower()
    if len(base) not in (0, 1, targets):
        raise ModelError(f"{c.op_type}: {len(base)} base values for {targets} targets")
    x = as_floats(c, as_rows(c, c[0]))
    scores, _ = classic_trees(c, "target").emit(c, x, targets, aggregate)
    scores = c.b.cast(_with_base(c, scores, base), float32)
    return transformed(c, scores, c.string("post_transform", "NONE"))


@converter("TreeEnsemble", since=5, domain=ML)
def tree_ensemble(c: Context) -> Value:
    """Leaves' weights over the trees, by target, in the dtype of the features."""
    kind, after = c.integer("aggregate_function", 1), c.integer("post_transform", 0)
    if not (0 <= kind < len(_AGGREGATES) and 0 <= after < len(TRANSFORMS)):
        raise ModelError(
            f"TreeEnsemble: aggregate_function {kind}, post_transform {after}"
        )
    targets = c.integer("n_targets", 1)
    scores, _ = modern_trees(c).emit(c, as_rows(c, c[0]), targets, _AGGREGATES[kind])
    return transformed(c, scores, TRANSFORMS[after])


@converter("TreeEnsembleClassifier", domain=ML)
def tree_classifier(c: Context) -> tuple[Value, Value]:
    """The best class, and transformed scores of all.

    Two classes of which the leaves know one only are decided by its score: above one
    half where no weight is negative (they are probabilities), else above zero.
    """
    labels = labels_of(c, "classlabels_int64s", "classlabels_strings")
    if labels is None:
        raise ModelError(f"{c.op_type} has no class labels")
    count = labels.shape[0]
    assert isinstance(count, int)
    base, trees = _base(c), classic_trees(c, "class")
    if len(base) not in (0, 1, count):
        raise ModelError(f"{c.op_type}: {len(base)} base values for {count} classes")
    x = as_floats(c, as_rows(c, c[0]))
    used = np.unique(trees.target)
    single = count == 2 and len(used) == 1 and len(base) < 2
    scores, seen = trees.emit(c, x, count, "sum")
    if single:
        index, scores = _one_of_two(c, trees, scores, int(used[0]), base)
    else:
        index, scores = _best(c, scores, seen, base)
    return pick(c, labels, index), scores


def _one_of_two(
    c: Context, trees: Trees, scores: Value, used: int, base: list[float]
) -> tuple[Value, Value]:
    b, transform = c.b, c.string("post_transform", "NONE")
    mixed = bool((trees.weight < 0).any())
    score = _with_base(c, b.slice_axis(scores, 1, used, used + 1), base)
    positive = b.gt(b.squeeze(score, [1]), b.scalar(0.0 if mixed else 0.5, score.dtype))
    score = b.cast(score, float32)
    if used == 0:
        return b.cast(positive, int64), opposite(c, score, transform, mixed=mixed)
    both = b.concat([b.zeros_like(score), score], 1)
    return b.cast(positive, int64), transformed(c, both, transform)


def _best(
    c: Context, scores: Value, seen: Value, base: list[float]
) -> tuple[Value, Value]:
    """The class of the largest score among those that any leaf speaks of."""
    b, width = c.b, scores.shape[1]
    assert isinstance(width, int)
    if base:
        scores = _with_base(c, scores, base + [0.0] * (width - len(base)))
        candidates = scores
    else:
        candidates = b.where(seen, scores, b.scalar(-np.inf, scores.dtype))
    index = b.arg_reduce("max", candidates, 1)
    scores = b.cast(scores, float32)
    return index, transformed(c, scores, c.string("post_transform", "NONE"))
