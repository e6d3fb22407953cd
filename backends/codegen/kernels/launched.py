"""Launches of a library as kernels on the arrays of a site."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from graphwright.backends.codegen.elements import Array
from graphwright.backends.codegen.kernels.launch import Launch, Library, Local
from graphwright.backends.codegen.kernels.sums import FLOATS, Sums
from graphwright.backends.codegen.kernels.table import Site
from graphwright.backends.codegen.loops import Kernel, Sizes, Written
from graphwright.ir.dtype import DTYPES, int32

MOST = (1 << 31) - (1 << 16)
"""Elements that 32 bits count."""


class Reads(Protocol):
    """What an expression within a kernel reads."""

    @property
    def arrays(self) -> Sequence[str]:
        """Names of arrays."""
        ...

    @property
    def inputs(self) -> Sequence[Array]:
        """The arrays."""
        ...


def launched(
    site: Site,
    library: Library,
    finish: Reads,
    operands: Mapping[str, Array],
    key: str = "",
    sums: Sums = FLOATS,
) -> Iterator[Kernel]:
    """The kernels, in order.

    Args:
        site: Where they stand.
        library: What is launched.
        finish: What is done to sums; the arrays that it reads.
        operands: Arrays by the names that launches have for them.
        key: What else tells packings of the second operand apart.
        sums: What is added up.
    """
    own = DTYPES[sums.dtype.name]
    names = zip(finish.arrays, finish.inputs, strict=True)
    arrays = {**operands, "out": site.output, **dict(names)}
    for makes, dtype in ((library.constants, own), (library.indices, int32)):
        for name, make in makes.items():
            kind = f"{library.launches[-1].kernel} {key} {name}"
            arrays[name] = site.pack(1, kind, make, (), dtype)
    for name, floats in library.scratch.items():
        arrays[name] = Array(own, (floats,))
    for launch in library.launches:
        yield _written(launch, arrays)


def _written(launch: Launch, arrays: Mapping[str, Array]) -> Written:
    named = [arrays[a] for a in launch.arguments if isinstance(a, str)]
    near = tuple(4 * a.floats for a in launch.arguments if isinstance(a, Local))
    sizes = [a for a in launch.arguments if isinstance(a, int)]
    *inputs, output = named
    return Written(
        tuple(inputs),
        (output,),
        Sizes(int32, sizes),
        (),
        launch.items,
        launch.group,
        near=near,
        name=launch.kernel,
        text=launch.source,
    )
