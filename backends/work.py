"""What nodes have to do at least: operations, and bytes that they read and write."""

from collections.abc import Mapping

from graphwright.ir.dim import Dim, substitute
from graphwright.ir.graph import Node
from graphwright.ir.record import record
from graphwright.ir.types import TensorType, Type, bind_type


@record(frozen=True, slots=True)
class Work:
    """Of a node, by its definition: a faster algorithm may do less.

    Attributes:
        flops: Floating-point operations.
        nbytes: Bytes of operands and results.
    """

    flops: int = 0
    nbytes: int = 0


def work_of(node: Node, sizes: Mapping[str, int]) -> Work:
    """Where the named dims have these sizes; what is still unknown counts nothing."""
    ends = [bind_type(v.type, sizes) for v in (*node.operands, *node.results)]
    flops = _known(flops_of(node, sizes), sizes)
    return Work(flops, sum(_nbytes(type_, sizes) for type_ in ends))


def flops_of(node: Node, sizes: Mapping[str, int]) -> Dim:
    """Floating-point operations, which may be of dims that have no size here."""
    operands = [bind_type(v.type, sizes) for v in node.operands]
    results = [bind_type(v.type, sizes) for v in node.results]
    return node.op.bind(sizes).flops(operands, results)


def _nbytes(type_: Type, sizes: Mapping[str, int]) -> int:
    if not isinstance(type_, TensorType) or type_.shape is None:
        return 0
    return _known(type_.size, sizes) * type_.dtype.itemsize


def _known(dim: Dim, sizes: Mapping[str, int]) -> int:
    found = substitute(dim, sizes)
    return found if isinstance(found, int) else 0
