"""State, order and placement."""

from collections.abc import Sequence
from typing import Any, ClassVar

from graphwright.ir.errors import DTypeError, UnsupportedOpError
from graphwright.ir.op import Op, Rows, Tier, Trait
from graphwright.ir.types import TensorType, TokenType, Type

_EFFECT = frozenset({Trait.EFFECT})


class Effect(Op):
    """An op that reads or writes state; tokens keep its order."""

    tier: ClassVar[Tier] = Tier.CONTROL
    traits: ClassVar[frozenset[Trait]] = _EFFECT

    def apply(self, state: Any, operands: Sequence[Any]) -> tuple[Any, ...]:
        """Results of the op on a mapping from variable names to arrays."""
        raise UnsupportedOpError(f"{self.name} has no effect")


class StartToken(Effect):
    """The token that the first effect of a graph takes."""

    name = "token"

    def result_type(self) -> TokenType:
        return TokenType()

    def apply(self, state: Any, operands: Sequence[Any]) -> tuple[Any, ...]:
        return (None,)


class Read(Effect):
    """The present value of a variable, and the token for what comes next."""

    name = "read"
    variable: str
    type: TensorType

    def result_type(self, token: Type) -> tuple[Type, ...]:
        return self.type, TokenType()

    def apply(self, state: Any, operands: Sequence[Any]) -> tuple[Any, ...]:
        return state[self.variable], None


class Write(Effect):
    """Sets a variable; gives the token for what comes next."""

    name = "write"
    variable: str

    def result_type(self, token: Type, value: Type) -> Type:
        if not isinstance(value, TensorType):
            raise DTypeError(f"write to {self.variable}: variables hold tensors")
        return TokenType()

    def apply(self, state: Any, operands: Sequence[Any]) -> tuple[Any, ...]:
        state[self.variable] = operands[1]
        return (None,)


class Barrier(Op):
    """Its operands, behind a line that no rewrite crosses."""

    name = "barrier"
    ulps = 0.0

    def result_type(self, *xs: Type) -> tuple[Type, ...]:
        return xs

    def compute(self, xp: Any, *xs: Any) -> Any:
        return xs

    def vjp(self, b: Any, operands: Any, results: Any, cotangents: Any) -> Any:
        return cotangents

    def batch(self, b: Any, operands: Any, rows: Rows) -> Any:
        return self.again(b, rows.spread(b, operands))


class CopyTo(Op):
    """The operand on another device, where what reads it runs."""

    name = "copy_to"
    ulps = 0.0
    device: str

    def result_type(self, x: Type) -> Type:
        return x

    def compute(self, xp: Any, x: Any) -> Any:
        return x

    def vjp(self, b: Any, operands: Any, results: Any, cotangents: Any) -> Any:
        return cotangents

    def batch(self, b: Any, operands: Any, rows: Rows) -> Any:
        return self.again(b, rows.spread(b, operands))
