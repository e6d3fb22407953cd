"""Classical machine learning on its way to ai.onnx.ml."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from graphwright.frontends.onnx.exporting import Export, Exported
from graphwright.frontends.onnx.ops_ml import ML
from graphwright.frontends.onnx.registry import exporter
from graphwright.frontends.onnx.save_tensor import tensor_proto
from graphwright.ir.constant import Constant
from graphwright.ir.dtype import DTYPES, DType, bool_, uint8
from graphwright.ir.emitter import Value
from graphwright.ir.ops.ml import LEAF
from graphwright.ir.types import MapType, TensorType

_CODED = frozenset({"float32", "float64", "int64", "int32", "int16", "string"})


def _tensor(array: Any, dtype: Any) -> Any:
    return tensor_proto("", Constant.of(np.asarray(array, dtype.numpy), dtype))


@exporter("lookup_table")
def lookup_table(e: Export) -> str:
    """``LabelEncoder``; elements that are no key are not refused."""
    e.needs(4, ML)
    x, keys, values, default = e.operands
    known = [e.known(i) for i in (1, 2, 3)]
    if any(array is None for array in known):
        raise e.unsupported("its table is not known before the run")
    if not {x.dtype.name, values.dtype.name} <= _CODED:
        raise e.unsupported(f"tables from {x.dtype} to {values.dtype}")
    rows = zip(
        ("keys", "values", "default"), known, (keys, values, default), strict=True
    )
    fields = {f"{stem}_tensor": _tensor(array, v.dtype) for stem, array, v in rows}
    return e.add("LabelEncoder", e[0], domain=ML, **fields)


@exporter("zip_map")
def zip_map(e: Export) -> str:
    """``ZipMap``."""
    e.needs(1, ML)
    words = bool(e.op.labels) and isinstance(e.op.labels[0], str)
    name = "classlabels_strings" if words else "classlabels_int64s"
    fields: dict[str, Any] = {name: list(e.op.labels)}
    return e.add("ZipMap", e[0], domain=ML, **fields)


_CAST = {"float32": "TO_FLOAT", "string": "TO_STRING", "int64": "TO_INT64"}


@exporter("map_to_tensor")
def map_to_tensor(e: Export) -> str:
    """``DictVectorizer`` of given keys, else ``CastMap``."""
    e.needs(1, ML)
    op = e.op
    if op.keys:
        words = isinstance(op.keys[0], str)
        name = "string_vocabulary" if words else "int64_vocabulary"
        fields: dict[str, Any] = {name: list(op.keys)}
        own = _value_dtype(e)
        found = e.add("DictVectorizer", e[0], domain=ML, **fields)
        return found if own is op.dtype else e.cast(found, op.dtype)
    fields = {"cast_to": _CAST[op.dtype.name]}
    if op.length >= 0:
        fields |= {"map_form": "SPARSE", "max_map": op.length}
    return e.add("CastMap", e[0], domain=ML, **fields)


def _value_dtype(e: Export) -> DType:
    """The dtype of a map's values."""
    type_ = e.operands[0].type
    assert isinstance(type_, MapType)
    assert isinstance(type_.value, TensorType)
    if type_.value.dtype.name not in ("float32", "float64", "int64", "string"):
        raise e.unsupported(f"a map to {type_.value.dtype}")
    return type_.value.dtype


# Trees --------------------------------------------------------------------------------

_AGGREGATES = ("average", "sum", "min", "max")


@exporter("tree_ensemble")
def tree_ensemble(e: Export) -> Exported:
    """``TreeEnsemble``; which targets were met is told by another with weights of 1."""
    e.needs(5, ML)
    arrays = [e.known(i) for i in range(1, 12)]
    if any(a is None for a in arrays):
        raise e.unsupported("its trees are not known before the run")
    x = e.operands[0]
    wide = x if x.dtype.bits >= 32 else e.b.cast(x, DTYPES["float32"])
    forest = _Forest.of(*arrays)
    scores = _ensemble(e, wide, forest, e.op.aggregate)
    ones = _ensemble(e, wide, forest.met(), "max")
    seen = e.b.cast(ones, bool_)
    return [e.b.cast(scores, x.dtype), seen]


