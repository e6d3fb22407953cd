"""The numpy backend: each op's ``compute``, and faster kernels where there are some."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from graphwright.backends.contract import Backend, Kernel, Request
from graphwright.backends.mapped import copied
from graphwright.backends.numpy import (
    ops_attention,
    ops_basic,
    ops_conv,
    ops_dynamic,
    ops_fused,
    ops_index,
    ops_linear,
    ops_pool,
    ops_rotary,
    ops_rows,
    ops_signal,
)
from graphwright.backends.numpy.functions import FUSABLE
from graphwright.backends.numpy.kernels.threads import Runs
from graphwright.backends.numpy.ops_elementwise import fuses
from graphwright.backends.numpy.table import KERNELS
from graphwright.ir.evaluate import Evaluator
from graphwright.ir.op import Op, Tier
from graphwright.ir.ops.fused import Fused
from graphwright.ir.types import Type


class NumpyBackend(Backend):
    """Runs every op on numpy arrays, on all cores."""

    name = "numpy"

    def supports(self, op: Op, types: Sequence[Type]) -> bool:
        """Whether it runs an op: all but control flow, which the executor runs."""
        return op.tier is not Tier.CONTROL or isinstance(op, Fused)

    def layout(self) -> Mapping[str, str]:
        """Channels last suit vector loops along them; BLAS takes strides."""
        return {
            "conv": "NHWC",
            "attention": "strided",
            "quantize": "region",
            "gather": "region",
            "reduce_window": "mean",
            "shuffle": "conv",
            "depthwise": "separable",
        }

    def fusable(self) -> frozenset[str]:
        """Ops which run block by block."""
        return FUSABLE

    def fuses(self, op: Op, types: Sequence[Type]) -> bool:
        """Those, on all of NumPy's real dtypes, with windows and reductions."""
        return fuses(op, types)

    def running(self) -> AbstractContextManager[None]:
        """Threads wait awake for the next kernel, where more than one pays."""
        return Runs()

    def to_device(self, array: Any) -> Any:
        """The array, copied if its data is not aligned, as mapped weights may be."""
        if array.flags.aligned:
            return array
        return copied(array)

    def kernel(self, request: Request) -> Kernel:
        """The kernel registered for the op, else its ``compute``."""
        make = KERNELS.get(request.op.name)
        kernel = make(request) if make is not None else None
        if kernel is not None:
            return kernel
        if isinstance(request.op, Fused):
            return _unfused(request.op)
        return _computed(request.op)


def _computed(op: Op) -> Kernel:
    compute = op.compute

    def run(*arrays: Any) -> Any:
        return compute(np, *arrays)

    return run


def _unfused(op: Fused) -> Kernel:
    """A region that has no kernel, op by op."""
    evaluator = Evaluator(np)

    def run(*arrays: Any) -> Any:
        return tuple(evaluator.run(op.body, arrays))

    return run


TABLES = (
    *(ops_attention, ops_basic, ops_conv, ops_dynamic, ops_fused),
    *(ops_index, ops_linear, ops_pool, ops_rotary, ops_rows, ops_signal),
)
"""Modules whose kernels are registered by importing them."""
