"""Attention on OpenCL as one kernel, as products with a softmax between, and elsewhere.

    attention.py [--tokens 128,197,512,2048,4096] [--heads 12] [--depth 64] [--causal]

Queries, keys and values are ``[1, heads, tokens, depth]`` float32. Printed are
milliseconds, the least of some rounds in turns: the kernel without a matrix of scores,
the same graph decomposed, PyTorch's ``scaled_dot_product_attention`` and ONNX
Runtime's; the megabytes that a run of the first two takes beside operands and results;
and the error of the first against float64, of the largest result.
"""

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from turns import timed

import graphwright as gw
from graphwright.ir.builder import Builder
from graphwright.ir.dtype import float32
from graphwright.ir.graph import Graph
from graphwright.ir.ops.attention import Attention
from graphwright.ir.types import TensorType
from graphwright.passes.decompose import decompose_all

Feeds = dict[str, NDArray[np.float32]]
Run = Callable[[Feeds], Any]


def graph(heads: int, tokens: int, depth: int, causal: bool) -> Graph:
    """Attention of three inputs."""
    b = Builder("attention")
    type_ = TensorType(float32, (1, heads, tokens, depth))
    q, k, v = (b.input(name, type_) for name in "qkv")
    y = b.emit("attention", q, k, v, scale=depth**-0.5, causal=causal)
    return b.finish([y], ["y"])


def model(heads: int, tokens: int, depth: int, causal: bool) -> bytes:
    """The same for ONNX Runtime: the standard's operator."""
    shape = [1, heads, tokens, depth]
    ends = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, shape)
        for n in ("q", "k", "v", "y")
    ]
    node = helper.make_node("Attention", ["q", "k", "v"], ["y"], is_causal=int(causal))
    made = helper.make_graph([node], "attention", ends[:3], ends[3:])
    opsets = [helper.make_opsetid("", 23)]
    found: bytes = helper.make_model(
        made, opset_imports=opsets, ir_version=10
    ).SerializeToString()
    return found


def onnx_runtime(*sizes: Any) -> Run:
    """ONNX Runtime with two threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    own = onnxruntime.InferenceSession(
        model(*sizes), options, providers=["CPUExecutionProvider"]
    )
    return lambda feeds: own.run(None, feeds)[0]


def pytorch(causal: bool) -> Run:
    """PyTorch's kernel for CPUs."""

    def run(feeds: Feeds) -> Any:
        q, k, v = (torch.from_numpy(x) for x in feeds.values())
        attend = torch.nn.functional.scaled_dot_product_attention
        return attend(q, k, v, is_causal=causal).numpy()

    return run


def ours(graph: Graph) -> tuple[Run, float]:
    """Through OpenCL, and the megabytes that a run takes beside its ends."""
    exe = gw.compile(graph, backend="opencl", strict=True)
    steps = exe.plan_for().steps
    taken = sum(step.into.scratch_bytes for step in steps if step.into is not None)
    return lambda feeds: exe.run(None, feeds)[0], taken / 1e6


def error(feeds: Feeds, found: Any, options: argparse.Namespace) -> float:
    """The greatest one of the last queries of a head, of the largest result."""
    q, k, v = (x[:, -1:].astype(np.float64) for x in feeds.values())
    rows = min(q.shape[2], 256)
    op = Attention(
        scale=options.depth**-0.5,
        causal=options.causal,
        offset=q.shape[2] - rows,
    )
    right = op.compute(np, q[:, :, -rows:], k, v)
    return float(np.abs(found[:, -1:, -rows:] - right).max() / np.abs(right).max())


def main() -> None:
    """Print a line for each number of tokens."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", default="128,197,512,2048,4096")
    parser.add_argument("--heads", type=int, default=12)
    parser.add_argument("--depth", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--causal", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(2)
    rng = np.random.default_rng(0)
    for tokens in map(int, options.tokens.split(",")):
        sizes = options.heads, tokens, options.depth, options.causal
        shape = 1, options.heads, tokens, options.depth
        feeds = {name: rng.standard_normal(shape, np.float32) for name in "qkv"}
        one, small = ours(graph(*sizes))
        several, large = ours(decompose_all(graph(*sizes)))
        peers = {"PyTorch": pytorch(options.causal), "ORT": onnx_runtime(*sizes)}
        runs = {"one": one, "several": several, **peers}
        rounds = max(2, min(options.rounds, options.rounds * 512 // tokens))
        took = timed(runs, feeds, rounds)
        words = "  ".join(f"{name} {ms:8.2f}" for name, ms in took.items())
        wrong = error(feeds, one(feeds), options)
        print(f"{tokens:5}  {words} ms  {small:.1f} and {large:.1f} MB  {wrong:.1e}")


if __name__ == "__main__":
    main()
