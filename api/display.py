"""Tables for terminals, pipes and notebooks."""

import io
from collections.abc import Iterable, Sequence
from typing import Any

WIDTH = 100
"""Columns of text that goes to no terminal."""

NARROW, LONG, GAP = 80, 12, 2
"""Columns of a narrow terminal, of a cell that is not broken, between two cells."""

_SIZES = ("B", "kB", "MB", "GB", "TB", "PB")
_COUNTS = ("", " k", " M", " G", " T", " P")


def bytes_text(count: int) -> str:
    """A number of bytes with a decimal unit: ``97.8 MB``."""
    return f"{count} B" if count < 1000 else _scaled(count, _SIZES, " ")


def count_text(count: int) -> str:
    """A large number with a decimal prefix: ``4.1 G``."""
    return str(count) if count < 10_000 else _scaled(count, _COUNTS, "")


def _scaled(count: int, units: Sequence[str], space: str) -> str:
    value, index = float(count), 0
    while value >= 999.5 and index < len(units) - 1:
        value, index = value / 1000, index + 1
    return f"{value:.3g}{space}{units[index]}"


def seconds_text(seconds: float) -> str:
    """A time in the unit that suits it: ``3.4 ms``."""
    if seconds >= 0.9995:  # what rounds to 1,000 of a unit is 1 of the next
        return f"{seconds:.2f} s"
    if seconds >= 0.9995e-3:
        return f"{seconds * 1e3:.3g} ms"
    return f"{seconds * 1e6:.3g} µs"


def table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    right: Iterable[int] = (),
    *,
    empty: bool = True,
) -> Any:
    """A table; the columns whose numbers are in ``right`` align there.

    Without ``empty`` columns that hold nothing in any row are left out.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(
        box=box.SIMPLE_HEAD,
        title_justify="left",
        title_style="bold",
        collapse_padding=True,
    )
    made.title = Text(title) if title else None
    numbers = frozenset(right)
    rows = list(rows)
    used = [empty or any(row[i] != "" for row in rows) for i in range(len(columns))]
    whole = _fits(
        [[row[i] for row in (columns, *rows)] for i, u in enumerate(used) if u]
    )
    for index, column in enumerate(columns):
        if not used[index]:
            continue
        style = "cyan" if index == 0 else None
        justify: Any = "right" if index in numbers else "left"
        made.add_column(
            column,
            justify=justify,
            style=style,
            overflow="fold",
            no_wrap=whole and index in numbers,
        )
    for row in rows:
        cells = (x for x, kept in zip(row, used, strict=True) if kept)
        made.add_row(*(x if isinstance(x, Text) else Text(str(x)) for x in cells))
    return made


def _fits(columns: Sequence[Sequence[object]]) -> bool:
    """Whether a narrow terminal has room, if text is broken into lines."""
    lengths = [max(len(str(x)) for x in column) for column in columns]
    return sum(min(n, LONG) + GAP for n in lengths) + GAP <= NARROW


def counted(number: int, word: str) -> str:
    """A number of things: ``1 output``, ``2 outputs``."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def facts(rows: Iterable[tuple[str, object]]) -> Any:
    """A grid of names and what they are."""
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows:
        grid.add_row(name, value if isinstance(value, Text) else Text(str(value)))
    return grid


def styled(text: object, style: str) -> Any:
    """Text in a style, such as ``bold green``; markup in it means nothing."""
    from rich.text import Text

    return Text(str(text), style=style)


def stacked(*parts: Any) -> Any:
    """Renderables one below the other."""
    from rich.console import Group

    return Group(*parts)


def beside(*parts: Any) -> Any:
    """Renderables side by side as far as the width allows."""
    from rich.columns import Columns

    return Columns(parts, padding=(0, 4))


class Shown:
    """What prints as tables: a subclass defines ``__rich__``."""

    __slots__ = ()

    def __rich__(self) -> Any:
        raise NotImplementedError

    def __str__(self) -> str:
        from rich.console import Console

        sink = io.StringIO()
        Console(file=sink, width=WIDTH, color_system=None).print(self.__rich__())
        return "\n".join(line.rstrip() for line in sink.getvalue().splitlines())

    def _repr_html_(self) -> str:
        from rich.console import Console

        console = Console(file=io.StringIO(), width=WIDTH, record=True)
        console.print(self.__rich__())
        form = '<pre style="line-height:normal">{code}</pre>'
        return console.export_html(inline_styles=True, code_format=form)
