"""External data: tensors in files beside the model, and nowhere else."""

import mmap
import os
import stat
from typing import Any

from graphwright.ir.errors import ModelError


class ExternalData:
    """Files beside a model, mapped once each.

    A location must be relative and lead, links resolved, to a regular file of one name
    inside the model's folder (or, where the model is a link, inside the folder that it
    leads to: so hub caches work).

    Args:
        model: Path of the model; None for a model without one.
        folder: Another folder to take instead.
    """

    def __init__(self, model: str | None, folder: str | None = None) -> None:
        roots = [folder] if folder else []
        if model is not None and not folder:
            roots = [os.path.dirname(os.path.abspath(model))]
            roots.append(os.path.dirname(os.path.realpath(model)))
        self._folders = roots
        self._maps: dict[str, Any] = {}

    def locate(self, location: str) -> str:
        """The real path of a location.

        Raises:
            ModelError: If it lies outside, is missing or is no plain file.
        """
        if not self._folders:
            raise ModelError(
                f"tensor data lies in the file {location!r}: load the model by its path"
            )
        drive = os.path.splitdrive(location)[0]
        if not location or os.path.isabs(location) or drive or "\0" in location:
            raise ModelError(
                f"external data location {location!r} is not a relative path"
            )
        real = os.path.realpath(os.path.join(self._folders[0], location))
        inside = any(_within(real, os.path.realpath(f)) for f in self._folders)
        if not inside:
            raise ModelError(
                f"external data {location!r} lies outside the model's folder"
            )
        return real

    def read(
        self, location: str, offset: int, length: int | None
    ) -> tuple[Any, str, int, int]:
        """Buffer, real path, offset and length of a piece of external data.

        Raises:
            ModelError: If the file does not hold it.
        """
        path = self.locate(location)
        if path not in self._maps:
            self._maps[path] = _map(path, location)
        buffer = self._maps[path]
        size = len(buffer)
        length = size - offset if length is None else length
        if offset < 0 or length < 0 or offset + length > size:
            raise ModelError(
                f"external data {location!r} has {size} bytes,"
                f" a tensor wants {length} from {offset}"
            )
        return buffer, path, offset, length


def _within(path: str, folder: str) -> bool:
    try:
        return os.path.commonpath([path, folder]) == folder
    except ValueError:  # different drives
        return False


def _map(path: str, location: str) -> Any:
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
    try:
        descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        reason = error.strerror or str(error)
        raise ModelError(f"cannot read external data {location!r}: {reason}") from None
    try:
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode) or info.st_nlink > 1:
            raise ModelError(f"external data {location!r} is no plain file of one name")
        if info.st_size == 0:
            return b""
        return mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
    finally:
        os.close(descriptor)
