"""What commands share: options, the terminal, how a model is opened."""

import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, get_args

import click
from rich.console import Console
from rich.logging import RichHandler
from rich.text import Text

from graphwright.backends.progress import giving_way
from graphwright.backends.tuning import Mode
from graphwright.display import WIDTH
from graphwright.ir.errors import printable
from graphwright.passes.pipeline import PIPELINES

F = TypeVar("F", bound=Callable[..., Any])

model_argument = click.argument("model")


def common_options(function: F) -> F:
    """``--json`` and ``--debug``, which every command takes."""
    json_option = click.option(
        "--json", "as_json", is_flag=True, help="Write JSON instead of tables."
    )
    debug_option = click.option(
        "--debug", is_flag=True, expose_value=False, help="Show tracebacks of errors."
    )
    return json_option(debug_option(function))


def _words(text: str) -> list[str]:
    return [name for name in (word.strip() for word in text.split(",")) if name]


def _names(text: str) -> list[str]:
    names = _words(text)
    if not names:
        raise click.BadParameter("names no backend")
    return names


def names_option(flag: str, default: str, words: str) -> Callable[[F], F]:
    """An option that takes names with commas between them."""
    return click.option(
        flag,
        "backends",
        default=default,
        show_default=True,
        callback=lambda _context, _parameter, text: _names(text),
        help=words,
    )


inputs_option = click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME=FILE",
    help="A .npy, .npz (or .npz:key) or .png for an input; may be repeated, PNGs of one"
    " input make a batch.",
)
"""Files for inputs."""

backend_option = names_option(
    "--backend", "auto", "A backend, or several with commas in order of preference."
)


def _dims(_context: Any, _parameter: Any, words: Sequence[str]) -> dict[str, int]:
    dims: dict[str, int] = {}
    for word in words:
        name, _, size = word.rpartition("=")
        if not name or not size.isdecimal():
            raise click.BadParameter(f"{word!r} is not of the form name=size")
        if dims.setdefault(name, int(size)) != int(size):
            raise click.BadParameter(f"dim {name!r} is given two sizes")
    return dims


dim_option = click.option(
    "--dim",
    "dims",
    multiple=True,
    metavar="NAME=SIZE",
    callback=_dims,
    help="Size of a named dim; may be repeated.",
)


def tuning_options(function: F) -> F:
    """``--tune`` and ``--tuning``: which ways to compute OpenCL chooses."""
    tune = click.option(
        "--tune",
        type=click.Choice(get_args(Mode)),
        default="off",
        show_default=True,
        help="What OpenCL measures to choose between ways to compute.",
    )
    tuning = click.option(
        "--tuning",
        metavar="FILE",
        help="A record of choices: read, and added to by --tune.",
    )
    return tune(tuning(function))


def passes_options(function: F) -> F:
    """``--pipeline`` or a list of ``--passes``, and how far rewrites may go."""
    options = (
        click.option(
            "--pipeline",
            type=click.Choice(list(PIPELINES)),
            default="default",
            show_default=True,
            help="Named list of passes.",
        ),
        click.option(
            "--passes",
            callback=lambda _context, _parameter, text: _words(text or ""),
            help="Passes to run instead, with commas between.",
        ),
        click.option(
            "--fast-math", is_flag=True, help="Rewrites wrong for some numbers too."
        ),
        click.option(
            "--strict-float", is_flag=True, help="Only rewrites that keep every bit."
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def console(*, stderr: bool = False) -> Console:
    """The terminal, or 100 columns of plain text where output goes elsewhere."""
    plain = "NO_COLOR" in os.environ
    made = Console(
        stderr=stderr, highlight=False, color_system=None if plain else "auto"
    )
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = WIDTH
    return made


def show(as_json: bool, data: Any, renderable: Any) -> None:
    """Writes JSON, or what there is for people."""
    if as_json:
        click.echo(json.dumps(data, indent=2, allow_nan=False))
    else:
        console().print(renderable)


@contextmanager
def working(what: str) -> Iterator[None]:
    """A spinner on stderr while the block runs, where that is a terminal."""
    screen = console(stderr=True)
    if not screen.is_terminal:
        yield
        return
    words = Text(printable(what), no_wrap=True, overflow="ellipsis")
    with screen.status(words) as spinner, giving_way(spinner):
        yield


def start_logging() -> None:
    """Sends the library's messages to stderr until the command ends.

    The least level is ``$GRAPHWRIGHT_LOG``'s.

    Raises:
        UsageError: If that names no level.
    """
    word = os.environ.get("GRAPHWRIGHT_LOG") or "warning"
    levels = logging.getLevelNamesMapping()
    if word.upper() not in levels:
        known = ", ".join(sorted(map(str.lower, levels)))
        raise click.UsageError(f"GRAPHWRIGHT_LOG is {word!r}; the levels are {known}.")
    logger = logging.getLogger("graphwright")
    handler, before = (
        RichHandler(console=console(stderr=True), show_path=False),
        logger.level,
    )
    logger.addHandler(handler)
    logger.setLevel(levels[word.upper()])

    def stop() -> None:
        logger.removeHandler(handler)
        logger.setLevel(before)

    click.get_current_context().call_on_close(stop)
