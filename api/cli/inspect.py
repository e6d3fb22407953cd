"""``graphwright inspect``."""

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


@click.command("inspect")
@model_argument
@dim_option
@click.option("--text", is_flag=True, help="Write the graph's text form, nothing else.")
@common_options
def command(model: str, dims: dict[str, int], text: bool, as_json: bool) -> None:
    """Show signature, ops, parameters, FLOPs and text form of MODEL."""
    start_logging()
    with working(f"Loading {model}"):
        found = gw.inspect(model, dims=dims)
    if text and not as_json:
        click.echo(str(found.graph), nl=False)
        return
    data = found.to_dict()
    show(as_json, {**data, "text": str(found.graph)} if text else data, found)
