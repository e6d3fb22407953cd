"""Operators on strings on their way to ONNX."""

from typing import Any

from graphwright.frontends.onnx.exporting import Export, Exported
from graphwright.frontends.onnx.registry import exporter
from graphwright.ir.dtype import string, uint32

_MICROSOFT = "com.microsoft"


@exporter("string_concat")
def string_concat(e: Export) -> str:
    """``StringConcat``, which repeats operands itself."""
    e.needs(20)
    return e.add("StringConcat", *e.lean_names(*e.operands))


@exporter("string_split")
def string_split(e: Export) -> Exported:
    """``StringSplit``."""
    e.needs(20)
    limit = e.op.maxsplit
    fields: dict[str, Any] = {
        "delimiter": e.op.delimiter or None,
        "maxsplit": limit if limit >= 0 else None,
    }
    return e.all("StringSplit", e[0], outputs=2, **fields)


@exporter("regex_full_match")
def regex_full_match(e: Export) -> str:
    """``RegexFullMatch``."""
    e.needs(20)
    return e.add("RegexFullMatch", e[0], pattern=e.op.pattern)


@exporter("string_normalizer")
def string_normalizer(e: Export) -> str:
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
def tf_idf(e: Export) -> str:
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
