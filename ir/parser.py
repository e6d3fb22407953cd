"""Reads the text form that ``printer`` writes.

White space between tokens is free, and ``#`` starts a comment that ends with its line.
Text is not trusted: time is linear in its length, and graphs, lists and types nest at
most ``MAX_DEPTH`` deep.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NoReturn, TypeAlias

import numpy as np

import graphwright.ir.ops  # noqa: F401 (registers the operations)
from graphwright.ir.constant import Constant
from graphwright.ir.dim import Dim, scan_dim
from graphwright.ir.dtype import DTYPES, DType, complex64
from graphwright.ir.emitter import Value
from graphwright.ir.errors import ModelError, ParseError
from graphwright.ir.graph import Graph, Node
from graphwright.ir.op import OPS, Op
from graphwright.ir.printer import HEADER
from graphwright.ir.types import (
    Guard,
    MapType,
    OptionalType,
    SequenceType,
    TensorType,
    TokenType,
    Type,
)
from graphwright.ir.verify import verify

MAX_DEPTH: Final = 64
"""How deep graphs, lists and types may stand inside one another."""

_MAX_LINE: Final = 1000

Constants: TypeAlias = Mapping[str, Any] | Iterable[Constant]

_SPACE: Final = re.compile(r"\s*(?:#[^\n]*\s*)*")
_VALUE: Final = re.compile(r"%\d+", re.ASCII)
_VALUES: Final = r"%\d+(?:\s*,\s*%\d+)*"
_NODE: Final = re.compile(
    rf"""(?:(?P<results>{_VALUES})\s*=\s*)?
    (?P<op>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)\.(?P<version>\d+)
    \s*\(\s*(?P<operands>(?:{_VALUES})?)\s*\)""",
    re.ASCII | re.VERBOSE,
)
_CONSTANT: Final = re.compile(r"(%\d+)\s*=\s*constant\b", re.ASCII)
_WORD: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_STRING: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"')
_INT: Final = re.compile(r"-?\d+", re.ASCII)
_SIZE: Final = re.compile(r"\d+(?=[,\]])", re.ASCII)
_DIGEST: Final = re.compile(r"@([0-9a-f]{32})\b")
_NAN: Final = re.compile(r"nan\(0x([0-9a-f]{2,16})\)")
_NUMBER: Final = re.compile(
    r"-?(?:\d+(?P<real>(?:\.\d+)?(?:[eE][-+]?\d+)?)|(?P<word>inf\b|nan\b))", re.ASCII
)
_RELATION: Final = re.compile(r"==|<=|divides\b")


def parse(text: str, constants: Constants | None = None) -> Graph:
    """The verified graph that a text describes; ``parse(str(graph)) == graph``.

    Args:
        text: What ``str`` of a graph gives.
        constants: The constants that the text names by digest, or a mapping from digests
            to arrays. Without it the graph can be inspected and compared, not run.

    Raises:
        ParseError: If the text is not of that form, with line and column.
        ModelError: If the graph breaks a rule, or a constant is not what the text says.
    """
    given: Mapping[str, Any] = {}
    if isinstance(constants, Mapping):
        given = constants
    elif constants is not None:
        given = {constant.digest: constant for constant in constants}
    reader = _Reader(text, given)
    reader.expect(HEADER)
    graph = reader.graph()
    reader.end()
    verify(graph)
    return graph


class _Text:
    """A place in a text, and how it moves."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0

    def fail(self, message: str, at: int | None = None) -> NoReturn:
        at = self.at if at is None else at
        line = self.text.count("\n", 0, at) + 1
        column = at - self.text.rfind("\n", 0, at)
        found = self.text[at : at + 30].split("\n")[0]
        got = f"got {found!r}" if at < len(self.text) else "the text ends"
        raise ParseError(f"line {line}, column {column}: {message}; {got}")

    def skip(self) -> int:
        """Goes past white space and comments; the place after them."""
        found = _SPACE.match(self.text, self.at)
        assert found is not None
        self.at = found.end()
        return self.at

    def match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self.text, self.skip())
        if found:
            self.at = found.end()
        return found

    def need(self, pattern: re.Pattern[str], what: str) -> str:
        found = self.match(pattern)
        return found[0] if found else self.fail(f"expected {what}")

    def take(self, sign: str) -> bool:
        found = self.text.startswith(sign, self.skip())
        self.at += len(sign) * found
        return found

    def expect(self, sign: str) -> None:
        if not self.take(sign):
            self.fail(f"expected `{sign}`")

    def end(self) -> None:
        if self.skip() < len(self.text):
            self.fail("expected the end of the text")

    def more(self, close: str, first: bool) -> bool:
        """Whether a list goes on: reads the comma before, or the sign that closes it."""
        if self.take(close):
            return False
        if not first:
            self.expect(",")
        return True

    def enter(self) -> None:
        """Goes one level deeper; ``depth`` is set back by who called."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.fail(f"nested more than {MAX_DEPTH} deep")

    def string(self) -> str:
        start = self.skip()
        quoted = self.need(_STRING, "a string in quotes")
        try:
            return str(json.loads(quoted))
        except ValueError:
            self.fail("bad escape in a string", start)

    def integer(self) -> int:
        start = self.skip()
        digits = self.need(_INT, "an integer")
        try:
            return int(digits)
        except ValueError:
            self.fail("an integer of too many digits", start)

    def dim(self) -> Dim:
        self.skip()
        size = _SIZE.match(self.text, self.at)
        if size and size.end() - self.at < 20:
            self.at = size.end()
            return int(size[0])
        try:
            found, self.at = scan_dim(self.text, self.at)
        except ParseError as error:
            self.fail(f"expected a dim ({error})")
        return found


class _Types(_Text):
    """Reads types and constants."""

    def dtype(self, word: str, at: int) -> DType:
        found = DTYPES.get(word)
        return found or self.fail("expected a type", at)

    def type(self) -> Type:
        at = self.skip()
        return self.type_of(self.need(_WORD, "a type"), at)

    def type_of(self, word: str, at: int) -> Type:
        """The type that starts with a word at a place."""
        if word == "token":
            return TokenType()
        if word not in ("seq", "optional", "map"):
            return self.tensor_type(self.dtype(word, at))
        self.expect("<")
        self.enter()
        if word == "map":
            at = self.skip()
            key = self.dtype(self.need(_WORD, "the type of keys"), at)
            self.expect(",")
            found: Type = MapType(key, self.type())
        else:
            found = (SequenceType if word == "seq" else OptionalType)(self.type())
        self.depth -= 1
        self.expect(">")
        return found

    def tensor_type(self, dtype: DType) -> TensorType:
        """What follows an element type: shape, then contents where known."""
        self.expect("[")
        if self.take("*"):
            self.expect("]")
            return TensorType(dtype, None)
        shape: list[Dim] = []
        while self.more("]", not shape):
            shape.append(self.dim())
        if not self.text.startswith("{", self.at):
            return TensorType(dtype, tuple(shape))
        self.at += 1
        contents: list[Dim | None] = []
        while self.more("}", not contents):
            contents.append(None if self.take("?") else self.dim())
        return TensorType(dtype, tuple(shape), tuple(contents))

    def number(self) -> float | int:
        start = self.skip()
        found = self.match(_NUMBER)
        if found is None:
            self.fail("expected a number")
        try:
            return float(found[0]) if found["real"] or found["word"] else int(found[0])
        except ValueError:
            self.fail("an integer of too many digits", start)

    def elements(self, dtype: DType, size: int) -> Any:
        """The elements of a constant, between brackets."""
        values: list[Any] = []
        bits: dict[int, int] = {}
        self.expect("[")
        while self.more("]", not values):
            if dtype.is_float and (found := self.match(_NAN)):
                bits[len(values)] = int(found[1], 16)
            values.append(0.0 if len(values) in bits else self.element(dtype))
            if len(values) > size:
                self.fail(f"more than {size} elements")
        if len(values) < size:
            self.fail(f"{len(values)} elements where {size} are due")
        try:
            array = np.array(values, np.float64 if dtype.is_float else None)
            array = array.astype(dtype.numpy) if dtype.is_float else np.array(
                values, dtype.numpy
            )
            raw = array.view(f"u{dtype.itemsize}") if bits else array
            for place, pattern in bits.items():
                raw[place] = pattern
        except (OverflowError, ValueError, TypeError) as error:
            self.fail(f"elements that {dtype.name} does not hold ({error})")
        return array

    def element(self, dtype: DType) -> Any:
        match dtype.kind:
            case "b":
                return self.need(re.compile("true|false"), "true or false") == "true"
            case "c":
                half = DTYPES["float32" if dtype is complex64 else "float64"]
                return self.elements(half, 2).view(dtype.numpy)[0]
            case "f":
                return self.number()
            case _:
                return self.integer()
