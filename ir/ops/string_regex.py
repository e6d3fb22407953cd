"""Regular expressions of RE2's syntax, matched in time linear in the text.

A pattern becomes a nondeterministic automaton (Thompson, CACM 1968), which is run on
sets of states; sets and their steps are remembered, so that common texts run as on a
deterministic one. There is no backtracking: no pattern can hang. Back-references and
look-around are not in RE2's syntax, and are errors.
"""

import unicodedata
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from graphwright.ir.errors import ModelError

MAX_DEPTH = 64
MAX_REPEAT = 1000
MAX_STATES = 50_000
_MAX_CACHED = 20_000
_LAST = 0x10FFFF

Ranges = tuple[tuple[int, int], ...]
Test = Callable[[str], bool]
Tree = tuple[Any, ...]

_DIGIT: Ranges = ((48, 57),)
_SPACE: Ranges = ((9, 10), (12, 13), (32, 32))
_WORD: Ranges = ((48, 57), (65, 90), (95, 95), (97, 122))
_NAMED: dict[str, Ranges] = {
    "alnum": ((48, 57), (65, 90), (97, 122)),
    "alpha": ((65, 90), (97, 122)),
    "ascii": ((0, 127),),
    "blank": ((9, 9), (32, 32)),
    "cntrl": ((0, 31), (127, 127)),
    "digit": _DIGIT,
    "graph": ((33, 126),),
    "lower": ((97, 122),),
    "print": ((32, 126),),
    "punct": ((33, 47), (58, 64), (91, 96), (123, 126)),
    "space": ((9, 13), (32, 32)),
    "upper": ((65, 90),),
    "word": _WORD,
    "xdigit": ((48, 57), (65, 70), (97, 102)),
}
_CLASSES = {"d": _DIGIT, "s": _SPACE, "w": _WORD}
_CONTROLS = {"a": 7, "f": 12, "t": 9, "n": 10, "r": 13, "v": 11}
_ASSERTIONS = {"A": "start", "z": "end", "b": "word", "B": "inside"}
_FLAGS = "imsU"
_EMPTY: Tree = ("cat",)


def _inverse(ranges: Ranges) -> Ranges:
    found: list[tuple[int, int]] = []
    start = 0
    for low, high in sorted(ranges):
        if low > start:
            found.append((start, low - 1))
        start = max(start, high + 1)
    return (*found, (start, _LAST)) if start <= _LAST else tuple(found)


def _category(name: str, negated: bool) -> Test:
    """A test for a Unicode general category such as ``L`` or ``Lu``."""
    if name.startswith("^"):
        name, negated = name[1:], not negated
    if not 1 <= len(name) <= 2:
        raise ModelError(f"regular expression: class {name!r} is not supported")
    return lambda c: unicodedata.category(c).startswith(name) != negated


def _tester(ranges: Ranges, tests: tuple[Test, ...], negated: bool, fold: bool) -> Test:
    """A test for one character."""

    def plain(c: str) -> bool:
        code = ord(c)
        return any(a <= code <= b for a, b in ranges) or any(t(c) for t in tests)

    def matches(c: str) -> bool:
        forms = {c, c.lower(), c.upper()} if fold else {c}
        return any(len(f) == 1 and plain(f) for f in forms) != negated

    return matches


