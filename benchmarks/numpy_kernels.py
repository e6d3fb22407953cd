"""Time the numpy kernels beside ONNX Runtime, one Conv or MaxPool at a time.

    python benchmarks/numpy_kernels.py MODEL.onnx [--layout NHWC] [--threads 2]

Every distinct Conv and MaxPool of the model becomes a single-node model for ONNX
Runtime (Conv followed by Relu) and a plan of ours. Blocks of runs alternate, with rests
between, because idle thread pools spin and disturb the next one. Printed: milliseconds
and ratio per shape, then the sum over all nodes, and the whole network's time in
ONNX Runtime.
"""

import argparse
import collections
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper

from graphwright.backends.numpy.kernels import conv, pool, threads
from graphwright.backends.numpy.kernels.epilogue import RELU

Array = NDArray[Any]
Key = tuple[Any, ...]
Runner = Callable[[], object]


def session(model: onnx.ModelProto, count: int) -> ort.InferenceSession:
    """Open a model in ONNX Runtime on `count` threads."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = count, 4
    data = model.SerializeToString()
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def shapes(model: onnx.ModelProto) -> dict[str, list[int]]:
    """Return the inferred shape of every value."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    known = {t.name: list(t.dims) for t in graph.initializer}
    for value in [*graph.input, *graph.value_info, *graph.output]:
        dims = value.type.tensor_type.shape.dim
        known.setdefault(value.name, [d.dim_value for d in dims])
    return known


def keys(model: onnx.ModelProto) -> "collections.Counter[Key]":
    """Count the model's distinct Conv and MaxPool nodes."""
    known, found = shapes(model), collections.Counter[Key]()
    for node in model.graph.node:
        if node.op_type not in ("Conv", "MaxPool"):
            continue
        given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        x = known[node.input[0]]
        w = known[node.input[1]] if node.op_type == "Conv" else given["kernel_shape"]
        strides = given.get("strides", [1, 1])
        pads = given.get("pads", [0, 0, 0, 0])
        group = given.get("group", 1)
        key = (node.op_type, tuple(x), tuple(w), tuple(strides), tuple(pads), group)
        found[key] += 1
    return found


def single(key: Key, w: Array, bias: Array) -> onnx.ModelProto:
    """Build the model of one node; a Conv is followed by Relu."""
    op, x, kernel, strides, pads, group = key
    options = {"strides": strides, "pads": pads}
    tensors = []
    if op == "Conv":
        names = [("w", w), ("b", bias)]
        tensors = [onnx.numpy_helper.from_array(a, name) for name, a in names]
        nodes = [
            helper.make_node("Conv", ["x", "w", "b"], ["c"], group=group, **options),
            helper.make_node("Relu", ["c"], ["y"]),
        ]
    else:
        options["kernel_shape"] = kernel
        nodes = [helper.make_node("MaxPool", ["x"], ["y"], **options)]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("x", x), ("y", None))
    ]
    graph = helper.make_graph(nodes, "one", ends[:1], ends[1:], tensors)
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8)


def runners(key: Key, layout: conv.Layout, count: int) -> tuple[Runner, Runner]:
    """Return ONNX Runtime's run and ours, after checking that they agree."""
    op, shape, kernel, strides, pads, group = key
    rng = np.random.default_rng(0)
    x: Array = np.asarray(rng.standard_normal(shape, np.float32))
    w: Array = np.asarray(rng.standard_normal(kernel, np.float32))
    bias = rng.standard_normal(kernel[0], np.float32)
    theirs = session(single(key, w, bias), count)
    pairs = list(zip(pads[: len(pads) // 2], pads[len(pads) // 2 :], strict=True))
    last = layout == "NHWC"
    data = np.ascontiguousarray(np.moveaxis(x, 1, -1)) if last else x
    options: dict[str, Any] = {"strides": strides, "pads": pairs, "layout": layout}
    if op == "Conv":
        options |= {"groups": group, "bias": bias, "clip": RELU}
        plan: Any = conv.plan_conv(data.shape, w, **options)
    else:
        plan = pool.plan_pool(data.shape, kernel, kind="max", **options)
    out = plan(data)
    wanted = theirs.run(None, {"x": x})[0]
    got = np.moveaxis(out, -1, 1) if last else out
    error = float(np.abs(got - wanted).max() / np.abs(wanted).max())
    if not error < 1e-4:
        raise AssertionError(f"{key}: error {error}")
    return lambda: theirs.run(None, {"x": x}), lambda: plan(data, out=out)


def times(runs: tuple[Runner, ...], rounds: int, seconds: float) -> list[float]:
    """Return each run's lower-quartile milliseconds, over blocks which take turns."""
    taken: list[list[float]] = [[] for _ in runs]
    for _ in range(rounds):
        for run, record in zip(runs, taken, strict=True):
            time.sleep(0.03)
            run()
            end = time.perf_counter() + seconds
            while True:
                start = time.perf_counter()
                run()
                now = time.perf_counter()
                record.append(now - start)
                if now > end:
                    break
    return [1e3 * statistics.quantiles(record, n=4)[0] for record in taken]


def main() -> None:
    """Read the command line, time, print."""
    cli = argparse.ArgumentParser(description=__doc__)
    cli.add_argument("model")
    cli.add_argument("--layout", choices=["NCHW", "NHWC"], default="NHWC")
    cli.add_argument("--threads", type=int, default=2)
    cli.add_argument("--rounds", type=int, default=5)
    cli.add_argument("--seconds", type=float, default=0.03)
    cli.add_argument("--only", default="", help="Conv or MaxPool")
    given = cli.parse_args()
    threads.set_num_threads(given.threads)
    model = onnx.load(given.model)
    totals: dict[str, list[float]] = collections.defaultdict(lambda: [0.0, 0.0])
    for key, count in keys(model).items():
        if given.only not in key[0]:
            continue
        pair = runners(key, given.layout, given.threads)
        ort_ms, our_ms = times(pair, given.rounds, given.seconds)
        ratio = our_ms / ort_ms
        print(
            f"{count}x {ort_ms:7.3f} {our_ms:7.3f} ms  {ratio:5.2f}", *key, flush=True
        )
        kind = "depthwise" if key[0] == "Conv" and key[2][1] == 1 else key[0]
        totals[kind][0] += count * ort_ms
        totals[kind][1] += count * our_ms
    for kind, (theirs, ours) in totals.items():
        print(f"{kind}: sum {theirs:.2f} {ours:.2f} ms, ratio {ours / theirs:.2f}")
    whole = session(model, given.threads)
    value = whole.get_inputs()[0]
    x = np.random.default_rng(0).standard_normal(value.shape, np.float32)
    [network] = times((lambda: whole.run(None, {value.name: x}),), 3, 0.3)
    ours = sum(total[1] for total in totals.values())
    print(f"network {network:.2f} ms; our sum is {ours / network:.2f} of it")


if __name__ == "__main__":
    main()
