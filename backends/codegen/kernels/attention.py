"""Attention on CPU devices without the matrix of its scores, where that pays."""

from collections.abc import Sequence

from graphwright.backends.codegen.device import Cpu, Target
from graphwright.backends.codegen.dialect import OPENCL
from graphwright.backends.codegen.elements import (
    Array,
    c_strides,
    product,
    sizes_of,
)
from graphwright.backends.codegen.index import Axis, Index, of
from graphwright.backends.codegen.kernels.attend import (
    QUERIES,
    AttendShape,
    Strides,
    attend,
)
from graphwright.backends.codegen.kernels.launched import MOST, launched
from graphwright.backends.codegen.kernels.scores import Scores, reach
from graphwright.backends.codegen.kernels.table import Site, kernel_for
from graphwright.backends.codegen.kernels.text import WIDTH
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
    if not isinstance(target, Cpu) or target.strict or not accepts(op, types):
        return False
    q, k, v = map(sizes_of, types[:3])
    large = all(product(sizes_of(t)) <= MOST for t in types)
    fits = q[2] >= QUERIES and v[3] >= QUERIES and q[3] >= WIDTH
    return large and fits and min(*q, *k, *v) > 0


def decomposed(graph: Graph, target: Target) -> Graph:
    """The graph, all of whose sizes are known, without attention that does not pay."""

    def stays(op: Op, types: Sequence[Type]) -> bool:
        return not isinstance(op, Attention) or pays(op, types, target)

    found = decompose_unsupported(graph, stays)
    if found is graph:
        return graph
    return remove_dead(sink_reshapes(fold_constants(found)))


@kernel_for("attention")
def attention(site: Site) -> Sequence[Kernel]:
    """One kernel, after those that copy what does not lie in rows."""
    op, (result,) = site.node.op, site.node.results
    assert isinstance(op, Attention)
    before = list[Kernel]()
    found = [_operand(site, i, before) for i in range(3)]
    ends = [strides for _, strides in found]
    axes = tuple(map(Axis, sizes_of(result.type)))
    end, at = placed(site.stage.nodes, result, tuple(map(of, axes)))
    assert site.stage.results[0][0] is end
    out = strides_of(site.position(at), axes)
    assert out is not None
    images, heads, rows, depth = site.shape(0)
    _, groups, columns, width = site.shape(2)
    below, above = (None, None) if op.lengths else reach(op)
    offset = op.offset if isinstance(op.offset, int) else 0
    shape = AttendShape(
        *(images, heads, groups, rows, columns, depth, width),
        None if below is None else offset - below,
        None if above is None else offset + above,
        (ends[0], ends[1], ends[2], out),
    )
    scores = Scores(site, OPENCL)
    library = attend(shape, op.scale, scores, site.target, OPENCL)
    arrays = {name: array for name, (array, _) in zip("qkv", found, strict=True)}
    return [*before, *launched(site, library, scores, arrays)]


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
