"""ai.onnx.ml: linear models and support vector machines."""

from typing import Any

import numpy as np

from graphwright.frontends.onnx.context import Context
from graphwright.frontends.onnx.ops_ml import ML
from graphwright.frontends.onnx.registry import converter
from graphwright.frontends.onnx.scores import (
    as_rows,
    labels_of,
    opposite,
    pick,
    transformed,
)
from graphwright.ir.dtype import float32, int64
from graphwright.ir.emitter import Value
from graphwright.ir.errors import ModelError


def _matrix(c: Context, name: str, rows: int) -> Any:
    """A list of floats as a matrix of so many rows."""
    flat = np.array(c.reals(name, []), np.float32)
    if rows <= 0 or len(flat) % rows:
        raise ModelError(
            f"{c.op_type}: {name} has {len(flat)} elements for {rows} rows"
        )
    return flat.reshape(rows, -1)


def _affine(c: Context, x: Value, weights: Any, offset: list[float]) -> Value:
    """``x @ weights.T + offset``."""
    y = c.b.matmul(x, c.b.constant(np.ascontiguousarray(weights.T)))
    return c.b.add(y, c.b.constant(np.array(offset, np.float32))) if offset else y


@converter("LinearRegressor", domain=ML)
def linear_regressor(c: Context) -> Value:
    """``x @ coefficients.T + intercepts``, transformed."""
    x = c.b.cast(as_rows(c, c[0]), float32)
    weights = _matrix(c, "coefficients", c.integer("targets", 1))
    scores = _affine(c, x, weights, c.reals("intercepts", []))
    return transformed(c, scores, c.string("post_transform", "NONE"))


@converter("LinearClassifier", domain=ML)
def linear_classifier(c: Context) -> tuple[Value, Value]:
    """The class of the largest affine score, and transformed scores.

    One score for two classes is that of the second, which wins above zero.
    """
    b = c.b
    x = b.cast(as_rows(c, c[0]), float32)
    labels = labels_of(c, "classlabels_ints", "classlabels_strings")
    offset = c.reals("intercepts", [])
    rows = len(offset) or _row_count(c, x)
    scores = _affine(c, x, _matrix(c, "coefficients", rows), offset)
    transform = c.string("post_transform", "NONE")
    if rows > 1:
        index = b.arg_reduce("max", scores, 1)
        return _labelled(c, labels, index), transformed(c, scores, transform)
    index = b.cast(b.gt(b.squeeze(scores, [1]), 0), int64)
    if labels is not None and labels.shape[0] == 2:
        return pick(c, labels, index), opposite(c, scores, transform, mixed=False)
    return _labelled(c, None, index), transformed(c, scores, transform)


def _row_count(c: Context, x: Value) -> int:
    width, total = x.shape[1], len(c.reals("coefficients"))
    if not isinstance(width, int) or not width or total % width:
        raise ModelError(f"{c.op_type}: {total} coefficients for {width} features")
    return total // width


def _labelled(c: Context, labels: Value | None, index: Value) -> Value:
    return index if labels is None else pick(c, labels, index)


# Support vector machines --------------------------------------------------------------


def _kernel(c: Context, x: Value, vectors: Any) -> Value:
    """The kernel of each row and each vector, [n, vectors]."""
    b = c.b
    gamma, coef0, degree = (*c.reals("kernel_params", []), 0.0, 0.0, 0.0)[:3]
    right = b.constant(np.ascontiguousarray(vectors.T))
    match c.string("kernel_type", "LINEAR"):
        case "LINEAR":
            return b.matmul(x, right)
        case "POLY":
            return b.pow(b.add(b.mul(b.matmul(x, right), gamma), coef0), degree)
        case "SIGMOID":
            return b.tanh(b.add(b.mul(b.matmul(x, right), gamma), coef0))
        case "RBF":
            gap = b.sub(b.expand_dims(x, [1]), b.constant(vectors[None]))
            return b.exp(b.mul(b.sum(b.mul(gap, gap), [2]), -gamma))
        case kind:
            raise ModelError(f"{c.op_type} has no kernel {kind!r}")


