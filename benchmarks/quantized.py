"""A network quantised to int8, beside its own float32 and ONNX Runtime's int8.

    quantized.py MODEL.onnx [--backend opencl] [--runs N] [--rounds N]

ONNX Runtime's quantiser writes QDQ, one scale for each filter, calibrated on random
inputs. Runners take turns in short blocks, and the least time of each counts. Results
are those of ONNX Runtime but for roundings that fall the other way.
"""

import argparse
import logging
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnxruntime as ort
from latency import Feeds, best, error, feeds_of
from onnxruntime import quantization

import graphwright as gw

TOLERANCE = 0.05
"""Of the largest result: a few steps of int8."""


class _Calibration(quantization.CalibrationDataReader):  # type: ignore[misc]
    """Some random inputs."""

    def __init__(self, path: Path, count: int = 2) -> None:
        self._feeds: Iterator[Feeds] = (feeds_of(path, seed) for seed in range(count))

    def get_next(self) -> Feeds | None:
        """One of them."""
        return next(self._feeds, None)


def quantized(path: Path, folder: Path) -> Path:
    """The file of the model in int8."""
    plain, found = folder / "float32.onnx", folder / "int8.onnx"
    gw.export(gw.optimize(gw.load(path)), plain)  # old opsets have no scales by filter
    logging.disable(logging.WARNING)  # it would rather be preprocessed
    ort.set_default_logger_severity(3)
    quantization.quantize_static(plain, found, _Calibration(path), per_channel=True)
    return found


def measure(path: Path, options: argparse.Namespace) -> float:
    """Prints the times; gives the error."""
    with tempfile.TemporaryDirectory() as folder:
        small = quantized(path, Path(folder))
        settings = ort.SessionOptions()
        settings.intra_op_num_threads = os.cpu_count() or 1
        session = ort.InferenceSession(
            str(small), settings, providers=["CPUExecutionProvider"]
        )
        exact, ours = (
            gw.compile(gw.load(p), backend=options.backend, strict=True)
            for p in (path, small)
        )
        inputs = [feeds_of(path, seed) for seed in range(4)]

        def checked() -> float:
            return max(error(ours.run(None, f), session.run(None, f)) for f in inputs)

        def runner(run: Any) -> Any:
            return lambda feeds: run(None, feeds)

        worst = checked()
        runners = [runner(x.run) for x in (exact, ours, session)]
        wide, own, theirs = best(
            runners, inputs, time.perf_counter, options.rounds, options.runs
        )
        worst = max(worst, checked())
    print(
        f"{path.stem}: float32 {wide:.1f} ms, int8 {own:.1f}, ONNX Runtime's int8"
        f" {theirs:.1f}: {own / wide:.2f} of float32, {own / theirs:.2f} of ONNX"
        f" Runtime, error {worst:.0e}"
    )
    return worst


def main() -> int:
    """Measures; 1 where results differ."""
    cli = argparse.ArgumentParser(description=__doc__)
    cli.add_argument("model", type=Path)
    cli.add_argument("--backend", default="opencl")
    cli.add_argument("--runs", type=int, default=4)
    cli.add_argument("--rounds", type=int, default=5)
    options = cli.parse_args()
    return int(not measure(options.model, options) <= TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
