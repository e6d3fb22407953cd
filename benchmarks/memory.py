"""Peak memory of a backend beside a peer's, each in a process of its own.

    memory.py FOLDER [--only RE] [--runs N] [--backend numpy] [--peer onnxruntime]

FOLDER holds ``*.onnx``. A process imports what it needs, loads the model, runs it; its
largest resident set by then, less that after the imports, is what counts. The exit
status is 1 where the backend needs more than the peer, ``onnxruntime`` or ``openvino``.
"""

import argparse
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

Feeds = dict[str, Any]


def peak() -> float:
    """Largest resident set so far, in MB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def backend_added(name: str, path: Path, feeds: Feeds, runs: int) -> float:
    """What one of our backends adds to the peak."""
    import graphwright as gw
    from graphwright.backends.registry import get_backend

    load, compiled = gw.load, gw.compile  # imported when they are first named
    get_backend(name).unavailable()  # loads its library
    before = peak()
    executable = compiled(load(path), backend=name, strict=True)
    for _ in range(runs):
        executable.run(None, feeds)
    return peak() - before


def onnxruntime_added(path: Path, feeds: Feeds, runs: int) -> float:
    """What ONNX Runtime adds to the peak."""
    import onnxruntime as ort

    before = peak()
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for _ in range(runs):
        session.run(None, feeds)
    return peak() - before


def openvino_added(path: Path, feeds: Feeds, runs: int) -> float:
    """What OpenVINO adds to the peak."""
    import openvino as ov

    before = peak()
    compiled = ov.Core().compile_model(str(path), "CPU")
    request = compiled.create_infer_request()
    for _ in range(runs):
        request.infer(feeds)
    return peak() - before


Runner = Callable[[Path, Feeds, int], float]
RUNNERS: dict[str, Runner] = {
    "onnxruntime": onnxruntime_added,
    "openvino": openvino_added,
    "numpy": partial(backend_added, "numpy"),
    "opencl": partial(backend_added, "opencl"),
}


def measured(name: str, path: Path, feeds: Path, runs: int) -> float:
    """What a runner adds in a new process."""
    words = [__file__, str(path), "--runs", str(runs), "--child", name]
    done = subprocess.run(
        [sys.executable, *words, "--feeds", str(feeds)],
        check=True,
        capture_output=True,
        text=True,
    )
    return float(done.stdout.split()[-1])


def write_feeds(path: Path, target: Path) -> None:
    """Random inputs, made here: reading the model would count."""
    code = "import sys, numpy, pathlib; from latency import feeds_of;"
    code += "numpy.savez(sys.argv[2], **feeds_of(pathlib.Path(sys.argv[1]), 0))"
    words = [sys.executable, "-c", code, str(path), str(target)]
    subprocess.run(words, check=True, cwd=Path(__file__).parent)


def main() -> int:
    """Prints a row for each network."""
    cli = argparse.ArgumentParser(description=__doc__)
    cli.add_argument("folder", type=Path)
    cli.add_argument("--only", default="")
    cli.add_argument("--runs", type=int, default=10)
    cli.add_argument("--backend", choices=("numpy", "opencl"), default="numpy")
    cli.add_argument(
        "--peer", choices=("onnxruntime", "openvino"), default="onnxruntime"
    )
    cli.add_argument("--child", choices=RUNNERS)
    cli.add_argument("--feeds", type=Path)
    options = cli.parse_args()
    if options.child:
        feeds = dict(np.load(options.feeds))
        print(RUNNERS[options.child](options.folder, feeds, options.runs))
        return 0
    over = 0
    for path in sorted(options.folder.glob("*.onnx")):
        if not re.search(options.only, path.stem):
            continue
        with tempfile.TemporaryDirectory() as folder:
            feeds_file = Path(folder, "feeds.npz")
            write_feeds(path, feeds_file)
            theirs, ours = (
                measured(name, path, feeds_file, options.runs)
                for name in (options.peer, options.backend)
            )
        over += ours > theirs
        print(
            f"{path.stem:16s} {options.peer} {theirs:7.0f} MB"
            f"  {options.backend} {ours:7.0f} MB  ratio {ours / theirs:5.2f}",
            flush=True,
        )
    return int(over > 0)


if __name__ == "__main__":
    sys.exit(main())
