"""ai.onnx.ml: encoders, scalers and maps."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from graphwright.frontends.onnx.context import Context
from graphwright.frontends.onnx.exporting import Export, Exported
from graphwright.frontends.onnx.registry import converter, exporter
from graphwright.frontends.onnx.save_tensor import tensor_proto
from graphwright.frontends.onnx.scores import as_rows
from graphwright.ir.constant import Constant
from graphwright.ir.dim import minimum, product
from graphwright.ir.dtype import (
    DTYPES,
    DType,
    bool_,
    float32,
    float64,
    int64,
    string,
    uint8,
)
from graphwright.ir.emitter import Value
from graphwright.ir.errors import DTypeError, ModelError
from graphwright.ir.ops.ml import LEAF
from graphwright.ir.types import MapType, TensorType

ML = "ai.onnx.ml"


@converter("ArrayFeatureExtractor", domain=ML)
def array_feature_extractor(c: Context) -> Value:
    """Columns of the last axis; of a vector, as one row."""
    x = as_rows(c, c[0])
    index = c.b.reshape(c[1], (c[1].tensor.size,))
    return c.b.gather(x, index, x.rank - 1)


@converter("Binarizer", domain=ML)
def binarizer(c: Context) -> Value:
    """1 where an element is greater than the threshold, else 0."""
    x = c[0]
    return c.b.cast(c.b.gt(x, c.b.scalar(c.real("threshold", 0.0), x.dtype)), x.dtype)


# Tables -------------------------------------------------------------------------------


def _table(
    c: Context,
    x: Value,
    keys: Value,
    values: Value,
    default: Value,
    *,
    strict: bool = False,
) -> Value:
    if keys.tensor.size != values.tensor.size:
        raise ModelError(
            f"{c.op_type} has {keys.tensor.size} keys and {values.tensor.size} values"
        )
    return c.b.emit("lookup_table", x, keys, values, default, strict=strict)


def _one(c: Context, value: Any, dtype: DType) -> Value:
    return c.b.constant(np.array([value], dtype.numpy), dtype)


def _list(c: Context, values: list[Any], dtype: DType) -> Value:
    return c.b.constant(np.array(values, dtype.numpy), dtype)


@converter("CategoryMapper", domain=ML)
def category_mapper(c: Context) -> Value:
    """Strings to integers, or integers to strings."""
    words = _list(c, c.strings("cats_strings", []), string)
    numbers = _list(c, c.integers("cats_int64s", []), int64)
    if c[0].dtype is string:
        default = _one(c, c.integer("default_int64", -1), int64)
        return _table(c, c[0], words, numbers, default)
    default = _one(c, c.string("default_string", "_Unused"), string)
    return _table(c, c[0], numbers, words, default)


@converter("LabelEncoder", domain=ML)
def label_encoder_1(c: Context) -> Value:
    """Strings to their positions in a list, or back."""
    words = c.strings("classes_strings", [])
    numbers = list(range(len(words)))
    if c[0].dtype is string:
        default = _one(c, c.integer("default_int64", -1), int64)
        return _table(
            c, c[0], _list(c, words, string), _list(c, numbers, int64), default
        )
    default = _one(c, c.string("default_string", "_Unused"), string)
    return _table(c, c[0], _list(c, numbers, int64), _list(c, words, string), default)


@converter("LabelEncoder", since=2, domain=ML)
def label_encoder(c: Context) -> Value:
    """Each element's value in a table from keys to values."""
    keys, values = _column(c, "keys"), _column(c, "values")
    given = c.tensor("default_tensor")
    if given is not None:
        default = c.b.constant_of(given)
    elif values.dtype is string:
        default = _one(c, c.string("default_string", "_Unused"), string)
    elif values.dtype.is_float:
        default = _one(c, c.real("default_float", -0.0), values.dtype)
    else:
        default = _one(c, c.integer("default_int64", -1), values.dtype)
    return _table(c, c[0], keys, values, default)


def _column(c: Context, stem: str) -> Value:
    """Keys or values, by whichever attribute gives them."""
    tensor = c.tensor(f"{stem}_tensor")
    if tensor is not None:
        value = c.b.constant_of(tensor)
        return c.b.reshape(value, (value.tensor.size,))
    if c.has(f"{stem}_strings"):
        return _list(c, c.strings(f"{stem}_strings"), string)
    if c.has(f"{stem}_int64s"):
        return _list(c, c.integers(f"{stem}_int64s"), int64)
    if c.has(f"{stem}_floats"):
        return _list(c, c.reals(f"{stem}_floats"), float32)
    raise ModelError(f"{c.op_type} has no {stem}")


@converter("OneHotEncoder", domain=ML)
def one_hot_encoder(c: Context) -> Value:
    """Along a new last axis 1 at an element's category, else 0."""
    x = c[0]
    if x.dtype is string:
        keys = _list(c, c.strings("cats_strings"), string)
    else:
        x, keys = c.b.cast(x, int64), _list(c, c.integers("cats_int64s"), int64)
    count = keys.tensor.size
    assert isinstance(count, int)
    numbers, strict = _list(c, list(range(count)), int64), not c.integer("zeros", 1)
    found = _table(c, x, keys, numbers, _one(c, -1, int64), strict=strict)
    places = c.b.iota((count,), 0, int64)
    return c.b.cast(c.b.eq(c.b.expand_dims(found, [x.rank]), places), float32)


# Numbers ------------------------------------------------------------------------------


