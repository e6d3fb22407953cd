"""The kernel of rotary embeddings: an elementwise program over halves of arrays."""

from typing import Any

import numpy as np

from graphwright.backends.contract import Kernel, Request
from graphwright.backends.numpy.functions import Assembler
from graphwright.backends.numpy.kernels.program import (
    Operand,
    Program,
    Result,
    Source,
)
from graphwright.backends.numpy.table import kernel_for, writing
from graphwright.ir.dtype import float32, float64
from graphwright.ir.ops.attention import RotaryEmbedding
from graphwright.ir.types import TensorType


@kernel_for("rotary_embedding")
def rotary_embedding(request: Request) -> Kernel | None:
    """``(u cos - v sin, v cos + u sin)`` of pairs ``(u, v)``."""
    op, x = request.op, request.types[0]
    assert isinstance(op, RotaryEmbedding)
    assert isinstance(x, TensorType)
    sizes: Any = x.dims
    if x.dtype not in (float32, float64) or 0 in sizes:
        return None
    size = sizes[-1]
    program = _program((*sizes[:-1], size // 2), x.dtype.numpy)

    def halves(array: Any) -> tuple[Any, Any]:
        if array.shape[-1] != size:
            return array, array
        if op.interleaved:
            return array[..., ::2], array[..., 1::2]
        return array[..., : size // 2], array[..., size // 2 :]

    def bind(memory: Any, *arrays: Any) -> Any:
        return program.bind(memory, *(half for a in arrays for half in halves(a)))

    def run(*arrays: Any) -> None:
        program.run(*(half for a in arrays for half in halves(a)))

    return writing(
        request,
        run,
        bind=bind,
        strided=(0, 1, 2),
        scratch_bytes=program.scratch_bytes,
    )


def _program(shape: tuple[int, ...], dtype: "np.dtype[Any]") -> Program:
    """Of halves of a result, from those of the operand and of its angles."""
    u, v, c, d, s, t = (Operand(i, dtype) for i in range(6))
    a = Assembler()

    def turned(plus: Any, *pairs: tuple[Operand, Operand]) -> Result:
        terms = [a.emit(np.multiply, pair, dtype) for pair in pairs]
        return Result(a.emit(plus, terms, dtype))

    results = [
        turned(np.subtract, (u, c), (v, s)),
        turned(np.add, (v, d), (u, t)),
    ]
    return Program(shape, [Source(i) for i in range(6)], a.instructions, results)
