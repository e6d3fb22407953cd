"""The base class of operations: fields, equality and the rules every op may state.

An op is one class in one place, ``ir/ops/<family>.py``. Its annotated names are its
fields: ints, floats, bools, strings, dims, dtypes, types, sub-graphs, or tuples of
these; never arrays. Operands are separate.
"""

import enum
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import get_annotations
from typing import Any, ClassVar, NoReturn, TypeAlias, dataclass_transform

from graphwright.ir.dim import Dim, Expr, substitute, symbols
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import UnsupportedOpError
from graphwright.ir.types import TensorType, Type, bind_type, type_symbols

Results: TypeAlias = Type | tuple[Type, ...]
Cotangents: TypeAlias = Sequence[Value | None]
Call: TypeAlias = Callable[[Any, Sequence[Any]], Sequence[Any]]
"""Runs a sub-graph: ``call(graph, operands) -> results``."""
Inline: TypeAlias = Callable[
    [Emitter, Any, Sequence[Value], Sequence[bool]], tuple[list[Value], list[bool]]
]
"""Adds a sub-graph over rows: ``(b, graph, operands, mapped) -> (results, mapped)``."""


class Tier(enum.Enum):
    """What a backend must know of an op."""

    PRIMITIVE = "primitive"
    COMPOSITE = "composite"
    HOST = "host"
    CONTROL = "control"


class Trait(enum.Enum):
    """A fact about an op that passes ask for."""

    ELEMENTWISE = "elementwise"
    COMMUTATIVE = "commutative"
    REDUCTION = "reduction"
    VIEW = "view"
    RANDOM = "random"
    EFFECT = "effect"


class Narrowing(enum.Enum):
    """What becomes of an op where a graph is to use floats of 16 bits.

    It ``GAINS`` by them, it ``FOLLOWS`` its operands, or it ``KEEPS`` what it has: it
    loses too much, or its results leave the range.
    """

    GAINS = "gains"
    FOLLOWS = "follows"
    KEEPS = "keeps"


OPS: dict[str, type["Op"]] = {}
"""Every op class by name: filled as classes are defined, custom ones included."""


@dataclass(frozen=True, slots=True)
class Rows:
    """A new first axis of some operands, along which an op is to be repeated.

    Attributes:
        size: How many rows there are.
        mapped: Which operands have the axis; one at least has it.
        inline: Adds a sub-graph whose inputs have it or not; tells which results have.
    """

    size: Dim
    mapped: tuple[bool, ...]
    inline: Inline

    def spread(
        self,
        b: Emitter,
        values: Sequence[Value],
        mapped: Sequence[bool] | None = None,
    ) -> list[Value]:
        """Operands (or values) all with the axis: what lacks it is repeated."""
        mapped = self.mapped if mapped is None else mapped
        pairs = zip(values, mapped, strict=True)
        return [x if m else b.broadcast_to(x, (self.size, *x.shape)) for x, m in pairs]

    def aligned(self, b: Emitter, operands: Sequence[Value]) -> list[Value]:
        """The same for operands that broadcast to each other from the right."""
        ranks = [x.rank - m for x, m in zip(operands, self.mapped, strict=True)]
        most = max(ranks)
        found: list[Value] = []
        for x, m, rank in zip(operands, self.mapped, ranks, strict=True):
            gap: tuple[Dim, ...] = (1,) * (most - rank)
            if m:
                found.append(b.reshape(x, (self.size, *gap, *x.shape[1:])))
            else:
                found.append(x if gap else b.broadcast_to(x, (self.size, *x.shape)))
        return found


def _is_field(annotation: object) -> bool:
    return not str(annotation).replace("typing.", "").startswith("ClassVar")


def _key(value: Any) -> Any:
    """A value with its type, floats by bits: 1, True, 1.0 differ, as do 0.0, -0.0."""
    if isinstance(value, float):
        return ("f", struct.pack("<d", value))
    if isinstance(value, tuple):
        return tuple(map(_key, value))  # pyright: ignore
    if isinstance(value, bool):
        return ("b", value)
    return value


