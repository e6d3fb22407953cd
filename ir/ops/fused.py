"""A region of ops that a backend runs as one."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from graphwright.ir.dim import Dim
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.op import Call, Op, Rows, Tier
from graphwright.ir.rules import need
from graphwright.ir.types import Type


class Fused(Op):
    """The results of ``body``, whose ops run as one kernel of the given ``kind``.

    Kinds name what the region is made around: ``conv``, ``dot``, ``elementwise``.
    """

    name = "fused"
    tier: ClassVar[Tier] = Tier.CONTROL
    kind: str
    body: Any

    def result_type(self, *operands: Type) -> tuple[Type, ...]:
        have = len(self.body.inputs)
        need(
            have == len(operands),
            f"fused {self.kind}: {have} inputs, {len(operands)} given",
        )
        types: tuple[Type, ...] = self.body.output_types
        return types

    def bind(self, env: Mapping[str, Dim]) -> "Fused":
        if not self.used_symbols() & env.keys():
            return self
        return type(self)(**{**self.fields, "body": self.body.bind(env)})

    def used_symbols(self) -> frozenset[str]:
        names: frozenset[str] = self.body.symbols()
        return names

    def run(self, call: Call, operands: Sequence[Any]) -> Sequence[Any]:
        return call(self.body, operands)

    def batch(
        self, b: Emitter, operands: Sequence[Value], rows: Rows
    ) -> Sequence[Value] | None:
        return rows.spread(b, *rows.inline(b, self.body, operands, rows.mapped))

    def flops(self, operands: Sequence[Type], results: Sequence[Type]) -> Dim:
        total: Dim = 0
        for node in self.body.nodes:
            types = [v.type for v in node.operands]
            total = total + node.op.flops(types, [v.type for v in node.results])
        return total


class Placed(Fused):
    """A ``fused`` region that another backend runs than what is around it.

    Made by partitioning; its operands lie where it runs, and so do its results: what
    crosses is a ``copy_to``.

    Attributes:
        device: Name of the backend, as in ``"cuda:1"``.
    """

    name = "placed"
    device: str
