"""Files that are written whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO


@contextmanager
def replacing(path: str) -> Iterator[IO[bytes]]:
    """A file to write to, which takes the place of ``path`` once all is written.

    Raises:
        OSError: If it cannot be written; what was there before stays.
    """
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