def _map_dims(value: Any, change: Callable[[Expr], Dim]) -> Any:
    if isinstance(value, Expr):
        return change(value)
    if isinstance(value, tuple):
        return tuple(_map_dims(v, change) for v in value)  # pyright: ignore
    return value


def _has_expr(value: Any) -> bool:
    if isinstance(value, tuple):
        return any(map(_has_expr, value))  # pyright: ignore
    return isinstance(value, Expr)


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Op:
    """An operation with its attributes; immutable, equal by class and fields.

    A subclass sets ``name``, annotates its fields and defines ``result_type`` and
    ``compute``; the other rules have defaults.

    Attributes:
        domain: Who defined it, for an op from outside this library, such as
            ``com.example``: formats of models name it by this and by its class's name.
        arity: How many operands it takes, where ``compute`` does not name them.
        ulps: See ``error_bound``.
        domains: For each operand (the last for all others), an interval away from
            singular points, from which tests draw; what is not said is near 0.
        steps: Whether results jump as operands vary: tests feed exact values then.
        scale: Magnitude below which errors do not shrink with the results.
        growth: How many times the error of a sum of its terms a method may make that
            shares work between elements; 1 if there is no such method.
        wide: Whether float64 computes the same more precisely; not so of bits.
        signed_zeros: Whether it means the sign of a result that is zero.
        moves: Which operands' elements the result is made of as they are, if it is; the
            others are indices.
        narrow: See ``narrowing``.
        single: The one object of an op without fields, once there is one.
    """

    name: ClassVar[str] = ""
    domain: ClassVar[str] = ""
    version: ClassVar[int] = 1
    tier: ClassVar[Tier] = Tier.PRIMITIVE
    traits: ClassVar[frozenset[Trait]] = frozenset()
    arity: ClassVar[int | None] = None
    ulps: ClassVar[float] = 4.0
    domains: ClassVar[tuple[tuple[float, float], ...]] = ()
    steps: ClassVar[bool] = False
    error_floor: ClassVar[float] = 0.0
    growth: ClassVar[float] = 1.0
    wide: ClassVar[bool] = True
    signed_zeros: ClassVar[bool] = False
    moves: ClassVar[slice | None] = None
    narrow: ClassVar[Narrowing | None] = None
    field_names: ClassVar[tuple[str, ...]] = ()
    _defaults: ClassVar[dict[str, Any]] = {}
    _required: ClassVar[frozenset[str]] = frozenset()
    single: ClassVar["Op | None"] = None

    def __init_subclass__(cls) -> None:
        own = [n for n, a in get_annotations(cls).items() if _is_field(a)]
        cls.field_names = (*(n for n in cls.field_names if n not in own), *own)
        cls._defaults = {n: getattr(cls, n) for n in cls.field_names if hasattr(cls, n)}
        cls._required = frozenset(cls.field_names) - cls._defaults.keys()
        cls.single = None
        if cls.__dict__.get("name"):
            OPS[cls.name] = cls

    def __new__(cls, *args: Any, **fields: Any) -> "Op":
        if not cls.field_names and cls.single is not None:
            return cls.single
        self = super().__new__(cls)
        if not cls.field_names:
            cls.single = self
        return self

    def __init__(self, *args: Any, **fields: Any) -> None:
        if not self.field_names:  # it is shared: nothing may be set
            if args or fields:
                self._complain(fields)
            return
        if args:
            if len(args) > len(self.field_names):
                raise TypeError(f"{self.name} has {len(self.field_names)} fields")
            fields = dict(zip(self.field_names, args, strict=False), **fields)
        values = self.__dict__
        values.update(self._defaults)
        values.update(fields)
        if len(values) != len(self.field_names) or not self._required <= fields.keys():
            self._complain(fields)

    def _complain(self, fields: Mapping[str, Any]) -> NoReturn:
        extra = ", ".join(sorted(fields.keys() - set(self.field_names)))
        missing = ", ".join(sorted(self._required - fields.keys()))
        problem = f"has no field {extra}" if extra else f"needs field {missing}"
        raise TypeError(f"{self.name} {problem}")

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{self.name} is immutable")

    @property
    def fields(self) -> dict[str, Any]:
        """Field values by name, in order of declaration."""
        return {n: self.__dict__[n] for n in self.field_names}

    def replace(self, **fields: Any) -> "Op":
        """This op with some fields changed."""
        return type(self)(**{**self.fields, **fields})

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Op) or type(self) is not type(other):
            return False
        return bool(self._identity() == other._identity())

    def __hash__(self) -> int:
        return hash((self.name, self._identity()))

    def _identity(self) -> Any:
        return tuple(_key(self.__dict__[n]) for n in self.field_names)

    def __repr__(self) -> str:
        inner = ", ".join(f"{n}={v!r}" for n, v in self.fields.items())
        return f"{self.name}({inner})"

    def has_symbols(self) -> bool:
        """Whether a field holds a symbolic dim."""
        return any(_has_expr(self.__dict__[n]) for n in self.field_names)

    def bind(self, env: Mapping[str, Dim]) -> "Op":
        """This op with symbols in its fields replaced."""
        if not self.has_symbols():
            return self

        def change(dim: Expr) -> Dim:
            return substitute(dim, env)

        return type(self)(**{n: _map_dims(v, change) for n, v in self.fields.items()})

    def used_symbols(self) -> frozenset[str]:
        """Names of the symbols in its fields, sub-graphs aside."""
        if not self.has_symbols():
            return frozenset()
        found: set[str] = set()

        def note(dim: Expr) -> Dim:
            found.update(symbols(dim))
            return dim

        for value in self.fields.values():
            _map_dims(value, note)
        return frozenset(found)

    def defined_symbols(self) -> tuple[str, ...]:
        """Symbols whose values this op finds out at run time."""
        return ()

    # Rules --------------------------------------------------------------------------

    def result_type(self, *operands: Any, **_: Any) -> Results:
        """Type of the result, or a tuple of types.

        Raises:
            ShapeError, DTypeError: If the operands do not fit.
        """
        raise UnsupportedOpError(f"{self.name} states no type rule")

    def compute(self, xp: Any, *operands: Any, **_: Any) -> Any:
        """The op's meaning on arrays of ``xp``, numpy or cupy; one or a tuple."""
        raise UnsupportedOpError(f"{self.name} has no array implementation")

    def run(self, call: Call, operands: Sequence[Any]) -> Sequence[Any]:
        """Control flow only: runs sub-graphs by ``call`` and returns all results."""
        raise UnsupportedOpError(f"{self.name} is no control flow")

    def vjp(
        self,
        b: Emitter,
        operands: Sequence[Value],
        results: Sequence[Value],
        cotangents: Sequence[Value],
    ) -> Cotangents:
        """Cotangents of the operands from those of the results; None where zero.

        Raises:
            UnsupportedOpError: If the op is not differentiable.
        """
        raise UnsupportedOpError(f"{self.name} has no gradient rule")

    def decompose(self, b: Emitter, *operands: Value) -> Value | tuple[Value, ...]:
        """The same in terms of simpler ops: composites, and host ops where they can.

        Raises:
            UnsupportedOpError: If there is no such way.
        """
        raise UnsupportedOpError(f"{self.name} is not decomposable")

    @classmethod
    def has_parts(cls) -> bool:
        """Whether ``decompose`` gives something, if only at some of its fields."""
        return cls.decompose is not Op.decompose

    def batch(
        self, b: Emitter, operands: Sequence[Value], rows: Rows
    ) -> Sequence[Value] | None:
        """The op on each row of the operands that have rows; its results have them.

        By default an elementwise op works on all rows at once. None says that there is
        no such rule: then the op is decomposed, or runs in a loop over rows.
        """
        if Trait.ELEMENTWISE not in self.traits:
            return None
        return self.again(b, rows.aligned(b, operands))

    def again(
        self, b: Emitter, operands: Sequence[Value], **fields: Any
    ) -> tuple[Value, ...]:
        """Adds this op, some fields changed, on other operands."""
        return b.emit_all(self.name, *operands, **{**self.fields, **fields})

    def narrowing(self) -> Narrowing:
        """What becomes of it where floats of 16 bits are wanted.

        By default what moves elements or works on each follows, and so do composites,
        which compute in float32 and round once.
        """
        if self.narrow is not None:
            return self.narrow
        if self.traits & {Trait.RANDOM, Trait.EFFECT}:
            return Narrowing.KEEPS
        plain = self.traits & {Trait.ELEMENTWISE, Trait.VIEW} or self.moves is not None
        follows = self.tier is Tier.COMPOSITE or (self.tier is Tier.PRIMITIVE and plain)
        return Narrowing.FOLLOWS if follows else Narrowing.KEEPS

    def error_bound(self) -> float:
        """How many units in the last place an implementation may be off; 0 is exact.

        In a mixed sense: what it gives lies this near to the exact result for operands
        that differ from the given ones by as much.
        """
        return self.ulps

    def linear_along(self) -> tuple[tuple[int, int] | None, ...]:
        """Of an op that is linear in each operand: along which axes rows are apart.

        For each operand, an axis along which several lie side by side, and the axis of
        the result on which theirs do; None where there is none. Empty for other ops.
        """
        return ()

    def sizes_of_terms(self, xp: Any, *operands: Any) -> Any:
        """Of a sum over operands that are not negative: what the sizes of terms add to.

        The op itself, unless it weighs terms by numbers that are negative or complex.
        """
        return self.compute(xp, *operands)

    def flops(self, operands: Sequence[Type], results: Sequence[Type]) -> Dim:
        """Floating-point operations; by default one an element of the first result."""
        if Trait.VIEW in self.traits or not results:
            return 0
        return (
            getattr(results[0], "size", 0) if getattr(results[0], "shape", None) else 0
        )

    def subgraphs(self) -> tuple[Any, ...]:
        """Its sub-graphs: only control flow has any."""
        if self.tier is not Tier.CONTROL:
            return ()
        return tuple(v for v in self.fields.values() if hasattr(v, "nodes"))


