"""Define an op of your own, build a graph with it, run it, and take its gradient.

python examples/custom_op.py
"""

from typing import Any, ClassVar

import numpy as np

import graphwright as gw
from graphwright.ir.dim import symbol
from graphwright.ir.dtype import float32
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.op import Op, Tier
from graphwright.ir.rules import need_kind
from graphwright.ir.types import TensorType
from graphwright.passes.gradients import gradient


class Squash(Op):
    """``x / (1 + (x / width)^2)``: about x near 0, and 0 far away."""

    name = "squash"
    tier: ClassVar[Tier] = Tier.COMPOSITE
    width: float = 1.0

    def result_type(self, x: TensorType) -> TensorType:
        """The operand's type, which must be of floats."""
        need_kind(self.name, x, "f")
        return TensorType(x.dtype, x.shape)

    def compute(self, xp: Any, x: Any) -> Any:
        """The meaning, in NumPy."""
        return (x / (1 + np.square(x / self.width))).astype(x.dtype, copy=False)

    def decompose(self, b: Emitter, *operands: Value) -> Value:
        """The same in simpler ops: for backends and gradients that lack a rule."""
        scaled = b.div(operands[0], self.width)
        return b.div(operands[0], b.add(b.mul(scaled, scaled), 1))


def main() -> None:
    """The class is enough: text, checks, backends and gradients know it at once."""
    b = gw.Builder("squashed")
    x = b.input("x", TensorType(float32, (symbol("n"),)))
    graph = b.finish([b.emit("squash", x, width=2.0)], ["y"])
    print(graph)
    assert gw.parse(str(graph)) == graph
    exe = gw.compile(gradient(graph, wrt=["x"]), backend="numpy", strict=True)
    for name, values in zip(
        exe.output_names, exe(np.arange(3, dtype=np.float32)), strict=True
    ):
        print(f"{name} = {np.asarray(values)}")


if __name__ == "__main__":
    main()
