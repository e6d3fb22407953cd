"""Scores of attention, before and after the softmax, as statements of a kernel in text.

They are a vector's, of neighbouring queries for one key, or one at a time.
"""

import math
from collections.abc import Iterator, Sequence

from graphwright.backends.codegen.dialect import Dialect
from graphwright.backends.codegen.elements import Array, Coordinates
from graphwright.backends.codegen.expr import Expr, choose, const
from graphwright.backends.codegen.functions import FUNCTIONS, weight
from graphwright.backends.codegen.index import Axis, Index, of
from graphwright.backends.codegen.kernels.table import Site
from graphwright.backends.codegen.kernels.text import block
from graphwright.backends.codegen.loops import Kernel, Set, Sizes
from graphwright.backends.codegen.narrow import storage
from graphwright.backends.codegen.printer import statements_of
from graphwright.backends.codegen.translate import Names, Scope
from graphwright.ir.dtype import bool_, float32, int32
from graphwright.ir.ops.attention import Attention

_SUM, _RESULT = "SUM", "RESULT"
_MANY = 8
"""Statements."""
_WHERE = ("image", "head", "query", "key")
"""Variables of the kernel that say which score it is."""


class Scores:
    """What attention does to the product of a query and a key.

    Args:
        site: Where the attention stands.
        dialect: The language.
        lanes: Queries of a vector.
    """

    def __init__(self, site: Site, dialect: Dialect, lanes: int) -> None:
        assert isinstance(site.node.op, Attention)
        self._site, self._op, self._dialect = site, site.node.op, dialect
        self._lanes = lanes
        sizes = (*site.shape(0)[:3], site.shape(1)[2])
        self._axes = tuple(map(Axis, sizes))
        self._sizes, self._inputs = Sizes(int32), dict[Array, None]()
        leaf = Expr("given", float32)
        self._scored = self._written(leaf, self._score(leaf))
        self._weighed = self._written(leaf, weight(leaf))

    @property
    def inputs(self) -> tuple[Array, ...]:
        """The arrays that they read."""
        return tuple(self._inputs)

    @property
    def arrays(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(f"in{i}" for i in range(len(self._inputs)))

    @property
    def words(self) -> tuple[str, ...]:
        """The types of their elements."""
        types = self._dialect.types
        return tuple(types[storage(array.dtype).name] for array in self._inputs)

    @property
    def sizes(self) -> Sequence[int]:
        """Numbers that positions are computed with: ``n0`` and so on."""
        return self._sizes.values

    @property
    def is_long(self) -> bool:
        """Whether there is so much to do that it should be written once only."""
        return len(self._scored) > _MANY

    def scored(self, name: str, query: str, key: str) -> list[str]:
        """Statements that make scores, which may count, of a vector of products."""
        if self._scored == [f"{_RESULT} = {_SUM};"]:
            return []
        where = f"const int query = {query}, key = {key};"
        return block("", [where, *_named(self._scored, name)])

    def weighed(self, name: str) -> list[str]:
        """Statements that make weights of scores less the greatest."""
        return block("", _named(self._weighed, name))

    def _score(self, x: Expr) -> Expr:
        """The score of a product: capped, masked, ``-inf`` where it does not count."""
        at = tuple(map(of, self._axes))
        if self._op.softcap:
            cap = self._op.softcap
            x = FUNCTIONS["tanh"](x * (1 / cap)) * cap
        tests = list(self._tests(at))
        if self._op.masked:
            mask = self._site.operand(3, _spread(self._site.shape(3), at))
            if mask.dtype is bool_:
                tests.append(mask)
            else:
                x = x + mask
        for test in tests:
            x = choose(test, x, const(-math.inf, float32))
        return x

    def _tests(self, at: Coordinates) -> Iterator[Expr]:
        """What the fields ask of a query's and a key's position."""
        op, (*_, query, key) = self._op, at
        own, count = Expr("index", int32, (), key), const(0, int32)
        first = op.offset if isinstance(op.offset, int) else 0
        if op.lengths:
            count = self._site.operand(3 + op.masked, (at[0],)).to(int32)
            first = -self._axes[2].extent
            yield own < count

        def place(shift: int) -> Expr:
            """As an index, so that numbers are arguments of the kernel."""
            found = Expr("index", int32, (), query + (first + shift))
            return found + count if op.lengths else found

        below, above = reach(op)
        if below is not None:
            yield own >= place(-below)
        if above is not None:
            yield own <= place(above)

    def _written(self, leaf: Expr, found: Expr) -> list[str]:
        names = Names([found], self._sizes)
        self._inputs |= names.inputs
        named = map(self._sizes.named, _WHERE)
        where = dict(zip(self._axes, named, strict=True))
        inner = self._axes[2] if self._lanes > 1 else None
        scope = Scope(names, where, inner, self._lanes)
        scope.bind(leaf, Expr("var", float32, value=_SUM, lanes=self._lanes))
        scope.body.append(Set(_RESULT, scope.value(found)))
        kernel = Kernel(self.inputs, (), self._sizes, tuple(scope.body), (1,))
        return statements_of(kernel, self._dialect)


def reach(op: Attention) -> tuple[int | None, int | None]:
    """How many keys before and behind its own place a query attends; None for all."""
    above = [x for x in (0 if op.causal else -1, op.right) if x >= 0]
    return op.left if op.left >= 0 else None, min(above) if above else None


def _spread(shape: Sequence[int], at: Coordinates) -> Coordinates:
    """Where in an operand of this shape an element of what it broadcasts to is."""
    own = at[len(at) - len(shape) :]
    return tuple(Index() if n == 1 else x for n, x in zip(shape, own, strict=True))


def _named(lines: Sequence[str], name: str) -> list[str]:
    return [line.replace(_SUM, name).replace(_RESULT, name) for line in lines]
