"""``graphwright compare``."""

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
    show,
    start_logging,
    working,
)
from graphwright.cli.errors import PROBLEMS
from graphwright.cli.feeds import read_feeds
from graphwright.comparison.samples import Samples
from graphwright.feeds import random_feeds
from graphwright.files import check_writable
from graphwright.ir.errors import printable


@click.command("compare")
@model_argument
@names_option(
    "--backends",
    "numpy,reference",
    "Backends with commas; also reference, onnx, onnxruntime, openvino.",
)
@inputs_option
@click.option(
    "--samples",
    default="2",
    show_default=True,
    metavar="KINDS",
    help="How many random inputs, or kinds with commas: random, special, LOW:HIGH.",
)
@click.option("--seed", default=0, show_default=True, help="Seed of made-up inputs.")
@click.option("--search", default=0, help="Steps of a search for worse inputs.")
@dim_option
@click.option("--dtype", help="Convert all floats to this dtype first.")
@click.option("--per-node", is_flag=True, help="Show every node.")
@click.option("--rounds", default=5, show_default=True, help="Timed runs of each.")
@click.option("--strict", is_flag=True, help="One that cannot take part is an error.")
@click.option("--save", metavar="FILE", help="A .npz for the first backend's run.")
@click.option("--golden", metavar="FILE", help="Compare with a saved run.")
@click.option("--html", metavar="FILE", help="Write the report as a page.")
@click.option(
    "--bisect", metavar="FOLDER", help="Shrink what differs; write ONNX and script."
)
@common_options
def command(
    model: str,
    backends: Sequence[str],
    inputs: Sequence[str],
    samples: str,
    seed: int,
    search: int,
    dims: Mapping[str, int],
    dtype: str | None,
    per_node: bool,
    rounds: int,
    strict: bool,
    save: str | None,
    golden: str | None,
    html: str | None,
    bisect: str | None,
    as_json: bool,
) -> int:
    """Compare what backends make of MODEL, value by value.

    The first line says whether they agree, or where the first two part. The exit code
    is 1 if they do not agree.
    """
    start_logging()
    check_writable(html)
    with working(f"Comparing {model}"):
        graph = gw.load(model, dims=dims) if dims or inputs else None
        given = _given(graph, inputs)
        report = gw.compare(
            graph if dims else model,
            list(backends),
            given,
            0 if golden or given else _kinds(samples),
            dtype=dtype,
            dims=dims,
            seed=seed,
            search=search,
            golden=golden,
            save=save,
            bisect=bisect,
            per_node=per_node,
            rounds=rounds,
            strict=strict,
        )
        if html:
            report.to_html(html)
            report.written["report"] = html
    if as_json:
        show(True, report.to_dict(), None)
    else:
        click.echo(printable(report.verdict))
        show(False, None, report)
        if bisect and not report.ok and report.reproducer is None:
            click.echo(f"no smaller case shows it: nothing was written to {bisect}")
    return 0 if report.ok else PROBLEMS


def _given(graph: gw.Graph | None, words: Sequence[str]) -> Any:
    if graph is None or not words:
        return None
    feeds, _ = read_feeds(graph, words)
    return random_feeds(graph, feeds, 0)


def _kinds(text: str) -> Samples:
    words = [word for word in (w.strip() for w in text.split(",")) if word]
    if len(words) == 1 and words[0].isdecimal():
        return int(words[0])
    return words
