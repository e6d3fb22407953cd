"""Reading dims from text."""

from __future__ import annotations

import copyreg
import json
import re
from collections.abc import Callable
from functools import reduce
from typing import Any, Final

from graphwright.ir.dim.expr import OPERATIONS, Dim, Expr, sum_of, symbol
from graphwright.ir.errors import ParseError

_TOKEN: Final = re.compile(
    r"""\s*(?:
        (?P<call>min|max|broadcast)\s*\(
      | (?P<name>[A-Za-z_]\w*|"(?:[^"\\]|\\.)*")(?P<low>\?|\[-?\d+:\])?
      | (?P<int>\d+)
      | (?P<sign>//|[-+*%(),])
    )""",
    re.ASCII | re.VERBOSE,
)


def parse_dim(text: str) -> Dim:
    """The dim that `str` prints so; any spelling in `+ - * // %` is normalised.

    Raises:
        ParseError: the text is no dim, or one that divides by zero or is too large.
    """
    dim, end = scan_dim(text)
    if text[end:].strip():
        raise ParseError(f"expected the end of the dim at {text[end : end + 40]!r}")
    return dim


def scan_dim(text: str, start: int = 0, operations: int = 1 << 16) -> tuple[Dim, int]:
    """The longest dim at a place in a text, and the index after it.

    It ends at the first token that cannot go on, such as the `]` or `,` of a shape.

    Raises:
        ParseError: there is no dim, or it divides by zero, is too large or has more
            than this many operations or parentheses in one another.
    """
    try:
        return _Parser(text, start).run(operations)
    except ParseError:
        raise
    except ValueError as error:
        raise ParseError(f"bad dim at {text[start : start + 40]!r}: {error}") from error


class _Frame:
    """A parenthesis or call that is open, with what was read of it."""

    __slots__ = ("args", "call", "minus", "op", "parts", "sign", "term")

    def __init__(self, call: str) -> None:
        self.call = call
        self.args: list[Dim] = []
        self.start()

    def start(self) -> None:
        self.parts: list[Dim] = []
        self.term: Dim = 1
        self.op = "*"
        self.sign = 1
        self.minus = False

    def operand(self, value: Dim) -> None:
        value = -value if self.minus else value
        self.term = OPERATIONS[self.op](self.term, value)
        self.minus = False

    def operator(self, sign: str) -> None:
        if sign in "+-":
            self.parts.append(self.term * self.sign)
            self.sign = -1 if sign == "-" else 1
            self.term, sign = 1, "*"
        self.op = sign

    def comma(self) -> None:
        self.operator("+")
        self.args.append(sum_of(self.parts))
        self.start()

    def value(self) -> Dim:
        self.comma()
        return reduce(OPERATIONS[self.call], self.args) if self.call else self.args[0]


class _Parser:
    """Operator precedence over a stack of frames, so depth costs no recursion."""

    def __init__(self, text: str, start: int) -> None:
        self.text = text
        self.at = start
        self.frames = [_Frame("")]
        self.most_frames = 0

    def run(self, operations: int) -> tuple[Dim, int]:
        self.most_frames = operations + 1
        for _ in range(operations + 1):
            while not self.operand():
                pass
            while self.closed():
                pass
            token = _TOKEN.match(self.text, self.at)
            sign = token["sign"] if token else None
            frame = self.frames[-1]
            if token is None or not sign or sign in "()":
                break
            if sign == "," and not frame.call:
                break
            frame.comma() if sign == "," else frame.operator(sign)
            self.at = token.end()
        else:
            raise self.error("too many operations in a dim")
        if len(self.frames) > 1:
            raise self.error("expected an operator or `)`")
        return self.frames[0].value(), self.at

    def error(self, message: str) -> ParseError:
        return ParseError(f"{message} at {self.text[self.at : self.at + 40]!r}")

    def operand(self) -> bool:
        """Read one token of an operand; whether that completes it."""
        token = _TOKEN.match(self.text, self.at)
        frame = self.frames[-1]
        if token is None or (token["sign"] or "-") not in "-(":
            raise self.error("expected a number, a symbol or `(`")
        self.at = token.end()
        if token["call"] or token["sign"] == "(":
            if len(self.frames) > self.most_frames:
                raise self.error("too many open parentheses in a dim")
            self.frames.append(_Frame(token["call"] or ""))
        elif token["sign"]:
            frame.minus = not frame.minus
        else:
            frame.operand(int(token["int"]) if token["int"] else _parse_symbol(token))
            return True
        return False

    def closed(self) -> bool:
        """Read one `)` if there is one to close a frame."""
        token = _TOKEN.match(self.text, self.at)
        if token is None or token["sign"] != ")" or len(self.frames) == 1:
            return False
        self.at = token.end()
        value = self.frames.pop().value()
        self.frames[-1].operand(value)
        return True


def _parse_symbol(token: re.Match[str]) -> Expr:
    name, low = token["name"], token["low"]
    if name[0] == '"':
        name = json.loads(name)
    minimum = None if low == "?" else int(low[1:-2]) if low else 0
    return symbol(name, minimum)


def _reduce(dim: Expr) -> tuple[Callable[..., Any], tuple[str]]:
    """Atoms are unique in their process, so a pickle holds the text."""
    return parse_dim, (str(dim),)


copyreg.pickle(Expr, _reduce)
