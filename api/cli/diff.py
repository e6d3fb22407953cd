"""``graphwright diff``."""

import click

import graphwright as gw
from graphwright.cli.common import common_options, show, start_logging, working
from graphwright.cli.errors import PROBLEMS
from graphwright.files import check_writable


@click.command("diff")
@click.argument("before")
@click.argument("after")
@click.option("--html", metavar="FILE", help="Write the report as a page.")
@common_options
def command(before: str, after: str, html: str | None, as_json: bool) -> int:
    """Show what differs between the models BEFORE and AFTER.

    The exit code is 1 if anything does.
    """
    start_logging()
    check_writable(html)
    with working(f"Comparing {before} and {after}"):
        report = gw.diff(before, after)
    if html:
        report.to_html(html)
    show(as_json, report.to_dict(), report)
    return 0 if report.same else PROBLEMS
