"""What the processor of this machine can do."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_NEEDED = frozenset({"avx512_vnni", "avx512vl"})
"""Flags of processors with ``vpdpbusd`` on registers of 256 bits."""


@cache
def has_dots() -> bool:
    """Whether all cores add products of bytes in one instruction (x86 on Linux)."""
    try:
        lines = _CPUINFO.read_text().splitlines()
    except OSError:
        return False
    return dots_in(lines)


def dots_in(lines: Sequence[str]) -> bool:
    """The same of the lines of that file."""
    flags = [
        line.split(":", 1)[1].split() for line in lines if line.startswith("flags")
    ]
    return bool(flags) and all(set(found) >= _NEEDED for found in flags)
