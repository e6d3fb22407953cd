"""What the processor of this machine can do."""

import ctypes
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_DOTS = frozenset({"avx512_vnni", "avx512vl"})
"""Flags of processors with ``vpdpbusd`` on registers of 256 bits."""
_AMX = frozenset({"amx_tile", "amx_bf16", "amx_int8", "avx512bw"})
"""The same with tiles of bfloat16 numbers and bytes, and what parts are made by."""

_PRCTL, _REQUEST, _TILES = 158, 0x1023, 18
"""Linux's ``arch_prctl`` on x86-64, what it is asked for, and of which state."""


def has_dots() -> bool:
    """Whether all cores add products of bytes in one instruction (x86 on Linux)."""
    return flags_in(_lines(), _DOTS)


@cache
def grants_amx() -> bool:
    """Whether all cores have tiles, and the system lets this process use them.

    It has a thread's state saved from then on, also that of tiles (Linux, "Using XSTATE
    features in user space applications").
    """
    if sys.platform != "linux" or not flags_in(_lines(), _AMX):
        return False
    granted: int = ctypes.CDLL(None).syscall(_PRCTL, _REQUEST, _TILES)
    return granted == 0


@cache
def _lines() -> Sequence[str]:
    try:
        return _CPUINFO.read_text().splitlines()
    except OSError:
        return []


def flags_in(lines: Sequence[str], needed: frozenset[str]) -> bool:
    """Whether all processors that the lines of that file tell of have some flags."""
    found = [
        line.split(":", 1)[1].split() for line in lines if line.startswith("flags")
    ]
    return bool(found) and all(set(flags) >= needed for flags in found)
