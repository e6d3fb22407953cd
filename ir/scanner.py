"""A place in a text and the tokens that every part of the text form is made of."""

import json
import re
from typing import Final, NoReturn

from graphwright.ir.dim import Dim, scan_dim
from graphwright.ir.errors import ParseError

MAX_DEPTH: Final = 64
"""How deep graphs, lists and types may stand inside one another."""

_SPACE: Final = re.compile(r"\s*(?:#[^\n]*\s*)*")
_STRING: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"')
_INT: Final = re.compile(r"-?\d+", re.ASCII)
_OPERATORS: Final = re.compile(r"[-+*/%,]")
_MAX_OPERATIONS: Final = 1000
_MAX_ALL_OPERATIONS: Final = 20_000
# One dim up to a place where it may end, to find it again; calls in calls are left out.
_DIM: Final = re.compile(
    r"""(?:[^][(){},"]|\[-?\d+:\]|\((?:[^][(){}"]|\[-?\d+:\])*\))+(?=[,\]}])""",
    re.ASCII,
)
_SIZE: Final = re.compile(r"\d{1,18}(?=[,\]])", re.ASCII)
_NUMBER: Final = re.compile(
    r"-?(?:\d+(?P<real>(?:\.\d+)?(?:[eE][-+]?\d+)?)|(?P<word>inf\b|nan\b))", re.ASCII
)


class Scanner:
    """Reads a text from left to right.

    White space between tokens is free; ``#`` starts a comment that ends with its line.

    Attributes:
        text: All of it.
        at: Where what comes next starts.
        depth: How many graphs, lists and types are open.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0
        self._dims: dict[str, Dim] = {}
        self._operations = _MAX_ALL_OPERATIONS

    def fail(self, message: str, at: int | None = None) -> NoReturn:
        """Raises a ParseError that names line and column."""
        at = self.at if at is None else at
        line = self.text.count("\n", 0, at) + 1
        column = at - self.text.rfind("\n", 0, at)
        found = self.text[at : at + 30].split("\n")[0]
        got = f"got {found!r}" if at < len(self.text) else "the text ends"
        raise ParseError(f"line {line}, column {column}: {message}; {got}")

    def skip(self) -> int:
        """Goes past white space and comments; the place after them."""
        found = _SPACE.match(self.text, self.at)
        if found:
            self.at = found.end()
        return self.at

    def match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Reads what a pattern matches, if it does."""
        found = pattern.match(self.text, self.skip())
        if found:
            self.at = found.end()
        return found

    def need(self, pattern: re.Pattern[str], what: str) -> str:
        """Reads what a pattern matches, which must come next."""
        found = self.match(pattern)
        return found[0] if found else self.fail(f"expected {what}")

    def peek(self, sign: str) -> bool:
        """Whether a sign comes next."""
        return self.text.startswith(sign, self.skip())

    def take(self, sign: str) -> bool:
        """Reads a sign if it comes next; whether it did."""
        found = self.peek(sign)
        self.at += len(sign) * found
        return found

    def expect(self, sign: str) -> None:
        """Reads a sign that must come next."""
        if not self.take(sign):
            self.fail(f"expected `{sign}`")

    def more(self, close: str, *, first: bool) -> bool:
        """Whether a list goes on: reads the comma, or the sign that closes it."""
        if self.take(close):
            return False
        if not first:
            self.expect(",")
        return True

    def enter(self) -> None:
        """Goes one level deeper."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.fail(f"more than {MAX_DEPTH} graphs, lists or types in one another")

    def leave(self) -> None:
        """Comes back from a level."""
        self.depth -= 1

    def string(self) -> str:
        """Reads a string in quotes."""
        start = self.skip()
        quoted = self.need(_STRING, "a string in quotes")
        try:
            return str(json.loads(quoted))
        except ValueError:
            self.fail("a string with a bad escape", start)

    def integer(self) -> int:
        """Reads an integer."""
        start = self.skip()
        return self._int(self.need(_INT, "an integer"), start)

    def number(self) -> float:
        """Reads an int, or a float if it has a point or an exponent."""
        start = self.skip()
        found = self.match(_NUMBER)
        if found is None:
            self.fail("expected a number")
        if found["real"] or found["word"]:
            return float(found[0])
        return self._int(found[0], start)

    def _int(self, digits: str, start: int) -> int:
        try:
            return int(digits)
        except ValueError:
            self.fail("an integer of too many digits", start)

    def dim(self) -> Dim:
        """Reads a dim."""
        size = _SIZE.match(self.text, self.skip())
        if size:
            self.at = size.end()
            return int(size[0])
        text = _DIM.match(self.text, self.at)
        if text and text[0] in self._dims:
            self.at = text.end()
            return self._dims[text[0]]
        found = self._new_dim()
        if text and text.end() == self.at:
            self._dims[text[0]] = found
        return found

    def _new_dim(self) -> Dim:
        """A dim not met before: of those an untrusted text may hold so many."""
        start, most = self.at, min(_MAX_OPERATIONS, self._operations)
        try:
            found, self.at = scan_dim(self.text, start, most)
        except ParseError as error:
            self.fail(f"expected a dim ({error})")
        self._operations -= len(_OPERATORS.findall(self.text, start, self.at))
        return found
