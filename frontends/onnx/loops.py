"""Types that hold in every iteration: what Loop and Scan declare of carried values."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphwright.frontends.onnx.context import Context
from graphwright.ir.dim import Dim, Expr, equal, symbols
from graphwright.ir.emitter import Value
from graphwright.ir.errors import ModelError
from graphwright.ir.graph import Graph
from graphwright.ir.rules import forget, join_types, plain, typed
from graphwright.ir.types import TensorType, Type, type_symbols


def inner_symbols(graph: Graph) -> frozenset[str]:
    """Symbols that the nodes of a graph define: unknown outside."""
    return frozenset(n for node in graph.nodes for n in node.op.defined_symbols())


class Outer:
    """Makes result types of types inside a sub-graph, with symbols of the outer graph.

    Attributes:
        fresh: Names of the symbols made so far.
    """

    def __init__(self, c: Context) -> None:
        self._b = c.b
        self.fresh: list[str] = []

    def dim(self) -> Dim:
        """A dim that the run finds out."""
        dim = self._b.fresh_symbol()
        self.fresh += symbols(dim)
        return dim

    def type(self, type_: Type, inner: frozenset[str]) -> Type:
        """A type without the symbols of the sub-graph."""
        return forget(type_, inner, self.dim)

    def joined(self, types: Sequence[Type]) -> Type:
        """A type of all values that have one of these types."""
        found = types[0]
        for other in types[1:]:
            found = join_types(found, other, self.dim)
        return found

    def fields(self, types: Sequence[Type]) -> dict[str, Any]:
        """Fields of an op whose results have these types."""
        used = frozenset[str]().union(*map(type_symbols, types))
        return {
            "types": tuple(types),
            "fresh": tuple(n for n in self.fresh if n in used),
        }


@dataclass
class Body:
    """The body of a loop, its carried types widened until they hold.

    Attributes:
        graph: The body.
        carried: Types of the carried values inside.
        inner: Symbols that mean something inside only.
    """

    graph: Graph
    carried: list[Type]
    inner: frozenset[str]


@dataclass
class Widening:
    """What is known of one loop's carried values on the way to the fixpoint.

    Attributes:
        c: The loop.
        types: Present types of the carried values.
        axes: For each, which axes change; None where the rank does.
        mine: Symbols that stand for changing sizes.
    """

    c: Context
    types: list[Type]
    axes: list[frozenset[int] | None]
    mine: set[str] = field(default_factory=set[str])

    def fresh(self) -> Dim:
        """A symbol for a size that changes."""
        dim = self.c.b.fresh_symbol()
        self.mine |= symbols(dim)
        return dim

    def start(self, axes: Sequence[frozenset[int] | None]) -> None:
        """Widens what an earlier import of the same body found to change."""
        for i, (type_, changing) in enumerate(zip(self.types, axes, strict=True)):
            if not isinstance(type_, TensorType) or type_.shape is None:
                continue
            self.axes[i] = changing
            if changing is None:
                self.types[i] = TensorType(type_.dtype, None)
                continue
            dims = enumerate(type_.shape)
            shape = (self.fresh() if k in changing else d for k, d in dims)
            self.types[i] = type_.with_shape(shape)

    def join(self, found: Sequence[Type]) -> bool:
        """Widens to hold these types too; whether anything changed."""
        before = list(self.types)
        for i, new in enumerate(found):
            self.types[i] = self._joined(i, self.types[i], plain(new))
        return self.types != before

    def _joined(self, i: int, old: Type, new: Type) -> Type:
        tensors = isinstance(old, TensorType) and isinstance(new, TensorType)
        if not tensors or old.dtype is not new.dtype:  # type: ignore[union-attr]
            return join_types(old, new, self.fresh)
        assert isinstance(old, TensorType)
        assert isinstance(new, TensorType)
        if old.shape is None or new.shape is None or len(old.shape) != len(new.shape):
            self.axes[i] = None
            return TensorType(old.dtype, None)
        pairs = enumerate(zip(old.shape, new.shape, strict=True))
        wide = {k for k, (x, y) in pairs if not self._holds(x, y)}
        self.axes[i] = (self.axes[i] or frozenset()) | wide
        return typed(
            old.dtype,
            [self.fresh() if k in wide else d for k, d in enumerate(old.shape)],
            None,
        )

    def _holds(self, old: Dim, new: Dim) -> bool:
        if isinstance(old, Expr) and symbols(old) <= self.mine:
            return True
        return equal(old, new) is True


def widened_body(
    c: Context,
    proto: Any,
    initial: Sequence[Value],
    make: Callable[[Sequence[Type]], Graph],
    skip: int,
) -> Body:
    """Imports a body again and again, until its carried types hold in each iteration.

    Args:
        c: The loop.
        proto: Its body.
        initial: The carried values before the first iteration.
        make: Imports the body for carried types.
        skip: How many outputs of the body come before the carried ones.

    Raises:
        ModelError: If the body gives fewer values than it carries.
    """
    progress = c.importer.model.progress
    count = len(initial)
    state = Widening(c, [plain(v.type) for v in initial], [frozenset()] * count)
    _, axes = progress.widened.get(id(proto), (proto, state.axes))
    if len(axes) == count:
        state.start(axes)
    while True:
        graph = make(state.types)
        found = graph.output_types[skip : skip + count]
        if len(found) < count:
            raise ModelError(f"the body gives {len(found)} of {count} carried values")
        given = list(state.types)
        if not state.join(found):
            break
    progress.widened[id(proto)] = (proto, tuple(state.axes))
    inner = inner_symbols(graph) | state.mine
    return Body(graph, given, inner)
