"""Control flow that need not be: branches that are known, loops that run few times.

What a loop carries and nobody needs goes, and what it carries unchanged becomes an
invariant, which other passes move out.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.graph import Graph, Node
from graphwright.ir.op import Op, Tier, Trait
from graphwright.ir.ops.control import Scan, WhileLoop
from graphwright.ir.record import record
from graphwright.ir.types import TensorType, Type, type_symbols
from graphwright.passes.cleanup import remove_dead
from graphwright.passes.walk import Walk

MOST_TRIPS, MOST_NODES = 8, 64
"""Trips of a loop that is written out, and the nodes that this makes."""


def simplify_control(graph: Graph) -> Graph:
    """Known branches and short loops are written out, carried values fewer: exact."""
    if not any(cls.tier is Tier.CONTROL for cls in graph.op_classes):
        return graph
    return Walk(graph).rebuild(
        {
            "call": [call_written_out],
            "cond": [branch_taken],
            "while_loop": [loop_never_runs, loop_written_out, loop_carries_less],
            "scan": [loop_carries_less],
        }
    )


# Written out --------------------------------------------------------------------------


def written_out(b: Emitter, graph: Graph, operands: Sequence[Value]) -> list[Value]:
    """The outputs of a sub-graph whose nodes become those of the graph around it."""
    now = dict(zip(graph.inputs, operands, strict=True))
    now.update({v: b.constant_of(c) for v, c in graph.constants.items()})
    before = b.source
    for node in graph.nodes:
        b.source = node.source
        results = b.emit_all(
            node.op.name, *(now[v] for v in node.operands), **node.op.fields
        )
        now.update(zip(node.results, results, strict=True))
    b.source = before
    return [now[v] for v in graph.outputs]


def _plain(graph: Graph) -> bool:
    """Whether a sub-graph may be repeated: no effects, no symbols of its own."""
    return not any(
        node.op.defined_symbols() or Trait.EFFECT in node.op.traits
        for node in graph.nodes
    )


def _fitting(values: Sequence[Value], wanted: Sequence[Value]) -> bool:
    """Whether types are the same, but for what is known of elements."""
    pairs = zip(values, wanted, strict=True)
    return all(_bare(v.type) == _bare(x.type) for v, x in pairs)


def _bare(type_: Type) -> Type:
    return replace(type_, contents=None) if isinstance(type_, TensorType) else type_


def call_written_out(w: Walk, node: Node) -> list[Value] | None:
    """``call(f, x) = f(x)``."""
    op: Any = node.op
    return _inline(w, op.graph, node.operands, node)


def branch_taken(w: Walk, node: Node) -> list[Value] | None:
    """``cond(true, f, g, x) = f(x)``, and ``g(x)`` of false."""
    op: Any = node.op
    known = w.constants.get(node.operands[0])
    if known is None:
        return None
    taken = bool(known.array().reshape(-1)[0])
    graph = op.then_graph if taken else op.else_graph
    return _inline(w, graph, node.operands[1:], node)


def _inline(
    w: Walk, graph: Graph, operands: Sequence[Value], node: Node
) -> list[Value] | None:
    fits = _plain(graph) and _fitting(operands, graph.inputs)
    if not fits or not _fitting(graph.outputs, node.results):
        return None
    return written_out(w, graph, operands)


def _trips(w: Walk, node: Node) -> int | None:
    """How often a loop runs, if its operands say so and its body may not stop it."""
    limit, going = (w.constants.get(v) for v in node.operands[:2])
    if going is not None and not going.array().reshape(-1)[0]:
        return 0
    trips = None if limit is None else int(limit.array().reshape(-1)[0])
    if trips == 0:
        return 0
    op: Any = node.op
    body: Graph = op.body
    goes_on = body.outputs[0] is body.inputs[1]
    again = body.constants.get(body.outputs[0])
    goes_on = goes_on or (again is not None and bool(again.array().reshape(-1)[0]))
    return trips if going is not None and goes_on and trips and trips > 0 else None


def loop_never_runs(w: Walk, node: Node) -> list[Value] | None:
    """A loop of no iteration gives what it carries."""
    op: Any = node.op
    carried = node.operands[2 : 2 + op.carried]
    fits = len(op.types) == op.carried and _fitting(carried, node.results)
    return list(carried) if fits and _trips(w, node) == 0 else None


def loop_written_out(w: Walk, node: Node) -> list[Value] | None:
    """A loop of few iterations is what its body does, so often."""
    op: Any = node.op
    trips, body = _trips(w, node), op.body
    if not trips or trips > min(MOST_TRIPS, op.max_iterations):
        return None
    size = sum(1 for _ in body.walk())
    carried, last = 2 + op.carried, len(op.types) + 1
    state, fixed = list(node.operands[2:carried]), node.operands[carried:]
    stays = _fitting(body.outputs[1 : carried - 1], body.inputs[2:carried])
    fits = stays and _fitting([*state, *fixed], body.inputs[2:])
    if trips * size > MOST_NODES or not fits or not _plain(body):
        return None
    going, rows = node.operands[1], [list[Value]() for _ in range(carried - 1, last)]
    if not _fitting([going], [body.inputs[1]]):
        return None
    for i in range(trips):
        number = w.scalar(i, body.inputs[0].dtype)
        going, *found = written_out(w, body, [number, going, *state, *fixed])
        state = found[: op.carried]
        for row, item in zip(rows, found[op.carried :], strict=True):
            row.append(item)
    results = [*state, *(w.stack(row, 0) for row in rows)]
    return results if _fitting(results, node.results) else None


# Less is carried ----------------------------------------------------------------------


@record(frozen=True, slots=True)
class _Loop:
    """Where a loop's operands and its body's outputs are.

    Attributes:
        node: The loop.
        first: The first carried operand, which is also that of the body's inputs.
        out: The first carried output of the body.
        fixed: The first invariant.
    """

    node: Node
    first: int
    out: int
    fixed: int

    @property
    def op(self) -> Any:
        """The op."""
        return self.node.op

    @property
    def carried(self) -> range:
        """Numbers of the carried values."""
        return range(self.op.carried)

    @property
    def body(self) -> Graph:
        """The body."""
        found: Graph = self.op.body
        return found


@record(frozen=True, slots=True)
class _Kept:
    """What becomes of a loop's parts.

    Attributes:
        still: Carried values that never change.
        gone: Those that nothing needs.
        items: Scanned outputs that are read.
        fixed: Operands that are invariants and are read.
        read: What the body reads.
    """

    still: Sequence[int]
    gone: Sequence[int]
    items: Sequence[int]
    fixed: Sequence[int]
    read: set[Value]


def _loop(node: Node) -> _Loop:
    op: Any = node.op
    if isinstance(op, WhileLoop):
        return _Loop(node, 2, 1, 2 + op.carried)
    assert isinstance(op, Scan)
    return _Loop(node, 0, 0, op.carried + op.scanned)


def loop_carries_less(w: Walk, node: Node) -> list[Value] | None:
    """A loop without what it carries unchanged, or what nobody reads."""
    loop = _loop(node)
    body, operands, results = loop.body, node.operands, node.results
    still = [
        k
        for k in loop.carried
        if body.outputs[loop.out + k] is body.inputs[loop.first + k]
        and operands[loop.first + k].type == results[k].type
        and operands[loop.first + k].type == body.inputs[loop.first + k].type
    ]
    needed, read = _needed(w, loop, still)
    gone = [k for k in loop.carried if k not in still and k not in needed]
    items = range(len(loop.op.types) - loop.op.carried)
    kept = [j for j in items if _is_read(w, loop, loop.op.carried + j)]
    invariants = range(loop.fixed, len(operands))
    fixed = [i for i in invariants if body.inputs[i] in read]
    whole = (len(kept), len(fixed)) == (len(items), len(invariants))
    if whole and not still and not gone:
        return None
    return _slimmer(w, loop, _Kept(still, gone, kept, fixed, read))


def _is_read(w: Walk, loop: _Loop, k: int) -> bool:
    """Whether something reads a result, or a size that its shape alone says."""
    v = loop.node.results[k]
    sizes = type_symbols(v.type).intersection(loop.op.defined_symbols())
    return bool(w.uses.get(v, 0) or sizes)


def _needed(w: Walk, loop: _Loop, still: Sequence[int]) -> tuple[set[int], set[Value]]:
    """Carried values that something needs, and all that the body reads for it."""
    body, results = loop.body, loop.node.results
    first = loop.op.carried
    roots = list(body.outputs[: loop.out])
    for k in range(first, len(results)):
        if _is_read(w, loop, k):
            roots.append(body.outputs[loop.out + k])
    needed = {k for k in loop.carried if k not in still and _is_read(w, loop, k)}
    while True:
        wanted = [*roots, *(body.outputs[loop.out + k] for k in needed)]
        read = _read(body, wanted)
        more = {
            k
            for k in loop.carried
            if k not in still and body.inputs[loop.first + k] in read
        }
        if more <= needed:
            return needed, read
        needed |= more


def _read(body: Graph, roots: Sequence[Value]) -> set[Value]:
    """What is read to compute values, themselves included, and all effects."""
    read = set(roots)
    for node in reversed(body.nodes):
        keeps = Trait.EFFECT in node.op.traits or bool(node.op.defined_symbols())
        keeps = keeps or any(Trait.EFFECT in n.op.traits for n in _inner(node))
        if keeps or not read.isdisjoint(node.results):
            read.update(node.operands)
    return read


def _inner(node: Node) -> Sequence[Node]:
    return [n for graph in node.op.subgraphs() for n in graph.walk()]


def _slimmer(w: Walk, loop: _Loop, kept: _Kept) -> list[Value] | None:
    op, body, results = loop.op, loop.body, loop.node.results
    left = [k for k in loop.carried if k not in kept.still and k not in kept.gone]
    moved = [k for k in kept.still if body.inputs[loop.first + k] in kept.read]
    order = [
        *range(loop.first),
        *(loop.first + k for k in left),
        *range(loop.first + op.carried, loop.fixed),
        *(loop.first + k for k in moved),
        *kept.fixed,
    ]
    if _loses_symbols(body, order):
        return None
    numbers = [*left, *(op.carried + j for j in kept.items)]
    outs = [*range(loop.out), *(loop.out + k for k in numbers)]
    fields: dict[str, Any] = {
        "body": remove_dead(_reordered(body, order, outs)),
        "carried": len(left),
        "types": tuple(op.types[k] for k in numbers),
    }
    if isinstance(op, Scan):
        for name in ("out_axes", "out_reverse"):
            fields[name] = tuple(getattr(op, name)[j] for j in kept.items)
    new: Op = op.replace(**fields)
    operands = loop.node.operands
    w.add_node(new, [operands[i] for i in order], tuple(results[k] for k in numbers))
    still = {k: operands[loop.first + k] for k in kept.still}
    return [still.get(k, v) for k, v in enumerate(results)]


def _loses_symbols(body: Graph, order: Sequence[int]) -> bool:
    """Whether inputs that go are the only ones that say what a symbol is."""
    kept = {i: type_symbols(body.inputs[i].type) for i in order}
    gone = (type_symbols(v.type) for i, v in enumerate(body.inputs) if i not in kept)
    return not frozenset[str]().union(*gone) <= frozenset[str]().union(*kept.values())


def _reordered(body: Graph, inputs: Sequence[int], outputs: Sequence[int]) -> Graph:
    return replace(
        body,
        inputs=tuple(body.inputs[i] for i in inputs),
        input_names=tuple(body.input_names[i] for i in inputs),
        outputs=tuple(body.outputs[i] for i in outputs),
        output_names=tuple(body.output_names[i] for i in outputs),
    )
