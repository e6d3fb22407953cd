"""``graphwright optimize``."""

import os
from typing import Any

import click

import graphwright as gw
from graphwright.cli.common import (
    common_options,
    dim_option,
    model_argument,
    passes_options,
    show,
    start_logging,
    working,
)
from graphwright.display import bytes_text, stacked, styled, table
from graphwright.ir.graph import Graph
from graphwright.passes.manager import Change, Report
from graphwright.passes.pipeline import manager


@click.command("optimize")
@model_argument
@click.argument("out")
@passes_options
@click.option(
    "--print-after",
    multiple=True,
    metavar="PASS",
    help="Print the graph after this pass to stderr; may be repeated.",
)
@click.option("--opset", type=click.IntRange(1), help="Version of ai.onnx to write.")
@dim_option
@common_options
def command(
    model: str,
    out: str,
    pipeline: str,
    passes: list[str],
    fast_math: bool,
    strict_float: bool,
    print_after: tuple[str, ...],
    opset: int | None,
    dims: dict[str, int],
    as_json: bool,
) -> None:
    """Run passes on MODEL and write it as ONNX to OUT."""
    start_logging()

    def observe(name: str, graph: Graph) -> None:
        if name in print_after:
            click.echo(f"# after {name}\n{graph}", err=True)

    run = manager(
        passes or pipeline,
        fast_math=fast_math,
        strict_float=strict_float,
        observe=observe,
    )
    _check_names(print_after, list(run.names))
    graph = gw.load(model, dims=dims)
    with working(f"Optimising {model}"):
        found, report = run.run(graph)
        gw.export(found, out, **({} if opset is None else {"opset": opset}))
    size = os.path.getsize(out)
    data = {"model": model, "output_file": out, "bytes": size, **_to_dict(report)}
    before, after = len(graph.nodes), len(found.nodes)
    words = f"{before} ops became {after}, {bytes_text(size)} in {out}"
    columns = ("pass", "ms", "ops", "rewrites")
    rows = map(_row, report.changes)
    show(as_json, data, stacked(styled(words, "green"), table("", columns, rows)))


def _check_names(wanted: tuple[str, ...], names: list[str]) -> None:
    for name in wanted:
        if name not in names:
            known = ", ".join(dict.fromkeys(names))
            raise click.BadParameter(f"--print-after {name!r}: the passes are {known}")


def _row(change: Change) -> tuple[str, ...]:
    counts = ", ".join(f"{name} {n}" for name, n in change.rewrites.items())
    milliseconds = f"{1e3 * change.seconds:.1f}"
    return change.name, milliseconds, f"{change.before} -> {change.after}", counts


def _to_dict(report: Report) -> dict[str, Any]:
    return {
        "seconds": report.seconds,
        "passes": [
            {
                "name": c.name,
                "seconds": c.seconds,
                "before": c.before,
                "after": c.after,
                "rewrites": dict(c.rewrites),
            }
            for c in report.changes
        ],
    }
