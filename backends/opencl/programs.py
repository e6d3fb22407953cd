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
from graphwright.backends.opencl.parts import Parts
from graphwright.ir.record import record

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


@record(frozen=True, eq=False, slots=True)
class Functions:
    """What a plan calls.

    Attributes:
        numbers: The function of each kernel, by name: its address, or its number in the
            program.
        program: What is launched, where the host's threads cannot call functions.
        held: What keeps them loaded.
    """

    numbers: Mapping[str, int]
    program: Any
    held: object


class Programs:
    """What is built for a device; each source once.

    Args:
        session: The device.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._head = OPENCL.preamble + prelude(OPENCL, session.lanes)
        self._built: dict[str, Any] = {}
        self._plans: dict[frozenset[str], Functions] = {}
        self._parts = Parts(session, self._head)
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

    def plan(
        self, sources: Mapping[str, str], kernels: Mapping[str, Kernel]
    ) -> Functions:
        """The functions of these kernels, all built, by name.

        Raises:
            BuildError: If the compiler refuses it.
        """
        with self._lock:
            if self._session.helpers is not None:
                addresses = self._parts.functions(sources, kernels)
                if addresses is not None:
                    return Functions(addresses, None, self._parts)
            return self._launched(sources, kernels)

    def _launched(
        self, sources: Mapping[str, str], kernels: Mapping[str, Kernel]
    ) -> Functions:
        """The same, as one program with a kernel that runs them."""
        key, names = frozenset(sources), sorted(sources)
        found = self._plans.get(key)
        if found is None:
            functions = [sources[name] for name in names]
            behind = plan_source({name: kernels[name] for name in names}, OPENCL)
            text = "\n".join([FUNCTIONS, self._head, *functions, behind])
            numbers = {name: number for number, name in enumerate(names)}
            found = Functions(numbers, self._session.program(text), None)
            self._plans[key] = found
        return found

    def kernel(self, name: str) -> Any:
        """A kernel, whose arguments are the caller's to set."""
        return pyopencl().Kernel(self._built[name], name)
