"""Choices between ways to compute: what was measured, kept in a file to use again."""

import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any, Literal, TypeAlias, cast

from graphwright.ir.errors import CacheError

Mode: TypeAlias = Literal["off", "fast", "full"]
"""How much is measured: nothing, other algorithms, other divisions of work as well."""

FORMAT = "graphwright tuning 1"

Choices: TypeAlias = dict[str, dict[str, str]]
"""By device and by what is computed: the name of a way."""


class Tuning:
    """How much a compilation measures, and what was chosen.

    Args:
        mode: How much is measured where nothing is known.
        file: Choices that are known, and where those that are measured are added.

    Raises:
        CacheError: If the file holds no choices; if it is missing and nothing is to be
            measured.
    """

    def __init__(
        self, mode: Mode = "off", file: "str | os.PathLike[str] | None" = None
    ) -> None:
        self.mode, self._lock = mode, Lock()
        self._file = None if file is None else Path(file)
        self._choices: Choices = {}
        if self._file is not None and (mode == "off" or self._file.exists()):
            self._choices = _read(self._file)

    def known(self, device: str, key: str) -> str | None:
        """What was chosen on a device, or None."""
        return self._choices.get(device, {}).get(key)

    def keep(self, device: str, key: str, choice: str) -> None:
        """Adds a choice, to the file too.

        Raises:
            CacheError: If the file cannot be written.
        """
        with self._lock:
            self._choices.setdefault(device, {})[key] = choice
            if self._file is not None:
                _write(self._file, self._choices)


def tuning_of(
    mode: Mode, file: "str | os.PathLike[str] | None" = None
) -> Tuning | None:
    """How much a compilation measures; None if nothing, and nothing is known.

    Raises:
        CacheError: If the file holds no choices; if it is missing and nothing is to be
            measured.
    """
    return Tuning(mode, file) if file is not None or mode != "off" else None


def _read(file: Path) -> Choices:
    try:
        found: Any = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CacheError(
            f"there is no tuning record {str(file)!r}: tune='fast' or 'full' makes one"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise CacheError(f"the tuning record {str(file)!r}: {error}") from error
    choices = found.get("choices") if isinstance(found, dict) else None
    if not _are_choices(choices) or found.get("format") != FORMAT:
        raise CacheError(
            f"{str(file)!r} is no tuning record of this version ({FORMAT!r}): measure"
            " anew, to another file"
        )
    return cast("Choices", choices)


def _are_choices(found: Any) -> bool:
    return isinstance(found, dict) and all(
        isinstance(row, dict) and all(isinstance(x, str) for x in row.values())
        for row in found.values()
    )


def _write(file: Path, choices: Choices) -> None:
    """Writes a record at once or not at all."""
    text = json.dumps({"format": FORMAT, "choices": choices}, indent=1, sort_keys=True)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{file.name}-", dir=file.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as out:
                out.write(text + "\n")
            Path(name).replace(file)
        except OSError:
            with suppress(OSError):
                Path(name).unlink()
            raise
    except OSError as error:
        raise CacheError(f"the tuning record {str(file)!r}: {error}") from error