class Declared(Op):
    """An op whose result types are fields: no rule could find them.

    ``types`` are the types of the results; ``fresh`` names the symbols in them whose
    values the run finds out.
    """

    types: tuple[Type, ...]
    fresh: tuple[str, ...] = ()

    def result_type(self, *operands: Any, **_: Any) -> Results:
        return self.types

    def defined_symbols(self) -> tuple[str, ...]:
        return self.fresh

    def _outer(self) -> frozenset[str]:
        found = frozenset[str]().union(*map(type_symbols, self.types))
        return found.difference(self.fresh)

    def has_symbols(self) -> bool:
        return super().has_symbols() or bool(self._outer())

    def used_symbols(self) -> frozenset[str]:
        return super().used_symbols() | self._outer()

    def bind(self, env: Mapping[str, Dim]) -> "Op":
        if not self.has_symbols():
            return self
        known = {name: dim for name, dim in env.items() if name not in self.fresh}
        types = tuple(bind_type(t, known) for t in self.types)
        return super().bind(env).replace(types=types)


def is_elementwise(op: Op) -> bool:
    """Whether the op works element by element on equal shapes."""
    return Trait.ELEMENTWISE in op.traits


def is_table(op: Op, types: Sequence[Type], results: Sequence[Type]) -> bool:
    """Whether a host op gives tensors that hang on sizes alone.

    Where these are known it is folded, else made once a plan: nothing is left to a run,
    so it is no fallback.
    """
    tensors = all(isinstance(t, TensorType) for t in results)
    return op.tier is Tier.HOST and not types and tensors
