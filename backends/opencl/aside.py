"""Programs built in a process of their own: ``python -m`` this, a source comes in.

Drivers may build one program after the other in a process: PoCL does.
"""

import os
import subprocess
import sys
from pathlib import Path

from graphwright.backends.codegen.persistent import TELL
from graphwright.backends.opencl.cache import sealed, unsealed
from graphwright.backends.opencl.library import Session, found
from graphwright.backends.opencl.objects import Code, code_at, packed

_PATIENCE = 300.0
"""Seconds after which a process is not waited for any more."""


def code_of(session: Session, text: str, count: int) -> Code:
    """The functions of a part of plans, built here.

    Raises:
        BuildError: If the compiler refuses it.
    """
    told = session.told(session.compiled(text), TELL, count)
    return code_at([*map(int, told)])


def built(session: Session, text: str, count: int) -> bytes | None:
    """The same, packed, by another process; None if that does not succeed."""
    if not Path(sys.executable or "").name.startswith("python"):
        return None  # a program that Python is a part of
    devices = found().devices
    if session.device not in devices:
        return None
    numbers = map(str, (devices.index(session.device), count))
    paths = os.pathsep.join(filter(None, _places()))
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", __name__, *numbers],
            input=text.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": paths},
            timeout=_PATIENCE,
            check=True,
        )
    except (OSError, RuntimeError, ValueError, subprocess.SubprocessError):
        return None  # no process, not now, not with such names, or not to the end
    return unsealed(done.stdout, session.key(text))


def _places() -> list[str]:
    """Where modules are looked for: Python passes over what is no string, too."""
    return [path for path in sys.path if isinstance(path, str)]


def main(number: int, count: int) -> None:
    """Builds the source that it reads for a device, and writes what comes of it."""
    with os.fdopen(os.dup(1), "wb") as out:
        os.dup2(2, 1)  # nothing else is written there
        text = sys.stdin.buffer.read().decode()
        session = Session(found().devices[number])
        code = code_of(session, text, count)
        out.write(sealed(session.key(text), packed(code) or b""))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
