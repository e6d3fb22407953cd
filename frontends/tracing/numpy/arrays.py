"""``numpy.ndarray``: the type of tensors, and what makes an empty one."""

from typing import Any

from graphwright.frontends.tracing.numpy.creation import empty
from graphwright.frontends.tracing.tensor import Tensor
from graphwright.frontends.tracing.wrap import unsupported


class _Type(type):
    """All tensors are instances; attributes are those of tensors."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, Tensor)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return subclass is cls or issubclass(subclass, Tensor)

    def __getattr__(cls, name: str) -> Any:
        return getattr(Tensor, name)


class ndarray(metaclass=_Type):  # noqa: N801
    """``numpy.ndarray(shape, dtype)`` makes a tensor; ``isinstance`` knows all."""

    def __new__(
        cls,
        shape: Any,
        dtype: Any = float,
        buffer: Any = None,
        offset: int = 0,
        strides: Any = None,
        order: str | None = None,
    ) -> Any:
        """A tensor of a shape whose elements nobody set."""
        if buffer is not None or strides is not None or offset:
            raise unsupported("ndarray of a buffer", "use np.frombuffer, or a view")
        return empty(shape, dtype=dtype)
