"""Operators on strings."""

from typing import Any

import numpy as np

from graphwright.frontends.onnx.context import Context
from graphwright.frontends.onnx.exporting import Export, Exported
from graphwright.frontends.onnx.loops import Outer
from graphwright.frontends.onnx.registry import converter, exporter
from graphwright.ir.dtype import float32, int64, string, uint32
from graphwright.ir.emitter import Value
from graphwright.ir.errors import ModelError
from graphwright.ir.types import TensorType


@converter("StringConcat", since=20)
def string_concat(c: Context) -> Value:
    """Element by element, with broadcasting."""
    return c.b.emit("string_concat", *c.b.align(c[0], c[1]))


@converter("StringSplit", since=20)
def string_split(c: Context) -> tuple[Value, ...]:
    """Parts of strings along a new axis, and how many each has."""
    x, outer = c[0], Outer(c)
    types = [TensorType(string, (*x.shape, outer.dim())), TensorType(int64, x.shape)]
    return c.b.emit_all(
        "string_split",
        x,
        delimiter=c.string("delimiter", ""),
        maxsplit=c.integer("maxsplit", -1),
        **outer.fields(types),
    )


@converter("RegexFullMatch", since=20)
def regex_full_match(c: Context) -> Value:
    """Whether each whole string matches a pattern of RE2's syntax."""
    return c.b.emit("regex_full_match", c[0], pattern=c.string("pattern", ""))


@converter("StringNormalizer", since=10)
def string_normalizer(c: Context) -> Value:
    """Strings without stop words, in one case."""
    x, outer = c[0], Outer(c)
    left = outer.dim() if c.strings("stopwords", []) else x.shape[-1]
    types = [TensorType(string, (*x.shape[:-1], left))]
    return c.b.emit(
        "string_normalizer",
        x,
        case=c.string("case_change_action", "NONE"),
        case_sensitive=bool(c.integer("is_case_sensitive", 0)),
        stopwords=tuple(c.strings("stopwords", [])),
        **outer.fields(types),
    )


@converter("TfIdfVectorizer", since=9)
def tf_idf(c: Context) -> Value:
    """Weighted counts of n-grams."""
    columns = c.integers("ngram_indexes")
    if min(columns, default=0) < 0:
        raise ModelError("TfIdfVectorizer: an index is negative")
    weights = c.reals("weights", [1.0] * len(columns))
    if c.has("pool_strings"):
        pool = c.b.constant(np.array(c.strings("pool_strings"), object), string)
    else:
        pool = c.b.constant(np.array(c.integers("pool_int64s"), np.int64))
    starts = c.integers("ngram_counts")
    _check_pool(c, pool.tensor.size, starts, len(columns), len(weights))
    return c.b.emit(
        "tf_idf",
        c[0],
        pool,
        c.b.constant(np.array(starts, np.int64)),
        c.b.constant(np.array(columns, np.int64)),
        c.b.constant(np.array(weights, np.float32), float32),
        mode=c.string("mode"),
        shortest=c.integer("min_gram_length"),
        longest=c.integer("max_gram_length"),
        max_skip=c.integer("max_skip_count"),
        columns=max(columns, default=-1) + 1,
    )


def _check_pool(
    c: Context, size: object, starts: list[int], grams: int, weights: int
) -> None:
    """Checks that the pool's n-grams, their columns and weights are of one number."""
    assert isinstance(size, int)
    ends = [*starts[1:], size]
    spans = [end - start for start, end in zip(starts, ends, strict=True)]
    whole = all(n >= 0 and n % length == 0 for length, n in enumerate(spans, 1))
    count = sum(n // length for length, n in enumerate(spans, 1))
    if not whole or count != grams or weights != grams:
        raise ModelError(
            f"{c.op_type}: {count} n-grams, {grams} indices and {weights} weights"
        )


# Export -------------------------------------------------------------------------------


_MICROSOFT = "com.microsoft"


@exporter("string_concat")
def export_string_concat(e: Export) -> str:
    """``StringConcat``, which repeats operands itself."""
    e.needs(20)
    return e.add("StringConcat", *e.lean_names(*e.operands))


@exporter("string_split")
def export_string_split(e: Export) -> Exported:
    """``StringSplit``."""
    e.needs(20)
    limit = e.op.maxsplit
    fields: dict[str, Any] = {
        "delimiter": e.op.delimiter or None,
        "maxsplit": limit if limit >= 0 else None,
    }
    return e.all("StringSplit", e[0], outputs=2, **fields)


@exporter("regex_full_match")
def export_regex_full_match(e: Export) -> str:
    """``RegexFullMatch``."""
    e.needs(20)
    return e.add("RegexFullMatch", e[0], pattern=e.op.pattern)


@exporter("string_normalizer")
def export_string_normalizer(e: Export) -> str:
    """``StringNormalizer``."""
    op = e.op
    return e.add(
        "StringNormalizer",
        e[0],
        case_change_action=op.case,
        is_case_sensitive=int(op.case_sensitive),
        stopwords=list(op.stopwords) or None,
    )


@exporter("tf_idf")
def export_tf_idf(e: Export) -> str:
    """``TfIdfVectorizer``, whose pool must be known."""
    op = e.op
    known = [e.known(i) for i in range(1, 5)]
    if any(array is None for array in known):
        raise e.unsupported("its pool is not known before the run")
    pool, starts, columns, weights = (array.tolist() for array in known)  # type: ignore[union-attr]
    words = e.operands[1].dtype is string
    pools: dict[str, Any] = {"pool_strings" if words else "pool_int64s": pool}
    return e.add(
        "TfIdfVectorizer",
        e[0],
        **pools,
        mode=op.mode,
        min_gram_length=op.shortest,
        max_gram_length=op.longest,
        max_skip_count=op.max_skip,
        ngram_counts=starts,
        ngram_indexes=columns,
        weights=weights,
    )


@exporter("tokenize")
def tokenize(e: Export) -> str:
    """``com.microsoft.Tokenizer``."""
    e.needs(1, _MICROSOFT)
    op = e.op
    return e.add(
        "Tokenizer",
        e[0],
        domain=_MICROSOFT,
        mark=int(op.marks),
        mincharnum=op.shortest,
        pad_value=op.pad,
        separators=None if op.expression else list(op.separators) or [""],
        tokenexp=op.expression or None,
    )


@exporter("murmur_hash")
def murmur_hash(e: Export) -> str:
    """``com.microsoft.MurmurHash3``."""
    e.needs(1, _MICROSOFT)
    fields = {"seed": e.op.seed, "positive": int(e.op.dtype is uint32)}
    return e.add("MurmurHash3", e[0], domain=_MICROSOFT, **fields)
