"""``graphwright bisect``."""

from collections.abc import Mapping, Sequence
from typing import Any

import click

import graphwright as gw
from graphwright.cli.common import (
    common_options,
    dim_option,
    inputs_option,
    model_argument,
    names_option,
    passes_options,
    show,
    start_logging,
    working,
)
from graphwright.cli.errors import PROBLEMS
from graphwright.cli.feeds import read_feeds
from graphwright.comparison.minimal import Reproducer, write_case
from graphwright.feeds import random_feeds
from graphwright.ir.errors import printable
from graphwright.ir.evaluate import evaluate


@click.command("bisect")
@model_argument
@names_option(
    "--backend",
    "reference",
    "What runs the optimised model; the reference evaluator runs any passes.",
)
@inputs_option
@click.option("--seed", default=0, show_default=True, help="Seed of random inputs.")
@dim_option
@passes_options
@click.option(
    "--seconds", default=30.0, show_default=True, help="Time to shrink the graph in."
)
@click.option("--save", metavar="FOLDER", help="Write the small graph and a script.")
@common_options
def command(
    model: str,
    backends: Sequence[str],
    inputs: Sequence[str],
    seed: int,
    dims: Mapping[str, int],
    pipeline: str,
    passes: list[str],
    fast_math: bool,
    strict_float: bool,
    seconds: float,
    save: str | None,
    as_json: bool,
) -> int:
    """Name the first rewrite that takes MODEL's results out of their bounds.

    Inputs without a file are random. The exit code is 1 if a rewrite, or the backend
    itself, is at fault.
    """
    start_logging()
    reference = list(backends) == ["reference"]
    if not reference and (passes or pipeline != "default"):
        raise click.UsageError("A backend runs its own passes: leave --backend out.")
    graph = gw.load(model, dims=dims)
    feeds = random_feeds(graph, read_feeds(graph, inputs)[0], seed, dims)
    options: dict[str, Any] = {"fast_math": fast_math, "strict_float": strict_float}
    if reference:
        options["pipeline"] = passes or pipeline
    with working(f"Bisecting {model}"):
        report = gw.bisect(
            graph,
            [feeds[name] for name in graph.input_names],
            None if reference else list(backends),
            seconds=seconds,
            **options,
        )
        script = _written(report, backends, options, save) if save else None
    if as_json:
        show(True, {"model": model, **report.to_dict(), "script": script}, None)
    else:
        click.echo(str(report))
        click.echo(
            f"reproduced by {printable(script)}" if script else "", nl=bool(script)
        )
    return 0 if report.ok else PROBLEMS


def _written(
    report: gw.BisectReport,
    backends: Sequence[str],
    options: Mapping[str, Any],
    folder: str,
) -> str | None:
    if report.graph is None:
        return None
    outputs = evaluate(report.graph, report.inputs)
    library = "passes" if "pipeline" in options else "graphwright"
    case = Reproducer(
        ",".join(backends),
        report.graph,
        report.inputs,
        outputs,
        report.verdict,
        library,
        options,
    )
    return write_case(case, folder)
