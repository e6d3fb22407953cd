"""Tensors of strings, on the host: object arrays of ``str``."""

from typing import Any, ClassVar

import numpy as np

from graphwright.ir.dim import Dim
from graphwright.ir.dtype import DType, bool_, float32, string
from graphwright.ir.errors import DTypeError, ShapeError
from graphwright.ir.op import Declared, Op, Tier
from graphwright.ir.ops.string_regex import compiled
from graphwright.ir.rules import need, same_shape
from graphwright.ir.types import TensorType


def need_strings(name: str, *types: TensorType) -> None:
    """Raises DTypeError unless all operands hold strings."""
    for t in types:
        if t.dtype is not string:
            raise DTypeError(f"{name} takes strings, got {t.dtype.name}")


def map_strings(x: Any, rule: Any, dtype: Any = object) -> Any:
    """``rule`` of each element, as an array of the same shape."""
    flat = np.empty(x.size, dtype)
    for i, item in enumerate(x.ravel().tolist()):
        flat[i] = rule(item)
    return flat.reshape(x.shape)


class StringConcat(Op):
    """Each string of ``x`` followed by that of ``y``; equal shapes."""

    name = "string_concat"
    tier: ClassVar[Tier] = Tier.HOST

    def result_type(self, x: TensorType, y: TensorType) -> TensorType:
        need_strings(self.name, x, y)
        return TensorType(string, same_shape(self.name, x, y))

    def compute(self, xp: Any, x: Any, y: Any) -> Any:
        out = np.empty(x.shape, object)
        out[...] = np.add(x, y)
        return out


class StringSplit(Declared):
    """Parts of strings along a new last axis, filled up with ``""``, and their counts.

    Without a delimiter runs of white space divide; at most ``maxsplit`` times, if that
    is not negative.
    """

    name = "string_split"
    tier: ClassVar[Tier] = Tier.HOST
    delimiter: str = ""
    maxsplit: int = -1

    def compute(self, xp: Any, x: Any) -> Any:
        parts = [
            s.split(self.delimiter or None, self.maxsplit) for s in x.ravel().tolist()
        ]
        counts = np.array([len(p) for p in parts], np.int64)
        width = int(counts.max(initial=0))
        out = np.full((len(parts), width), "", object)
        for row, words in zip(out, parts, strict=True):
            row[: len(words)] = words
        return out.reshape(*x.shape, width), counts.reshape(x.shape)


class RegexFullMatch(Op):
    """Whether each whole string matches a pattern of RE2's syntax; in linear time."""

    name = "regex_full_match"
    tier: ClassVar[Tier] = Tier.HOST
    pattern: str

    def result_type(self, x: TensorType) -> TensorType:
        need_strings(self.name, x)
        compiled(self.pattern)
        return TensorType(bool_, x.shape)

    def compute(self, xp: Any, x: Any) -> Any:
        return map_strings(x, compiled(self.pattern).fullmatch, np.bool_)


def _one_by_one(text: str, change: Any) -> str:
    """Each character's other case, where that is one character."""
    return "".join(d if len(d := change(c)) == 1 else c for c in text)


class StringNormalizer(Declared):
    """Strings without stop words, in lower or upper case.

    The operand has shape [n] or [1, n]; where nothing is left, one ``""`` is.
    """

    name = "string_normalizer"
    tier: ClassVar[Tier] = Tier.HOST
    case: str = "NONE"
    case_sensitive: bool = False
    stopwords: tuple[str, ...] = ()

    def compute(self, xp: Any, x: Any) -> Any:
        if x.ndim not in (1, 2) or (x.ndim == 2 and x.shape[0] != 1):
            raise ShapeError(f"string_normalizer takes [n] or [1, n], got {x.shape}")
        fold = (lambda s: s) if self.case_sensitive else str.lower
        stop = {fold(w) for w in self.stopwords}
        words = [s for s in x.ravel().tolist() if fold(s) not in stop]
        if self.case in ("LOWER", "UPPER"):
            change = str.lower if self.case == "LOWER" else str.upper
            words = [_one_by_one(s, change) for s in words]
        out = np.array(words or [""], object)
        return out.reshape(1, -1) if x.ndim == 2 else out


