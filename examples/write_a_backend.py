"""Write a backend, run a model on it, and see what falls back to the host.

python examples/write_a_backend.py
"""

from collections.abc import Sequence
from importlib.resources import files

import numpy as np

import graphwright as gw
from graphwright.backends.contract import Kernel, Request
from graphwright.ir.op import Op
from graphwright.ir.types import TensorType, Type

KERNELS: dict[str, Kernel] = {
    "add": np.add,
    "max": np.maximum,
    "dot": np.matmul,
    "exp": np.exp,
}


class Plain(gw.Backend):
    """A table from op to function, on arrays in memory, for float32 alone.

    A device of its own would have ``to_device`` and ``to_host``, too.
    """

    name = "plain"

    def supports(self, op: Op, types: Sequence[Type]) -> bool:
        """Asked before anything runs: what is declined is decomposed or falls back."""
        floats = all(
            isinstance(t, TensorType) and t.dtype.name == "float32" for t in types
        )
        return op.name in KERNELS and floats

    def kernel(self, request: Request) -> Kernel:
        """Asked once a plan, when all sizes are known."""
        return KERNELS[request.op.name]


def main() -> None:
    """Compare with the numpy backend; softmax comes apart, the rest falls back."""
    gw.register_backend("plain", Plain)
    model = files("graphwright") / "data" / "digits.onnx"
    image = np.random.default_rng(0).random((2, 1, 32, 32), np.float32)
    wanted = np.asarray(gw.compile(model, backend="numpy")(image))
    exe = gw.compile(model, backend="plain")
    error = np.abs(np.asarray(exe(image)) - wanted).max()
    print(f"largest difference {error:.1e}")
    print(gw.check(model, backend="plain"))
    for fallback in exe.fallbacks[:3]:
        print(f"fell back: {fallback}")


if __name__ == "__main__":
    main()
