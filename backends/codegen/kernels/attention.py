"""Attention without the matrix of its scores, where that pays."""

from collections.abc import Callable, Sequence

from graphwright.backends.codegen.device import Gpu, Target
from graphwright.backends.codegen.dialect import OPENCL
from graphwright.backends.codegen.elements import (
    Array,
    c_strides,
    product,
    sizes_of,
)
from graphwright.backends.codegen.index import Axis, Index, of
from graphwright.backends.codegen.kernels.attend import (
    AttendShape,
    Strides,
    attend,
)
from graphwright.backends.codegen.kernels.attend_groups import accepts as in_groups
from graphwright.backends.codegen.kernels.attend_groups import attend_groups
from graphwright.backends.codegen.kernels.launch import Library
from graphwright.backends.codegen.kernels.launched import MOST, launched
from graphwright.backends.codegen.kernels.scores import Scores, reach
from graphwright.backends.codegen.kernels.table import Site, kernel_for
from graphwright.backends.codegen.loops import Kernel
from graphwright.backends.codegen.schedule import looped
from graphwright.backends.codegen.views import placed
from graphwright.ir.dtype import bool_, float32
from graphwright.ir.graph import Graph
from graphwright.ir.op import Op
from graphwright.ir.ops.attention import Attention
from graphwright.ir.types import TensorType, Type
from graphwright.passes.cleanup import remove_dead
from graphwright.passes.decompose import decompose_unsupported
from graphwright.passes.fold import fold_constants
from graphwright.passes.layout import sink_reshapes

_LEAST = 16
"""Queries, and columns of values."""
_SHORT = 8
"""The least size of a key."""


def accepts(op: Attention, types: Sequence[Type]) -> bool:
    """Whether there is a kernel for these dtypes, if sizes suit it."""
    dtypes = [t.dtype for t in types if isinstance(t, TensorType)]
    mask = dtypes[3] if op.masked else float32
    plain = set(dtypes[:3]) == {float32} and mask in (float32, bool_)
    return plain and op.precision in (None, float32)


def pays(op: Attention, types: Sequence[Type], target: Target) -> bool:
    """Whether the kernel is at least as fast as products with a softmax between them.

    All sizes are known.
    """
    if target.strict or not accepts(op, types):
        return False
    q, k, v = map(sizes_of, types[:3])
    counted = all(product(sizes_of(t)) <= MOST for t in types)
    if not counted or q[2] < _LEAST or min(*q, *k, *v) == 0:
        return False
    if isinstance(target, Gpu):
        return in_groups(q[3], v[3], target)
    return v[3] >= _LEAST and q[3] >= _SHORT


def decomposed(graph: Graph, target: Target) -> Graph:
    """The graph, all of whose sizes are known, without attention that does not pay."""

    def stays(op: Op, types: Sequence[Type]) -> bool:
        return not isinstance(op, Attention) or pays(op, types, target)

    found = decompose_unsupported(graph, stays)
    if found is graph:
        return graph
    folded = fold_constants(found)
    if any(v in folded.constants for v in folded.outputs):
        folded = found  # kernels write all results, those of constants too
    return remove_dead(sink_reshapes(folded))


@kernel_for("attention")
def attention(site: Site) -> Sequence[Kernel]:
    """One kernel for a CPU, after those that copy what does not lie in rows."""
    return _made(site, attend, Scores(site, OPENCL, site.target.lanes))


@kernel_for("attention", Gpu)
def attention_in_groups(site: Site) -> Sequence[Kernel]:
    """The same for a GPU."""
    return _made(site, attend_groups, Scores(site, OPENCL, lanes=1))


def _made(site: Site, make: Callable[..., Library], scores: Scores) -> Sequence[Kernel]:
    before = list[Kernel]()
    found = [_operand(site, i, before) for i in range(3)]
    assert isinstance(site.node.op, Attention)
    shape = _shape(site, site.node.op, [strides for _, strides in found])
    library = make(shape, site.node.op.scale, scores, site.target, OPENCL)
    arrays = {name: array for name, (array, _) in zip("qkv", found, strict=True)}
    return [*before, *launched(site, library, scores, arrays)]


def _shape(site: Site, op: Attention, ends: Sequence[Strides]) -> AttendShape:
    """Sizes, and where operands and the result are."""
    (result,) = site.node.results
    axes = tuple(map(Axis, sizes_of(result.type)))
    end, at = placed(site.stage.nodes, result, tuple(map(of, axes)))
    assert site.stage.results[0][0] is end
    out = strides_of(site.position(at), axes)
    assert out is not None
    images, heads, rows, depth = site.shape(0)
    _, groups, columns, width = site.shape(2)
    below, above = (None, None) if op.lengths else reach(op)
    offset = op.offset if isinstance(op.offset, int) else 0
    return AttendShape(
        *(images, heads, groups, rows, columns, depth, width),
        None if below is None else offset - below,
        None if above is None else offset + above,
        (ends[0], ends[1], ends[2], out),
    )


def _operand(site: Site, number: int, before: list[Kernel]) -> tuple[Array, Strides]:
    """An operand where it lies; else where a kernel copies it to.

    Elements of rows of queries and values lie side by side.
    """
    axes = tuple(map(Axis, site.shape(number)))
    at = tuple(map(of, axes))
    element = site.operand(number, at)
    if element.op == "read" and not element.value.guards:
        found = strides_of(element.value.index, axes)
        if found is not None and (number == 1 or found.steps[3] == 1):
            return element.value.array, found
    array = Array(float32, site.shape(number))
    before.append(looped(axes, [element], [array], site.target, at))
    return array, Strides(0, c_strides(array.shape))


def strides_of(index: Index, axes: Sequence[Axis]) -> Strides | None:
    """Where elements along axes are, if that is even."""
    if not {term for term, _ in index.terms} <= set(axes):
        return None
    return Strides(index.start, tuple(map(index.factor, axes)))
