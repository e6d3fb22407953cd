"""Convolution and transposed convolution over any number of spatial axes.

`plan_conv` packs the weights and picks the algorithm once; the plan then runs on any
array of its shape. NCHW means [N, C, *spatial], NHWC [N, *spatial, C].
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from graphwright.backends.numpy.kernels import precision
from graphwright.backends.numpy.kernels.conv_depthwise import DepthwiseConv
from graphwright.backends.numpy.kernels.conv_gemm import GemmConv
from graphwright.backends.numpy.kernels.conv_separable import SeparableConv
from graphwright.backends.numpy.kernels.conv_spec import Algorithm, Spec, Stage
from graphwright.backends.numpy.kernels.conv_winograd import WinogradConv
from graphwright.backends.numpy.kernels.epilogue import Clip, Epilogue
from graphwright.backends.numpy.kernels.geometry import make_axes
from graphwright.backends.numpy.kernels.scratch import Arena, give, take

Array = NDArray[Any]
Layout = Literal["NCHW", "NHWC"]
Pads = Sequence[tuple[int, int]]
Method = Literal["auto", "gemm", "depthwise", "winograd"]


class ConvPlan:
    """A convolution ready to run: `plan(x) -> out`."""

    def __init__(
        self, spec: Spec, algorithm: Algorithm | None, *, strided: bool = True
    ) -> None:
        """Keep the sizes and the algorithm; None means an empty or constant result."""
        self.spec, self.algorithm = spec, algorithm
        self.x_shape = spec.shape(tuple(a.size for a in spec.axes), spec.channels)
        self.out_shape = spec.shape(spec.out, spec.filters)
        self.scratch_bytes = 0 if algorithm is None else algorithm.scratch_bytes
        direct = isinstance(algorithm, GemmConv) and algorithm.direct
        self.strided = strided and not direct
        """Whether `bind` takes `x` in any layout."""

    def __call__(
        self,
        x: Array,
        out: Array | None = None,
        scratch: NDArray[np.uint8] | None = None,
        residual: Array | None = None,
    ) -> Array:
        """Convolve `x`; `residual` has the output's shape and is added before clip.

        `scratch`, where given, is a 64-byte aligned buffer of `scratch_bytes`.
        """
        if x.shape != self.x_shape or x.dtype != self.spec.dtype:
            got = f"{x.dtype}{list(x.shape)}"
            raise ValueError(f"x is {got}, the plan takes {list(self.x_shape)}")
        if out is None:
            out = np.empty(self.out_shape, self.spec.out_dtype)
        buffer = take(self.scratch_bytes) if scratch is None else scratch
        self.bind(buffer, x, out, residual)()
        if scratch is None:
            give(buffer)
        return out

    def bind(
        self,
        scratch: NDArray[np.uint8],
        x: Array,
        out: Array,
        residual: Array | None = None,
    ) -> Stage:
        """Return what convolves these arrays as often as it is called."""
        canonical = self.spec.canonical
        added = None if residual is None else canonical(residual)
        if self.algorithm is None:
            return lambda: self._constant(canonical(out), added)
        arena = Arena(scratch)
        return self.algorithm.bind(canonical(x), canonical(out), added, arena)

    def _constant(self, out: Array, residual: Array | None) -> None:
        self.spec.epilogue.apply(np.zeros(out.shape, self.spec.acc), out, residual)


def plan_conv(
    x_shape: Sequence[int],
    w: Array,
    *,
    dtype: DTypeLike | None = None,
    strides: Sequence[int] | None = None,
    pads: Pads | None = None,
    dilations: Sequence[int] | None = None,
    lhs_dilations: Sequence[int] | None = None,
    groups: int = 1,
    scale: Array | None = None,
    bias: Array | None = None,
    clip: Clip | None = None,
    out_dtype: DTypeLike | None = None,
    layout: Layout = "NCHW",
    shuffle: int = 1,
    method: Method = "auto",
    rearranged: bool = True,
    again: Callable[[], Array] | None = None,
) -> ConvPlan:
    """Plan `clip(conv(x, w) * scale + bias + residual)`.

    `w` is [M, C/groups, *kernel] in either layout; `dtype` is x's, by default w's.
    `pads` holds (begin, end) of each axis. Sums of 16-bit floats are kept in float32;
    integers are exact, int8 to int16 giving int32. `shuffle` cuts the channels of the
    result in so many groups, which take turns (with "NHWC" only). `rearranged` allows
    Winograd's algorithm, which sums other products. `again`, where given, gives `w`
    once more, which then is not kept for the rare case that needs it.
    """
    last = layout == "NHWC"
    sizes = x_shape[1:-1] if last else x_shape[2:]
    axes = make_axes(sizes, w.shape[2:], strides, pads, dilations, lhs_dilations)
    kind = np.dtype(w.dtype if dtype is None else dtype)
    acc = _accumulator(kind, w)
    integer = kind.kind in "iu"
    if scale is not None and not integer:
        w = w.astype(acc) * scale.reshape(-1, *[1] * (w.ndim - 1))
        scale = None
    default = np.float32 if scale is not None else precision.result_dtype(kind)
    result = np.dtype(default if out_dtype is None else out_dtype)
    mid = result if integer else acc
    spec = Spec(
        batch=x_shape[0],
        channels=x_shape[-1 if last else 1],
        filters=w.shape[0],
        groups=groups,
        axes=axes,
        last=last,
        dtype=kind,
        acc=acc,
        out_dtype=result,
        epilogue=Epilogue(_numbers(scale, mid), _numbers(bias, mid), clip),
        shuffle=shuffle,
    )
    if method == "auto":
        method = _best(spec, rearranged)
    cast = w.astype(acc, copy=False)
    reader = again if again is not None and scale is None else lambda: cast
    return ConvPlan(spec, _choose(spec, cast, method, reader))


def plan_separable(plans: Sequence[ConvPlan]) -> ConvPlan | None:
    """Plan a depthwise convolution with pointwise ones around it as one.

    `plans` are those of the parts, in order, each fed by the one before; None where
    they are not of that kind.
    """
    parts = [plan.algorithm for plan in plans]
    depthwise = [i for i, p in enumerate(parts) if isinstance(p, DepthwiseConv)]
    if len(parts) < 2 or len(depthwise) != 1:
        return None
    found = SeparableConv.of(parts, depthwise[0])
    if found is None:
        return None
    first, last = plans[0].spec, plans[-1].spec
    spec = dataclasses.replace(
        plans[depthwise[0]].spec,
        channels=first.channels,
        filters=last.filters,
        groups=1,
        epilogue=Epilogue(),
    )
    return ConvPlan(spec, found, strided=False)


def conv(x: Array, w: Array, **options: Any) -> Array:
    """Convolve once; `options` are those of `plan_conv`."""
    return plan_conv(x.shape, w, dtype=x.dtype, **options)(x)


def _numbers(values: Array | None, dtype: precision.DType) -> Array | None:
    return None if values is None else np.ascontiguousarray(values, dtype)


def _accumulator(dtype: precision.DType, w: Array) -> precision.DType:
    terms = w[0].size if len(w) else 1
    bound = 0
    if dtype.kind in "iu":
        bound = precision.type_bound(dtype) * precision.largest(w)
    return precision.accumulator(dtype, terms, bound)


def _choose(
    spec: Spec, w: Array, method: Method, again: Callable[[], Array]
) -> Algorithm | None:
    """Pick the algorithm by shape; None where no product is to be computed."""
    if 0 in (spec.batch, spec.positions, spec.filters, w.size):
        return None
    if method == "winograd" and WinogradConv.accepts(spec, w):
        return WinogradConv(spec, w, again)
    if method == "depthwise" and DepthwiseConv.accepts(spec, w):
        return DepthwiseConv(spec, w)
    return GemmConv(spec, w)


def _best(spec: Spec, rearranged: bool) -> Method:
    if spec.shuffle > 1:
        return "gemm"
    if spec.depth == 1 and spec.groups > 1:
        return "depthwise"
    return "winograd" if rearranged and WinogradConv.wins(spec) else "gemm"