class _Parser:
    """Reads a pattern into a tree of char, cat, alt, rep and assert."""

    def __init__(self, pattern: str) -> None:
        self.text, self.at, self.flags = pattern, 0, frozenset[str]()

    def fail(self, problem: str) -> ModelError:
        return ModelError(f"regular expression {self.text!r}: {problem} at {self.at}")

    def peek(self, word: str) -> bool:
        return self.text.startswith(word, self.at)

    def take(self, word: str) -> bool:
        if self.peek(word):
            self.at += len(word)
            return True
        return False

    def next(self) -> str:
        if self.at >= len(self.text):
            raise self.fail("it ends too early")
        self.at += 1
        return self.text[self.at - 1]

    def until(self, end: str) -> str:
        stop = self.text.find(end, self.at)
        if stop < 0:
            raise self.fail(f"{end!r} is missing")
        word, self.at = self.text[self.at : stop], stop + len(end)
        return word

    def parse(self) -> Tree:
        tree = self.alternatives(0)
        if self.at < len(self.text):
            raise self.fail("unmatched )")
        return tree

    def alternatives(self, depth: int) -> Tree:
        if depth > MAX_DEPTH:
            raise self.fail(f"groups nest deeper than {MAX_DEPTH}")
        options = [self.sequence(depth)]
        while self.take("|"):
            options.append(self.sequence(depth))
        return options[0] if len(options) == 1 else ("alt", *options)

    def sequence(self, depth: int) -> Tree:
        parts: list[Tree] = []
        while self.at < len(self.text) and not (self.peek("|") or self.peek(")")):
            if self.take("\\Q"):
                end = self.text.find("\\E", self.at)
                stop = len(self.text) if end < 0 else end
                parts += map(self.char, self.text[self.at : stop])
                self.at = stop + 2 * (end >= 0)
                continue
            parts.append(self.repeated(self.atom(depth)))
        return ("cat", *parts)

    def repeated(self, tree: Tree) -> Tree:
        times = self.times()
        if times is None:
            return tree
        self.take("?")  # lazy or not, the same texts match
        if self.times() is not None:
            raise self.fail("a repetition of a repetition")
        return ("rep", tree, *times)

    def times(self) -> tuple[int, int | None] | None:
        for sign, low, high in (("*", 0, None), ("+", 1, None), ("?", 0, 1)):
            if self.take(sign):
                return low, high
        stop = self.text.find("}", self.at)
        if not self.peek("{") or stop < 0:
            return None
        first, comma, last = self.text[self.at + 1 : stop].partition(",")
        if not (first.isdecimal() and (last.isdecimal() or not last)):
            return None
        self.at = stop + 1
        low = int(first[:6])
        high = int(last[:6]) if last else None if comma else low
        if max(low, high or 0) > MAX_REPEAT or (high is not None and high < low):
            raise self.fail("a bad number of repetitions")
        return low, high

    def repeats(self) -> bool:
        """Whether the { before this place begins a number of repetitions."""
        at, self.at = self.at, self.at - 1
        found = self.times() is not None
        self.at = at
        return found

    def char(self, c: str) -> Tree:
        code = ord(c)
        return ("char", _tester(((code, code),), (), False, "i" in self.flags))

    def atom(self, depth: int) -> Tree:
        c = self.next()
        match c:
            case "(":
                return self.group(depth)
            case "[":
                return ("char", self.brackets())
            case ".":
                newline: Ranges = () if "s" in self.flags else ((10, 10),)
                return ("char", _tester(newline, (), True, False))
            case "^":
                return ("assert", "line_start" if "m" in self.flags else "start")
            case "$":
                return ("assert", "line_end" if "m" in self.flags else "end")
            case "\\":
                return self.escape()
            case "*" | "+" | "?":
                raise self.fail("nothing to repeat")
            case "{" if self.repeats():
                raise self.fail("nothing to repeat")
            case _:
                return self.char(c)

    def group(self, depth: int) -> Tree:
        outer = self.flags
        if self.take("?P<") or (self.peek("?<") and self.take("?<")):
            if not self.until(">").isidentifier():
                raise self.fail("a bad group name")
        elif self.take("?"):
            word = ""
            while not (self.peek(":") or self.peek(")")):
                word += self.next()
            on, _, off = word.partition("-")
            if not set(on + off) <= set(_FLAGS):
                raise self.fail(f"(?{word} is not in RE2's syntax")
            self.flags = (self.flags | set(on)) - set(off)
            if self.take(")"):
                return _EMPTY  # the flags hold to the end of the enclosing group
            self.take(":")
        tree = self.alternatives(depth + 1)
        if not self.take(")"):
            raise self.fail(") is missing")
        self.flags = outer
        return tree

    def escape(self) -> Tree:
        c = self.next()
        if c in _ASSERTIONS:
            return ("assert", _ASSERTIONS[c])
        ranges, tests = self.escaped(c)
        return ("char", _tester(ranges, tests, False, "i" in self.flags))

    def escaped(self, c: str) -> tuple[Ranges, tuple[Test, ...]]:
        """What an escape stands for: ranges, or tests for categories."""
        if c.lower() in _CLASSES:
            ranges = _CLASSES[c.lower()]
            return (ranges if c.islower() else _inverse(ranges)), ()
        if c in "pP":
            name = self.until("}") if self.take("{") else self.next()
            return (), (_category(name, c == "P"),)
        code = self.code(c)
        return ((code, code),), ()

    def code(self, c: str) -> int:
        """The code point that an escape stands for."""
        if c in _CONTROLS:
            return _CONTROLS[c]
        if c == "x":
            digits = self.until("}") if self.take("{") else self.next() + self.next()
            return self.number(digits, 16)
        following = self.text[self.at : self.at + 1]
        if c == "0" or (c in "1234567" and following.isdecimal()):
            digits = c
            while len(digits) < 3 and self.text[self.at : self.at + 1] in tuple(
                "01234567"
            ):
                digits += self.next()
            return self.number(digits, 8)
        if c.isalnum() and c.isascii():
            raise self.fail(f"\\{c} is not in RE2's syntax")
        return ord(c)

    def number(self, digits: str, base: int) -> int:
        try:
            value = int(digits, base)
        except ValueError:
            raise self.fail(f"{digits!r} is no number") from None
        if not 0 <= value <= _LAST:
            raise self.fail(f"{digits!r} is no character")
        return value

    def brackets(self) -> Test:
        negated = self.take("^")
        ranges: list[tuple[int, int]] = []
        tests: list[Test] = []
        first = True
        while first or not self.peek("]"):
            first = False
            if self.take("[:"):
                ranges += self.named(self.until(":]"))
                continue
            c = self.next()
            some, more = (
                self.escaped(self.next()) if c == "\\" else (((ord(c),) * 2,), ())
            )
            if (
                self.peek("-")
                and not self.peek("-]")
                and len(some) == 1
                and some[0][0] == some[0][1]
            ):
                self.next()
                c = self.next()
                high = self.code(self.next()) if c == "\\" else ord(c)
                if high < some[0][0]:
                    raise self.fail("a bad range")
                some = ((some[0][0], high),)
            ranges += some
            tests += more
        self.next()
        return _tester(tuple(ranges), tuple(tests), negated, "i" in self.flags)

    def named(self, name: str) -> Ranges:
        found = _NAMED.get(name.removeprefix("^"))
        if found is None:
            raise self.fail(f"no class is called {name!r}")
        return _inverse(found) if name.startswith("^") else found