@dataclass
class _Forest:
    """Trees whose leaves have one weight each: a tree is there once for each weight.

    Attributes:
        nodes: Feature, comparison, threshold, successors, and whether NaN holds.
        roots: Where trees begin.
        target, weight: Of each leaf, in the order of leaves.
        extra: Which leaves only fill up: theirs have fewer weights than others.
        copies: How often each tree is there.
    """

    nodes: tuple[Any, ...]
    roots: Any
    target: Any
    weight: Any
    extra: Any
    copies: int

    @classmethod
    def of(cls, *arrays: Any) -> "_Forest":
        """From the operands of ``tree_ensemble`` after the first."""
        *nodes, roots, start, count, target, weight = arrays
        size, ends = len(nodes[1]), np.flatnonzero(nodes[1] == LEAF)
        copies = max(1, int(count[ends].max(initial=1)))
        grown = [np.tile(v, copies) for v in nodes]
        for side in (3, 4):
            grown[side] = grown[side] + np.repeat(np.arange(copies) * size, size)
        turn, number = (
            np.repeat(np.arange(copies), len(ends)),
            np.tile(count[ends], copies),
        )
        place = np.tile(start[ends], copies) + turn % np.maximum(number, 1)
        place = np.where(number > 0, place, len(weight))
        begins = (np.arange(copies)[:, None] * size + roots).ravel()
        targets, weights = (np.append(v, 0)[place] for v in (target, weight))
        return cls(tuple(grown), begins, targets, weights, turn >= number, copies)

    def met(self) -> "_Forest":
        """The same trees with weights of 1."""
        return replace(self, weight=np.where(self.extra, 0, 1))

    def weights(self, aggregate: str) -> Any:
        """Weights with which repeated trees give what each gives once."""
        if aggregate in ("min", "max"):
            return self.weight
        scale = self.copies if aggregate == "average" else 1
        return np.where(self.extra, 0, self.weight * scale)

    def fields(self, dtype: DType, aggregate: str) -> dict[str, Any]:
        """Attributes of ``TreeEnsemble``: interior nodes, then leaves.

        A tree that is one leaf gets a node that leads there either way.
        """
        feature, mode, at, yes, no, lost = self.nodes
        leaf = mode == LEAF
        alone = self.roots[leaf[self.roots]]
        inner = np.flatnonzero(~leaf)
        number = np.where(leaf, np.cumsum(leaf), np.cumsum(~leaf)) - 1
        ways = [np.concatenate([side[inner], alone]) for side in (yes, no)]
        blank = np.zeros(len(alone), np.int64)
        begins = number[self.roots]
        begins[leaf[self.roots]] = len(inner) + np.arange(len(alone))
        columns = {
            "nodes_featureids": np.concatenate([feature[inner], blank]),
            "nodes_truenodeids": number[ways[0]],
            "nodes_trueleafs": leaf[ways[0]],
            "nodes_falsenodeids": number[ways[1]],
            "nodes_falseleafs": leaf[ways[1]],
            "nodes_missing_value_tracks_true": np.concatenate([lost[inner], blank]),
            "leaf_targetids": self.target,
            "tree_roots": begins,
        }
        found: dict[str, Any] = {
            k: v.astype(np.int64).tolist() for k, v in columns.items()
        }
        found["nodes_modes"] = _tensor(np.concatenate([mode[inner], blank]), uint8)
        found["nodes_splits"] = _tensor(np.concatenate([at[inner], blank]), dtype)
        found["leaf_weights"] = _tensor(self.weights(aggregate), dtype)
        return found


def _ensemble(e: Export, x: Value, forest: _Forest, aggregate: str) -> Value:
    fields = forest.fields(x.dtype, aggregate)
    fields["n_targets"] = e.op.targets
    fields["aggregate_function"] = _AGGREGATES.index(aggregate)
    name = e.add("TreeEnsemble", e.name(x), domain=ML, **fields)
    return e.wrap(name, TensorType(x.dtype, (x.shape[0], e.op.targets)))
