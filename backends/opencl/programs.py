"""Programs: sources built together, kept in memory and on disk by their text."""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from threading import Lock
from typing import Any

import numpy as np

from graphwright.backends.codegen.dialect import OPENCL
from graphwright.backends.codegen.kernels.text import prelude
from graphwright.backends.codegen.loops import Kernel, Written
from graphwright.backends.codegen.persistent import FUNCTIONS, plan_source
from graphwright.backends.codegen.printer import source_of
from graphwright.backends.codegen.turns import PLAN
from graphwright.backends.opencl.helpers import Entry, entry
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


def all_named(kernels: Sequence[Kernel], strict: bool) -> list[tuple[str, str]]:
    """The named source of each kernel; those of one model are printed once."""
    made: dict[Kernel, tuple[str, str]] = {}
    for kernel in kernels:
        model = kernel.model or kernel
        if model not in made:
            source = named(model)
            made[model] = rounding_each(source) if strict else source
    return [made[kernel.model or kernel] for kernel in kernels]


class Programs:
    """What is built for a device; each source once.

    Args:
        session: The device.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._built: dict[str, Any] = {}
        self._plans: dict[frozenset[str], tuple[Any, Entry | None]] = {}
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

    def plan(
        self, sources: Mapping[str, str], kernels: Mapping[str, Kernel]
    ) -> tuple[Any, Entry | None]:
        """The program of a kernel that runs all of these; they are numbered by name.

        The host's threads can run them by its entry, if there is one.

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
                program = self._session.program(text)
                found = self._plans[key] = program, self._entry(program)
            return found

    def _entry(self, program: Any) -> Entry | None:
        """How the host's threads run a plan."""
        session, library = self._session, pyopencl()
        if session.helpers is None:
            return None
        seen = np.zeros(2, np.uint64)
        kernel = library.Kernel(program, PLAN)
        buffer, near = session.buffer(seen), library.LocalMemory(64)
        kernel.set_args(buffer, buffer, near, np.int32(-1), np.int32(0))
        library.enqueue_nd_range_kernel(session.queue, kernel, (1,), (1,))
        session.queue.finish()
        return entry(*map(int, seen))

    def kernel(self, name: str) -> Any:
        """A kernel, whose arguments are the caller's to set."""
        return pyopencl().Kernel(self._built[name], name)
