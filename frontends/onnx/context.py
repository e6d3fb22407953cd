"""What a converter sees: one ONNX node with its operands as values."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol, TypeVar, overload

import numpy as np

from graphwright.frontends.onnx.tensors import constant_of_proto
from graphwright.ir.constant import Constant
from graphwright.ir.dim import Dim, bounds
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import ModelError, ShapeError
from graphwright.ir.graph import Graph
from graphwright.ir.types import Type

T = TypeVar("T")

_MAX_DIMS = 1024
"""More sizes than any operator has for its axes."""


class NeedsValue(Exception):
    """A converter needs the value of an operand that is only known at run time.

    Attributes:
        value: That value.
        index: Which input of the graph under construction it is; None if it is none.
    """

    def __init__(self, value: Value) -> None:
        super().__init__("an operand's value is needed")
        self.value = value
        self.index: int | None = None


class Importer(Protocol):
    """What control flow and gradients ask of the importer that runs them.

    Attributes:
        model: What is shared with the other parts of the import.
        b: The builder of this graph.
    """

    model: Any
    b: Any

    def lookup(self, name: str) -> Value:
        """The value of a name."""
        ...

    def captured(self, *protos: Any) -> dict[str, Value]:
        """What sub-graphs read from outside, by name."""
        ...

    def capture_operands(self, captured: Mapping[str, Value]) -> list[Value]:
        """The captured values that become operands."""
        ...

    def open_subgraph(
        self, name: str, types: Mapping[str, Type], captured: Mapping[str, Value]
    ) -> "Importer":
        """The importer of a sub-graph with these inputs."""
        ...

    def import_subgraph(
        self, proto: Any, types: Sequence[Type], captured: Mapping[str, Value]
    ) -> Graph:
        """A whole sub-graph."""
        ...

    def inline_subgraph(self, proto: Any) -> list[Value]:
        """The outputs of a sub-graph in the place of the node that holds it."""
        ...

    def with_declared_axis(self, info: Any) -> None:
        """Gives a 0-d input an axis if it is declared with one."""
        ...

    def finish(self, proto: Any) -> Graph:
        """The graph of a sub-graph whose inputs are defined already."""
        ...


class Context:
    """One node under conversion.

    Attributes:
        b: Emitter of the graph under construction.
        op_type, domain, version: The operator, and the opset version that the model
            imports for its domain.
        inputs: Operands; None where an optional one is left out.
        outputs: Names of the results; empty where one is not wanted.
        attributes: AttributeProtos by name.
    """

    def __init__(
        self,
        b: Emitter,
        node: Any,
        version: int,
        inputs: Sequence[Value | None],
        importer: Importer,
    ) -> None:
        self.b, self.node, self.version = b, node, version
        self.op_type: str = node.op_type
        self.domain: str = node.domain
        self.inputs = list(inputs)
        self.importer = importer

    @cached_property
    def outputs(self) -> list[str]:
        """Names of the results; empty where one is not wanted."""
        return list(self.node.output)

    @cached_property
    def attributes(self) -> Mapping[str, Any]:
        """AttributeProtos by name."""
        return {a.name: a for a in self.node.attribute}

    # Operands -------------------------------------------------------------------------

    def __getitem__(self, index: int) -> Value:
        """Operand ``index``, which must be there."""
        value = self.optional(index)
        if value is None:
            raise ModelError(f"{self.op_type} lacks input {index}")
        return value

    def optional(self, index: int) -> Value | None:
        """Operand ``index``, or None where it is left out."""
        return self.inputs[index] if index < len(self.inputs) else None

    def values(self) -> list[Value]:
        """All operands; none may be left out."""
        return [self[i] for i in range(len(self.inputs))]

    def wants(self, index: int) -> bool:
        """Whether result ``index`` is used by name."""
        return index < len(self.outputs) and bool(self.outputs[index])

    # Values known at import ---------------------------------------------------------

    def array(self, value: Value) -> "np.ndarray[Any, Any]":
        """The value of an operand that must be known now.

        Raises:
            NeedsValue: If it is not; the node is then converted at run time.
        """
        constant = self.b.known(value)
        if constant is None:
            raise NeedsValue(value)
        return constant.array()

    def int_list(self, value: Value) -> list[int]:
        """A small integer tensor that must be known now, as a flat list."""
        return [int(v) for v in self.array(value).ravel()]

    def scalar(self, value: Value) -> Any:
        """A one-element tensor that must be known now."""
        return self.array(value).reshape(()).item()

    def dims(self, value: Value, minimum: int | None = None) -> tuple[Dim, ...]:
        """An integer vector (or scalar) as dims, bound at run time where unknown.

        ``minimum`` is the least value an element can have; None where unbounded.
        """
        constant = None if value.tensor.contents is not None else self.b.known(value)
        if constant is not None:
            found: tuple[Dim, ...] = tuple(int(v) for v in constant.array().ravel())
        elif all(isinstance(d, int) for d in value.shape):
            size = value.tensor.size
            if isinstance(size, int) and size > _MAX_DIMS:
                raise ShapeError(f"{self.op_type}: {value.type} is no list of sizes")
            flat = self.b.reshape(value, (size,))
            found = self.b.bind_dims(flat, minimum)
        else:
            raise NeedsValue(value)
        for dim in found:
            highest = bounds(dim)[1]
            if minimum is not None and highest is not None and highest < minimum:
                raise ShapeError(f"{self.op_type}: size {dim} is less than {minimum}")
        return found

    # Attributes -----------------------------------------------------------------------

    def has(self, name: str) -> bool:
        """Whether an attribute is given."""
        return name in self.attributes

    def _get(self, name: str, kinds: tuple[int, ...], word: str) -> Any:
        attribute = self.attributes.get(name)
        if attribute is None:
            return None
        if attribute.type not in kinds:
            raise ModelError(f"attribute {name!r} of {self.op_type} must be {word}")
        return attribute

    @overload
    def integer(self, name: str) -> int: ...
    @overload
    def integer(self, name: str, default: T) -> int | T: ...
    def integer(self, name: str, default: Any = ...) -> Any:
        """An integer attribute; without a default it is required."""
        found = self._get(name, (2,), "an integer")
        return int(found.i) if found else self._default(name, default)

    @overload
    def real(self, name: str) -> float: ...
    @overload
    def real(self, name: str, default: T) -> float | T: ...
    def real(self, name: str, default: Any = ...) -> Any:
        """A float attribute."""
        found = self._get(name, (1,), "a float")
        return float(found.f) if found else self._default(name, default)

    @overload
    def string(self, name: str) -> str: ...
    @overload
    def string(self, name: str, default: T) -> str | T: ...
    def string(self, name: str, default: Any = ...) -> Any:
        """A string attribute."""
        found = self._get(name, (3,), "a string")
        text = found.s.decode("utf-8", "surrogateescape") if found else None
        return self._default(name, default) if text is None else text

    @overload
    def integers(self, name: str) -> list[int]: ...
    @overload
    def integers(self, name: str, default: T) -> list[int] | T: ...
    def integers(self, name: str, default: Any = ...) -> Any:
        """A list of integers."""
        found = self._get(name, (7,), "a list of integers")
        return list(found.ints) if found else self._default(name, default)

    @overload
    def reals(self, name: str) -> list[float]: ...
    @overload
    def reals(self, name: str, default: T) -> list[float] | T: ...
    def reals(self, name: str, default: Any = ...) -> Any:
        """A list of floats."""
        found = self._get(name, (6,), "a list of floats")
        return list(found.floats) if found else self._default(name, default)

    @overload
    def strings(self, name: str) -> list[str]: ...
    @overload
    def strings(self, name: str, default: T) -> list[str] | T: ...
    def strings(self, name: str, default: Any = ...) -> Any:
        """A list of strings."""
        found = self._get(name, (8,), "a list of strings")
        if not found:
            return self._default(name, default)
        return [s.decode("utf-8", "surrogateescape") for s in found.strings]

    def tensor(self, name: str) -> Constant | None:
        """A tensor attribute, or None."""
        found = self._get(name, (4,), "a tensor")
        return constant_of_proto(found.t) if found else None

    def graph(self, name: str) -> Any:
        """A sub-graph attribute (GraphProto)."""
        found = self._get(name, (5,), "a graph")
        if found is None:
            raise ModelError(f"{self.op_type} lacks attribute {name!r}")
        return found.g

    def _default(self, name: str, default: Any) -> Any:
        if default is ...:
            raise ModelError(f"{self.op_type} lacks attribute {name!r}")
        return default

    def axis(self, axis: int, rank: int) -> int:
        """A possibly negative axis as a nonnegative one, checked."""
        if not -rank <= axis < rank:
            raise ModelError(f"{self.op_type}: axis {axis} does not fit rank {rank}")
        return axis + rank if axis < 0 else axis

    def axes(self, axes: Sequence[int], rank: int) -> list[int]:
        """Possibly negative axes as nonnegative ones, checked."""
        return [self.axis(a, rank) for a in axes]
