"""Sliding windows as ONNX states them: strides, dilations, pads and ``auto_pad``."""

from collections.abc import Sequence

from graphwright.frontends.onnx.context import Context
from graphwright.ir.dim import Dim, ceildiv, floordiv, maximum, minimum
from graphwright.ir.errors import ModelError
from graphwright.ir.record import record

Pads = tuple[tuple[Dim, Dim], ...]

_SAME = ("SAME_UPPER", "SAME_LOWER")


@record(frozen=True)
class Windows:
    """Windows over spatial axes.

    Attributes:
        kernel: Elements of a window along each axis.
        strides: Steps from one window to the next.
        dilations: Steps from one element to the next.
        padding: (low, high) for each axis; the windows use all of it.
        given: The padding that the node asks for, less what rounding up adds.
    """

    kernel: tuple[Dim, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    padding: Pads
    given: Pads

    @property
    def reach(self) -> tuple[Dim, ...]:
        """Distance from the first element of a window to behind its last."""
        pairs = zip(self.kernel, self.dilations, strict=True)
        return tuple((k - 1) * d + 1 for k, d in pairs)


def per_axis(c: Context, name: str, rank: int, default: int) -> tuple[int, ...]:
    """A list attribute with one integer for each spatial axis.

    Raises:
        ModelError: If it has another length.
    """
    found = tuple(c.integers(name, [default] * rank))
    if len(found) != rank:
        raise ModelError(f"{c.op_type}: {name} {list(found)} for {rank} spatial axes")
    return found


def steps(c: Context, rank: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Strides and dilations, which must be positive."""
    strides, dilations = (per_axis(c, n, rank, 1) for n in ("strides", "dilations"))
    if min((*strides, *dilations), default=1) < 1:
        raise ModelError(f"{c.op_type}: strides {strides}, dilations {dilations}")
    return strides, dilations


def explicit_pads(c: Context, rank: int) -> Pads:
    """The ``pads`` attribute as (low, high) pairs."""
    pads = per_axis(c, "pads", 2 * rank, 0)
    return tuple(zip(pads[:rank], pads[rank:], strict=True))


def auto_pad(c: Context) -> str:
    """The ``auto_pad`` attribute."""
    found = c.string("auto_pad", "NOTSET") or "NOTSET"
    if found not in (*_SAME, "VALID", "NOTSET"):
        raise ModelError(f"{c.op_type} has no auto_pad {found!r}")
    return found


def split_pad(total: Dim, *, upper: bool) -> tuple[Dim, Dim]:
    """A total as (low, high); the odd one goes to the high end if ``upper``."""
    small = floordiv(total, 2)
    return (small, total - small) if upper else (total - small, small)


def windows_of(
    c: Context, sizes: Sequence[Dim], kernel: Sequence[Dim], *, ceil: bool = False
) -> Windows:
    """The windows of a node over axes of these sizes.

    Args:
        c: The node.
        sizes: Sizes of the spatial axes.
        kernel: Sizes of the kernel.
        ceil: Whether a last window that only fits in part counts too, if it starts
            before the high padding.
    """
    rank = len(sizes)
    strides, dilations = steps(c, rank)
    if len(kernel) != rank:
        raise ModelError(f"{c.op_type}: a kernel of {len(kernel)} axes for {rank}")
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    kind = auto_pad(c)
    given: Pads = ((0, 0),) * rank if kind == "VALID" else explicit_pads(c, rank)
    if kind in _SAME:
        rows = zip(sizes, reach, strides, strict=True)
        given = tuple(_same(*row, upper=kind == _SAME[0]) for row in rows)
    padding = given
    if ceil and kind not in _SAME:
        every = zip(sizes, reach, strides, given, strict=True)
        padding = tuple(_ceil(*row) for row in every)
    return Windows(tuple(kernel), strides, dilations, padding, given)


def _same(size: Dim, reach: Dim, stride: int, *, upper: bool) -> tuple[Dim, Dim]:
    """Padding with which there are ``ceil(size / stride)`` windows."""
    count = ceildiv(size, stride)
    return split_pad(maximum((count - 1) * stride + reach - size, 0), upper=upper)


def _ceil(size: Dim, reach: Dim, stride: int, pad: tuple[Dim, Dim]) -> tuple[Dim, Dim]:
    low, high = pad
    count = ceildiv(size + low + high - reach, stride) + 1
    count = minimum(count, ceildiv(size + low, stride))
    return low, (count - 1) * stride + reach - size - low
