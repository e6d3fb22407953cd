"""Lazy expressions: values that own the operations that make them, until they are read.

There is no graph of everything. A ``Deferred`` value points at the call that makes it,
that call at its operands. Reading a value runs what it needs and forgets how it came
about. The first time that a structure of calls is met it runs op by op; the second time
it is compiled, with its leaves as inputs.
"""

import weakref
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np

from graphwright.backends.compile import lower
from graphwright.backends.contract import Backend, Request
from graphwright.backends.executable import Executable
from graphwright.frontends.tracing.placement import default
from graphwright.ir.builder import Builder
from graphwright.ir.constant import Constant
from graphwright.ir.dim import Dim, symbol
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import GraphwrightError, UnsupportedOpError
from graphwright.ir.graph import Graph, Source
from graphwright.ir.op import OPS, Op, Tier
from graphwright.ir.types import TensorType, Type

_MAX_PENDING = 4096
_MAX_STRUCTURES = 512

Key: TypeAlias = tuple[Any, ...]


class Call:
    """An operation on values that has not run yet."""

    __slots__ = ("op", "operands", "results", "size", "source")

    def __init__(
        self, op: Op, operands: tuple[Value, ...], source: Source | None
    ) -> None:
        self.op, self.operands, self.source = op, operands, source
        self.results: tuple[Callable[[], Deferred | None], ...] = ()
        self.size = 1  # an upper bound on how many calls wait below, this one included


class Deferred(Value):
    """A value that is known (``data``), or result number ``index`` of a call.

    Attributes:
        home: The backend whose array ``data`` is; None for a numpy array that may move.
        keeper: Tells whether somebody still wants the value besides the calls on it.
    """

    __slots__ = ("__weakref__", "call", "data", "home", "index", "keeper")

    def __init__(
        self,
        type_: Type,
        call: Call | None = None,
        index: int = 0,
        data: Any = None,
        home: Backend | None = None,
    ) -> None:
        self.type, self.call, self.index = type_, call, index
        self.data, self.home = data, home
        self.keeper: Callable[[], Any] | None = None

    def settle(self, data: Any, home: Backend | None) -> None:
        """Makes it known."""
        self.data, self.home, self.call = data, home, None


def leaf(array: Any, type_: Type, home: Backend | None = None) -> Deferred:
    """A value that is known from the start."""
    return Deferred(type_, None, 0, array, home)


class LazyEmitter(Emitter):
    """Builds deferred calls; what depends on data is found out at once."""

    __slots__ = ("source",)

    def __init__(self, source: Source | None = None) -> None:
        self.source = source

    def emit_all(self, name: str, *operands: Value, **fields: Any) -> tuple[Value, ...]:
        """Adds a call; one whose sizes only the data tell runs at once."""
        cls = OPS.get(name)
        if cls is None:
            raise UnsupportedOpError(f"there is no operation {name!r}")
        op = cls(**fields)
        try:
            found = op.result_type(*[v.type for v in operands])
        except GraphwrightError as error:
            if self.source is None:
                raise
            raise type(error)(f"{self.source}: {error}") from error
        types = found if isinstance(found, tuple) else (found,)
        call = Call(op, operands, self.source)
        self._measure(call)
        results = tuple([Deferred(t, call, i) for i, t in enumerate(types)])
        if len(results) > 1:
            call.results = tuple(weakref.ref(v) for v in results)
        if op.defined_symbols():
            materialise(results)
            for v in results:
                v.type = TensorType(v.dtype, tuple(v.data.shape))
        return results

    def _measure(self, call: Call) -> None:
        """Counts what waits below a call, and runs it where it is too much."""
        operands = [v for v in call.operands if isinstance(v, Deferred)]
        call.size += sum(v.call.size for v in operands if v.call is not None)
        if call.size > _MAX_PENDING:
            materialise(operands)
            call.size = 1

    def constant_of(self, constant: Constant) -> Value:
        """A leaf: structures differ by its type, not by its value."""
        return leaf(constant.array(), TensorType(constant.dtype, constant.shape))

    def known(self, value: Value) -> Constant | None:
        """What a value is: outside a trace everything can be known."""
        return Constant.of(host(value), value.dtype)

    def producer(self, value: Value) -> Any:
        """The call that makes a value, None once it has run."""
        return value.call if isinstance(value, Deferred) else None

    def fresh_symbol(self, minimum: int | None = 0) -> Dim:
        """A symbol that stands for a size until the op that finds it has run."""
        return symbol("_found", minimum)

    def bind_dims(self, x: Value, minimum: int | None = 0) -> tuple[Dim, ...]:
        """The elements of a vector, read."""
        return tuple(host(x).tolist())

    def subgraph(self, name: str) -> Builder:
        """A builder of the body of a loop."""
        return Builder(name)


