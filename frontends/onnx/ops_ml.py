"""ai.onnx.ml: encoders, scalers and maps."""

import math
from typing import Any

import numpy as np

from graphwright.frontends.onnx.context import Context
from graphwright.frontends.onnx.registry import converter
from graphwright.frontends.onnx.scores import as_rows
from graphwright.ir.dim import minimum, product
from graphwright.ir.dtype import DType, float32, float64, int64, string
from graphwright.ir.emitter import Value
from graphwright.ir.errors import DTypeError, ModelError
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
