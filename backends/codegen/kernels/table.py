"""Which ops have kernels of their own, and what these are given.

A maker is a function in a file of this folder, registered by ``@kernel_for("dot")``.
Of a `Site` it learns what is computed and what is fused behind; it returns kernels in
the loop IR, to be run one after the other, or None where plain loops do.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any, TypeAlias

import numpy as np

from graphwright.backends.codegen.device import Cpu
from graphwright.backends.codegen.elements import (
    Array,
    Coordinates,
    Elements,
    Within,
    sizes_of,
)
from graphwright.backends.codegen.expr import Expr
from graphwright.backends.codegen.loops import Kernel
from graphwright.backends.codegen.narrow import encoded
from graphwright.backends.codegen.stages import Loops
from graphwright.backends.codegen.walk import expanded
from graphwright.ir.constant import Constant
from graphwright.ir.dtype import DType
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Node
from graphwright.ir.ops.movement import Reshape
from graphwright.ir.record import record
from graphwright.passes.casts import held_in

_COMMON = {-128, 0, 1, 6}
"""Numbers that stand in many places."""

Pack: TypeAlias = Callable[[Any], Any]
"""The elements of a constant in another order, as a contiguous numpy array."""


@record(frozen=True, eq=False, slots=True)
class Packed:
    """A constant as a kernel wants it: made once, however many plans use it.

    Attributes:
        constant: The constant.
        name: Tells packings of one constant apart.
        pack: Makes the array that lies in memory.
    """

    constant: Constant
    name: str
    pack: Pack


@dataclass(eq=False, slots=True)
class Site:
    """A heavy op in its stage, as a maker sees it.

    Attributes:
        stage: The stage; ``stage.heavy`` is the node.
        arrays: Values that lie in memory.
        target: The device, for the schedule.
        choose: Chooses where there are several ways.
        packed: Arrays that ``pack`` made.
    """

    stage: Loops
    arrays: Mapping[Value, Array]
    target: Any
    choose: "Chooser"
    packed: dict[Array, Packed] = field(default_factory=dict[Array, Packed])

    @property
    def node(self) -> Node:
        """The heavy node."""
        assert self.stage.heavy is not None
        return self.stage.heavy

    @property
    def output(self) -> Array:
        """Where the stage's one result goes."""
        ((v, _),) = self.stage.results
        return self.arrays[v]

    def shape(self, number: int) -> tuple[int, ...]:
        """The sizes of an operand."""
        return sizes_of(self.node.operands[number].type)

    def lying(self, number: int) -> Array | None:
        """Where an operand lies row by row, in whatever shape; None if nowhere."""
        v, makers = self.node.operands[number], self.stage.graph.makers
        while v not in self.arrays:
            maker = makers.get(v)
            if maker is None or not isinstance(maker.op, Reshape):
                return None
            (v,) = maker.operands
        return self.arrays[v] if self.arrays[v].is_dense else None

    def constant(self, number: int) -> Constant | None:
        """What an operand always is, or None."""
        return self.stage.graph.constants.get(self.node.operands[number])

    def held_in(self, number: int) -> DType:
        """A dtype of which all elements of an operand are, as narrow as is known."""
        constant = self.constant(number)
        if constant is not None:
            return constant.held_in
        return held_in(self.node.operands[number], self.stage.graph.makers)

    def operand(
        self, number: int, at: Coordinates, guards: tuple[Within, ...] = ()
    ) -> Expr:
        """An element of an operand, in the dtype in which it is computed."""
        return self.element(self.node.operands[number], at, guards)

    def element(
        self, v: Value, at: Coordinates, guards: tuple[Within, ...] = ()
    ) -> Expr:
        """An element of a value that is computed before the op; see `Elements.at`."""
        inside = {v for v, _ in self.stage.results}
        elements = Elements(self.stage.graph, self.arrays, inside)
        (found,) = expanded([elements.at(v, at, guards)])
        return found

    def result(self, at: Coordinates) -> Expr:
        """An element of the op's result before it is rounded, by its operands."""
        inside = {v for v, _ in self.stage.results}
        elements = Elements(self.stage.graph, self.arrays, inside)
        found = elements.at(self.node.results[0], at)
        while found.op == "rounded":
            (found,) = found.args
        (found,) = expanded([found])
        return found

    def best(self, key: str, ways: "Sequence[Way]") -> Sequence[Kernel]:
        """The kernels of one of several ways: of the first, if nothing else is known.

        Args:
            key: What is computed, with all that its time hangs on.
            ways: The first is what a model of the costs says; names are a record's.
        """
        return self.choose(self, key, ways).kernels(self)

    def pack(
        self,
        number: int,
        name: str,
        pack: Pack,
        shape: Sequence[int],
        dtype: DType | None = None,
    ) -> Array:
        """An operand that is constant, packed: an array to read from."""
        constant = self.constant(number)
        assert constant is not None
        found = Array(dtype or constant.type.dtype, tuple(shape))
        self.packed[found] = Packed(constant, name, pack)
        return found

    def epilogue(self, at: Coordinates, apart: bool = False) -> tuple[Expr, Expr]:
        """What is stored at coordinates of the op's result, and a leaf in it.

        Bind the leaf to the sum that the kernel has computed (``Scope.bind``), then
        store the value of the first. With ``apart`` its numbers are read from memory,
        so that those who differ in numbers alone have one source.
        """
        ((end, _),) = self.stage.results
        (result,) = self.node.results
        arrays = {**self.arrays, **(self._numbers() if apart else {})}
        elements = Elements(self.stage.graph, arrays, {end}, {result})
        stored = encoded(elements.at(end, at), end.dtype)
        leaf = elements.leaf(result)
        stored, kept = expanded([stored, leaf])
        return stored, kept

    def _numbers(self) -> dict[Value, Array]:
        """Arrays of constants that are one number, and not a common one."""
        graph, found = self.stage.graph, dict[Value, Array]()
        for v in (v for node in self.stage.nodes for v in node.operands):
            constant = graph.constants.get(v)
            if constant is None or constant.size != 1 or v in self.arrays:
                continue
            if constant.array().item() not in _COMMON:
                found[v] = array = Array(v.dtype, constant.shape)
                self.packed[array] = Packed(constant, "", np.ascontiguousarray)
        return found

    def position(self, at: Coordinates) -> Any:
        """Where the result at coordinates is stored: an index."""
        return self.output.index(at)


