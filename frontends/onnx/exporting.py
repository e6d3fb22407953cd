"""What an exporter sees: one IR node whose operands have names in the model."""

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np

from graphwright.frontends.onnx.kernels import first_version, holder, holds
from graphwright.frontends.onnx.tensors import element_of
from graphwright.frontends.onnx.writing import Scope, Written
from graphwright.ir.constant import Constant
from graphwright.ir.dim import Dim
from graphwright.ir.dtype import DType, int64
from graphwright.ir.emitter import Emitter, Value, broadcast_shape
from graphwright.ir.errors import ShapeError, UnsupportedOpError
from graphwright.ir.graph import Graph, Node
from graphwright.ir.types import OptionalType, SequenceType, TensorType, Type

Exported: TypeAlias = "str | Value | Sequence[str | Value]"


class NeedsOpset(Exception):
    """What is exported needs a newer opset.

    Attributes:
        domain: Of which domain.
        version: Its oldest version that will do.
        what: What needs it.
    """

    def __init__(self, domain: str, version: int, what: str) -> None:
        super().__init__(f"{what} needs opset {version}")
        self.domain, self.version, self.what = domain, version, what


class GraphWriter(Protocol):
    """What exporters ask of the model's exporter."""

    b: Any
    scope: Scope
    opset: int
    functions: list[Any]
    opsets: dict[str, int]
    uses: dict[Value, int]

    def name(self, value: Value) -> str:
        """The name of a value."""
        ...

    def constant(self, constant: Constant) -> str:
        """The name of a constant."""
        ...

    def dims(self, dims: Sequence[Dim]) -> str:
        """An int64 vector of dims."""
        ...

    def placeholder(self, stem: str) -> str:
        """A name for now."""
        ...

    def body(
        self,
        graph: Graph,
        inputs: Sequence[Value],
        given: Sequence[tuple[Value, Value]],
        outputs: Sequence[Value] | None = None,
    ) -> Scope:
        """A sub-graph."""
        ...

    def inline(self, graph: Graph, operands: Sequence[Value]) -> list[Value]:
        """The nodes of a sub-graph in this place."""
        ...

    def wrap(self, name: str, type_: Type) -> Value:
        """A value that has a name already."""
        ...

    def define_from(self, symbol: str, vector: str, index: int) -> None:
        """Says that a symbol is an element of a vector."""
        ...


