"""Build a graph, print it as text, parse it back, run it with several batch sizes.

python examples/build_a_graph.py
"""

import numpy as np

import graphwright as gw
from graphwright.ir.dim import symbol
from graphwright.ir.dtype import float32
from graphwright.ir.types import TensorType


def dense(rng: np.random.Generator) -> gw.Graph:
    """``tanh(x w + b)`` for any batch size n, and the mean over the batch."""
    b = gw.Builder("dense")
    x = b.input("x", TensorType(float32, (symbol("n"), 4)))
    w = b.constant(rng.normal(size=(4, 3)), float32)
    bias = b.constant(np.zeros(3), float32)
    y = b.tanh(b.add(b.matmul(x, w), bias))
    return b.finish([y, b.mean(y, [0])], ["y", "mean"])


def main() -> None:
    """Every batch size has a plan of its own; the graph is compiled once."""
    rng = np.random.default_rng(0)
    graph = dense(rng)
    text = str(graph)
    print(text)

    again = gw.parse(text, constants=graph.constants.values())
    assert again == graph
    exe = gw.compile(again, backend="numpy")
    for n in (1, 3, 100):
        y, mean = exe(rng.normal(size=(n, 4)).astype(np.float32))
        print(f"n = {n:3}: y is {y.shape}, its mean {np.asarray(mean).round(3)}")

    try:
        exe(np.zeros((2, 5), np.float32))
    except gw.FeedError as error:
        print(f"refused: {error}")


if __name__ == "__main__":
    main()
