"""Time how models load: one of ResNet-50's size, and chains of 10,000 to 100,000 nodes.

    python benchmarks/load.py [MODEL.onnx] [--processes 5] [--nodes 10000 30000 100000]

Each load happens in a process of its own, after a small model has loaded, so that the
imports of libraries are not counted. Printed for the time to a typed graph: the median
by the clock, and the least of the processor, which other programs hardly disturb; then
how much more memory is resident (on Linux), of which private to the process (the rest
are pages of the mapped file); at last the slope of log(processor time) over log(nodes),
where 1 is linear.

Without a model one is made: ResNet-50's layers, weights at random, 97 MiB. Chains are
of Add and Mul, each with a constant of its own, and every tenth node is Tanh.
"""

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CHILD = """
import json, re, sys, time
from importlib.resources import files
import graphwright as gw

def resident():
    try:
        with open("/proc/self/status") as file:
            found = dict(re.findall(r"(VmRSS|RssAnon):\\s*(\\d+)", file.read()))
    except OSError:
        found = {}
    return [int(found.get(name, 0)) / 1024 for name in ("VmRSS", "RssAnon")]

gw.load(files("graphwright") / "data" / "digits.onnx")
before, clock, processor = resident(), time.perf_counter(), time.process_time()
graph = gw.load(sys.argv[1])
times = time.perf_counter() - clock, time.process_time() - processor
more = [b - a for a, b in zip(before, resident())]
print(json.dumps([*times, *more, len(graph.nodes)]))
"""


class Model:
    """An ONNX model under construction, with weights from one seed."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._rng = np.random.default_rng(0)
        self._names = (f"v{i}" for i in itertools.count())

    def weight(self, *shape: int) -> str:
        """A weight of this shape."""
        values = self._rng.random(shape, np.float32)
        self.weights.append(numpy_helper.from_array(values, next(self._names)))
        return str(self.weights[-1].name)

    def add(self, op_type: str, *inputs: str, **attributes: Any) -> str:
        """A node; the name of its result."""
        result = next(self._names)
        self.nodes.append(helper.make_node(op_type, inputs, [result], **attributes))
        return result

    def save(self, path: Path, shape: list[int | str], result: str) -> None:
        """Writes the model; its input is ``x``."""
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
        y = helper.make_tensor_value_info(result, TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, path.stem, [x], [y], self.weights)
        opset = [helper.make_opsetid("", 17)]
        onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)


def conv(m: Model, x: str, sizes: tuple[int, int, int], stride: int = 1) -> str:
    """Convolution and normalization; ``sizes``: channels in and out, kernel."""
    before, after, kernel = sizes
    weight = m.weight(after, before, kernel, kernel)
    pads = [kernel // 2] * 4
    y = m.add("Conv", x, weight, pads=pads, strides=[stride] * 2)
    return m.add("BatchNormalization", y, *(m.weight(after) for _ in range(4)))


def bottleneck(m: Model, x: str, before: int, width: int, stride: int) -> str:
    """1x1, 3x3 and 1x1 convolutions beside a short cut (He et al., 2015)."""
    y = m.add("Relu", conv(m, x, (before, width, 1)))
    y = m.add("Relu", conv(m, y, (width, width, 3), stride))
    y = conv(m, y, (width, 4 * width, 1))
    if before != 4 * width:
        x = conv(m, x, (before, 4 * width, 1), stride)
    return m.add("Relu", m.add("Add", x, y))


def save_resnet50(path: Path) -> None:
    """ResNet-50's layers, weights at random."""
    m = Model()
    y = m.add("Relu", conv(m, "x", (3, 64, 7), 2))
    y = m.add("MaxPool", y, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    channels = 64
    for width, count in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for i in range(count):
            y = bottleneck(m, y, channels, width, 2 if i == 0 and width > 64 else 1)
            channels = 4 * width
    y = m.add("Flatten", m.add("GlobalAveragePool", y))
    y = m.add("Gemm", y, m.weight(channels, 1000), m.weight(1000))
    m.save(path, ["batch", 3, 224, 224], y)


def save_chain(path: Path, count: int) -> None:
    """Add and Mul in turn with distinct constants; every tenth node is Tanh."""
    m, y = Model(), "x"
    for i in range(1, count + 1):
        y = m.add(("Mul", "Add")[i % 2], y, m.weight()) if i % 10 else m.add("Tanh", y)
    m.save(path, ["n"], y)


def measure(path: Path, processes: int) -> tuple[float, str]:
    """The least processor time; a row of the table."""
    found: list[list[float]] = []
    for _ in range(processes):
        command = [sys.executable, "-c", CHILD, str(path)]
        run = subprocess.run(command, check=True, capture_output=True, text=True)
        found.append(json.loads(run.stdout))
    clock, _, resident, private, nodes = map(
        statistics.median, zip(*found, strict=True)
    )
    least = min(row[1] for row in found)
    cells = (path.stat().st_size / 2**20, 1e3 * clock, 1e3 * least, resident, private)
    words = " ".join(f"{cell:10.1f}" for cell in cells)
    return least, f"{path.stem:<14} {nodes:8.0f} {words}"


def slope(points: list[tuple[int, float]]) -> float:
    """That of the straight line of least squares through the points' logarithms."""
    logs = np.log(np.array(points, float))
    return float(np.polyfit(logs[:, 0], logs[:, 1], 1)[0])


def rows(
    folder: Path, model: str | None, nodes: list[int], processes: int
) -> Iterator[str]:
    """The lines of the table, as they are measured."""
    titles = ("file MiB", "clock ms", "CPU ms", "more MiB", "private")
    heads = " ".join(f"{title:>10}" for title in titles)
    yield f"{'model':<14} {'IR nodes':>8} {heads}"
    path = folder / "resnet50.onnx" if model is None else Path(model)
    if model is None:
        save_resnet50(path)
    yield measure(path, processes)[1]
    points: list[tuple[int, float]] = []
    for count in nodes:
        path = folder / f"chain-{count}.onnx"
        save_chain(path, count)
        least, row = measure(path, processes)
        points.append((count, least))
        yield row
    if len(points) > 1:
        yield f"slope of the chains: {slope(points):.2f}"


def main() -> None:
    """Read the command line, measure, print."""
    cli = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    cli.add_argument("model", nargs="?")
    cli.add_argument("--processes", type=int, default=5)
    cli.add_argument("--nodes", type=int, nargs="*", default=[10_000, 30_000, 100_000])
    given = cli.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for row in rows(Path(folder), given.model, given.nodes, given.processes):
            print(row, flush=True)


if __name__ == "__main__":
    main()
