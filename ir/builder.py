"""Builds graphs: the ``Emitter`` that everything else is written against."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn, TypeAlias

import numpy as np

import graphwright.ir.ops  # noqa: F401 (registers the operations)
from graphwright.ir.arguments import checked
from graphwright.ir.constant import Constant
from graphwright.ir.dim import Dim, symbol
from graphwright.ir.dtype import DType
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import ArgumentError, GraphwrightError, UnsupportedOpError
from graphwright.ir.graph import Graph, Node, Origin, Source
from graphwright.ir.op import OPS, Op, Tier, Trait
from graphwright.ir.ratio import whole_dims
from graphwright.ir.types import Guard, TensorType, Type, collect_guards, type_symbols

_FOLD_BYTES = 1 << 16

Spread: TypeAlias = tuple[DType, tuple[Dim, ...], tuple[Dim, ...]]
"""Dtype and shape of what is broadcast, and the shape it gets."""


class _Inferred(NamedTuple):
    """Result types of an op; it keeps alive what their key holds the ``id`` of."""

    op: Op
    operands: Sequence[Type]
    results: tuple[Type, ...]


class Builder(Emitter):
    """A graph under construction.

    Attributes:
        name: Name of the graph.
        source: Where the nodes added next come from.
    """

    @checked
    def __init__(self, name: str = "graph", parent: "Builder | None" = None) -> None:
        self.name = name
        self.source: Source | None = None
        self.nodes: list[Node] = []
        self.constants: dict[Value, Constant] = {}
        self.origins: dict[Value, tuple[Origin, ...]] = {}
        self.variables: dict[str, Constant] = {}
        self.metadata: dict[str, str] = {}
        self._inputs: list[Value] = []
        self._input_names: list[str] = []
        self._guards: dict[Guard, None] = {}
        self._spreads: dict[Spread, tuple[Op, Type]] = {}
        self._inferred: dict[tuple[int, ...], _Inferred] = {}
        self._scalars = defaultdict[DType, dict[bytes, Value]](dict)
        self._producers: dict[Value, Node] = {}
        self._folded: dict[Value, Constant | None] = {}
        self._counter: list[int] = parent._counter if parent else [0]
        self._parent = parent

    @classmethod
    def extending(cls, graph: Graph) -> "Builder":
        """A builder that holds all of a graph, whose values can be used on."""
        self = cls(graph.name)
        self.nodes = list(graph.nodes)
        self.constants = dict(graph.constants)
        self.origins = dict(graph.origins)
        self.variables, self.metadata = dict(graph.variables), dict(graph.metadata)
        self._inputs, self._input_names = list(graph.inputs), list(graph.input_names)
        self._guards = dict.fromkeys(graph.guards)
        self._producers = graph.producers()
        taken = (n[1:] for n in graph.symbols() if n[:1] == "_" and n[1:].isdecimal())
        self._counter[0] = max(map(int, taken), default=0)
        return self

    @checked
    def input(self, name: str, type_: Type) -> Value:
        """Declares the next input."""
        value = Value(type_)
        self._inputs.append(value)
        self._input_names.append(name)
        return value

    def input_symbols(self) -> frozenset[str]:
        """Names of the symbols in the inputs' types."""
        return frozenset[str]().union(*(type_symbols(v.type) for v in self._inputs))

    def subgraph(self, name: str) -> "Builder":
        """A builder of a sub-graph, whose fresh symbols differ from this one's."""
        return Builder(name, self)

    def mark(self) -> tuple[int, int, Value | None]:
        """The present end of the graph, for ``undo``."""
        return len(self.nodes), len(self._guards), self.last_token

    def undo(self, mark: tuple[int, int, Value | None]) -> None:
        """Takes back the nodes and guards added since a mark; variables stay."""
        nodes, guards, self.last_token = mark
        del self.nodes[nodes:]
        for guard in list(self._guards)[guards:]:
            del self._guards[guard]

    def number_symbols_from(self, start: int) -> None:
        """Numbers fresh symbols from ``start``, apart from those of other graphs."""
        self._counter[0] = start

    def producer(self, value: Value) -> Node | None:
        return self._producers.get(value)

    def cast(self, x: Value, dtype: DType, *, saturate: bool = False) -> Value:
        if dtype.is_int and dtype.bits >= 32 and x.dtype.is_float:
            dims = whole_dims(self.producer, self.constants, x)
            if dims is not None:
                x = self.reshape(self.size_of(*dims), x.shape)
        return super().cast(x, dtype, saturate=saturate)

    def broadcast_to(self, x: Value, shape: Sequence[Dim]) -> Value:
        shape = tuple(shape)
        if x.shape == shape or not x.dtype.is_float:
            return super().broadcast_to(x, shape)
        key = (x.dtype, x.shape, shape)
        spread = self._spreads.get(key)
        if spread is None:  # models spread many small constants to few shapes
            op = OPS["broadcast_to"](shape=shape)
            spread = self._spreads[key] = op, self.infer(op, [x.type])[0]
        op, type_ = spread
        return self.add_node(op, (x,), (Value(type_),))[0]

    def fresh_symbol(self, minimum: int | None = 0) -> Dim:
        self._counter[0] += 1
        return symbol(f"_{self._counter[0]}", minimum)

    def variable(self, name: str, initial: Constant) -> None:
        if self._parent is not None:  # state belongs to the outermost graph
            self._parent.variable(name, initial)
        else:
            self.variables.setdefault(name, initial)

    def constant_of(self, constant: Constant) -> Value:
        if constant.shape == () and constant.dtype.kind != "S":
            scalars, key = self._scalars[constant.dtype], constant.array().tobytes()
            found = scalars.get(key)
            if found is None:
                found = scalars[key] = self._new_constant(constant)
            return found
        return self._new_constant(constant)

    def _new_constant(self, constant: Constant) -> Value:
        value = Value(constant.type)
        self.constants[value] = constant
        return value

    def emit_all(self, name: str, *operands: Value, **fields: Any) -> tuple[Value, ...]:
        cls = OPS.get(name)
        if cls is None:
            raise UnsupportedOpError(f"there is no operation {name!r}")
        single = None if fields else cls.single
        return self.apply(cls(**fields) if single is None else single, operands)

    def apply(self, op: Op, operands: Sequence[Value]) -> tuple[Value, ...]:
        """Adds an op and returns its results.

        Raises:
            ShapeError, DTypeError: If the operands do not fit, naming the source.
        """
        types = self.infer(op, [v.type for v in operands])
        return self.add_node(op, operands, tuple(map(Value, types)))

    def infer(self, op: Op, types: Sequence[Type]) -> tuple[Type, ...]:
        """Result types of an op; its guards are noted."""
        key = (id(op), *map(id, types))
        known = self._inferred.get(key)
        if known is not None:
            return known.results
        with collect_guards() as guards:
            try:
                found = op.result_type(*types)
            except GraphwrightError as error:
                self._blame(error)
        for guard in guards:
            self.guard(guard)
        results = found if isinstance(found, tuple) else (found,)
        if op is op.single and not guards:
            self._inferred[key] = _Inferred(op, types, results)
        return results

    def guard(self, guard: Guard) -> None:
        """Notes a condition on dims, once."""
        place = str(self.source) if self.source else guard.place
        self._guards.setdefault(
            Guard(guard.left, guard.relation, guard.right, place), None
        )

    def _blame(self, error: GraphwrightError) -> NoReturn:
        if self.source is None:
            raise error
        raise type(error)(f"{self.source}: {error}") from error

    def add_node(
        self, op: Op, operands: Sequence[Value], results: tuple[Value, ...]
    ) -> tuple[Value, ...]:
        """Adds an op whose results are these values, types unchecked."""
        node = Node(op, tuple(operands), results, self.source)
        self.nodes.append(node)
        for v in results:
            self._producers[v] = node
        return results

    def known(self, value: Value) -> Constant | None:
        if value in self.constants:
            return self.constants[value]
        contents = getattr(value.type, "contents", None)
        if contents is not None and all(isinstance(c, int) for c in contents):
            shape = value.shape
            array = np.array(contents, object).astype(value.dtype.numpy)
            return Constant.of(array.reshape(shape), value.dtype)
        return self._fold(value)

    def _fold(self, value: Value) -> Constant | None:
        """Evaluates what a value is computed from, if that is constant and small."""
        stack = [value]
        while stack:
            top = stack[-1]
            if top in self._folded or top in self.constants:
                stack.pop()
                continue
            node = self._producers.get(top)
            if node is None or not _foldable(node):
                self._folded[top] = None
                continue
            waiting = [
                v
                for v in node.operands
                if v not in self._folded and v not in self.constants
            ]
            if waiting:
                stack += waiting
            else:
                self._fold_node(node)
        return self._folded.get(value)

    def _fold_node(self, node: Node) -> None:
        parts = [self.constants.get(v) or self._folded.get(v) for v in node.operands]
        results: Sequence[Any] = [None] * len(node.results)
        if all(p is not None for p in parts):
            with np.errstate(all="ignore"):
                found = node.op.compute(
                    np, *(p.array() for p in parts if p is not None)
                )
            results = found if isinstance(found, tuple) else (found,)
        for v, r in zip(node.results, results, strict=True):
            self._folded[v] = None if r is None else Constant.of(np.asarray(r), v.dtype)

    @checked
    def finish(
        self, outputs: Iterable[Value], names: Sequence[str] = (), **extra: Any
    ) -> Graph:
        """The frozen graph with these outputs."""
        outputs = tuple(outputs)
        for v in outputs:
            if not isinstance(v, Value):
                raise ArgumentError(f"an output is a value of the builder, got {v!r}")
        return Graph(
            self.name,
            tuple(self._inputs),
            outputs,
            tuple(self.nodes),
            self.constants,
            tuple(self._input_names),
            tuple(names) or tuple(f"out{i}" for i in range(len(outputs))),
            tuple(self._guards),
            extra.pop("origins", self.origins),
            self.variables,
            self.metadata,
        )

    def splice(
        self,
        graph: Graph,
        operands: Sequence[Value],
        env: Mapping[str, Dim] | None = None,
    ) -> tuple[Value, ...]:
        """Adds all nodes of a graph, its inputs replaced; returns its outputs."""
        names: dict[Value, Value] = dict(zip(graph.inputs, operands, strict=True))

        def use(v: Value) -> Value:
            if v not in names:
                names[v] = self.constant_of(graph.constants[v])
            return names[v]

        outer = self.source
        for node in graph.nodes:
            self.source = node.source or outer
            op = node.op.bind(env) if env else node.op
            results = self.apply(op, [use(v) for v in node.operands])
            names.update(zip(node.results, results, strict=True))
            for v, new in zip(node.results, results, strict=True):
                if v in graph.origins:
                    self.origins.setdefault(new, graph.origins[v])
        self.source = outer
        return tuple(use(v) for v in graph.outputs)


def _foldable(node: Node) -> bool:
    op = node.op
    if op.tier in (Tier.CONTROL, Tier.HOST) or op.has_symbols() or op.defined_symbols():
        return False
    if op.traits & {Trait.EFFECT, Trait.RANDOM}:
        return False
    size = 0
    for v in node.results:
        if not isinstance(v.type, TensorType) or v.type.shape is None:
            return False
        n = v.type.size
        if not isinstance(n, int):
            return False
        size += n * v.type.dtype.itemsize
    return size <= _FOLD_BYTES
