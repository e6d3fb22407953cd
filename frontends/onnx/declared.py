"""Types that a model declares for its results, held against those inferred."""

import logging
from typing import Any

from graphwright.frontends.onnx.tensors import dtype_of
from graphwright.frontends.onnx.types import type_of_proto
from graphwright.ir.dim import Dim, Expr, equal, symbol, symbols
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import ModelError
from graphwright.ir.types import TensorType, Type

_log = logging.getLogger("graphwright")


def refined(
    b: Emitter, value: Value, declared: Type, name: str, known: frozenset[str]
) -> Value:
    """A result with what its declaration adds to what is inferred.

    Sizes that only a run finds out take the declared number or name; sizes that follow
    from the inputs stay as inferred. ``known`` are the names of the inputs' dims.

    Raises:
        ModelError: If declaration and inference contradict each other.
    """
    have = value.type
    if not isinstance(have, TensorType) or not isinstance(declared, TensorType):
        return value
    if have.dtype is not declared.dtype:
        raise _contradiction(name, have, declared)
    if declared.shape is None:
        return value
    if have.shape is None:
        shape = tuple(_own(d, known) for d in declared.shape)
    elif len(have.shape) != len(declared.shape):
        # Exporters declare wrong ranks behind If; what the nodes say is right.
        _log.warning("%s", _contradiction(name, have, declared))
        return value
    else:
        if any(equal(a, d) is False for a, d in _numbers(have, declared)):
            raise _contradiction(name, have, declared)
        pairs = zip(have.shape, declared.shape, strict=True)
        shape = tuple(_joined(a, d, known) for a, d in pairs)
    if shape == have.shape:
        return value
    names = sorted({n for d in shape for n in symbols(d)} - known)
    fresh = tuple(n for n in names if not n.startswith("_"))
    return b.emit("refine_shape", value, shape=shape, fresh=fresh)


def check_inner(value: Value, info: Any) -> None:
    """Holds a value inside a graph against its ValueInfoProto.

    Sizes are only warned of: exporters leave wrong ones behind where they move axes,
    and nothing is computed from them.

    Raises:
        ModelError: If the element types differ.
    """
    have, tensor = value.type, info.type.tensor_type
    if not isinstance(have, TensorType) or not tensor.elem_type:
        return
    same_type = dtype_of(tensor.elem_type) is have.dtype
    if same_type and _same_sizes(have, tensor):
        return
    declared = type_of_proto(info.type, info.name)
    problem = _contradiction(info.name, have, declared, "value")
    if not same_type:
        raise problem
    _log.warning("%s", problem)


def _same_sizes(have: TensorType, tensor: Any) -> bool:
    """Whether no size is declared to be another than it is."""
    if not tensor.HasField("shape") or have.shape is None:
        return True
    dims = tensor.shape.dim
    return len(dims) == len(have.shape) and not any(
        isinstance(a, int) and d.HasField("dim_value") and a != d.dim_value
        for a, d in zip(have.shape, dims, strict=True)
    )


def _numbers(have: TensorType, declared: TensorType) -> list[tuple[Dim, Dim]]:
    pairs = zip(have.dims, declared.dims, strict=True)
    return [(a, d) for a, d in pairs if isinstance(a, int) and isinstance(d, int)]


def _joined(have: Dim, declared: Dim, known: frozenset[str]) -> Dim:
    found_in_run = isinstance(have, Expr) and not symbols(have) & known
    if not found_in_run:
        return have
    if isinstance(declared, int):
        return declared
    plain = (
        isinstance(have, Expr) and str(have).startswith("_") and len(symbols(have)) == 1
    )
    return declared if plain and not symbols(declared) & known else have


def _own(declared: Dim, known: frozenset[str]) -> Dim:
    """A declared dim of a result whose rank inference did not find."""
    if isinstance(declared, int) or not symbols(declared) & known:
        return declared
    (name,) = symbols(declared)
    return symbol(f"{name}'")


def _contradiction(
    name: str, have: Type, declared: Type, kind: str = "output"
) -> ModelError:
    return ModelError(
        f"{kind} {name!r} is declared {declared}, its nodes make it {have}:"
        " correct the declaration, or leave it out"
    )
