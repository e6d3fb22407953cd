"""What a graph computes behind a product, as the finish of a kernel in text."""

from collections.abc import Hashable, Mapping, Sequence
from functools import cached_property

from graphwright.backends.codegen.dialect import Dialect
from graphwright.backends.codegen.elements import Array
from graphwright.backends.codegen.expr import Expr
from graphwright.backends.codegen.index import Axis, linear, of
from graphwright.backends.codegen.kernels.table import Site
from graphwright.backends.codegen.kernels.text import block
from graphwright.backends.codegen.loops import Kernel, Set, Sizes
from graphwright.backends.codegen.narrow import storage
from graphwright.backends.codegen.nest import Nest, simplified
from graphwright.backends.codegen.printer import statements_of
from graphwright.backends.codegen.translate import Names, Scope
from graphwright.backends.codegen.walk import ordered
from graphwright.ir.dtype import DType, float32, int32

_RESULT, _VALUE = "RESULT", "VALUE"
_DONE = "done"
"""What is written, where that is not the sums themselves."""
_MANY = 32
"""Operations, constants among them."""


class Behind:
    """The elementwise ops of a stage behind its heavy op; see `Finish`.

    Rows and columns of the kernel are all axes of the result but the last, and that.
    Where nothing hangs on single ones of them, they stay merged.

    Args:
        site: Where the kernel stands.
        dialect: Its language.
        lanes: Of a vector of sums.
        sums: Of which dtype these are.
    """

    def __init__(
        self, site: Site, dialect: Dialect, lanes: int, sums: DType = float32
    ) -> None:
        shape = site.output.shape
        axes = tuple(map(Axis, shape))
        stored, leaf = site.epilogue(tuple(map(of, axes)), apart=sums is int32)
        place = linear(tuple(map(of, axes)), shape)
        nest = simplified(Nest(axes, (stored, leaf), (place, place)))
        self._axes, self._dialect = nest.axes, dialect
        self._stored, self._leaf = nest.exprs
        self._columns, self._sums = shape[-1], sums
        self._sizes, self._lanes = Sizes(int32), lanes
        self._inputs: dict[Array, None] = {}
        self._texts: dict[int, str] = {}
        for count in (lanes, 1):  # so that all sizes have their names
            self._computed("x", "y", count)

    @property
    def is_plain(self) -> bool:
        """Whether all numbers fit vectors as the kernel has them."""
        found = list(ordered([self._stored]))
        checked = any(e.op == "checked" for e in found)
        return not checked and all(e.dtype.bits <= 32 for e in found)

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

    @cached_property
    def types(self) -> Mapping[str, str]:
        """See `Finish`."""
        words = self._dialect.types
        names = zip(self.arrays, self._inputs, strict=True)
        found = {name: words[storage(array.dtype).name] for name, array in names}
        return found | {"out": words[self._stored.dtype.name]}

    @property
    def form(self) -> Hashable:
        """Equal for those whose kernels have equal source and sizes."""
        own = self._lanes, self._sums, self._is_bare, self.is_long, self.sizes
        return *own, *self.types.items(), *self._texts.values()

    @property
    def sizes(self) -> tuple[tuple[str, int], ...]:
        """Numbers that positions are computed with."""
        return tuple((f"n{i}", value) for i, value in enumerate(self._sizes.values))

    def statements(
        self, value: str, place: str, row: str, column: str, left: str | None
    ) -> Sequence[str]:
        """A vector at once; where it has less than all lanes, one after the other."""
        if self._is_bare:
            return []
        word, sum_ = self.types["out"], self._dialect.types[self._sums.name]
        where = [f"const int place = {place}, row = {row}, column_ = {column};"]
        whole = [*where, *self._computed(value, _DONE, self._lanes)]
        declared = f"{word}{self._lanes} {_DONE};"
        if left is None:
            return [declared, *block("", whole)]
        lanes = [
            f"const int place = (int)({place}) + lane, row = {row};",
            f"const int column_ = {column} + lane;",
            *self._computed("lanes[lane]", "each[lane]", 1),
        ]
        names = ", ".join(f"{value}.s{i:x}" for i in range(self._lanes))
        all_ = ", ".join(f"each[{i}]" for i in range(self._lanes))
        each = [
            f"{sum_} lanes[{self._lanes}] = {{{names}}};",
            f"{word} each[{self._lanes}] = {{0}};",
            *block(f"for (int lane = 0; lane < {left}; lane++)", lanes),
            f"{_DONE} = ({word}{self._lanes})({all_});",
        ]
        head = f"if ({left} >= {self._lanes})"
        return [declared, *block(head, whole), *block("else", each)]

    def write(self, address: str, value: str, left: str | None) -> str:
        """See `Finish`."""
        word, found = self.types["out"], value if self._is_bare else _DONE
        if left is not None:
            return f"PUT({word}, {address}, {found}, {left})"
        vector = f"{word}{self._lanes}"
        return self._dialect.store.format(vector=vector, address=address, value=found)

    @property
    def _is_bare(self) -> bool:
        """Whether sums are written as they are."""
        return self._stored is self._leaf and self._leaf.dtype is self._sums

    def _computed(self, value: str, result: str, lanes: int) -> list[str]:
        """Statements that set a result; written once, for whatever names there are."""
        if lanes not in self._texts:
            self._texts[lanes] = "\n".join(self._written(lanes))
        text = self._texts[lanes].replace(_VALUE, value)
        return text.replace(_RESULT, result).split("\n")

    def _written(self, lanes: int) -> list[str]:
        """Statements of a scope in which the axes are where they are."""
        names = Names([self._stored], self._sizes)
        self._inputs = names.inputs
        scope = Scope(names, {})
        where = self._where(scope)
        inner = self._axes[-1] if lanes > 1 and self._axes else None
        inside = scope.beside(where, inner, lanes)
        total = Expr("var", self._sums, value=_VALUE, lanes=lanes)
        inside.bind(self._leaf, total.to(self._leaf.dtype))
        inside.body.append(Set(_RESULT, inside.value(self._stored)))
        kernel = Kernel(tuple(names.inputs), (), self._sizes, tuple(scope.body), (1,))
        return statements_of(kernel, self._dialect)

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
