"""Functions of built programs as code of this process: shared objects, held and kept.

Where a device's work-items are threads of this process, its driver loads what it builds
as shared objects. What lies at an address says the dynamic linker; so an object can be
held, read, and loaded again in another process, which then needs neither a build nor a
launch to call its functions.
"""

import ctypes
import itertools
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from graphwright.ir.record import record

_LINK_MAP = 2
"""What ``dlinfo`` is asked for: a record that begins with the object's address."""

_loads = itertools.count(1)


class _Found(ctypes.Structure):
    """What ``dladdr`` says of an address."""

    _fields_ = (
        ("file", ctypes.c_char_p),
        ("base", ctypes.c_void_p),
        ("name", ctypes.c_char_p),
        ("address", ctypes.c_void_p),
    )


@record(frozen=True, eq=False, slots=True)
class Code:
    """Functions of a program.

    Attributes:
        addresses: Where they begin.
        library: The shared object that they lie in, which stays loaded as long as this
            is held; None if it is not known.
    """

    addresses: tuple[int, ...]
    library: Any = None


def code_at(addresses: Sequence[int]) -> Code:
    """The functions at addresses of one shared object.

    Drivers unload what they have not used for some time: not what is held here.
    """
    path = _path_of(addresses[0])
    try:
        library = None if path is None else ctypes.CDLL(path)
    except OSError:
        library = None
    return Code(tuple(addresses), library)


def packed(code: Code) -> bytes | None:
    """The shared object of functions and their places in it, to be kept."""
    path, base = _path_of(code.addresses[0]), _base_of(code.library)
    if path is None or base is None:
        return None
    try:
        data = Path(path).read_bytes()
    except OSError:
        return None
    places = [address - base for address in code.addresses]
    return struct.pack(f"<{len(places) + 1}Q", len(places), *places) + data


def unpacked(data: bytes) -> Code | None:
    """Functions that were kept, loaded anew; None if this system does not take them.

    What is loaded is a copy in memory, which nobody can change meanwhile.
    """
    make = getattr(os, "memfd_create", None)
    if make is None:
        return None
    try:
        (count,) = struct.unpack_from("<Q", data)
        places = struct.unpack_from(f"<{count}Q", data, 8)
        with os.fdopen(make("graphwright"), "wb") as file:
            file.write(memoryview(data)[8 * (count + 1) :])
            file.flush()
            library = ctypes.CDLL(_new_name(file.fileno()))
    except (OSError, struct.error):
        return None
    base = _base_of(library)
    return None if base is None else Code(tuple(base + at for at in places), library)


def _new_name(number: int) -> str:
    """A path to an open file that was never loaded: by its name a library is known."""
    steps = ("/." if bit == "1" else "/" for bit in f"{next(_loads):b}")
    return f"/proc/self/fd{''.join(steps)}/{number}"


def _of_linker(name: str) -> Any:
    """A function of the dynamic linker; None where there is no such one."""
    try:
        return getattr(ctypes.CDLL(None), name, None)
    except (OSError, TypeError):  # Windows asks for a file
        return None


def _path_of(address: int) -> str | None:
    """The file of the shared object that an address lies in."""
    found, look = _Found(), _of_linker("dladdr")
    if not address or look is None:
        return None
    if not look(ctypes.c_void_p(address), ctypes.byref(found)) or not found.file:
        return None
    return os.fsdecode(found.file)


def _base_of(library: Any) -> int | None:
    """Where a shared object begins."""
    look, place = _of_linker("dlinfo"), ctypes.c_void_p()
    if library is None or look is None or not hasattr(os, "memfd_create"):
        return None
    handle = ctypes.c_void_p(library._handle)
    if look(handle, _LINK_MAP, ctypes.byref(place)) or not place.value:
        return None
    return ctypes.c_size_t.from_address(place.value).value
