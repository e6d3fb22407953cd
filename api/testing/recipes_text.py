"""Recipes of sequences, optionals and strings."""

from collections.abc import Sequence
from typing import Any

from graphwright.ir.dim import Dim
from graphwright.ir.dtype import DTYPES, float32, int64, string
from graphwright.ir.emitter import Value
from graphwright.ir.types import ANY, TensorType
from graphwright.testing.maker import Maker, bare
from graphwright.testing.recipes_host import text
from graphwright.testing.registry import recipe

_ALL = "fiub"


def _names(*dims: Dim) -> tuple[str, ...]:
    return tuple(map(str, dims))


def _list(m: Maker, rank: tuple[int, int] = (0, 2)) -> tuple[Value, Value]:
    """A sequence of two or three tensors of one type, and one of them."""
    x = m.tensor(_ALL, rank)
    items = [x, m.like(x), *([x] if m.flag() else [])]
    return m.emit("sequence_construct", *items)[0], x


def _element(m: Maker, s: Value, x: Value) -> Value:
    """The first element of a sequence of values like ``x``."""
    zero = m.constant(0, int64)
    (y,) = m.emit("sequence_at", s, zero, types=(bare(x),), fresh=())
    return m.state(y, m.fact(s).low, m.fact(s).high)


@recipe("sequence_construct")
def sequence_construct(m: Maker) -> Sequence[Value]:
    return [_element(m, *_list(m))]


@recipe("sequence_at")
def sequence_at(m: Maker) -> Sequence[Value]:
    s, x = _list(m)
    at = m.constant(m.c.pick([-1, 0, 1]), int64)
    return m.emit("sequence_at", s, at, types=(bare(x),), fresh=())


@recipe("sequence_empty")
def sequence_empty(m: Maker) -> Sequence[Value]:
    x = m.tensor(_ALL)
    element = x.tensor.with_shape([ANY] * x.rank)
    (empty,) = m.emit("sequence_empty", element=element)
    (s,) = m.emit("sequence_insert", empty, x)
    return [_element(m, s, x)]


@recipe("sequence_insert")
def sequence_insert(m: Maker) -> Sequence[Value]:
    s, x = _list(m)
    at = [m.constant(m.c.pick([0, -1]), int64)] if m.flag() else []
    (s,) = m.emit("sequence_insert", s, m.like(x), *at)
    return [_element(m, s, x)]


@recipe("sequence_erase")
def sequence_erase(m: Maker) -> Sequence[Value]:
    s, x = _list(m)
    at = [m.constant(m.c.pick([0, -1]), int64)] if m.flag() else []
    (s,) = m.emit("sequence_erase", s, *at)
    return [_element(m, s, x)]


@recipe("sequence_length")
def sequence_length(m: Maker) -> Sequence[Value]:
    return m.emit("sequence_length", _list(m)[0])


@recipe("split_to_sequence")
def split_to_sequence(m: Maker) -> Sequence[Value]:
    x = m.tensor(_ALL, (1, 3))
    axis = m.axis(x)
    size = [m.constant(2, int64)] if m.flag() else []
    (s,) = m.emit("split_to_sequence", x, *size, axis=axis, keepdims=True)
    return m.emit("sequence_length", s)


@recipe("concat_from_sequence")
def concat_from_sequence(m: Maker) -> Sequence[Value]:
    s, x = _list(m, (1, 2))
    axis, count = m.axis(x), m.b.fresh_symbol()
    shape, new = list(x.shape), m.flag()
    if new:
        shape.insert(axis, count)
    else:
        shape[axis] = count
    fields = {"types": (TensorType(x.dtype, tuple(shape)),), "fresh": _names(count)}
    return m.emit("concat_from_sequence", s, axis=axis, new_axis=new, **fields)


@recipe("optional")
def optional(m: Maker) -> Sequence[Value]:
    x = m.tensor(_ALL)
    return m.emit("optional_has", _optional(m, x))


