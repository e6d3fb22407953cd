"""The command line: ``graphwright run|inspect|check|compare|...``, see ``COMMANDS``.

Exit codes: 0 all is well, 1 ``check``, ``compare``, ``diff`` or ``bisect`` found
something, 2 bad input or usage, 3 a fault of graphwright's own, 130 interrupted.
"""

import importlib
import sys
from collections.abc import Sequence

import click

import graphwright
from graphwright.cli import errors

COMMANDS = {
    "run": "Run a model on files or random inputs and show its outputs.",
    "inspect": "Show signature, ops, parameters, FLOPs and text form.",
    "check": "List what a backend does not run itself.",
    "compare": "Compare what backends make of a model, value by value.",
    "bench": "Time a model on backends, in blocks with rests.",
    "diff": "Show what differs between two models.",
    "bisect": "Name the first rewrite that takes results out of their bounds.",
    "optimize": "Run optimisation passes and write the result as ONNX.",
    "export": "Read a model and write it as ONNX.",
    "backends": "List backends, their devices and settings.",
    "new-backend": "Write the project of a backend of your own.",
}
"""Each command, which lives in the module of its name, and its line of help."""

_EPILOG = (
    "Exit codes: 0 all is well, 1 check, compare, diff or bisect found something, 2"
    " bad input or usage, 3 a fault of graphwright's own, 130 interrupted. Every"
    " command takes --json and --debug."
)


class _Commands(click.Group):
    """Commands whose modules are loaded when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(
            f"graphwright.cli.{cmd_name.replace('-', '_')}"
        )
        command: click.Command = module.command
        return command

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=_Commands,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 88},
)
@click.version_option(graphwright.__version__, prog_name="graphwright")
def program() -> None:
    """Run, inspect, check and export tensor graphs."""


def main(args: Sequence[str] | None = None) -> int:
    """Runs a command line and returns its exit code."""
    words = list(sys.argv[1:] if args is None else args)
    return errors.guarded(
        lambda: program.main(
            words or ["--help"], prog_name="graphwright", standalone_mode=False
        ),
        debug="--debug" in words,
        as_json="--json" in words,
    )
