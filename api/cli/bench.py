"""``graphwright bench``."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from graphwright.backends.tuning import Mode
from graphwright.benchmark import bench
from graphwright.cli.common import (
    common_options,
    dim_option,
    model_argument,
    names_option,
    show,
    start_logging,
    tuning_options,
    working,
)
from graphwright.files import check_writable, writing


def _numbers(_context: Any, _parameter: Any, text: str) -> list[int]:
    words = [w.strip() for w in text.split(",") if w.strip()]
    if not all(w.isdecimal() and int(w) for w in words):
        raise click.BadParameter(f"{text!r} is not a list of numbers such as 1,8,32")
    return list(map(int, words))


@click.command("bench")
@model_argument
@names_option(
    "--backends",
    "numpy",
    "Backends with commas; also reference, onnxruntime, openvino.",
)
@click.option("--batch", "batches", default="", callback=_numbers, metavar="NUMBERS")
@click.option("--batch-dim", help="The dim that --batch gives sizes to.")
@click.option("--threads", default="", callback=_numbers, metavar="NUMBERS")
@dim_option
@click.option("--blocks", default=5, show_default=True, help="Blocks of each.")
@click.option("--seconds", default=0.5, show_default=True, help="Length of a block.")
@click.option("--rest", default=0.2, show_default=True, help="Rest before a block.")
@tuning_options
@click.option("--profile", is_flag=True, help="Times by source node.")
@click.option("--trace", metavar="FILE", help="Write the profile for Chrome.")
@click.option("--plot", metavar="FILE", help="Draw a PNG; needs the extra `report`.")
@common_options
def command(
    model: str,
    backends: Sequence[str],
    batches: Sequence[int],
    batch_dim: str | None,
    threads: Sequence[int],
    dims: Mapping[str, int],
    blocks: int,
    seconds: float,
    rest: float,
    tune: Mode,
    tuning: str | None,
    profile: bool,
    trace: str | None,
    plot: str | None,
    as_json: bool,
) -> None:
    """Time MODEL on random inputs, backends in turns, in blocks with rests."""
    start_logging()
    check_writable(trace, plot)
    with working(f"Timing {model}"):
        report = bench(
            model,
            backends,
            batches=batches,
            batch_dim=batch_dim,
            threads=threads,
            dims=dims,
            blocks=blocks,
            seconds=seconds,
            rest=rest,
            profile=profile or bool(trace),
            tune=tune,
            tuning=tuning,
        )
        if trace:
            with writing(trace):
                Path(trace).write_text(json.dumps(report.trace()), encoding="utf-8")
        if plot:
            report.plot(plot)
    show(as_json, report.to_dict(), report)