def _optional(m: Maker, x: Value) -> Value:
    return m.emit("optional", x, element=bare(x))[0]


@recipe("optional_has")
def optional_has(m: Maker) -> Sequence[Value]:
    (nothing,) = m.emit("optional", element=TensorType(float32, (2,)))
    return m.emit("optional_has", nothing)


@recipe("optional_get")
def optional_get(m: Maker) -> Sequence[Value]:
    x = m.tensor(_ALL)
    return m.emit("optional_get", _optional(m, x), types=(bare(x),), fresh=())


# Strings ------------------------------------------------------------------------------


def _strings(m: Maker, *shape: Dim) -> Value:
    return m.shaped(string, shape or m.shape(0, 2))


@recipe("string_concat")
def string_concat(m: Maker) -> Sequence[Value]:
    x = _strings(m)
    return m.emit("string_concat", x, m.like(x))


@recipe("string_split")
def string_split(m: Maker) -> Sequence[Value]:
    x = _strings(m)
    width = m.b.fresh_symbol()
    types = (TensorType(string, (*x.shape, width)), TensorType(int64, x.shape))
    fields = {"delimiter": m.c.pick(["", ","]), "maxsplit": m.c.pick([-1, 1])}
    return m.emit("string_split", x, types=types, fresh=_names(width), **fields)


@recipe("regex_full_match")
def regex_full_match(m: Maker) -> Sequence[Value]:
    pattern = m.c.pick(["a|b", "[a-z ]*", ".*,.*"])
    return m.emit("regex_full_match", _strings(m), pattern=pattern)


@recipe("string_normalizer")
def string_normalizer(m: Maker) -> Sequence[Value]:
    x, count = _strings(m, m.dim()), m.b.fresh_symbol()
    types = (TensorType(string, (count,)),)
    fields: dict[str, Any] = {
        "case": m.c.pick(["NONE", "LOWER", "UPPER"]),
        "stopwords": ("a", "CAT"),
    }
    fields |= {"case_sensitive": m.flag()}
    return m.emit("string_normalizer", x, types=types, fresh=_names(count), **fields)


@recipe("tf_idf")
def tf_idf(m: Maker) -> Sequence[Value]:
    rows = [m.dim(), m.dim()] if m.flag() else [m.dim()]
    if m.flag():
        x, pool = _strings(m, *rows), text(m, ["a", "b", "a", "cat"])
    else:
        x, pool = m.shaped(int64, rows), m.constant([1, 2, 1, 0], int64)
    others = [m.constant([0, 2], int64), m.constant([0, 1, 2], int64)]
    others.append(m.constant([1.0, 0.5, 2.0], float32))
    fields = {"mode": m.c.pick(["TF", "IDF", "TFIDF"]), "columns": 3}
    fields |= {"shortest": 1, "longest": 2, "max_skip": m.c.integer(0, 1)}
    size = 8.0 * m.most(rows[-1])
    return m.bounded(size, "tf_idf", x, pool, *others, **fields)


@recipe("tokenize")
def tokenize(m: Maker) -> Sequence[Value]:
    x, width = _strings(m), m.b.fresh_symbol()
    types = (TensorType(string, (*x.shape, width)),)
    rows: list[dict[str, Any]] = [
        {},
        {"separators": (" ", ",")},
        {"expression": "[a-z]+"},
    ]
    fields = {**m.c.pick(rows), "marks": m.flag(), "pad": "#"}
    return m.emit("tokenize", x, types=types, fresh=_names(width), **fields)


@recipe("murmur_hash")
def murmur_hash(m: Maker) -> Sequence[Value]:
    x = _strings(m) if m.flag() else m.shaped(DTYPES["int32"], m.shape(0, 2))
    to = DTYPES[m.c.pick(["uint32", "int32"])]
    return m.emit("murmur_hash", x, seed=m.c.integer(0, 9), dtype=to)