class Regex:
    """A compiled pattern.

    Raises:
        ModelError: If the pattern is not of RE2's syntax, or too large.
    """

    def __init__(self, pattern: str) -> None:
        self._steps: list[tuple[Any, ...]] = [("match",)]
        start = self._compile(_Parser(pattern).parse(), 0)
        self._start = frozenset([start])
        self._asserts = any(step[0] == "assert" for step in self._steps)
        self._cache: dict[Any, frozenset[int]] = {}

    def _add(self, *step: Any) -> int:
        if len(self._steps) >= MAX_STATES:
            raise ModelError("a regular expression has too many repetitions")
        self._steps.append(step)
        return len(self._steps) - 1

    def _compile(self, tree: Tree, follow: int) -> int:
        """The state from which ``tree``, then what is at ``follow``, matches."""
        kind, *parts = tree
        match kind:
            case "cat":
                for part in reversed(parts):
                    follow = self._compile(part, follow)
                return follow
            case "alt":
                return self._add("split", *(self._compile(p, follow) for p in parts))
            case "rep":
                return self._repeat(parts[0], parts[1], parts[2], follow)
            case _:
                return self._add(kind, parts[0], follow)

    def _repeat(self, tree: Tree, low: int, high: int | None, follow: int) -> int:
        start = follow
        if high is None:
            start = self._add("split", follow)
            self._steps[start] = ("split", self._compile(tree, start), follow)
        for _ in range((high or low) - low):
            start = self._add("split", self._compile(tree, start), follow)
        for _ in range(low):
            start = self._compile(tree, start)
        return start

    def fullmatch(self, text: str) -> bool:
        """Whether the whole text matches."""
        states, before = self._start, ""
        for i in range(len(text) + 1):
            after = text[i : i + 1]
            key = (states, after, before if self._asserts else "")
            found = self._cache.get(key)
            if found is None:
                if len(self._cache) >= _MAX_CACHED:
                    self._cache.clear()
                found = self._cache[key] = self._step(states, before, after, after)
            if not found:
                return False
            states, before = found, after
        return True

    def _longest(self, text: str, start: int) -> int:
        """Where the longest match that begins at ``start`` ends; -1 without one."""
        states, best = self._start, -1
        before = text[start - 1 : start] if start else ""
        for i in range(start, len(text) + 1):
            after = text[i : i + 1]
            if self._step(states, before, "", after):
                best = i
            states = self._step(states, before, after, after)
            if not states or not after:
                break
            before = after
        return best

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Matches from left to right, each the longest at its place, none empty."""
        found: list[tuple[int, int]] = []
        at = 0
        while at < len(text):
            end = self._longest(text, at)
            if end > at:
                found.append((at, end))
            at = max(end, at + 1)
        return found

    def findall(self, text: str) -> list[str]:
        """The texts of all matches."""
        return [text[a:b] for a, b in self.spans(text)]

    def split(self, text: str) -> list[str]:
        """The texts between matches."""
        parts: list[str] = []
        start = 0
        for a, b in self.spans(text):
            parts.append(text[start:a])
            start = b
        return [*parts, text[start:]]

    def _step(
        self, states: frozenset[int], before: str, char: str, after: str
    ) -> frozenset[int]:
        """States behind ``char``; if it is '', those that match here.

        ``after`` is the character that follows, which assertions look at.
        """
        found: set[int] = set()
        seen: set[int] = set()
        waiting = list(states)
        while waiting:
            state = waiting.pop()
            if state in seen:
                continue
            seen.add(state)
            kind, *parts = self._steps[state]
            if kind == "split":
                waiting += parts
            elif kind == "assert":
                waiting += [parts[1]] if _holds(parts[0], before, after) else []
            elif kind == "match":
                found |= set() if char else {state}
            elif char and parts[0](char):
                found.add(parts[1])
        return frozenset(found)


def _holds(kind: str, before: str, after: str) -> bool:
    """Whether an assertion holds between two characters, '' at an end of the text."""
    match kind:
        case "start":
            return not before
        case "end":
            return not after
        case "line_start":
            return before in ("", "\n")
        case "line_end":
            return after in ("", "\n")
        case _:
            edge = _is_word(before) != _is_word(after)
            return edge == (kind == "word")


def _is_word(c: str) -> bool:
    return bool(c) and any(low <= ord(c) <= high for low, high in _WORD)


@lru_cache(maxsize=64)
def compiled(pattern: str) -> Regex:
    """The compiled pattern, made once."""
    return Regex(pattern)
