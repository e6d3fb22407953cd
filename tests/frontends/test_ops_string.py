"""Strings: joining, splitting, matching, normalising, counting n-grams."""

import time
from typing import Any

import numpy as np
import pytest
from onnx_graphs import imported, model_of, node_model, node_same_as_ort, run, run_ort

from graphwright.ir.errors import DTypeError, ModelError, ShapeError
from graphwright.ir.ops.string import murmur3
from graphwright.ir.ops.string_regex import Regex

RNG = np.random.default_rng(0)


def words(*items: str) -> Any:
    return np.array(items, object)


def node(
    op_type: str, inputs: list[Any], outputs: int = 1, **attributes: Any
) -> list[Any]:
    return run(*node_model(op_type, inputs, outputs=outputs, **attributes))


def same(op_type: str, inputs: list[Any], outputs: int = 1, **attributes: Any) -> None:
    model, feeds = node_model(op_type, inputs, outputs=outputs, **attributes)
    for got, want in zip(run(model, feeds), run_ort(model, feeds), strict=True):
        assert got.dtype == want.dtype
        assert got.tolist() == want.tolist()


def test_concat_broadcasts() -> None:
    (y,) = node("StringConcat", [words("a", "b").reshape(2, 1), words("x", "")])
    assert y.tolist() == [["ax", "a"], ["bx", "b"]]
    with pytest.raises(DTypeError, match="takes strings"):
        node("StringConcat", [np.zeros(2, np.float32), np.zeros(2, np.float32)])


def test_split() -> None:
    parts, counts = node("StringSplit", [words(" a  b ", "c")], 2)
    assert parts.tolist() == [["a", "b"], ["c", ""]]
    assert counts.tolist() == [2, 1]
    parts, counts = node(
        "StringSplit", [words("a,b,c", "d")], 2, delimiter=",", maxsplit=1
    )
    assert parts.tolist() == [["a", "b,c"], ["d", ""]]
    parts, counts = node("StringSplit", [np.zeros((0, 2), object)], 2)
    assert (parts.shape, counts.shape) == ((0, 2, 0), (0, 2))


TEXTS = words(
    "aab", "abcd", "abc", "123", "x", "ac", "a\nc", "ABC", "", "é", "me@x.com", "cat",
    "A", "]a", "a b", "bbbb", "\x07", "a-z", "{2}", "a{2}", "aa",
)  # fmt: skip
PATTERNS = (
    "a*b", "(ab|cd)+", "[a-c]{2,3}", r"\d+", "^x$", "a.c", "(?i)abc", "", "a|", "[^a]*",
    r"\w+@\w+\.com", r"\bcat\b", "(?s)a.b", "(?s)a.c", "a{0}", "[[:alpha:]]+", r"\pL+",
    r"\x41", "(a(b(c)))", "a+?b*?", "[]a]+", r"[a\]]+", r"\A(?:a|b)*\z", r"\Qa-z\E",
    r"a\sb", r"[\d\s]+", r"\P{Lu}+", "(?P<name>a)+", "(?:(?i)A)+", "[^[:^alpha:]]+",
    r"\a", "[a-]+z", "a{2}", "{x}", r"\x{61}+", r"\141+", "(?i)[a-c]+", "(a*)*",
    "(a*)+b",
    r"\Bb*", "x{1,2}|[0-9]{3,}", "(?m)^a$\n^c$", "(?-s)a.c",
)  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_match_as_in_re2(pattern: str) -> None:
    same("RegexFullMatch", [TEXTS], pattern=pattern)


@pytest.mark.parametrize(
    "pattern",
    ["(", ")", "a**", "{2}", "[a", "*", r"(a)\1", "(?=a)", "(?<=a)", "a{1001}",
     "a{3,2}", "[b-a]", "\\", "(?P<1>a)", r"\p{Greek}", "[[:nope:]]", r"\x{110000}",
     "((a{99}){99}){99}", "(" * 99 + ")" * 99],
)  # fmt: skip
def test_patterns_that_are_not_re2(pattern: str) -> None:
    with pytest.raises(ModelError):
        node("RegexFullMatch", [TEXTS], pattern=pattern)


