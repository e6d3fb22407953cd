"""Built programs on disk, private to the user, checked before they are used.

A file holds a mark, the digest of what was built (source, device, driver), the digest
of what follows, and the binary. It is written under another name and renamed, so that
processes that share the folder see whole files only. What does not fit in any way, and
what belongs to someone else, is as if it were not there.
"""

import logging
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

_MARK = b"graphwright program 1\n"
DIGEST = 32
"""Bytes of a key, and of what tells whether a binary is whole."""
_MOST_BYTES = 256 << 20

_logger = logging.getLogger("graphwright.opencl")


def folder() -> Path | None:
    """Where programs are kept, None for nowhere: ``$GRAPHWRIGHT_CACHE_DIR`` if set."""
    own = os.environ.get("GRAPHWRIGHT_CACHE_DIR")
    if own is not None:
        return Path(own) / "opencl" if own else None
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        root = Path(base) if base else Path.home() / ".cache"
    except RuntimeError:  # there is no home
        return None
    return root / "graphwright" / "opencl"


def key_of(*parts: str) -> bytes:
    """The digest of what decides a binary."""
    hasher = blake2b(digest_size=DIGEST)
    for part in parts:
        code = part.encode()
        hasher.update(len(code).to_bytes(8, "little") + code)
    return hasher.digest()


def load(key: bytes) -> bytes | None:
    """The binary of a key, or None."""
    place = folder()
    if place is None:
        return None
    try:
        with (place / key.hex()).open("rb") as file:
            if not _is_ours(os.fstat(file.fileno())):
                return None
            return unsealed(file.read(_MOST_BYTES), key)
    except OSError:
        return None


def _is_ours(found: os.stat_result) -> bool:
    """Whether nobody else could have written it, as far as the system says."""
    if not hasattr(os, "getuid"):
        return True
    return found.st_uid == os.getuid() and not found.st_mode & 0o022


def sealed(key: bytes, binary: bytes) -> bytes:
    """A binary behind what tells whether it is whole, and that of the key."""
    return _MARK + key + blake2b(binary, digest_size=DIGEST).digest() + binary


def unsealed(data: bytes, key: bytes) -> bytes | None:
    """What was sealed with a key; None if this is not all of it."""
    binary = data[len(_MARK) + 2 * DIGEST :]
    return binary if binary and data == sealed(key, binary) else None


def store(binaries: Mapping[bytes, bytes]) -> None:
    """Keeps binaries by their keys, if that is possible."""
    place = folder()
    if place is None:
        return
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        for key, binary in binaries.items():
            if len(binary) <= _MOST_BYTES // 4:
                _write(place, key, binary)
        _trim(place)
    except OSError as error:
        _logger.debug("programs are not kept: %s", error)


def _write(place: Path, key: bytes, binary: bytes) -> None:
    handle, name = tempfile.mkstemp(prefix="new-", dir=place)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(sealed(key, binary))
        Path(name).replace(place / key.hex())
    except OSError:
        with suppress(OSError):
            Path(name).unlink()
        raise


def _trim(place: Path) -> None:
    """Removes the oldest files where all are too large together."""
    rows = list[tuple[float, int, Path]]()
    for path in place.iterdir():
        with suppress(OSError):
            found = path.stat()
            rows.append((found.st_mtime, found.st_size, path))
    excess = sum(size for _, size, _ in rows) - _MOST_BYTES
    for _, size, path in sorted(rows):
        if excess <= 0:
            return
        with suppress(OSError):
            path.unlink()
        excess -= size
