"""Graphs over rows: each op repeated along a new first axis of what it is given.

Every op may state how (``batch``); one that does not is decomposed, or runs in a loop
over the rows. This is what ``vmap`` does (Bradbury et al., JAX, 2018).
"""

from collections.abc import Sequence

from graphwright.ir.dim import Dim
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import UnsupportedOpError
from graphwright.ir.graph import Graph, Node
from graphwright.ir.op import Rows, Tier, Trait
from graphwright.ir.types import TensorType


def batch_graph(
    b: Emitter,
    graph: Graph,
    operands: Sequence[Value],
    mapped: Sequence[bool],
    size: Dim,
) -> tuple[list[Value], list[bool]]:
    """Adds a graph's nodes, repeated for each row of some operands.

    Args:
        b: Where they are added.
        graph: The graph of one row.
        operands: What it is given.
        mapped: Which operands have a new first axis, along which rows differ.
        size: How many rows there are.

    Returns:
        The graph's outputs, and which of them have the axis: those that depend on
        operands that do.

    Raises:
        UnsupportedOpError: Naming an op that cannot be repeated.
    """
    return _Batching(size).inline(b, graph, operands, mapped)


class _Batching:
    def __init__(self, size: Dim) -> None:
        self.size = size

    def inline(
        self,
        b: Emitter,
        graph: Graph,
        operands: Sequence[Value],
        mapped: Sequence[bool],
    ) -> tuple[list[Value], list[bool]]:
        values = dict(zip(graph.inputs, operands, strict=True))
        rows = {v for v, m in zip(graph.inputs, mapped, strict=True) if m}

        def use(v: Value) -> Value:
            if v not in values:
                values[v] = b.constant_of(graph.constants[v])
            return values[v]

        before = b.source
        for node in graph.nodes:
            b.source = node.source or before
            given = [use(v) for v in node.operands]
            flags = [v in rows for v in node.operands]
            if any(flags):
                found = self._repeated(b, node, given, flags)
                rows.update(node.results)
            else:
                found = b.emit_all(node.op.name, *given, **node.op.fields)
            values.update(zip(node.results, found, strict=True))
        b.source = before
        return [use(v) for v in graph.outputs], [v in rows for v in graph.outputs]

    def _repeated(
        self,
        b: Emitter,
        node: Node,
        operands: Sequence[Value],
        mapped: Sequence[bool],
    ) -> Sequence[Value]:
        _check(node)
        rows = Rows(self.size, tuple(mapped), self.inline)
        found = node.op.batch(b, operands, rows)
        if found is None and node.op.tier is Tier.COMPOSITE:
            found = self._decomposed(b, node, operands, rows)
        return self._looped(b, node, operands, rows) if found is None else found

    def _decomposed(
        self, b: Emitter, node: Node, operands: Sequence[Value], rows: Rows
    ) -> Sequence[Value] | None:
        inner = b.subgraph(node.op.name)
        inner.source = node.source
        inputs = [inner.input(f"x{i}", v.type) for i, v in enumerate(node.operands)]
        try:
            parts = node.op.decompose(inner, *inputs)
        except UnsupportedOpError:
            return None
        graph = inner.finish(parts if isinstance(parts, tuple) else (parts,))
        return rows.spread(b, *self.inline(b, graph, operands, rows.mapped))

    def _looped(
        self, b: Emitter, node: Node, operands: Sequence[Value], rows: Rows
    ) -> Sequence[Value]:
        """A scan over the rows."""
        lines = [i for i, m in enumerate(rows.mapped) if m]
        order = [*lines, *(i for i, m in enumerate(rows.mapped) if not m)]
        inner = b.subgraph(node.op.name)
        inner.source = node.source
        inputs = {i: inner.input(f"x{i}", node.operands[i].type) for i in order}
        given = [inputs[i] for i in range(len(order))]
        results = inner.emit_all(node.op.name, *given, **node.op.fields)
        types = [TensorType(v.dtype, (self.size, *v.shape)) for v in results]
        return b.emit_all(
            "scan",
            *(operands[i] for i in order),
            body=inner.finish(results),
            carried=0,
            scanned=len(lines),
            in_axes=(0,) * len(lines),
            out_axes=(0,) * len(results),
            reverse=(False,) * len(lines),
            out_reverse=(False,) * len(results),
            types=tuple(types),
        )


def _check(node: Node) -> None:
    """Raises UnsupportedOpError if an op cannot be repeated, by what it is."""
    why, values = "", (*node.operands, *node.results)
    if node.op.defined_symbols():
        why = "its size would differ between rows; np.where keeps the size"
    elif Trait.EFFECT in node.op.traits:
        why = "it reads or writes state"
    elif not all(isinstance(v.type, TensorType) for v in values):
        why = "it works on values that are no tensors"
    if why:
        place = f"{node.source}: " if node.source else ""
        raise UnsupportedOpError(f"{place}{node.op.name} cannot run on rows: {why}")
