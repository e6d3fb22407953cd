"""Latency of a backend beside other runtimes, results checked before and after.

    latency.py FOLDER [--backend numpy] [--peers onnxruntime[,openvino]] [--only RE]
               [--runs N] [--rounds N] [--profile] [--cpu]

FOLDER holds ``*.onnx``. Runners take turns in short blocks, and the least time of each
counts: other work on the machine only ever adds. The ratio is to the faster peer.
``--cpu`` takes processor time on one thread of the numpy backend instead, which a
loaded machine hardly disturbs. ``--profile`` adds the time of each kind of step.
"""

import argparse
import importlib
import math
import os
import re
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import onnxruntime as ort

import graphwright as gw
from graphwright.backends.numpy.kernels.threads import set_num_threads

TOLERANCE = 1e-4
Feeds = dict[str, Any]
Clock = Callable[[], float]
Runner = Callable[[Feeds], Any]


def feeds_of(path: Path, seed: int) -> Feeds:
    """Random inputs: pixels for the oldest networks, token ids, masks, else normal."""
    model = onnx.load(path, load_external_data=False)
    rng = np.random.default_rng(seed)
    scale = np.float32(60 if model.opset_import[0].version < 17 else 1)
    stored = {t.name for t in model.graph.initializer}
    feeds: Feeds = {}
    for value in model.graph.input:
        if value.name in stored:
            continue
        tensor = value.type.tensor_type
        shape = [dim.dim_value or 1 for dim in tensor.shape.dim]
        if tensor.elem_type == onnx.TensorProto.INT64:
            few = "mask" in value.name or "type" in value.name
            feeds[value.name] = rng.integers(0, 2 if few else 1000, shape)
        else:
            feeds[value.name] = scale * rng.standard_normal(shape, dtype=np.float32)
    return feeds


def error(got: list[Any], want: list[Any]) -> float:
    """Largest difference over the largest wanted value."""
    pairs = zip(got, want, strict=True)
    return max(float(np.abs(a - b).max() / (np.abs(b).max() + 1e-30)) for a, b in pairs)


def best(
    runners: list[Runner],
    inputs: list[Feeds],
    clock: Clock,
    rounds: int,
    runs: int,
) -> list[float]:
    """The least milliseconds of each runner, which take turns."""
    times = [math.inf] * len(runners)
    for _ in range(rounds):
        for number, run in enumerate(runners):
            time.sleep(0.05)
            run(inputs[0])
            for k in range(runs):
                start = clock()
                run(inputs[k % len(inputs)])
                times[number] = min(times[number], clock() - start)
    return [1e3 * t for t in times]


def profile(executable: Any, feeds: Feeds) -> None:
    """Prints the time of each kind of step."""
    rows: dict[str, list[float]] = defaultdict(list)
    for step in executable.profile(feeds):
        rows[step.op].append(1e3 * step.seconds)
    for op, times in sorted(rows.items(), key=lambda row: -sum(row[1]))[:10]:
        print(f"    {op:20s} {len(times):4d} {sum(times):9.2f}")


def onnxruntime(path: Path, threads: int) -> Runner:
    """ONNX Runtime on some threads."""
    settings = ort.SessionOptions()
    settings.intra_op_num_threads, settings.log_severity_level = threads, 4
    providers = ["CPUExecutionProvider"]
    session = ort.InferenceSession(str(path), settings, providers=providers)
    return lambda feeds: session.run(None, feeds)


def openvino(path: Path, threads: int) -> Runner:
    """OpenVINO on some threads, in float32."""
    hints = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    core: Any = importlib.import_module("openvino").Core()
    found = core.compile_model(str(path), "CPU", hints).create_infer_request().infer
    return cast(Runner, found)


PEERS = {"onnxruntime": onnxruntime, "openvino": openvino}


def measure(path: Path, options: argparse.Namespace) -> tuple[float, float]:
    """Ratio to the faster peer and error of one network."""
    threads = 1 if options.cpu else os.cpu_count() or 1
    names = options.peers.split(",")
    peers = [PEERS[name](path, threads) for name in names]
    start = time.perf_counter()
    executable = gw.compile(gw.load(path), backend=options.backend, strict=True)
    inputs = [feeds_of(path, seed) for seed in range(4)]
    executable.run(None, inputs[0])
    ready = time.perf_counter() - start
    oracle = peers[0] if names[0] == "onnxruntime" else onnxruntime(path, threads)
    want = [oracle(f) for f in inputs]

    def check() -> float:
        rows = zip(inputs, want, strict=True)
        return max(error(executable.run(None, f), w) for f, w in rows)

    worst = check()
    runners = [*peers, lambda f: executable.run(None, f)]
    clock = time.process_time if options.cpu else time.perf_counter
    *theirs, ours = best(runners, inputs, clock, options.rounds, options.runs)
    worst, ratio = max(worst, check()), ours / min(theirs)
    rows = [*zip(names, theirs, strict=True), (options.backend, ours)]
    print(
        f"{path.stem:16s}",
        "".join(f"{name} {time:8.2f}  " for name, time in rows),
        f"ratio {ratio:5.2f}  error {worst:.0e}  ready in {ready:5.2f} s",
        flush=True,
    )
    if options.profile:
        profile(executable, inputs[0])
    return ratio, worst


def main() -> int:
    """Measures all networks; 1 where a result is wrong."""
    cli = argparse.ArgumentParser(description=__doc__)
    cli.add_argument("folder", type=Path)
    cli.add_argument("--backend", default="numpy")
    cli.add_argument("--peers", default="onnxruntime")
    cli.add_argument("--only", default="")
    cli.add_argument("--runs", type=int, default=4)
    cli.add_argument("--rounds", type=int, default=5)
    cli.add_argument("--profile", action="store_true")
    cli.add_argument("--cpu", action="store_true")
    options = cli.parse_args()
    if options.cpu:
        set_num_threads(1)
    paths = sorted(options.folder.glob("*.onnx"))
    rows = [measure(p, options) for p in paths if re.search(options.only, p.stem)]
    mean = math.exp(sum(math.log(ratio) for ratio, _ in rows) / len(rows))
    print(f"geometric mean {mean:.2f}, greatest {max(rows)[0]:.2f}")
    return int(any(not worst <= TOLERANCE for _, worst in rows))


if __name__ == "__main__":
    sys.exit(main())