@converter("SVMRegressor", domain=ML)
def svm_regressor(c: Context) -> Value:
    """``kernel(x, vectors) @ coefficients + rho``; its sign for a one-class machine."""
    b = c.b
    x = b.cast(as_rows(c, c[0]), float32)
    supports = c.integer("n_supports", 0)
    weights = np.array(c.reals("coefficients", []), np.float32)
    rho = c.reals("rho", [0.0])[:1]
    if supports > 0:
        kernel = _kernel(c, x, _matrix(c, "support_vectors", supports))
    else:
        kernel = x
    score = _affine(c, kernel, weights.reshape(1, -1), rho)
    if c.integer("one_class", 0):
        score = b.where(b.gt(score, 0), b.full(score.shape, 1, float32), -1)
    return transformed(c, score, c.string("post_transform", "NONE"))


@converter("SVMClassifier", domain=ML)
def svm_classifier(c: Context) -> tuple[Value, Value]:
    """One-against-one votes (or linear scores), or probabilities if it has them."""
    return _Classifier(c).results()


class _Classifier:
    """One SVMClassifier: by pairs of classes with support vectors, else linear."""

    def __init__(self, c: Context) -> None:
        self.c, self.b = c, c.b
        self.labels = labels_of(c, "classlabels_ints", "classlabels_strings")
        self.counts = c.integers("vectors_per_class", [])
        self.rho = c.reals("rho", [0.0])
        self.pairs = bool(sum(self.counts))
        size = 0 if self.labels is None else self.labels.shape[0]
        assert isinstance(size, int)
        self.classes = len(self.counts) if self.pairs else max(size, 1)
        self.x = c.b.cast(as_rows(c, c[0]), float32)

    def results(self) -> tuple[Value, Value]:
        """Labels and scores."""
        b, c = self.b, self.c
        transform = c.string("post_transform", "NONE")
        if not self.pairs:
            vectors = _matrix(c, "coefficients", self.classes)
            scores = b.add(_kernel(c, self.x, vectors), self.rho[0])
            return self._label(b.arg_reduce("max", scores, 1)), transformed(
                c, scores, transform
            )
        scores = self._pair_scores()
        best = b.arg_reduce("max", self._votes(scores), 1)
        if c.has("prob_a") and c.reals("prob_a"):
            return self._label(best), self._probabilities(scores)
        if self.classes == 2:
            mixed = transform in ("NONE", "LOGISTIC")
            return self._label(best), opposite(c, scores, transform, mixed=mixed)
        return self._label(best), transformed(c, scores, transform)

    def _label(self, index: Value) -> Value:
        return _labelled(self.c, self.labels, index)

    def _pair_scores(self) -> Value:
        """The score of each pair of classes (i < j), [n, pairs]: positive for i."""
        c, total = self.c, sum(self.counts)
        vectors = _matrix(c, "support_vectors", total)
        weights = _matrix(c, "coefficients", self.classes - 1)
        starts = np.cumsum([0, *self.counts])
        columns: list[Any] = []
        for i in range(self.classes):
            for j in range(i + 1, self.classes):
                column = np.zeros(total, np.float32)
                mine, other = slice(*starts[i : i + 2]), slice(*starts[j : j + 2])
                column[mine] = weights[j - 1, mine]
                column[other] = weights[i, other]
                columns.append(column)
        if len(self.rho) != len(columns):
            raise ModelError(
                f"{c.op_type}: {len(self.rho)} rho for {len(columns)} pairs"
            )
        return _affine(c, _kernel(c, self.x, vectors), np.array(columns), self.rho)

    def _votes(self, scores: Value) -> Value:
        """How many pairs each class wins."""
        b, pairs = self.b, len(self.rho)
        first = np.zeros((pairs, self.classes), np.float32)
        second = np.zeros((pairs, self.classes), np.float32)
        k = 0
        for i in range(self.classes):
            for j in range(i + 1, self.classes):
                first[k, i] = second[k, j] = 1
                k += 1
        wins = b.cast(b.gt(scores, 0), float32)
        losses = b.cast(b.le(scores, 0), float32)
        return b.add(
            b.matmul(wins, b.constant(first)), b.matmul(losses, b.constant(second))
        )

    def _probabilities(self, scores: Value) -> Value:
        """Platt's probabilities of pairs, coupled (Wu, Lin and Weng, JMLR 2004)."""
        b, c = self.b, self.c
        a, shift = (np.array(c.reals(n, []), np.float32) for n in ("prob_a", "prob_b"))
        if len(a) != len(self.rho) or len(shift) != len(a):
            raise ModelError(f"{c.op_type}: prob_a and prob_b do not fit the pairs")
        line = b.add(b.mul(scores, b.constant(-a)), b.constant(-shift))
        pair = b.emit("sigmoid", line)
        return b.emit("coupled_probabilities", pair, classes=self.classes)