@record(frozen=True, eq=False, slots=True)
class Way:
    """One of several ways to compute something.

    Attributes:
        name: Tells it from the others.
        kernels: Gives the kernels.
        finer: The same, its work divided otherwise.
    """

    name: str
    kernels: Callable[[Site], Sequence[Kernel]]
    finer: tuple["Way", ...] = ()


@cache
def _others(machine: Cpu) -> Mapping[str, Cpu]:
    """Devices like one, for which work is divided otherwise."""
    return {
        "4 items": replace(machine, items=4),
        "16 items": replace(machine, items=16),
        "32 items": replace(machine, items=32),
        "half the cache": replace(machine, cache=machine.cache // 2),
        "twice the cache": replace(machine, cache=machine.cache * 2),
    }


def divided(
    name: str, machine: Cpu, make: Callable[[Cpu, Site], Sequence[Kernel]]
) -> Way:
    """A way that divides its work for a device, and for others like it."""
    others = _others(machine).items()
    finer = (Way(f"{name}, {x}", partial(make, other)) for x, other in others)
    return Way(name, partial(make, machine), tuple(finer))


Chooser: TypeAlias = Callable[[Site, str, Sequence[Way]], Way]


def first(site: Site, key: str, ways: Sequence[Way]) -> Way:
    """The way that should be fastest; nothing is measured."""
    return ways[0]


Maker: TypeAlias = Callable[[Site], Sequence[Kernel] | None]

KERNELS: dict[tuple[type, str], Maker] = {}
"""By the kind of device and the name of the op."""

SingleMaker: TypeAlias = Callable[[Node, Mapping[Value, Array], Any], Sequence[Kernel]]
"""Of an op that cannot be written out: its operands and results lie in memory."""

SINGLES: dict[str, SingleMaker] = {}


def single(name: str) -> Callable[[SingleMaker], SingleMaker]:
    """Registers the maker of the kernels of an op that cannot be written out."""

    def register(maker: SingleMaker) -> SingleMaker:
        SINGLES[name] = maker
        return maker

    return register


def kernel_for(name: str, *devices: type) -> Callable[[Maker], Maker]:
    """Registers the maker of an op's kernels for some kinds of devices, or for CPUs."""

    def register(maker: Maker) -> Maker:
        KERNELS.update({(device, name): maker for device in devices or (Cpu,)})
        return maker

    return register
