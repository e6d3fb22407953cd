"""From exceptions to one red paragraph and an exit code."""

import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

import click

from graphwright.config import is_debugging
from graphwright.ir.errors import GraphwrightError, printable

PROBLEMS, BAD_INPUT, FAULT, INTERRUPTED = 1, 2, 3, 130


def guarded(
    run: Callable[[], Any], *, debug: bool = False, as_json: bool = False
) -> int:
    """The exit code of a command; what went wrong is told on stderr.

    With ``as_json`` stdout gets ``{"error": {"type": ..., "message": ...}}`` as well.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # pyright: ignore
    try:
        found = run()
        sys.stdout.flush()
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except BrokenPipeError:
        # Whoever read our output has gone; the interpreter must not flush to them.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (KeyboardInterrupt, click.Abort):
        _say("interrupted")
        return INTERRUPTED
    except Exception as error:
        if debug or is_debugging():
            traceback.print_exc()
        else:
            _say(_message(error))
        if as_json:
            kind = type(error).__name__
            click.echo(
                json.dumps({"error": {"type": kind, "message": _message(error)}})
            )
        return BAD_INPUT if _is_bad_input(error) else FAULT
    return found if isinstance(found, int) else 0


def _is_bad_input(error: Exception) -> bool:
    return isinstance(error, GraphwrightError | click.ClickException | MemoryError)


def _message(error: Exception) -> str:
    match error:
        case click.UsageError():
            path = error.ctx.command_path if error.ctx else "graphwright"
            return f"{printable(error.format_message())} See {path} --help."
        case click.ClickException():
            return printable(error.format_message())
        case GraphwrightError():
            return str(error)
        case MemoryError():
            return f"memory does not suffice: {printable(str(error))}"
        case _:
            name = type(error).__name__
            return (
                f"graphwright failed with {name}: {printable(str(error))[:200]}."
                " This is a fault in graphwright; --debug shows where."
            )


def _say(message: str) -> None:
    from rich.console import Console
    from rich.text import Text

    plain = "NO_COLOR" in os.environ
    console = Console(stderr=True, color_system=None if plain else "auto")
    text = Text.assemble(("error: ", "bold red"), (message, "red"))
    console.print(text, soft_wrap=not console.is_terminal)
