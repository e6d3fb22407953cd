"""Files that are written whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from graphwright.ir.errors import ModelError


def _refused(path: "str | os.PathLike[str]", reason: str) -> ModelError:
    return ModelError(f"cannot write {path!r}: {reason}")


@contextmanager
def writing(path: "str | os.PathLike[str]") -> Iterator[None]:
    """A block that writes to a file or a folder.

    Raises:
        ModelError: If it cannot be written, with the cure.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise _refused(os.fspath(path), reason) from None


def check_writable(*paths: "str | os.PathLike[str] | None") -> None:
    """Sees, before a long computation, that files can be written; None is none.

    Raises:
        ModelError: If the folder of one is missing, or closed to this user.
    """
    for path in paths:
        if path is None:
            continue
        folder = Path(path).resolve().parent
        if not folder.is_dir():
            raise _refused(path, f"there is no folder {str(folder)!r}; make it first")
        if not os.access(folder, os.W_OK) or Path(path).is_dir():
            raise _refused(path, "it is a folder, or lies in one that is read-only")


@contextmanager
def replacing(path: str) -> Iterator[IO[bytes]]:
    """A file to write to, which takes the place of ``path`` once all is written.

    Raises:
        ModelError: If it cannot be written; what was there before stays.
    """
    check_writable(path)
    with writing(path), _temporary(path) as file:
        yield file


@contextmanager
def _temporary(path: str) -> Iterator[IO[bytes]]:
    folder = os.path.dirname(os.path.abspath(path))
    file = tempfile.NamedTemporaryFile(dir=folder, delete=False)  # noqa: SIM115
    try:
        with file:
            yield file
        os.chmod(file.name, 0o666 & ~_umask())
        os.replace(file.name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(file.name)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