@pytest.mark.parametrize("pattern", ["(a*)*b", "(a|aa)+$", "(.*a){12}", "(x+x+)+y"])
def test_hostile_patterns_take_linear_time(pattern: str) -> None:
    text = words("a" * 20_000 + "!", "x" * 20_000)
    start = time.perf_counter()
    assert node("RegexFullMatch", [text], pattern=pattern)[0].tolist() == [False, False]
    assert time.perf_counter() - start < 5


def test_matches_in_a_text() -> None:
    assert Regex("[a-z]+").findall("ab, c! ") == ["ab", "c"]
    assert Regex(" +").split("a b  c") == ["a", "b", "c"]
    assert Regex("a|ab").findall("abab") == ["ab", "ab"]


NORMALISED: tuple[dict[str, Any], ...] = (
    {},
    {"case_change_action": "LOWER"},
    {"case_change_action": "UPPER"},
    {"stopwords": ["A"], "is_case_sensitive": 0},
    {"stopwords": ["A"], "is_case_sensitive": 1, "case_change_action": "LOWER"},
    {"stopwords": ["a"], "is_case_sensitive": 0, "case_change_action": "UPPER"},
    {"stopwords": ["", "a", "b", "é", "straße"], "is_case_sensitive": 0},
)


@pytest.mark.parametrize("attributes", NORMALISED)
def test_normalizer(attributes: dict[str, Any]) -> None:
    x = words("", "a", "A", "é", "É", "straße", "b")
    same("StringNormalizer", [x], **attributes)
    same("StringNormalizer", [x.reshape(1, -1)], **attributes)


def test_normalizer_takes_one_row() -> None:
    with pytest.raises(ShapeError, match=r"\[1, n\]"):
        node("StringNormalizer", [words("a", "b").reshape(2, 1)])


@pytest.mark.parametrize("mode", ["TF", "IDF", "TFIDF"])
@pytest.mark.parametrize("skip", [0, 2])
@pytest.mark.parametrize("lengths", [(1, 1), (1, 2), (2, 3), (1, 3)])
def test_tf_idf(mode: str, skip: int, lengths: tuple[int, int]) -> None:
    x = RNG.integers(0, 4, (3, 9))
    for rows in (x, x[0], x.astype(np.int32)):
        node_same_as_ort(
            "TfIdfVectorizer",
            [rows],
            mode=mode,
            min_gram_length=lengths[0],
            max_gram_length=lengths[1],
            max_skip_count=skip,
            ngram_counts=[0, 3, 9],
            ngram_indexes=[7, 2, 0, 5, 1, 6, 3, 4],
            pool_int64s=[0, 1, 2, 0, 1, 1, 2, 3, 3, 0, 1, 2, 3, 2, 1],
            weights=[0.5, 1.5, 2.0, 3.0, 0.25, 4.0, 1.0, 7.0],
        )


def test_tf_idf_of_strings() -> None:
    same(
        "TfIdfVectorizer",
        [words("a", "b", "a", "c")],
        mode="TF",
        min_gram_length=1,
        max_gram_length=2,
        max_skip_count=0,
        ngram_counts=[0, 2],
        ngram_indexes=[1, 0, 2],
        pool_strings=["a", "c", "a", "b"],
    )


def test_tf_idf_whose_lists_do_not_fit() -> None:
    text = """g (int64[N] x) => (y) {
        y = TfIdfVectorizer <mode = "TF", min_gram_length = 1, max_gram_length = 1,
            max_skip_count = 0, ngram_counts = [0], ngram_indexes = [0, 1],
            pool_int64s = [5]> (x)
    }"""
    with pytest.raises(ModelError, match="1 n-grams, 2 indices"):
        imported(model_of(text))


def test_murmur_hash() -> None:
    assert murmur3(b"", 0) == 0
    assert murmur3(b"", 1) == 0x514E28B7
    assert murmur3(b"hello", 0) == 0x248BFA47
    assert murmur3(b"hello, world", 0) == 0x149BBB7F