# Reading ------------------------------------------------------------------------------


def host(value: Value) -> "np.ndarray[Any, Any]":
    """A lazy value as a numpy array, which must not be written to."""
    assert isinstance(value, Deferred), "a traced value has no data"
    if value.call is not None:
        materialise((value,))
    return value.data if value.home is None else value.home.to_host(value.data)


def materialise(values: Sequence[Deferred]) -> None:
    """Finds values, and those on the way that are still wanted, and cuts them off."""
    waiting = [v for v in values if v.call is not None]
    if waiting:
        _Expression(waiting).run()


class Walk:
    """The calls below some values, in an order in which they can run.

    Attributes:
        calls: Those calls.
        leaves: What they start from.
        made: Their results that other calls take, or that are wanted.
        numbers: Of each call and of each leaf its position.
    """

    def __init__(self, wanted: Sequence[Deferred]) -> None:
        self.calls: list[Call] = []
        self.leaves: list[Deferred] = []
        self.numbers: dict[Any, int] = {}
        self.made: list[Deferred] = []
        seen: set[int] = set()
        stack: list[Any] = list(reversed(wanted))
        while stack:
            top = stack.pop()
            if type(top) is Call:  # its operands are done
                if top not in self.numbers:
                    self.numbers[top] = len(self.calls)
                    self.calls.append(top)
                continue
            if id(top) in seen:
                continue
            seen.add(id(top))
            call = top.call
            if call is None:
                self.numbers[top] = len(self.leaves)
                self.leaves.append(top)
                continue
            self.made.append(top)
            if call not in self.numbers:
                stack.append(call)
                stack.extend(reversed(call.operands))


