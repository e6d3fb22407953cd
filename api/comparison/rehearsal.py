"""A first run of another system in a process of its own, where a crash ends that alone.

Native code that meets a dtype it was never tried with may bring the process down, and
with it what was compared so far.
"""

import os
import pickle
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from graphwright.comparison.labels import labelled
from graphwright.comparison.peers import PeerRunner
from graphwright.frontends.onnx.load import load
from graphwright.frontends.onnx.peers import session_source
from graphwright.ir.errors import BackendUnavailable

_FATAL = 1 << 30
"""Least exit code of a process that Windows ended."""


def rehearse(kind: type[PeerRunner], source: Any, feeds: Mapping[str, Any]) -> None:
    """Tries a model in a system, elsewhere; an error is left to the run that counts.

    Args:
        kind: What runs the system.
        source: The model.
        feeds: Inputs by name.

    Raises:
        BackendUnavailable: If the process crashes.
    """
    message = pickle.dumps((kind, session_source(source), dict(feeds)))
    paths = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-m", __name__],
        input=message,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        check=False,
    )
    if done.returncode < 0 or done.returncode >= _FATAL:
        raise BackendUnavailable(
            f"{kind.name} crashes on this model (exit code {done.returncode})"
        )


def _main() -> None:
    kind, source, feeds = pickle.load(sys.stdin.buffer)  # noqa: S301 - from our parent
    kind(labelled(load(source)), source).plain(feeds)


if __name__ == "__main__":
    _main()
