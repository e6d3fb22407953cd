"""Which ops have a kernel of their own here; the others run their ``compute``."""

from collections.abc import Callable
from typing import TypeAlias

from graphwright.backends.contract import Kernel, Request

MakeKernel: TypeAlias = Callable[[Request], Kernel | None]
"""Makes a kernel for a request, or None to decline."""

KERNELS: dict[str, MakeKernel] = {}


def kernel_for(*names: str) -> Callable[[MakeKernel], MakeKernel]:
    """Registers what makes kernels for ops of these names."""

    def register(make: MakeKernel) -> MakeKernel:
        for name in names:
            KERNELS[name] = make
        return make

    return register
