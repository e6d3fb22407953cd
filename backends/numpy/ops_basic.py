"""Kernels of single ops that numpy has as functions with an ``out`` argument."""

from typing import Any

import numpy as np

from graphwright.backends.contract import Kernel, Request
from graphwright.backends.numpy.table import kernel_for, writing
from graphwright.ir.ops.movement import Concat
from graphwright.ir.types import TensorType


@kernel_for("concat")
def concat(request: Request) -> Kernel | None:
    """All parts copied behind one another."""
    assert isinstance(request.op, Concat)
    axis = request.op.axis
    types = [t for t in request.types if isinstance(t, TensorType)]
    if any(0 in t.dims for t in types):
        return None

    def run(out: Any, *parts: Any) -> None:
        np.concatenate(parts, axis=axis, out=out)

    return writing(request, run)