class Export:
    """One IR node on its way out.

    Attributes:
        b: Emits IR ops that are exported at once: for what simpler ops can say.
        op: The IR op.
        node: The node.
        version: The opset version of ai.onnx.
    """

    def __init__(self, writer: GraphWriter, node: Node) -> None:
        self.writer, self.node = writer, node
        self.b: Emitter = writer.b
        self.op: Any = node.op
        self.version = writer.opset

    @property
    def operands(self) -> tuple[Value, ...]:
        """The operands as values."""
        return self.node.operands

    @property
    def result(self) -> Value:
        """The only result, or the first."""
        return self.node.results[0]

    @property
    def dtype(self) -> DType:
        """Dtype of the first result."""
        return self.result.dtype

    def __getitem__(self, index: int) -> str:
        """The name of an operand."""
        return self.writer.name(self.operands[index])

    def name(self, value: Value) -> str:
        """The name of a value."""
        return self.writer.name(value)

    def names(self) -> list[str]:
        """The names of all operands."""
        return [self.writer.name(v) for v in self.operands]

    def wrap(self, name: str, type_: Type) -> Value:
        """A value that has a name already, for IR ops to go on with."""
        return self.writer.wrap(name, type_)

    # Writing --------------------------------------------------------------------------

    def all(
        self,
        op_type: str,
        *inputs: str,
        outputs: int = 1,
        domain: str = "",
        **attributes: Any,
    ) -> list[str]:
        """Adds an ONNX node; returns the names of its outputs."""
        if not domain:
            self.needs(first_version(op_type))
        found = [self.writer.placeholder(op_type) for _ in range(outputs)]
        source = self.node.source
        self.writer.scope.nodes.append(
            Written(
                op_type,
                list(inputs),
                found,
                attributes,
                domain,
                source.name if source else "",
            )
        )
        return found

    def add(
        self, op_type: str, *inputs: str, domain: str = "", **attributes: Any
    ) -> str:
        """Adds an ONNX node of one output; returns its name."""
        return self.all(op_type, *inputs, domain=domain, **attributes)[0]

    def needs(self, version: int, domain: str = "") -> None:
        """Asks for an opset version.

        Raises:
            NeedsOpset: If the model's is older.
        """
        have = self.version if not domain else self.writer.opsets.get(domain, 0)
        if have < version:
            raise NeedsOpset(domain, version, self.op.name)

    def unsupported(self, why: str) -> UnsupportedOpError:
        """The error that says that this node has no ONNX form."""
        return UnsupportedOpError(f"ONNX cannot express {self.op.name}: {why}")

    # Constants and dims ---------------------------------------------------------------

    def constant(self, value: Any, dtype: DType) -> str:
        """The name of a constant."""
        return self.writer.constant(Constant.of(np.asarray(value, dtype.numpy), dtype))

    def ints(self, *values: int) -> str:
        """An int64 vector."""
        return self.constant(values, int64)

    def dims(self, dims: Sequence[Dim]) -> str:
        """An int64 vector of dims."""
        return self.writer.dims(dims)

    def dim(self, dim: Dim) -> str:
        """A dim as a 0-d int64."""
        if isinstance(dim, int):
            return self.constant(dim, int64)
        return self.squeeze(self.dims([dim]))

    def known(self, index: int) -> "np.ndarray[Any, Any] | None":
        """The value of an operand, if it is known."""
        found = self.b.known(self.operands[index])
        return None if found is None else found.array()

    # Small helpers --------------------------------------------------------------------

    def cast(self, name: str, dtype: DType) -> str:
        """Another dtype; infinity stays infinite where the dtype has it."""
        narrow = dtype.name.startswith("float8")
        return self.add(
            "Cast", name, to=element_of(dtype), saturate=0 if narrow else None
        )

    def squeeze(self, name: str, axes: Sequence[int] = (0,)) -> str:
        """Without axes of size 1."""
        return self.add("Squeeze", name, self.ints(*axes))

    def unsqueeze(self, name: str, axes: Sequence[int]) -> str:
        """With new axes of size 1."""
        return self.add("Unsqueeze", name, self.ints(*axes))

    def held(
        self,
        op_type: str,
        *inputs: str,
        dtype: DType | None = None,
        rest: Sequence[str] = (),
        back: bool = True,
        **attributes: Any,
    ) -> str:
        """A node in a dtype that its operator takes and has kernels for.

        Inputs have ``dtype`` (by default that of the first operand), those of ``rest``
        after them another. The result has it too if ``back``, else the operator's own.
        """
        own = self.operands[0].dtype if dtype is None else dtype
        wide = holder(op_type, own, self.version)
        if wide is own:
            return self.add(op_type, *inputs, *rest, **attributes)
        given = [self.cast(name, wide) for name in inputs]
        found = self.add(op_type, *given, *rest, **attributes)
        return self.cast(found, own) if back else found

    def lifted(self, op_type: str) -> "list[Value] | None":
        """The same IR op in a wider dtype, if the operator does not take this one."""
        own = self.operands[0].dtype
        wide = holder(op_type, own, self.version)
        if wide is own:
            return None
        b = self.b
        given = [b.cast(v, wide) if is_of(v, own) else v for v in self.operands]
        found = b.emit_all(self.op.name, *given, **self.op.fields)
        return [b.cast(v, own) if is_of(v, wide) else v for v in found]

    def takes(self, op_type: str, type_: Type) -> None:
        """Checks that an operator of sequences or optionals takes a type.

        Raises:
            UnsupportedOpError: If it does not.
        """
        self.needs(first_version(op_type))
        while isinstance(type_, SequenceType | OptionalType):
            type_ = type_.element
        if isinstance(type_, TensorType) and not holds(
            op_type, type_.dtype, self.version
        ):
            raise self.unsupported(f"{op_type} takes no {type_.dtype}")

    # What operands are made of --------------------------------------------------------

    def made_by(self, value: Value, *kinds: str) -> Any:
        """The node that makes a value, if its op is of one of these names."""
        node: Node | None = self.b.producer(value)
        return node if node is not None and node.op.name in kinds else None

    def used_once(self, value: Value) -> bool:
        """Whether nothing but this node reads a value."""
        return self.writer.uses.get(value, 1) == 1

    def is_scalar(self, value: Value, number: float | bool) -> bool:
        """Whether a value is one number, perhaps repeated."""
        node = self.made_by(value, "broadcast_to")
        value = value if node is None else node.operands[0]
        known = self.b.known(value)
        return known is not None and known.size == 1 and known.array().item() == number

    def lean(self, *operands: Value, shape: Sequence[Dim] | None = None) -> list[Value]:
        """Operands before they were repeated, as far as ONNX repeats them itself."""
        target = self.result.shape if shape is None else tuple(shape)
        chosen = list(operands)
        for i, value in enumerate(operands):
            node = self.made_by(value, "broadcast_to")
            if node is None:
                continue
            trial = [*chosen[:i], node.operands[0], *chosen[i + 1 :]]
            if self.spread(*(v.shape for v in trial)) == target:
                chosen = trial
        return chosen

    def spread(self, *shapes: Sequence[Dim]) -> tuple[Dim, ...] | None:
        """What shapes repeat to, if they can."""
        try:
            return broadcast_shape(*shapes)
        except ShapeError:
            return None

    def lean_names(
        self, *operands: Value, shape: Sequence[Dim] | None = None
    ) -> list[str]:
        """The names of ``lean``."""
        return [self.name(v) for v in self.lean(*operands, shape=shape)]

    def body(
        self,
        graph: Graph,
        inputs: Sequence[Value] = (),
        given: Sequence[tuple[Value, Value]] = (),
        outputs: Sequence[Value] | None = None,
    ) -> Scope:
        """A sub-graph as an attribute.

        Args:
            graph: The sub-graph.
            inputs: Those of its inputs that stay inputs.
            given: The others, each with the value outside that it stands for.
            outputs: Its outputs, if not those of the graph.
        """
        return self.writer.body(graph, inputs, given, outputs)


def is_of(value: Value, dtype: DType) -> bool:
    """Whether a value is a tensor of a dtype."""
    return isinstance(value.type, TensorType) and value.dtype is dtype