@converter("FeatureVectorizer", domain=ML)
def feature_vectorizer(c: Context) -> Value:
    """Features side by side as float32, each cut or filled up to its size."""
    sizes = c.integers("inputdimensions", [])
    if len(sizes) != len(c.inputs):
        raise ModelError(
            f"FeatureVectorizer has {len(sizes)} sizes for {len(c.inputs)} inputs"
        )
    parts = [_fitted(c, v, n) for v, n in zip(c.values(), sizes, strict=True)]
    return c.b.concat(parts, 1)


def _fitted(c: Context, x: Value, size: int) -> Value:
    x = c.b.cast(as_rows(c, x), float32)
    x = c.b.reshape(x, (x.shape[0], product(x.shape[1:])))
    kept = minimum(x.shape[1], size)
    return c.b.pad(c.b.slice_axis(x, 1, 0, kept), (0, 0), (0, size - kept))


@converter("Imputer", domain=ML)
def imputer(c: Context) -> Value:
    """Another value, one for all or one a feature, where an element is missing."""
    x = c[0]
    if x.dtype.is_float:
        missing = c.real("replaced_value_float", 0.0)
        values: list[Any] = list(c.reals("imputed_value_floats", []))
    else:
        missing = c.integer("replaced_value_int64", 0)
        values = list(c.integers("imputed_value_int64s", []))
    if not values:
        raise ModelError(f"Imputer has no values for {x.type}")
    fill = (
        _list(c, values, x.dtype) if len(values) > 1 else c.b.scalar(values[0], x.dtype)
    )
    if math.isnan(missing):
        gone = c.b.is_nan(x)
    else:
        gone = c.b.eq(x, c.b.scalar(missing, x.dtype))
    return c.b.where(gone, c.b.broadcast_to(fill, x.shape), x)


@converter("Normalizer", domain=ML)
def normalizer(c: Context) -> Value:
    """Rows over their largest element, sum of magnitudes, or Euclidean length."""
    b, x = c.b, c.b.cast(c[0], float32)
    axes = [x.rank - 1]
    match c.string("norm", "MAX"):
        case "MAX":
            size = b.reduce("max", x, axes, keepdims=True)
        case "L1":
            size = b.sum(b.abs(x), axes, keepdims=True)
        case "L2":
            size = b.sqrt(b.sum(b.mul(x, x), axes, keepdims=True))
        case norm:
            raise ModelError(f"Normalizer has no norm {norm!r}")
    return b.div(x, b.where(b.eq(size, 0), 1, size))


@converter("Scaler", domain=ML)
def scaler(c: Context) -> Value:
    """``(x - offset) * scale`` as float32."""
    x = c.b.cast(c[0], float32)
    offset, scale = c.reals("offset", [0.0]), c.reals("scale", [1.0])
    return c.b.mul(c.b.sub(x, _spread(c, offset)), _spread(c, scale))


def _spread(c: Context, values: list[float]) -> Value:
    return (
        c.b.scalar(values[0], float32)
        if len(values) == 1
        else _list(c, values, float32)
    )


# Maps ---------------------------------------------------------------------------------


@converter("ZipMap", domain=ML)
def zip_map(c: Context) -> Value:
    """Rows of scores as maps from labels."""
    labels: list[Any] = c.strings("classlabels_strings", [])
    labels = labels or c.integers("classlabels_int64s", [])
    return c.b.emit("zip_map", c[0], labels=tuple(labels))


def _map_type(c: Context) -> tuple[MapType, TensorType]:
    type_ = c[0].type
    if not isinstance(type_, MapType) or not isinstance(type_.value, TensorType):
        raise DTypeError(f"{c.op_type} takes a map, got {type_}")
    return type_, type_.value


@converter("DictVectorizer", domain=ML)
def dict_vectorizer(c: Context) -> Value:
    """The values of the keys of a vocabulary, in its order, as one row."""
    keys: list[Any] = c.strings("string_vocabulary", [])
    keys = keys or c.integers("int64_vocabulary", [])
    if not keys:
        raise ModelError("DictVectorizer has no vocabulary")
    _, value = _map_type(c)
    return c.b.emit(
        "map_to_tensor", c[0], dtype=value.dtype, count=len(keys), keys=tuple(keys)
    )


_CAST = {
    "TO_FLOAT": float32,
    "TO_STRING": string,
    "TO_INT64": int64,
    "TO_DOUBLE": float64,
}


@converter("CastMap", domain=ML)
def cast_map(c: Context) -> Value:
    """The values of a map in the order of its keys, or each where its key says."""
    _map_type(c)
    dtype = _CAST.get(c.string("cast_to", "TO_FLOAT"))
    if dtype is None:
        raise ModelError(f"CastMap has no cast {c.string('cast_to')!r}")
    if c.string("map_form", "DENSE") == "SPARSE":
        size = c.integer("max_map", 1)
        return c.b.emit("map_to_tensor", c[0], dtype=dtype, count=size, length=size)
    return c.b.emit("map_to_tensor", c[0], dtype=dtype, count=c.b.fresh_symbol())


# Export -------------------------------------------------------------------------------


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
def export_zip_map(e: Export) -> str:
    """``ZipMap``."""
    e.needs(1, ML)
    words = bool(e.op.labels) and isinstance(e.op.labels[0], str)
    name = "classlabels_strings" if words else "classlabels_int64s"
    fields: dict[str, Any] = {name: list(e.op.labels)}
    return e.add("ZipMap", e[0], domain=ML, **fields)


_CAST_WORDS = {"float32": "TO_FLOAT", "string": "TO_STRING", "int64": "TO_INT64"}


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
    fields = {"cast_to": _CAST_WORDS[op.dtype.name]}
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
