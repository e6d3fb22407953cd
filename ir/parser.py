"""Reads the text form that ``printer`` writes.

Text is not trusted: time is linear in its length, graphs, lists and types stand at most
``MAX_DEPTH`` deep in one another, and the graph is verified.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np

import graphwright.ir.ops  # noqa: F401 (registers the operations)
from graphwright.ir.arguments import checked
from graphwright.ir.constant import Constant
from graphwright.ir.dim import Dim
from graphwright.ir.dtype import DTYPES, DType, complex64
from graphwright.ir.emitter import Value
from graphwright.ir.errors import ModelError
from graphwright.ir.graph import Graph, Node
from graphwright.ir.op import OPS, Op
from graphwright.ir.printer import HEADER
from graphwright.ir.scanner import Scanner
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

_MAX_LINE: Final = 1000

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
_FLAG: Final = re.compile(r"true\b|false\b")
_DIGEST: Final = re.compile(r"@([0-9a-f]{32})\b")
_NAN: Final = re.compile(r"nan\(0x([0-9a-f]{2,16})\)")
_RELATION: Final = re.compile(r"==|<=|divides\b")
_WORDS: Final[Mapping[str, Any]] = {"none": None, "true": True, "false": False}
_KINDS: Final = ("seq", "optional", "map", "token")

Constants: TypeAlias = Mapping[str, Any] | Iterable[Constant]


@checked
def parse(text: str, constants: Constants | None = None) -> Graph:
    """The verified graph that a text describes; ``parse(str(graph)) == graph``.

    Args:
        text: What ``str`` of a graph gives.
        constants: The constants that the text names by digest, such as those of
            ``graph.all_constants()``, or a mapping from digests to arrays. Without them
            the graph can be inspected and compared, but not run.

    Raises:
        ParseError: If the text is not of that form, with line and column.
        ModelError: If the graph breaks a rule, or a constant is not what the text says.
    """
    if not isinstance(constants, Mapping):
        constants = {constant.digest: constant for constant in constants or ()}
    reader = _GraphReader(text, constants)
    reader.expect(HEADER)
    graph = reader.graph()
    if reader.skip() < len(text):
        reader.fail("expected the end of the text")
    verify(graph)
    return graph


class _TypeReader(Scanner):
    """Reads types."""

    def dtype(self, word: str, at: int) -> DType:
        return DTYPES.get(word) or self.fail("expected a type or a value", at)

    def type(self) -> Type:
        at = self.skip()
        return self.type_of(self.need(_WORD, "a type"), at)

    def type_of(self, word: str, at: int) -> Type:
        """The type that starts with a word, read already, at a place."""
        if word == "token":
            return TokenType()
        if word not in _KINDS:
            return self.tensor_type(self.dtype(word, at))
        self.enter()
        self.expect("<")
        if word == "map":
            at = self.skip()
            key = self.dtype(self.need(_WORD, "the type of the keys"), at)
            self.expect(",")
            found: Type = MapType(key, self.type())
        else:
            found = (SequenceType if word == "seq" else OptionalType)(self.type())
        self.expect(">")
        self.leave()
        return found

    def tensor_type(self, dtype: DType) -> TensorType:
        """What follows an element type: the shape, then contents where known."""
        self.expect("[")
        if self.take("*"):
            self.expect("]")
            return TensorType(dtype, None)
        shape: list[Dim] = []
        while self.more("]", first=not shape):
            shape.append(self.dim())
        contents = self.contents() if self.take("{") else None
        return TensorType(dtype, tuple(shape), contents)

    def contents(self) -> tuple[Dim | None, ...]:
        found: list[Dim | None] = []
        while self.more("}", first=not found):
            found.append(None if self.take("?") else self.dim())
        return tuple(found)


class _ConstantReader(_TypeReader):
    """Reads constants; ``given`` holds those that the text names by digest."""

    def __init__(self, text: str, given: Mapping[str, Any]) -> None:
        super().__init__(text)
        self.given = given

    def constant(self) -> Constant:
        at = self.skip()
        dtype = self.dtype(self.need(_WORD, "an element type"), at)
        self.expect("[")
        shape: list[int] = []
        while self.more("]", first=not shape):
            shape.append(self.integer())
        if min(shape, default=0) < 0:
            self.fail("a negative size", at)
        digest = self.match(_DIGEST)
        if digest:
            return self.named(dtype, tuple(shape), digest[1])
        elements = self.elements(dtype)
        if elements.size != int(np.prod(shape, dtype=object)):
            self.fail(f"{elements.size} elements for this shape", at)
        return Constant.of(elements.reshape(shape), dtype)

    def named(self, dtype: DType, shape: tuple[int, ...], digest: str) -> Constant:
        """The constant given under a digest; without data if none is."""
        wanted = Constant(dtype, shape, digest=digest)
        if digest not in self.given:
            return wanted
        given = self.given[digest]
        found = given if isinstance(given, Constant) else Constant.of(given, dtype)
        if found != wanted:
            raise ModelError(
                f"constant {digest} is {found.type} of digest {found.digest}, the text"
                f" says {dtype.name}{list(shape)}"
            )
        return found

    def elements(self, dtype: DType) -> Any:
        """A flat array of the elements between brackets."""
        if dtype.kind == "c":
            half = DTYPES["float32" if dtype is complex64 else "float64"]
            pairs = self.listed(lambda: self.reals(half))
            if any(pair.size != 2 for pair in pairs):
                self.fail("a complex element is not two numbers")
            return np.array(pairs, half.numpy).reshape(-1).view(dtype.numpy)
        if dtype.kind == "f":
            return self.reals(dtype)
        read = self.flag if dtype.kind == "b" else self.integer
        start, values = self.skip(), self.listed(read)
        try:
            return np.array(values, dtype.numpy)
        except (OverflowError, ValueError) as error:
            self.fail(f"not {dtype.name}: {error}", start)

    def listed(self, read: Callable[[], Any]) -> list[Any]:
        """What ``read`` reads, again and again, between brackets."""
        self.expect("[")
        found: list[Any] = []
        while self.more("]", first=not found):
            found.append(read())
        return found

    def flag(self) -> bool:
        return self.need(_FLAG, "true or false") == "true"

    def reals(self, dtype: DType) -> Any:
        """A flat array of floats, NaNs of other bits than the usual ones included."""
        odd: dict[int, int] = {}
        values: list[float] = []
        self.expect("[")
        while self.more("]", first=not values):
            bits = self.match(_NAN)
            if bits:
                odd[len(values)] = int(bits[1], 16) % (1 << dtype.bits)
            values.append(0.0 if bits else float(self.number()))
        array = np.array(values).astype(dtype.numpy)
        raw = array.view(f"u{dtype.itemsize}")
        for place, pattern in odd.items():
            raw[place] = pattern
        return array


def _float_of(bits: int) -> float:
    return float(np.array(bits, np.uint64).view(np.float64))


@dataclass(slots=True)
class _Scope:
    """A graph that is being read."""

    values: dict[str, Value] = field(default_factory=dict[str, Value])
    inputs: list[Value] = field(default_factory=list[Value])
    input_names: list[str] = field(default_factory=list[str])
    outputs: list[Value] = field(default_factory=list[Value])
    output_names: list[str] = field(default_factory=list[str])
    nodes: list[Node] = field(default_factory=list[Node])
    constants: dict[Value, Constant] = field(default_factory=dict[Value, Constant])
    guards: list[Guard] = field(default_factory=list[Guard])
    variables: dict[str, Constant] = field(default_factory=dict[str, Constant])
    metadata: dict[str, str] = field(default_factory=dict[str, str])

    def graph(self, name: str) -> Graph:
        return Graph(
            name,
            tuple(self.inputs),
            tuple(self.outputs),
            tuple(self.nodes),
            self.constants,
            tuple(self.input_names),
            tuple(self.output_names),
            tuple(self.guards),
            variables=self.variables,
            metadata=self.metadata,
        )


class _GraphReader(_ConstantReader):
    """Reads graphs."""

    def __init__(self, text: str, given: Mapping[str, Any]) -> None:
        super().__init__(text, given)
        self.known: dict[tuple[str, str, str], tuple[Op, list[Type]]] = {}

    def graph(self) -> Graph:
        self.enter()
        self.expect("graph")
        name = self.string()
        self.expect("{")
        scope = _Scope()
        while not self.take("}"):
            self.statement(scope)
        self.leave()
        return scope.graph(name)

    def statement(self, scope: _Scope) -> None:
        start = self.skip()
        if found := self.match(_NODE):
            self.node(scope, found)
        elif found := self.match(_CONSTANT):
            constant = self.constant()
            scope.constants[self.define(scope, found[1], constant.type, start)] = (
                constant
            )
        else:
            word = self.match(_WORD)
            read = _STATEMENTS.get(word[0]) if word else None
            if read is None:
                self.fail("expected a statement or `}`", start)
            read(self, scope)

    def define(self, scope: _Scope, name: str, type_: Type, at: int) -> Value:
        if name in scope.values:
            self.fail(f"{name} is defined a second time", at)
        value = scope.values[name] = Value(type_)
        return value

    def input(self, scope: _Scope) -> None:
        at = self.skip()
        name = self.need(_VALUE, "a value such as %0")
        scope.input_names.append(self.string())
        self.expect(":")
        scope.inputs.append(self.define(scope, name, self.type(), at))

    def output(self, scope: _Scope) -> None:
        at = self.skip()
        name = self.need(_VALUE, "a value such as %0")
        if name not in scope.values:
            self.fail(f"{name} is not defined", at)
        scope.outputs.append(scope.values[name])
        scope.output_names.append(self.string())

    def variable(self, scope: _Scope) -> None:
        name = self.string()
        self.expect("=")
        scope.variables[name] = self.constant()

    def metadata(self, scope: _Scope) -> None:
        key = self.string()
        self.expect("=")
        scope.metadata[key] = self.string()

    def guard(self, scope: _Scope) -> None:
        left = self.dim()
        relation = self.need(_RELATION, "`==`, `<=` or `divides`")
        right = self.dim()
        scope.guards.append(Guard(left, relation, right, self.string()))

    def node(self, scope: _Scope, found: re.Match[str]) -> None:
        """The rest of a node of which operands have been read."""
        names = _VALUE.findall(found["operands"])
        try:
            operands = tuple([scope.values[name] for name in names])
        except KeyError as error:
            self.fail(f"{error.args[0]} is not defined", found.start("operands"))
        op, types = self.op_and_types(found)
        names = _VALUE.findall(found["results"] or "")
        if len(names) != len(types):
            self.fail(f"{len(types)} types for {len(names)} results", found.start())
        results = [
            self.define(scope, name, type_, found.start())
            for name, type_ in zip(names, types, strict=True)
        ]
        scope.nodes.append(Node(op, operands, tuple(results)))

    def op_and_types(self, found: re.Match[str]) -> tuple[Op, list[Type]]:
        """The op and its result types; one object each for lines that read the same."""
        start = self.at
        stop = self.text.find("\n", start, start + _MAX_LINE)
        key = (found["op"], found["version"], self.text[start : max(start, stop)])
        if stop >= 0 and key in self.known:
            self.at = stop
            return self.known[key]
        op = self.op(found)
        types: list[Type] = []
        while self.take("," if types else ":"):
            types.append(self.type())
        if 0 <= stop <= self.at and not self.text[stop : self.at].strip():
            self.known[key] = op, types
        return op, types

    def op(self, found: re.Match[str]) -> Op:
        name, version, start = found["op"], found["version"], found.start("op")
        cls = OPS.get(name) or self.fail(f"there is no operation {name}", start)
        if version != str(cls.version):
            self.fail(f"this is version {cls.version} of {name}", start)
        fields = self.fields() if self.take("{") else {}
        try:
            return cls(**fields)
        except TypeError as error:
            self.fail(str(error), start)

    def fields(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while self.more("}", first=not found):
            start = self.skip()
            name = self.need(_WORD, "a field")
            if name in found:
                self.fail(f"field {name} a second time", start)
            self.expect("=")
            found[name] = self.field()
        return found

    def field(self) -> Any:
        """The value of a field."""
        start = self.skip()
        first = self.text[start : start + 1]
        if first == '"':
            return self.string()
        if first == "[":
            self.enter()
            items = tuple(self.listed(self.field))
            self.leave()
            return items
        if first == "(":
            return self.dim()
        if first.isdigit() or first == "-":
            return self.number()
        return self.word(self.need(_WORD, "a value"), start)

    def word(self, word: str, start: int) -> Any:
        """A field that starts with a word, read already, at a place."""
        if word in _WORDS:
            return _WORDS[word]
        if word in ("inf", "nan", "graph"):
            self.at = start
            if word == "graph":
                return self.graph()
            bits = self.match(_NAN)
            return _float_of(int(bits[1], 16)) if bits else self.number()
        if word in _KINDS or self.peek("["):
            return self.type_of(word, start)
        return self.dtype(word, start)


_STATEMENTS: Final = {
    "input": _GraphReader.input,
    "output": _GraphReader.output,
    "variable": _GraphReader.variable,
    "metadata": _GraphReader.metadata,
    "guard": _GraphReader.guard,
}
