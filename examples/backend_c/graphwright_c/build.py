"""Compiles C into a shared library, once for each source: a private cache by digest."""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

FLAGS = (
    *("-O2", "-std=c11", "-shared", "-fPIC", "-w"),
    *("-fwrapv", "-ffp-contract=off", "-fno-tree-vectorize"),
)
"""Whatever is said of NaN, infinities and signs of zero holds: no ``-ffast-math``.

GCC 12.2 adds wrong elements where a vectorised sum in order reads memory backwards
(PR tree-optimization/110381)."""


@cache
def compiler() -> str | None:
    """The system's C compiler: ``$CC``, ``cc``, ``gcc`` or ``clang``."""
    names = (os.environ.get("CC"), "cc", "gcc", "clang")
    return next((found for n in names if n and (found := shutil.which(n))), None)


@cache
def _identity() -> str:
    """What the compiler says it is; another one makes other libraries."""
    command = [str(compiler()), "--version"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return f"{command[0]} {found.stdout} {platform.machine()}"


@cache
def folder() -> Path:
    """Where libraries are kept, for this user alone."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = home / "graphwright-c"
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    if os.name == "posix" and (path.stat().st_uid != os.getuid() or path.is_symlink()):
        path = Path(tempfile.mkdtemp(prefix="graphwright-c-"))
    return path


@cache
def load(source: str) -> Any:
    """The function ``run`` of a source, compiled if no intact library of it is there.

    Raises:
        OSError: If the compiler fails.
    """
    key = _key(source)
    found = _found(key) or _built(key, source)
    function = ctypes.CDLL(str(found)).run
    function.argtypes, function.restype = [ctypes.c_void_p], ctypes.c_int64
    return function


def _key(source: str) -> str:
    text = f"{_identity()} {FLAGS} {source}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _found(key: str) -> Path | None:
    """A library whose bytes are those that were written."""
    rows = folder().glob(f"{key}-*.so")
    return next((p for p in rows if p.stem == f"{key}-{_digest(p)}"), None)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:32]


def _built(key: str, source: str) -> Path:
    """Compiled under another name, and then renamed: no one sees half a library."""
    with tempfile.TemporaryDirectory(dir=folder()) as scratch:
        code, made = Path(scratch) / "region.c", Path(scratch) / "region.so"
        code.write_text(source, encoding="ascii")
        command = [str(compiler()), *FLAGS, str(code), "-o", str(made), "-lm"]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        if ran.returncode:
            raise OSError(f"{command[0]} failed: {ran.stderr[:400]}")
        path = folder() / f"{key}-{_digest(made)}.so"
        made.replace(path)
    return path
