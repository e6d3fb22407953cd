"""``graphwright export``."""

import os

import click

import graphwright as gw
from graphwright.cli.common import (
    common_options,
    dim_option,
    model_argument,
    show,
    start_logging,
    working,
)
from graphwright.display import bytes_text, styled


@click.command("export")
@model_argument
@click.argument("out")
@click.option("--opset", type=click.IntRange(1), help="Version of ai.onnx to write.")
@dim_option
@common_options
def command(
    model: str, out: str, opset: int | None, dims: dict[str, int], as_json: bool
) -> None:
    """Read MODEL and write it as ONNX to OUT."""
    start_logging()
    with working(f"Writing {out}"):
        graph = gw.load(model, dims=dims)
        gw.export(graph, out, opset=opset)
    size = os.path.getsize(out)
    data = {
        "model": model,
        "output_file": out,
        "bytes": size,
        "nodes": len(graph.nodes),
    }
    words = f"{graph.name}: {len(graph.nodes)} ops written to {out}, {bytes_text(size)}"
    show(as_json, data, styled(words, "green"))
