"""Results that may be written over operands: nothing reads these any more."""

from collections.abc import Iterator, Sequence

from graphwright.backends.codegen.elements import Array
from graphwright.backends.codegen.loops import Kernel
from graphwright.backends.codegen.nest import Nest
from graphwright.backends.codegen.walk import ordered


def pointwise(nest: Nest, outputs: Sequence[Array]) -> tuple[tuple[Array, Array], ...]:
    """Outputs of a nest, and arrays that are read only where these are written."""
    places: dict[Array, set[object]] = {}
    for expr in ordered(nest.exprs):
        if expr.op == "read":
            places.setdefault(expr.value.array, set()).add(expr.value.index)
    return tuple(
        (output, array)
        for output, place in zip(outputs, nest.places, strict=True)
        for array, read in places.items()
        if read == {place} and array.dtype is output.dtype
    )


def operands_under(
    kernels: Sequence[Kernel], results: Sequence[Array], operands: Sequence[Array]
) -> list[tuple[int, ...]]:
    """For each result of a plan, the operands whose memory it may take."""
    found: list[tuple[int, ...]] = []
    for result in results:
        alone = results.count(result) == 1 and result not in operands
        fitting = _fitting(kernels, result, operands) if alone else ()
        found.append(tuple(fitting))
    return found


def _fitting(
    kernels: Sequence[Kernel], result: Array, operands: Sequence[Array]
) -> Iterator[int]:
    first = next((i for i, k in enumerate(kernels) if _touches(k.outputs, result)), 0)
    for number, array in enumerate(operands):
        same = array.shape == result.shape and array.dtype is result.dtype
        if not same or operands.count(array) > 1:
            continue
        later = [k for k in kernels[first:] if _touches(k.inputs, array)]
        if all((result, array) in kernel.pointwise for kernel in later):
            yield number


def _touches(arrays: Sequence[Array], array: Array) -> bool:
    return any(x.root is array.root for x in arrays)
