"""``graphwright backends``."""

from dataclasses import dataclass
from typing import Any

import click

from graphwright.backends.registry import backend_names, get_backend, preferences
from graphwright.cli.common import common_options, show, start_logging
from graphwright.config import settings
from graphwright.display import facts, stacked, styled, table
from graphwright.ir.errors import BackendUnavailable


@dataclass(frozen=True, slots=True)
class _Row:
    """A backend: whether it runs here, its devices, and why it does not."""

    name: str
    available: bool
    devices: list[str]
    reason: str

    def to_dict(self) -> dict[str, Any]:
        return {n: getattr(self, n) for n in ("name", "available", "devices", "reason")}


def _row(name: str) -> _Row:
    try:
        backend = get_backend(name)
        reason = backend.unavailable()
    except BackendUnavailable as error:
        return _Row(name, False, [], str(error))
    if reason is not None:
        return _Row(name, False, [], reason)
    return _Row(name, True, backend.devices(), "")


@click.command("backends")
@common_options
def command(as_json: bool) -> None:
    """List backends, their devices, and the settings from the environment."""
    start_logging()
    rows = list(map(_row, backend_names()))
    held = settings()
    data = {
        "backends": [row.to_dict() for row in rows],
        "auto": preferences(),
        "settings": held,
    }
    words = [
        (row.name, _state(row), ", ".join(row.devices) or row.reason) for row in rows
    ]
    values = [(name, value or "not set") for name, value in held.items()]
    show(
        as_json,
        data,
        stacked(
            table("Backends", ("name", "", "devices"), words),
            facts([("auto", ", ".join(preferences())), *values]),
        ),
    )


def _state(row: _Row) -> Any:
    if row.available:
        return styled("available", "green")
    return styled("unavailable", "yellow")