class _Expression(Walk):
    """What makes some values run.

    Attributes:
        key: Equal for expressions of one structure: ops, wiring and types of leaves.
    """

    def __init__(self, wanted: Sequence[Deferred]) -> None:
        super().__init__(wanted)
        self.outputs = self._outputs(wanted)
        home = next((v.home for v in self.leaves if v.home is not None), None)
        self.backend = home or default()
        self.key = self._key()

    def _outputs(self, wanted: Sequence[Deferred]) -> list[Deferred]:
        """What is asked for, and results on the way that somebody still holds."""
        asked = {id(v): v for v in wanted}
        for v in self.made:
            if v.keeper is not None and v.keeper() is not None:
                asked[id(v)] = v
        for call in self.calls:
            for ref in call.results:
                other = ref()
                if other is not None and other.keeper is not None and other.keeper():
                    asked[id(other)] = other
        return list(asked.values())

    def _place(self, v: Any) -> tuple[int, int]:
        if v.call is None:
            return -1, self.numbers[v]
        return self.numbers[v.call], v.index

    def _key(self) -> Key:
        calls = tuple([(c.op, *map(self._place, c.operands)) for c in self.calls])
        leaves = tuple([(v.dtype, v.data.shape) for v in self.leaves])
        outputs = tuple(map(self._place, self.outputs))
        return calls, leaves, outputs, self.backend

    def run(self) -> None:
        """Runs the calls and makes the outputs known."""
        feeds = [self._moved(v) for v in self.leaves]
        if len(self.calls) == 1 and not _by_program(self.calls[0].op):
            found = self._op_by_op(feeds)
        else:
            found = _programs.run(self, feeds)
        for v, data in zip(self.outputs, found, strict=True):
            if type(data) is np.ndarray:
                data.flags.writeable = False  # other expressions may share it
            v.settle(data, self.backend)

    def _moved(self, v: Deferred) -> Any:
        if v.home is self.backend:
            return v.data
        array = v.data if v.home is None else v.home.to_host(v.data)
        return self.backend.to_device(array)

    def _op_by_op(self, feeds: Sequence[Any]) -> list[Any]:
        results: list[tuple[Any, ...]] = []

        def read(v: Any) -> Any:
            row, column = self._place(v)
            return feeds[column] if row < 0 else results[row][column]

        with np.errstate(all="ignore"):
            for call in self.calls:
                operands = [read(v) for v in call.operands]
                try:
                    results.append(_apply(self.backend, call, operands))
                except GraphwrightError as error:
                    if call.source is None:
                        raise
                    raise type(error)(f"{call.source}: {error}") from error
        return [read(v) for v in self.outputs]

    def graph(self) -> Graph:
        """The expression as a graph whose inputs are its leaves."""
        b = Builder("expression")
        values: dict[tuple[int, int], Value] = {}
        for i, v in enumerate(self.leaves):
            values[-1, i] = b.input(f"x{i}", TensorType(v.dtype, tuple(v.data.shape)))
        for row, call in enumerate(self.calls):
            b.source = call.source
            found = b.apply(call.op, [values[self._place(v)] for v in call.operands])
            values.update({(row, i): v for i, v in enumerate(found)})
        return b.finish([values[self._place(v)] for v in self.outputs])


def _by_program(op: Op) -> bool:
    return op.tier is Tier.CONTROL


def _as_tuple(found: Any, call: Call) -> tuple[Any, ...]:
    results = found if isinstance(found, tuple) else (found,)
    return tuple(
        np.asarray(r) if isinstance(r, np.generic) or not hasattr(r, "shape") else r
        for r in results
    )


def _apply(backend: Backend, call: Call, operands: Sequence[Any]) -> tuple[Any, ...]:
    types = tuple(TensorType(v.dtype, tuple(v.shape)) for v in call.operands)
    return _as_tuple(kernel_of(backend, call.op, types)(*operands), call)


@lru_cache(maxsize=2048)
def kernel_of(backend: Backend, op: Op, types: tuple[Type, ...]) -> Callable[..., Any]:
    """A function that runs one op: the backend's kernel, or a program of its parts."""
    found = op.result_type(*types)
    results = found if isinstance(found, tuple) else (found,)
    if backend.supports(op, types):
        return backend.kernel(Request(op, types, (None,) * len(types), results))
    b = Builder(op.name)
    operands = [b.input(f"x{i}", t) for i, t in enumerate(types)]
    program = _compiled(b.finish(b.apply(op, operands)), backend)
    return lambda *arrays: tuple(program.execute(arrays))


def _compiled(graph: Graph, backend: Backend) -> Executable:
    lowered, options = lower(graph, backend=backend)
    return Executable(graph, lowered, options)


class _Programs:
    """Structures met so far: once only, or compiled."""

    def __init__(self) -> None:
        self._met: dict[Key, Executable | None] = {}

    def run(self, expression: _Expression, feeds: list[Any]) -> list[Any]:
        key = expression.key
        control = any(_by_program(c.op) for c in expression.calls)
        program = self._met.get(key)
        if program is None and (control or key in self._met):
            program = _compiled(expression.graph(), expression.backend)
        if key not in self._met and len(self._met) >= _MAX_STRUCTURES:
            self._met.pop(next(iter(self._met)))
        self._met[key] = program
        if program is None:
            return expression._op_by_op(feeds)
        return program.execute(feeds)


_programs = _Programs()
