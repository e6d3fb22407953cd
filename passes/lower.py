"""Passes that make a graph suit a backend: layout and fusion, by what it prefers."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

from graphwright.ir.graph import Graph
from graphwright.passes.cleanup import merge_common, remove_dead
from graphwright.passes.fuse import fuse_epilogues
from graphwright.passes.fuse_elementwise import Fuses, fuse_elementwise
from graphwright.passes.fuse_index import fuse_indices
from graphwright.passes.fuse_mean import fuse_means
from graphwright.passes.fuse_quantized import fuse_quantized
from graphwright.passes.fuse_separable import fuse_separable
from graphwright.passes.fuse_shuffle import fuse_shuffles
from graphwright.passes.fuse_views import fuse_views
from graphwright.passes.layout import channels_last, sink_reshapes
from graphwright.passes.phases import in_phases
from graphwright.passes.sink_shuffle import sink_shuffles
from graphwright.passes.squeeze import raise_squeezes
from graphwright.passes.windows_apart import windows_apart

Pass: TypeAlias = Callable[[Graph], Graph]


def lowering_passes(
    layout: Mapping[str, str], fuses: Fuses | None = None
) -> list[Pass]:
    """Passes for a backend that prefers these layouts and fuses these ops.

    ``NHWC`` wants channels last, ``strided`` takes operands as strided views,
    ``region`` what lies between integers of 8 bits at once, or what is done to a
    gather's indices; ``conv`` for ``shuffle`` says that a pointwise convolution
    interleaves its channels, ``read`` that it reads them in any order; ``separable``
    for ``depthwise`` that such convolutions run with the pointwise ones around them,
    ``mean`` for ``reduce_window`` that sums over windows are divided by numbers of its
    positions, ``apart`` that extremes of large ones are taken axis by axis. One that
    fuses nothing is given no ``fused`` nodes.
    """
    strided = frozenset(name for name, like in layout.items() if like == "strided")

    def fuse_regions(graph: Graph) -> Graph:
        return graph if fuses is None else fuse_elementwise(graph, fuses)

    def fuse_strided(graph: Graph) -> Graph:
        return fuse_views(graph, strided)

    last: list[Pass] = []
    if layout.get("conv") == "NHWC":
        last = [in_phases, channels_last, remove_dead, merge_common]
    if layout.get("reduce_window") == "apart":
        last.append(windows_apart)
    if layout.get("shuffle") == "read":
        last += [sink_shuffles, remove_dead]
    joined: list[Pass] = [fuse_shuffles] if layout.get("shuffle") == "conv" else []
    if layout.get("depthwise") == "separable":
        joined += [remove_dead, fuse_separable]  # what is dead still counts as a reader
    if layout.get("reduce_window") == "mean":
        joined.append(fuse_means)
    joining = [fuse_epilogues, *joined, remove_dead]  # regions may take what is dead
    fusing = [*joining, fuse_regions, fuse_strided, remove_dead]
    if layout.get("quantize") == "region":
        fusing = [fuse_quantized, *fusing]
    if layout.get("gather") == "region":
        fusing = [fuse_indices, remove_dead, *fusing]
    if fuses is not None:
        last += [raise_squeezes]
    return [*last, sink_reshapes, remove_dead, *(fusing if fuses else [])]
