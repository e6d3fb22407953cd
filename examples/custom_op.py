"""Define an op of your own once, and use it everywhere.

python examples/custom_op.py
"""

from typing import Any, ClassVar

import numpy as np

import graphwright as gw
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.op import Op, Tier
from graphwright.ir.types import TensorType
from graphwright.passes.gradients import gradient


class Squash(Op):
    """``x / (1 + (x / width)^2)``: about x near 0, and 0 far away."""

    name, domain = "squash", "com.example"
    tier: ClassVar[Tier] = Tier.COMPOSITE
    width: float = 1.0

    def result_type(self, x: TensorType) -> TensorType:
        """The operand's type."""
        return TensorType(x.dtype, x.shape)

    def compute(self, xp: Any, x: Any) -> Any:
        """The meaning, on arrays of numpy or cupy."""
        return (x / (1 + xp.square(x / self.width))).astype(x.dtype, copy=False)

    def decompose(self, b: Emitter, *operands: Value) -> Value:
        """The same in simpler ops: for backends and gradients that lack a rule."""
        scaled = b.div(operands[0], self.width)
        return b.div(operands[0], b.add(b.mul(scaled, scaled), 1))


def main() -> None:
    """The class is enough: tracing, text, ONNX, backends and gradients know it."""

    def model(x: Any) -> Any:
        return gw.apply(Squash(width=2.0), np.abs(x))

    graph = gw.trace(model, gw.spec("float32", ("n",)))
    print(graph)
    assert gw.parse(str(graph)) == graph
    assert "squash" in str(gw.load(gw.export(graph)))  # com.example.Squash in ONNX
    x = np.arange(3, dtype=np.float32)
    print(gw.jit(model)(x))
    exe = gw.compile(gradient(graph, wrt=["x"]), backend="numpy", strict=True)
    print(exe(x))


if __name__ == "__main__":
    main()