class TfIdf(Op):
    """Counts of n-grams from a pool in each row, weighted.

    Operands: rows of int64, int32 or strings ([n] or [b, n]); the pool, n-grams one
    after the other; for each length of n-gram where they start in the pool (int64); for
    each n-gram its column and its weight. Elements of an n-gram lie ``skip + 1`` apart,
    for each skip up to ``max_skip``.
    """

    name = "tf_idf"
    tier: ClassVar[Tier] = Tier.HOST
    mode: str
    shortest: int
    longest: int
    max_skip: int
    columns: int

    def result_type(self, x: TensorType, *pool: TensorType) -> TensorType:
        need(self.mode in ("TF", "IDF", "TFIDF"), f"tf_idf has no mode {self.mode}")
        need(x.rank <= 2, f"tf_idf takes [n] or [b, n], got {x}")
        lead: tuple[Dim, ...] = x.dims[:1] if x.rank == 2 else ()
        return TensorType(float32, (*lead, self.columns))

    def compute(
        self, xp: Any, x: Any, pool: Any, starts: Any, columns: Any, weights: Any
    ) -> Any:
        grams = _grams(pool.tolist(), starts.tolist())
        rows = x.reshape(1, -1) if x.ndim < 2 else x
        out = np.zeros((len(rows), self.columns), np.float32)
        for row, items in zip(out, rows.tolist(), strict=True):
            for gram, count in self._counts(items, grams).items():
                value = 1 if self.mode == "IDF" else count
                scale = 1 if self.mode == "TF" else weights[gram]
                row[columns[gram]] += value * scale
        return out.reshape(*x.shape[:-1], self.columns)

    def _counts(
        self, items: list[Any], grams: dict[tuple[Any, ...], int]
    ) -> dict[int, int]:
        """How often each n-gram of the pool occurs; single items are met once."""
        found: dict[int, int] = {}
        for length in range(self.shortest, self.longest + 1):
            for step in range(1, 2 + (self.max_skip if length > 1 else 0)):
                for i in range(len(items) - step * (length - 1)):
                    gram = grams.get(
                        tuple(items[i : i + step * length : step][:length])
                    )
                    if gram is not None:
                        found[gram] = found.get(gram, 0) + 1
        return found


def _grams(pool: list[Any], starts: list[int]) -> dict[tuple[Any, ...], int]:
    """Each n-gram of the pool and its number."""
    found: dict[tuple[Any, ...], int] = {}
    ends = [*starts[1:], len(pool)]
    for length, (start, end) in enumerate(zip(starts, ends, strict=True), 1):
        for i in range(start, end - length + 1, length):
            found.setdefault(tuple(pool[i : i + length]), len(found))
    return found


class Tokenize(Declared):
    """Words of each string along a new last axis, filled up with a pad word.

    Strings are cut at separators (each a regular expression or a literal) or, without
    any, into what matches ``expression``; words of fewer than ``shortest`` characters
    are left out. ``marks`` puts U+0002 before and U+0003 after the words of a string.
    """

    name = "tokenize"
    tier: ClassVar[Tier] = Tier.HOST
    pad: str
    separators: tuple[str, ...] = ()
    expression: str = ""
    shortest: int = 1
    marks: bool = False

    def compute(self, xp: Any, x: Any) -> Any:
        rows = [self._words(s) for s in x.ravel().tolist()]
        width = max(map(len, rows), default=0)
        out = np.full((len(rows), width), self.pad, object)
        for line, words in zip(out, rows, strict=True):
            line[: len(words)] = words
        return out.reshape(*x.shape, width)

    def _words(self, text: str) -> list[str]:
        if self.expression:
            words = compiled(self.expression).findall(text)
        elif self.separators in ((), ("",)):
            words = list(text)
        else:
            words = [text]
            for separator in self.separators:
                words = [w for part in words for w in compiled(separator).split(part)]
        words = [w for w in words if len(w) >= max(1, self.shortest)]
        return ["\x02", *words, "\x03"] if self.marks else words


class MurmurHash(Op):
    """MurmurHash3 of 32 bits (A. Appleby) of each element's bytes; strings as UTF-8."""

    name = "murmur_hash"
    tier: ClassVar[Tier] = Tier.HOST
    seed: int
    dtype: DType

    def result_type(self, x: TensorType) -> TensorType:
        return TensorType(self.dtype, x.shape)

    def compute(self, xp: Any, x: Any) -> Any:
        if x.dtype == object:
            data = [s.encode("utf-8", "surrogateescape") for s in x.ravel().tolist()]
        else:
            data = [v.tobytes() for v in x.ravel()]
        flat = np.array([murmur3(d, self.seed) for d in data], np.uint32)
        return flat.astype(self.dtype.numpy).reshape(x.shape)


_M = 0xFFFFFFFF


def _rotated(x: int, by: int) -> int:
    return (x << by | x >> (32 - by)) & _M


def _mixed(block: int) -> int:
    return _rotated(block * 0xCC9E2D51 & _M, 15) * 0x1B873593 & _M


def murmur3(data: bytes, seed: int) -> int:
    """MurmurHash3_x86_32 of bytes."""
    h, whole = seed & _M, len(data) // 4 * 4
    for i in range(0, whole, 4):
        h ^= _mixed(int.from_bytes(data[i : i + 4], "little"))
        h = (_rotated(h, 13) * 5 + 0xE6546B64) & _M
    h ^= _mixed(int.from_bytes(data[whole:], "little"))
    h ^= len(data)
    h = (h ^ h >> 16) * 0x85EBCA6B & _M
    h = (h ^ h >> 13) * 0xC2B2AE35 & _M
    return h ^ h >> 16
