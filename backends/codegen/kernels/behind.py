"""What a graph computes behind a product, as the finish of a kernel in text."""

from collections.abc import Mapping, Sequence

from graphwright.backends.codegen.dialect import Dialect
from graphwright.backends.codegen.elements import Array
from graphwright.backends.codegen.expr import Expr
from graphwright.backends.codegen.index import Axis, linear, of
from graphwright.backends.codegen.kernels.table import Site
from graphwright.backends.codegen.kernels.text import WIDTH, block
from graphwright.backends.codegen.loops import Kernel, Let, Sizes
from graphwright.backends.codegen.narrow import storage
from graphwright.backends.codegen.nest import Nest, simplified
from graphwright.backends.codegen.printer import statements_of
from graphwright.backends.codegen.translate import Names, Scope
from graphwright.backends.codegen.walk import ordered
from graphwright.ir.dtype import float32, int32

_RESULT, _VALUE = "behind", "VALUE"
_MANY = 32
"""Operations, constants among them."""


class Behind:
    """The elementwise ops of a stage behind its heavy op; see `Finish`.

    Rows and columns of the kernel are all axes of the result but the last, and that.
    Where nothing hangs on single ones of them, they stay merged.
    """

    def __init__(self, site: Site, dialect: Dialect) -> None:
        shape = site.output.shape
        axes = tuple(map(Axis, shape))
        stored, leaf = site.epilogue(tuple(map(of, axes)))
        place = linear(tuple(map(of, axes)), shape)
        nest = simplified(Nest(axes, (stored, leaf), (place, place)))
        self._axes, self._dialect = nest.axes, dialect
        self._stored, self._leaf = nest.exprs
        self._columns = shape[-1]
        self._sizes = Sizes(int32)
        self._inputs: dict[Array, None] = {}
        self._texts: dict[int, str] = {}
        self.statements("x", "0", "0", "0", "1")  # so that all sizes have their names

    @property
    def is_plain(self) -> bool:
        """Whether all that is read and written are numbers as the kernel has them."""
        reads = (e.value.array for e in ordered([self._stored]) if e.op == "read")
        return self._stored.dtype is float32 and all(
            storage(array.dtype) is float32 for array in reads
        )

    @property
    def is_long(self) -> bool:
        """Whether it has many operations."""
        return sum(1 for _ in ordered([self._stored])) > _MANY

    @property
    def inputs(self) -> tuple[Array, ...]:
        """The arrays that it reads."""
        return tuple(self._inputs)

    @property
    def arrays(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(f"in{i}" for i in range(len(self._inputs)))

    @property
    def sizes(self) -> tuple[tuple[str, int], ...]:
        """Numbers that positions are computed with."""
        return tuple((f"n{i}", value) for i, value in enumerate(self._sizes.values))

    def statements(
        self, value: str, place: str, row: str, column: str, left: str | None
    ) -> Sequence[str]:
        """A vector at once; where it has less than all lanes, one after the other."""
        if self._stored is self._leaf:
            return []
        where = [f"const int place = {place}, row = {row}, column_ = {column};"]
        whole = [*where, *self._changed(value, WIDTH)]
        if left is None:
            return ["{", *(f"  {line}" for line in whole), "}"]
        lanes = [
            f"const int place = (int)({place}) + lane, row = {row};",
            f"const int column_ = {column} + lane;",
            *self._changed("lanes[lane]", 1),
        ]
        names = ", ".join(f"{value}.s{i:x}" for i in range(WIDTH))
        each = [
            f"float lanes[{WIDTH}] = {{{names}}};",
            *block(f"for (int lane = 0; lane < {left}; lane++)", lanes),
            f"{value} = (vec)({', '.join(f'lanes[{i}]' for i in range(WIDTH))});",
        ]
        head = f"if ({left} >= {WIDTH})"
        return [*block(head, whole), *block("else", each)]

    def _changed(self, value: str, lanes: int) -> list[str]:
        """Statements that change a variable; written once, for whatever its name is."""
        if lanes not in self._texts:
            self._texts[lanes] = "\n".join(self._computed(lanes))
        return self._texts[lanes].replace(_VALUE, value).split("\n")

    def _computed(self, lanes: int) -> list[str]:
        """Statements of a scope in which the axes are where they are."""
        names = Names([self._stored], self._sizes)
        self._inputs = names.inputs
        scope = Scope(names, {})
        where = self._where(scope)
        inner = self._axes[-1] if lanes > 1 and self._axes else None
        inside = scope.beside(where, inner, lanes)
        inside.bind(self._leaf, Expr("var", float32, value=_VALUE, lanes=lanes))
        inside.body.append(Let(_RESULT, inside.value(self._stored)))
        kernel = Kernel(tuple(names.inputs), (), self._sizes, tuple(scope.body), (1,))
        return [*statements_of(kernel, self._dialect), f"{_VALUE} = {_RESULT};"]

    def _where(self, scope: Scope) -> Mapping[Axis, Expr]:
        """What axes are: by row and column where the last is that, else by place."""
        named = self._sizes.named
        if not self._axes:
            return {}
        *outer, last = self._axes
        if last.extent == self._columns and outer:
            found, rest = {last: named("column_")}, named("row")
        else:
            found, rest = dict[Axis, Expr](), named("place")
            outer = list(self._axes)
        for axis in reversed(outer[1:]):
            extent = self._sizes.number(axis.extent, axis)
            found[axis] = scope.let(rest % extent, "i")
            rest = scope.let(rest / extent, "i")
        return found | {outer[0]: rest}
