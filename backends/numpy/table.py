"""Which ops have a kernel of their own here; the others run their ``compute``."""

from collections.abc import Callable
from typing import Any, TypeAlias

from graphwright.backends.contract import Into, Kernel, Place, Request
from graphwright.ir.types import TensorType, Type

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


def writing(
    request: Request,
    run: Callable[..., object],
    *,
    over: tuple[int, ...] = (),
    **more: Any,
) -> Into:
    """The kernel ``run(out, *operands)`` of a request with one result.

    ``more`` are further fields of ``Into``.
    """
    (result,) = request.results
    return Into(run, (place_of(result, over),), **more)


def place_of(type_: Type, over: tuple[int, ...] = ()) -> Place:
    """What a result of a type needs."""
    assert isinstance(type_, TensorType)
    shape: Any = type_.dims
    return Place(shape, type_.dtype.numpy, over)
