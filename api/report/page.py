"""Pages: a template, styles, a script and data in one file that needs no network.

Names of a model are hostile text: what goes into the page's markup is escaped, what the
script shows is set as text, and the page forbids itself every request.
"""

import json
import os
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from graphwright.display import Shown
from graphwright.files import replacing
from graphwright.ir.arguments import checked

_FOLDER = files("graphwright.report")
_UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}


def page(title: str, body: str, data: Mapping[str, Any]) -> str:
    """A whole page.

    Args:
        title: Its title, any text.
        body: Its markup, escaped where text of a model is in it.
        data: What the script shows: see ``page.js``.
    """
    parts = {
        "title": escape(title),
        "style": _text("page.css"),
        "body": body,
        "data": embedded(data),
        "script": _text("page.js"),
    }
    shell = _text("page.html")
    pieces: list[str] = []
    for piece in shell.split("{{"):
        name, closed, rest = piece.partition("}}")
        pieces.append(parts[name] + rest if closed else piece)
    return "".join(pieces)


def _text(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def embedded(data: Mapping[str, Any]) -> str:
    """JSON that may stand in a script element."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    for character, code in _UNSAFE.items():
        text = text.replace(character, code)
    return text


def write_page(path: "str | os.PathLike[str]", text: str) -> None:
    """Writes a page, whole or not at all."""
    with replacing(os.fspath(path)) as file:
        file.write(text.encode("utf-8", "backslashreplace"))


def framed(text: str, height: int = 720) -> str:
    """A page inside another, such as a notebook's."""
    return (
        f'<iframe sandbox="allow-scripts" style="width:100%;height:{height}px;'
        f'border:1px solid #8884" srcdoc="{escape(text, quote=True)}"></iframe>'
    )


class Paged(Shown):
    """What is also a page and JSON: a subclass defines ``to_dict`` and ``page``."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """The report as a dictionary of what JSON holds."""
        raise NotImplementedError

    def page(self) -> str:
        """The report as one HTML page."""
        raise NotImplementedError

    def to_json(self) -> str:
        """The report as JSON."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False)

    @checked
    def to_html(self, path: "str | os.PathLike[str] | None" = None) -> str:
        """The report as one HTML page that needs no network, written to a file too."""
        text = self.page()
        if path is not None:
            write_page(path, text)
        return text

    def _repr_html_(self) -> str:
        return framed(self.to_html())


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table of text."""
    head = "".join(f'<th scope="col">{escape(c)}</th>' for c in columns)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(str(x))}</td>' for x in row)}</tr>" for row in rows
    )
    return (
        '<div class="scroll"><table><thead><tr>'
        f"{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def section(title: str, content: str) -> str:
    """A part of a page under a heading; nothing if there is nothing in it."""
    if not content:
        return ""
    return f"<section><h2>{escape(title)}</h2>{content}</section>"


def legend(names: Sequence[str]) -> str:
    """Names of series beside their colours."""
    items = "".join(
        f'<li><i class="s{i % 6}"></i>{escape(name)}</li>'
        for i, name in enumerate(names)
    )
    return f'<ul class="legend">{items}</ul>'


GRAPH = (
    '<div class="tools"><label>Search <input id="search" type="search"'
    ' placeholder="name, op or source" autocomplete="off"></label>'
    '<span id="hits" role="status"></span>'
    '<label>Colour <select id="colour"></select></label>'
    '<button id="fit" type="button">Whole graph</button>'
    '<button id="theme" type="button">Light or dark</button></div>'
    '<div class="split"><canvas id="graph" tabindex="0" role="application"'
    ' aria-label="Graph: arrow keys pan, plus and minus zoom, n and p go to the next'
    ' and the previous node, Enter shows it in the table"></canvas>'
    '<aside id="detail" aria-live="polite"></aside></div>'
)
"""Where the script draws the graph."""

NODES = (
    '<div id="nodes" class="rows" tabindex="0" role="grid" aria-label="Nodes: up and'
    ' down choose one, Enter shows it in the graph"><div id="head" role="row"></div>'
    '<div id="body"></div></div>'
)
"""Where the script shows the table of nodes."""
