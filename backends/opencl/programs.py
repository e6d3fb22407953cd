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
from graphwright.backends.opencl.objects import Code, code_at

_PLACEHOLDER = "kernel_name"

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
        self._head = OPENCL.preamble + prelude(OPENCL, session.lanes)
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
                program = self._session.program("\n".join([self._head, *new.values()]))
                self._built.update(dict.fromkeys(new, program))

    def plan(self, sources: Mapping[str, str], kernels: Mapping[str, Kernel]) -> Any:
        """What runs all of these kernels, which are numbered by name.

        An `Entry` where the host's threads can call it, else the program of a kernel.

        Raises:
            BuildError: If the compiler refuses it.
        """
        key, names = frozenset(sources), sorted(sources)
        with self._lock:
            found = self._plans.get(key)
            if found is None:
                functions = [sources[name] for name in names]
                behind = plan_source({name: kernels[name] for name in names}, OPENCL)
                text = "\n".join([FUNCTIONS, self._head, *functions, behind])
                found = self._entry(text) or self._session.program(text)
                self._plans[key] = found
            return found

    def _entry(self, text: str) -> Entry | None:
        """How the host's threads run a plan, if they do."""
        if self._session.helpers is None:
            return None
        code = self._session.code(text, self._ask)
        return None if code is None else entry(code)

    def _ask(self, program: Any) -> Code:
        """The functions of a plan, by a launch of its kernel."""
        session, library = self._session, pyopencl()
        seen = np.zeros(2, np.uint64)
        kernel = library.Kernel(program, PLAN)
        buffer, near = session.buffer(seen), library.LocalMemory(64)
        kernel.set_args(buffer, buffer, near, np.int32(-1), np.int32(0))
        library.enqueue_nd_range_kernel(session.queue, kernel, (1,), (1,))
        session.queue.finish()
        return code_at([*map(int, seen)])

    def kernel(self, name: str) -> Any:
        """A kernel, whose arguments are the caller's to set."""
        return pyopencl().Kernel(self._built[name], name)
