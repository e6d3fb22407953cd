"""Columns and rows become vectors as soon as they are made.

A product by a vector gives a matrix of one column. What follows it elementwise works
on that until it is reshaped, and so cannot stand in one region with other vectors.
"""

from collections.abc import Iterable

from graphwright.ir.dim import Dim
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph, Node
from graphwright.ir.op import is_elementwise
from graphwright.passes.walk import Walk

Shape = tuple[Dim, ...]


def raise_squeezes(graph: Graph) -> Graph:
    """``reshape(f(x, y), [n]) = f(reshape(x, [n]), reshape(y, [n]))``: exact.

    It is for matrices of one row or column; other readers get their matrix back.
    """
    wanted = _wanted(graph)
    if not wanted:
        return graph
    walk = Walk(graph)

    def raised(w: Walk, node: Node) -> list[Value] | None:
        (y,) = node.results
        if y not in wanted:
            return None
        shape = y.shape
        operands = [_vector(w, v, shape) for v in node.operands]
        found = w.apply(node.op, operands)[0]
        plain = (o for o in w.origins.get(y, ()) if o.view == "identity")
        view = f"reshape {list(found.shape)}"
        w.origins[found] = tuple(o._replace(view=view) for o in plain)
        return [w.reshape(found, shape)]

    names = {n.op.name for n in graph.nodes if wanted.intersection(n.results)}
    return walk.rebuild(dict.fromkeys(names, (raised,)) | {"reshape": (_back,)})


def _wanted(graph: Graph) -> set[Value]:
    """Elementwise results that are read as vectors, with what they are made of."""
    found: set[Value] = set()
    for node in reversed(graph.nodes):
        if node.op.name == "reshape" and _drops(node):
            found.update(node.operands)
        elif is_elementwise(node.op) and found.issuperset(node.results):
            found.update(_alike(node))
    makers = (n for n in graph.nodes if is_elementwise(n.op) and len(n.results) == 1)
    return {v for n in makers for v in n.results if v in found and _fits(n)}


def _drops(node: Node) -> bool:
    x, y = node.operands[0], node.results[0]
    return x.rank == 2 and y.rank == 1 and 1 in x.shape


def _alike(node: Node) -> Iterable[Value]:
    return (v for v in node.operands if v.shape == node.results[0].shape)


def _fits(node: Node) -> bool:
    shape = node.results[0].shape
    return all(v.shape == shape for v in node.operands) and 0 not in shape


def _vector(w: Walk, v: Value, shape: Shape) -> Value:
    """A matrix of one row or column as a vector."""
    size = shape[0] if shape[1] == 1 else shape[1]
    spread = w.made_by(v, "broadcast_to")
    if spread is not None and spread.operands[0].rank == 0:
        return w.broadcast_to(spread.operands[0], (size,))
    made = w.made_by(v, "reshape")
    if made is not None and made.operands[0].shape == (size,):
        return made.operands[0]
    return w.reshape(v, (size,))


def _back(w: Walk, node: Node) -> list[Value] | None:
    """``reshape(reshape(x, s), t) = x`` where `t` is the shape of `x`."""
    made = w.made_by(node.operands[0], "reshape")
    same = made is not None and made.operands[0].shape == node.results[0].shape
    return [made.operands[0]] if made is not None and same else None
