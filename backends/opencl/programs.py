"""Programs: sources built together, kept in memory and on disk by their text."""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from threading import Lock
from typing import Any

from graphwright.backends.codegen.dialect import OPENCL
from graphwright.backends.codegen.kernels.text import prelude
from graphwright.backends.codegen.loops import Kernel, Written
from graphwright.backends.codegen.persistent import FUNCTIONS, plan_source
from graphwright.backends.codegen.printer import source_of
from graphwright.backends.opencl.library import Session, pyopencl

_PLACEHOLDER = "kernel_name"
_HEAD = OPENCL.preamble + prelude(OPENCL)


_APART = "#pragma OPENCL FP_CONTRACT OFF\n"
_TOGETHER = "\n#pragma OPENCL FP_CONTRACT ON"


def rounding_each(source: tuple[str, str]) -> tuple[str, str]:
    """A named source whose products and sums are rounded one by one."""
    name, text = source
    own = f"{name}_each"
    return own, _APART + text.replace(name, own) + _TOGETHER


def named(kernel: Kernel) -> tuple[str, str]:
    """The name of a kernel, which its source decides, and the source."""
    if isinstance(kernel, Written):
        return kernel.name, kernel.text
    text = source_of(kernel, _PLACEHOLDER, OPENCL)
    name = f"k{blake2b(text.encode(), digest_size=8).hexdigest()}"
    return name, text.replace(_PLACEHOLDER, name, 1)


class Programs:
    """What is built for a device; each source once.

    Args:
        session: The device.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._built: dict[str, Any] = {}
        self._plans: dict[frozenset[str], Any] = {}
        self._lock = Lock()

    def build(self, sources: Sequence[tuple[str, str]]) -> None:
        """Builds what is new of these named sources, as one program.

        Raises:
            BuildError: If the compiler refuses it.
        """
        with self._lock:
            new = {n: text for n, text in sources if n not in self._built}
            if new:
                program = self._session.program("\n".join([_HEAD, *new.values()]))
                self._built.update(dict.fromkeys(new, program))

    def plan(self, sources: Mapping[str, str], kernels: Mapping[str, Kernel]) -> Any:
        """The program of a kernel that runs all of these; they are numbered by name.

        Raises:
            BuildError: If the compiler refuses it.
        """
        key, names = frozenset(sources), sorted(sources)
        with self._lock:
            found = self._plans.get(key)
            if found is None:
                functions = [sources[name] for name in names]
                behind = plan_source({name: kernels[name] for name in names}, OPENCL)
                text = "\n".join([FUNCTIONS, _HEAD, *functions, behind])
                found = self._plans[key] = self._session.program(text)
            return found

    def kernel(self, name: str) -> Any:
        """A kernel, whose arguments are the caller's to set."""
        return pyopencl().Kernel(self._built[name], name)
