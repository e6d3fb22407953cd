"""``graphwright check``."""

import click

import graphwright as gw
from graphwright.cli.common import (
    backend_option,
    common_options,
    model_argument,
    show,
    start_logging,
    working,
)
from graphwright.cli.errors import PROBLEMS


@click.command("check")
@model_argument
@backend_option
@common_options
def command(model: str, backends: list[str], as_json: bool) -> int:
    """List every op of MODEL that a backend does not run itself.

    The exit code is 1 if an op falls back to numpy or is unknown.
    """
    start_logging()
    with working(f"Checking {model}"):
        one = backends[0] if len(backends) == 1 else backends
        report = gw.check(model, backend=one)
    show(as_json, report.to_dict(), report)
    return 0 if report.ok else PROBLEMS
