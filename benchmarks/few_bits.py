"""Products by weights of 4 or 8 bits on OpenCL, beside float32 and other runtimes.

    few_bits.py [--rows 1,2,4,16,128] [--size 4096] [--bits 4] [--block 32]

The model is ``MatMulNBits`` with ``--count`` square matrices one after another, so that
weights do not stay in caches. Printed are milliseconds, the least of some rounds in
turns, of the whole model: ours, ours in float32, ONNX Runtime and OpenVINO, each with
two threads; the difference from ONNX Runtime's result, of the largest; and the
megabytes of weights.
"""

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import openvino
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from turns import timed

import graphwright as gw

Run = Callable[[NDArray[np.float32]], Any]


def model(rows: int, options: argparse.Namespace, bits: int) -> bytes:
    """Products one after another; of 32 bits, ``MatMul``."""
    rng, n = np.random.default_rng(0), options.size
    inits, nodes = list[Any](), list[Any]()
    for i in range(options.count):
        names = [f"y{i - 1}" if i else "x", f"w{i}"]
        if bits == 32:
            w = rng.standard_normal((n, n), np.float32) / np.float32(n**0.5)
            inits.append(numpy_helper.from_array(w, names[1]))
            nodes.append(helper.make_node("MatMul", names, [f"y{i}"]))
            continue
        blocks = n // options.block
        shape = n, blocks, options.block * bits // 8
        w = rng.integers(0, 256, shape, np.uint8)
        scales = rng.random(n * blocks, np.float32) * np.float32(0.25 / n**0.5)
        inits.append(numpy_helper.from_array(w, names[1]))
        inits.append(numpy_helper.from_array(scales, f"s{i}"))
        fields: Any = {"K": n, "N": n, "bits": bits, "block_size": options.block}
        names.append(f"s{i}")
        domain = "com.microsoft"
        made = helper.make_node(
            "MatMulNBits", names, [f"y{i}"], domain=domain, **fields
        )
        nodes.append(made)
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [rows, n])
        for name in ("x", f"y{options.count - 1}")
    ]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], inits)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    found = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    text: bytes = found.SerializeToString()
    return text


def ours(text: bytes) -> Run:
    """Through OpenCL."""
    exe = gw.compile(gw.load(text), backend="opencl", strict=True)
    return lambda x: exe.run(None, {"x": x})[0]


def onnx_runtime(text: bytes) -> Run:
    """ONNX Runtime with two threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    own = onnxruntime.InferenceSession(
        text, options, providers=["CPUExecutionProvider"]
    )
    return lambda x: own.run(None, {"x": x})[0]


def openvino_(text: bytes) -> Run:
    """OpenVINO with two threads, in float32."""
    core = openvino.Core()
    settings = {"INFERENCE_NUM_THREADS": 2, "INFERENCE_PRECISION_HINT": "f32"}
    own = core.compile_model(core.read_model(text), "CPU", settings)
    return lambda x: own(x)[0]


def main() -> None:
    """Print a line for each number of rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default="1,2,4,16,128")
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--bits", type=int, default=4)
    parser.add_argument("--block", type=int, default=32)
    parser.add_argument("--count", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=12)
    options = parser.parse_args()
    for rows in map(int, options.rows.split(",")):
        few, wide = (model(rows, options, bits) for bits in (options.bits, 32))
        runs = {"ours": ours(few), "float32": ours(wide)}
        runs |= {"ORT": onnx_runtime(few), "OpenVINO": openvino_(few)}
        x = np.random.default_rng(1).standard_normal((rows, options.size), np.float32)
        right = runs["ORT"](x)
        wrong = np.abs(runs["ours"](x) - right).max() / np.abs(right).max()
        took = timed(runs, x, options.rounds)
        words = "  ".join(f"{name} {ms:8.2f}" for name, ms in took.items())
        print(f"{rows:4} rows  {words} ms  {wrong:.1e}  ", end="")
        print(f"{len(few) / 1e6:.1f} and {len(wide) / 1e6:.1f} MB", flush=True)


if __name__ == "__main__":
    main()
