"""Convolutions of operands with gaps, as transposed ones are, without the gaps.

With gaps of ``s - 1`` zeros each result sees every s-th tap of the filter only, and
which ones repeats every s results: filters of the taps of one phase each are applied
side by side to the operand as it is, and their results interleaved. Source: Shi et al.,
"Real-time single image and video super-resolution" (2016), 3.2.
"""

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

from graphwright.ir.constant import Constant
from graphwright.ir.dim import Dim
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph, Node
from graphwright.ir.ops.linalg import Conv
from graphwright.ir.record import record
from graphwright.passes.fold import fold_constants
from graphwright.passes.layout import inverse, to_last
from graphwright.passes.walk import Walk


def in_phases(graph: Graph) -> Graph:
    """Convolutions of operands with gaps become some of what has none: exact."""
    if Conv not in graph.op_classes:
        return graph
    found = Walk(graph).rebuild({"conv": [_conv]})
    return graph if found is graph else fold_constants(found)


@record(frozen=True, slots=True)
class _Some:
    """Neighbouring phases of an axis whose filters have as many taps."""

    start: int
    count: int
    taps: int


@record(frozen=True, slots=True)
class _Axis:
    """A spatial axis, in phases.

    Result ``o`` is number ``phases * j + f`` of those that are interleaved, ``o +
    phases - 1 - low`` and has the taps that are ``phases - 1 - f`` more than a multiple
    of ``phases``; ``j`` is where these begin in the operand.

    Attributes:
        phases: How many; 1 leaves the axis as it is.
        kernel: Taps of the filter.
        low: Padding before the operand with its gaps.
        high: And behind it.
    """

    phases: int
    kernel: int
    low: Dim
    high: Dim

    @property
    def taps(self) -> int:
        """The most of one phase."""
        return -(-self.kernel // self.phases)

    def some(self) -> Iterator[_Some]:
        """All phases, in order."""
        full = self.kernel - self.phases * (self.taps - 1)
        if full < self.phases:
            yield _Some(0, self.phases - full, self.taps - 1)
        yield _Some(self.phases - full, full, self.taps)

    def _ends(self) -> tuple[int, int]:
        """The first ``j``, and how many there are behind the operand."""
        assert isinstance(self.low, int)
        assert isinstance(self.high, int)
        more = (self.high - self.kernel) // self.phases + 1
        return (self.phases - 1 - self.low) // self.phases, more

    def padding(self, taps: int) -> tuple[Dim, Dim]:
        """Of a convolution by so many taps."""
        if self.phases == 1:
            return self.low, self.high
        first, more = self._ends()
        return -first, more + taps - 1

    @property
    def start(self) -> int:
        """The first of the results that are interleaved which counts."""
        if self.phases == 1:
            return 0
        assert isinstance(self.low, int)
        return (self.phases - 1 - self.low) % self.phases

    def size(self, operand: Dim, result: Dim) -> Dim:
        """How many ``j`` there are."""
        if self.phases == 1:
            return result
        first, more = self._ends()
        return operand + more - first


def _conv(w: Walk, node: Node) -> list[Value] | None:
    """``conv(spread(x, s), k) = cut(interleaved(conv(x, k[phase::s]), ...))``."""
    (x, k), op = node.operands, node.op
    assert isinstance(op, Conv)
    axes = _axes(op, x, k)
    if axes is None:
        return None
    whole = _Phases(w, node, axes).interleaved()
    last = to_last(x.rank)
    size = [node.results[0].shape[i] for i in last]
    cut = w.slice(whole, [0, *(axis.start for axis in axes), 0], size)
    return [w.transpose(cut, inverse(last))]


def _axes(op: Conv, x: Value, k: Value) -> list[_Axis] | None:
    """The spatial axes; None if none has gaps, or one more than these."""
    if set(op.lhs_dilation) == {1} or op.batch_groups != 1:
        return None
    if not all(isinstance(d, int) and d for d in (k.shape[0], *k.shape[2:])):
        return None
    found: list[_Axis] = []
    for i, gap in enumerate(op.lhs_dilation):
        kernel, (low, high) = k.shape[i + 2], op.padding[i]
        plain = op.strides[i] == op.rhs_dilation[i] == 1 and x.shape[i + 2] != 0
        known = isinstance(low, int) and isinstance(high, int)
        if gap > 1 and not (plain and known):
            return None
        assert isinstance(kernel, int)
        found.append(_Axis(gap, kernel, low, high))
    return found


def _filled(w: Walk, k: Value, ends: list[int]) -> Value:
    """Filters with zeros behind them; of constants here: folding leaves what grows."""
    constant = w.constants.get(k)
    if constant is None:
        return w.pad(k, [0] * k.rank, ends)
    filled = np.pad(constant.array(), [(0, end) for end in ends])
    return w.constant_of(Constant.of(filled, k.dtype))


class _Phases:
    """A convolution in phases: ``[N, *sizes, groups, *phases, filters]`` of each."""

    def __init__(self, w: Walk, node: Node, axes: Sequence[_Axis]) -> None:
        self.w, self.op, self.axes, self.n = w, node.op, axes, len(axes)
        (self.x, k), self.dtype = node.operands, node.results[0].dtype
        assert isinstance(node.op, Conv)
        assert isinstance(k.shape[0], int)
        self.groups, self.filters = node.op.groups, k.shape[0]
        rows = zip(axes, self.x.shape[2:], node.results[0].shape[2:], strict=True)
        self.sizes = [axis.size(n, out) for axis, n, out in rows]
        self.k = self._apart(k)

    def _apart(self, k: Value) -> Value:
        """The filters as ``[groups, *phases, M / groups, C, *taps]``."""
        w, n, axes = self.w, self.n, self.axes
        grown = [axis.taps * axis.phases - axis.kernel for axis in axes]
        if any(grown):
            k = _filled(w, k, [0, 0, *grown])
        split = [d for axis in axes for d in (axis.taps, axis.phases)]
        k = w.reshape(k, [self.groups, self.filters // self.groups, k.shape[1], *split])
        phases, taps = range(4, 2 * n + 3, 2), range(3, 2 * n + 3, 2)
        k = w.flip(k, [i for i in phases if k.shape[i] != 1])
        return w.transpose(k, [0, *phases, 1, 2, *taps])

    def interleaved(self) -> Value:
        """All results, channels last, the phases of each axis between neighbours."""
        y, n = self._beside() or self._joined(()), self.n
        pairs = [i for axis in range(n) for i in (1 + axis, n + 2 + axis)]
        y = self.w.transpose(y, [0, *pairs, n + 1, 2 * n + 2])
        rows = zip(self.sizes, self.axes, strict=True)
        whole = [size * axis.phases for size, axis in rows]
        return self.w.reshape(y, [y.shape[0], *whole, self.filters])

    def _beside(self) -> Value | None:
        """All phases as channels of one array, if no two have as many taps.

        So each convolution writes its own channels of it.
        """
        every = list(product(*(axis.some() for axis in self.axes)))
        if not all(s.count == 1 and s.taps for chosen in every for s in chosen):
            return None
        w, n, phases = self.w, self.n, [axis.phases for axis in self.axes]
        y = w.concat([self._by(chosen) for chosen in every], 1)
        y = w.transpose(y, to_last(y.rank))
        each = self.filters // self.groups
        y = w.reshape(y, [y.shape[0], *self.sizes, *phases, self.groups, each])
        leading, behind = range(n + 1), range(n + 1, 2 * n + 1)
        return w.transpose(y, [*leading, 2 * n + 1, *behind, 2 * n + 2])

    def _joined(self, chosen: tuple[_Some, ...]) -> Value:
        """What has the chosen phases of the first axes, and all of the others."""
        axis = len(chosen)
        if axis == self.n:
            return self._of(chosen)
        parts = [self._joined((*chosen, some)) for some in self.axes[axis].some()]
        return self.w.concat(parts, self.n + 2 + axis)

    def _of(self, chosen: Sequence[_Some]) -> Value:
        """The results of some phases."""
        each, counts = self.filters // self.groups, [s.count for s in chosen]
        shape = [self.x.shape[0], *self.sizes, self.groups, *counts, each]
        if not all(s.taps for s in chosen):
            return self.w.full(shape, 0, self.dtype)
        y = self._by(chosen)
        return self.w.reshape(self.w.transpose(y, to_last(y.rank)), shape)

    def _by(self, chosen: Sequence[_Some]) -> Value:
        """The convolution by the filters of some phases."""
        w, n, each = self.w, self.n, self.filters // self.groups
        counts, taps = [s.count for s in chosen], [s.taps for s in chosen]
        depth = self.k.shape[n + 2]
        start = [0, *(s.start for s in chosen), 0, 0, *([0] * n)]
        k = w.slice(self.k, start, [self.groups, *counts, each, depth, *taps])
        filters = self.filters
        for count in counts:
            filters *= count
        k = w.reshape(k, [filters, depth, *taps])
        rows = zip(self.axes, taps, strict=True)
        padding = tuple(axis.padding(n) for axis, n in rows)
        op = self.op.replace(padding=padding, lhs_dilation=(1,) * n)
        (y,) = w.apply(op, (self.x, k))
        return y
