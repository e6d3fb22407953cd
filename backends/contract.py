"""What a backend is, in two levels; `docs/write-a-backend.md` is the tutorial.

*Op by op* (``TableBackend``): a table from op to function on the backend's arrays, and
how arrays come and go. Decomposition, control flow, fallback and planning are done for
it. *Whole graph* (``GraphBackend``): neighbouring ops reach it together, as a graph.
``Backend`` is what both are; subclass it where neither fits.

An array is an object of any class that has a ``shape``, a tuple of integers. Kernels
never change their operands; results may be views of them. Tensors of strings, lists,
dictionaries and what may be None stay on the host, as numpy arrays and Python values.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Protocol, TypeAlias, final, runtime_checkable

import numpy as np

from graphwright.backends.tuning import Tuning
from graphwright.ir.constant import Constant
from graphwright.ir.dtype import DTYPES, DType, string
from graphwright.ir.emitter import Value
from graphwright.ir.errors import ArgumentError, BackendUnavailable, GraphwrightError
from graphwright.ir.graph import Graph, Node
from graphwright.ir.op import Op
from graphwright.ir.ops.fused import Fused
from graphwright.ir.types import TensorType, Type

CONTRACT_VERSION = 1
"""Of this file: it grows when a backend written for the last one would break."""

REGION = "region"
"""Kind of the ``fused`` ops that a backend with ``regions`` is given."""

Kernel: TypeAlias = Callable[..., Any]
"""Arrays in, one array or a tuple of them out."""


@dataclass(frozen=True, slots=True)
class Place:
    """What a result needs: a shape, a dtype, and perhaps no memory of its own.

    Attributes:
        shape: The result's shape.
        dtype: The result's dtype.
        over: Operands whose memory the result may take if nothing reads them later.
    """

    shape: tuple[int, ...]
    dtype: "np.dtype[Any]"
    over: tuple[int, ...] = ()

    def empty(self) -> "np.ndarray[Any, Any]":
        """New memory for it."""
        return np.empty(self.shape, self.dtype)


@dataclass(frozen=True, slots=True)
class Part:
    """One of a device's kernels that an `Into` launches, for profiles and dumps.

    Attributes:
        name: Of the kernel: letters, digits and underscores.
        node: What it is named after: the product or convolution in it, or what is last.
        sources: Source nodes of all that it computes.
        values: The values of the original graph that it computes, by name.
        text: Its source, in the language of the device.
        schedule: How it runs: what ``json`` can write.
        suffix: Of a file with its source.
    """

    name: str
    node: Node
    sources: tuple[str, ...]
    values: tuple[str, ...]
    text: str
    schedule: Mapping[str, object]
    suffix: str = ".cl"


@runtime_checkable
class Deferred(Protocol):
    """What ``Into.bind`` may give: calls that need not be waited for one by one.

    Those that a thread starts run in order.
    """

    @property
    def deferrable(self) -> bool:
        """Whether ``start`` and, some time later, ``wait`` do what a call does."""
        ...

    def start(self) -> object:
        """Begins a call; its arrays are the device's until ``wait``."""
        ...

    def wait(self) -> object:
        """Waits for all that this thread has started."""
        ...


@dataclass(frozen=True, slots=True)
class Into:
    """A kernel on host arrays that writes its results into the run's arena.

    Attributes:
        run: Called with each result's array, contiguous, and then the operands.
        places: What each result needs.
        unread: Operands which it does not read: it has packed these constants.
        bind: Called like ``run``, but first with ``scratch_bytes`` of memory; gives a
            function that does the same to the same arrays again and again, faster.
            Operands are contiguous then, but for ``strided`` ones.
        strided: Operands that ``bind`` takes in any layout.
        scratch_bytes: What ``bind`` asks for, aligned to 64 bytes.
        pins: Whether an input of the run is best copied to memory of its own, so that
            ``bind`` finds it at the same place in each run.
        parts: What it launches, in order, where the device has kernels of its own.
        timed: Called like ``run``; gives the seconds of each of its parts.
        turns: Gives what runs it some times in a row, each on arrays of its own; called
            with ``scratch_bytes`` of memory and, for each result and operand, an array
            of ``uint64``: its address in each turn.
    """

    run: Callable[..., object]
    places: tuple[Place, ...]
    unread: tuple[int, ...] = ()
    bind: Callable[..., Callable[[], object]] | None = None
    scratch_bytes: int = 0
    pins: bool = False
    strided: tuple[int, ...] = ()
    parts: tuple[Part, ...] = ()
    timed: Callable[..., Sequence[float]] | None = None
    turns: Callable[..., Callable[[], object]] | None = None

    def __call__(self, *operands: Any) -> Any:
        """The results in new memory: one array, or a tuple of them."""
        found = tuple([place.empty() for place in self.places])
        self.run(*found, *operands)
        return found[0] if len(found) == 1 else found


@dataclass(frozen=True, slots=True)
class Request:
    """What a kernel is asked for: an op with all dims known, on these operands.

    Attributes:
        op: The op, its dims bound to integers.
        types: Types of the operands.
        constants: For each operand, its value where it never changes, else None:
            a backend packs weights from it once.
        results: Types of the results.
        strict_float: Whether the op is to be computed as it is written, not by what is
            equal over the reals only, such as Winograd's convolutions.
    """

    op: Op
    types: tuple[Type, ...]
    constants: tuple[Constant | None, ...]
    results: tuple[Type, ...]
    strict_float: bool = False


class BuildError(GraphwrightError):
    """A backend's ``kernel`` could not make what it claims: that runs on the host.

    With ``strict`` it is the user's error. Notes hold what its compiler said.
    """


def on_device(type_: Type) -> bool:
    """Whether values of a type are the backend's arrays: numeric tensors are."""
    return isinstance(type_, TensorType) and type_.dtype is not string


class Backend(ABC):
    """Runs ops on arrays of its own kind, for many threads at once.

    Attributes:
        name: What users call it.
        contract: The ``CONTRACT_VERSION`` that it was written for: a number, so that
            one written for another version is refused by name instead of failing in a
            run. None for a class that lives and changes with the program it is in.
        regions: Whether neighbouring ops that it supports reach it together, as one
            ``fused`` op of kind ``region``.
    """

    name: str = ""
    contract: ClassVar[int | None] = None
    regions: ClassVar[bool] = False

    @property
    def integer_products(self) -> bool:
        """Whether products of 8-bit integers are no slower than those of floats.

        Quantised models are computed in integers then, if it supports these.
        """
        return True

    @abstractmethod
    def supports(self, op: Op, types: Sequence[Type]) -> bool:
        """Whether it runs an op on operands of these types, answered without a device.

        Planning, ``check`` and the partitioner all ask this, so what it says is what
        happens: what it declines while dims are symbols is declined at every size, and
        what it takes then it takes at every size.
        """

    @abstractmethod
    def kernel(self, request: Request) -> Kernel:
        """A function that runs a supported op, or an `Into`; made once a plan."""

    def unavailable(self) -> str | None:
        """Why it cannot run on this machine and what would help, or None."""
        return None

    def to_device(self, array: "np.ndarray[Any, Any]") -> Any:
        """The backend's array of a numpy array of any strides, perhaps read-only.

        It may share the memory: what is there changes between runs, never in one.
        """
        return array

    def to_host(self, array: Any) -> "np.ndarray[Any, Any]":
        """The numpy array of one of the backend's; it may share the memory."""
        return np.asarray(array)

    def copy(self, array: Any) -> Any:
        """The same elements in memory of their own: what leaves a run is copied.

        The array itself where nobody can write to it.
        """
        return self.to_device(np.array(self.to_host(array)))

    def adopt(self, x: Any, dtype: DType) -> Any:
        """A caller's array that lies on the device already, or None.

        What is None comes through the host's memory. No copy is made here: a run does
        not write to its inputs.
        """
        return None

    def tuned(self, tuning: Tuning) -> "Backend":
        """The same backend, which chooses between ways to compute by measuring.

        By default there is nothing to choose.
        """
        return self

    def at(self, device: int) -> "Backend":
        """The same backend on another of the machine's devices: ``"name:1"``.

        Raises:
            BackendUnavailable: If it has one device only.
        """
        if device:
            raise BackendUnavailable(f"backend {self.name!r} has one device, number 0")
        return self

    def holds(self, type_: Type) -> bool:
        """Whether values of a type are its arrays; others stay numpy's, on the host.

        By default all tensors of numbers and booleans are.
        """
        return on_device(type_)

    def running(self) -> AbstractContextManager[object]:
        """What surrounds each run of a plan, such as threads that stay awake.

        Made once a plan, and entered by all of its runs, several at once among them.
        """
        return nullcontext()

    def devices(self) -> list[str]:
        """Names of its devices on this machine."""
        return [self.name]

    def layout(self) -> Mapping[str, str]:
        """Layouts it prefers, by op name; passes ask.

        ``conv: NHWC``: channels last. ``attention: strided``: it takes a region of the
        op and the views around it, and never copies for them. ``quantize: region``:
        products and sums between integers of 8 bits reach it as one region. ``shuffle:
        conv``: a region of a pointwise convolution may end by interleaving channels.
        ``reduce_window: mean``: a sum over windows may be divided by constants;
        ``apart``: extremes of large windows are to be taken axis by axis.
        ``gather: region``: what makes negative indices count from the end joins it.
        ``dot: float32``: products of narrower floats reach it as those of float32.
        """
        return {}

    def fusable(self) -> frozenset[str]:
        """Names of the elementwise ops which it runs as one region; passes ask."""
        return frozenset()

    def fuses(self, op: Op, types: Sequence[Type]) -> bool:
        """Whether an op on operands of these types may stand in such a region.

        By default those named, on floats of 32 bits or more. A backend may take
        ``update_slice`` and ``reduce`` of a region's values at its end too.
        """
        if op.name not in self.fusable():
            return False
        dtypes = {t.dtype for t in types if isinstance(t, TensorType)}
        return len(dtypes) == 1 and all(
            d.is_float and d.accumulate is d for d in dtypes
        )


class TableBackend(Backend):
    """Level one: a table from the name of an op to a function that runs it.

    A function takes the op, whose fields are numbers by then, and the operands' arrays;
    it gives one array or a tuple of them. What the table lacks is decomposed, else runs
    on the host.

    Attributes:
        table: The functions, by the names of ops.
        dtypes: Names of the dtypes which it takes; all if empty.
        wide: Dtypes that the functions compute in another one, as ``{"float16":
            "float32"}``: operands are converted by ``convert``. A result is converted
            to its own dtype wherever it has another one.
    """

    table: ClassVar[Mapping[str, Callable[..., Any]]] = {}
    dtypes: ClassVar[frozenset[str]] = frozenset()
    wide: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls) -> None:
        unknown = {*cls.dtypes, *cls.wide, *cls.wide.values()} - DTYPES.keys()
        if unknown:
            words = ", ".join(map(repr, sorted(unknown)))
            raise ArgumentError(f"{cls.__name__}: no dtype is called {words}")

    def supports(self, op: Op, types: Sequence[Type]) -> bool:
        """Whether the op is in the table, on dtypes that it takes."""
        if not self.takes(op, types):
            return False
        if op.name in self.table:
            return self.accepts(op, types)
        return op.name in _STRUCTURE

    def holds(self, type_: Type) -> bool:
        """Tensors of its dtypes."""
        if not on_device(type_) or not isinstance(type_, TensorType):
            return False
        return not self.dtypes or type_.dtype.name in self.dtypes

    def takes(self, op: Op, types: Sequence[Type]) -> bool:
        """Whether operands, and a result whose dtype the op names, can be its arrays.

        An op that names none gives results of the operands' dtype or of another that
        follows from it (bool of a comparison, int64 of a position).
        """
        named: object = getattr(op, "dtype", None)
        ends = [TensorType(named, ())] if isinstance(named, DType) else []
        return all(map(self.holds, [*types, *ends]))

    def accepts(self, op: Op, types: Sequence[Type]) -> bool:
        """What else it asks of an op in the table; by default nothing."""
        return True

    def convert(self, array: Any, dtype: DType) -> Any:
        """An array as one of another dtype, or itself if it has it; ``wide`` needs it.

        Integers wrap around, floats round.
        """
        return array

    def kernel(self, request: Request) -> Kernel:
        """The op's function, for this op."""
        op, name, convert = request.op, request.op.name, self.convert
        run = partial(self.table.get(name) or _STRUCTURE[name], op)
        if not self.wide:
            return run
        into = [_wider(t, self.wide if op.wide else {}) for t in request.types]
        ends = [t.dtype for t in request.results if isinstance(t, TensorType)]

        def call(*arrays: Any) -> Any:
            found = run(*map(convert, arrays, into))
            results = found if isinstance(found, tuple) else (found,)
            return tuple(map(convert, results, ends))

        return call


def _wider(type_: Type, wide: Mapping[str, str]) -> DType:
    assert isinstance(type_, TensorType)
    name = type_.dtype.name
    return DTYPES[wide.get(name, name)]


def _same(op: Op, *arrays: Any) -> tuple[Any, ...]:
    return arrays


def _nothing(op: Op, *arrays: Any) -> tuple[Any, ...]:
    return ()


_STRUCTURE: dict[str, Kernel] = {
    "barrier": _same,
    "copy_to": _same,
    "bind_dims": _nothing,
}
"""Ops that compute nothing: no table needs them, and they are in no region."""


class GraphBackend(Backend):
    """Level two: compiles graphs of the ops that it claims.

    A model reaches it in as few and large pieces as can be; the shared executor runs
    what lies between them: ops that it does not claim, control flow, sizes that only
    a run finds out. All dims of a graph are known: one is compiled for each binding.
    """

    regions: ClassVar[bool] = True

    @abstractmethod
    def claims(self, op: Op, types: Sequence[Type]) -> bool:
        """Whether an op on operands of these types may stand in its graphs.

        Asked without a device, and while dims may still be symbols: the answer holds
        for all sizes that they may have.
        """

    @abstractmethod
    def compile(self, graph: Graph) -> Kernel:
        """A function from the arrays of a graph's inputs to a tuple of its outputs'.

        ``graph.constants`` are values that never change: pack them here, once.
        """

    def compile_strictly(self, graph: Graph) -> Kernel:
        """As ``compile``, for `Request.strict_float`: each op as it is written.

        By default ``compile`` does that already.
        """
        return self.compile(graph)

    @final
    def supports(self, op: Op, types: Sequence[Type]) -> bool:
        """What it claims, regions of that, and ops that compute nothing."""
        if isinstance(op, Fused):
            return op.kind == REGION
        return op.name in _STRUCTURE or self.claims(op, types)

    @final
    def kernel(self, request: Request) -> Kernel:
        """A region compiled, or a single op that could not join one."""
        make = self.compile_strictly if request.strict_float else self.compile
        if isinstance(request.op, Fused):
            return make(request.op.body)
        if request.op.name in _STRUCTURE:
            return partial(_STRUCTURE[request.op.name], request.op)
        return make(graph_of(request))


def graph_of(request: Request) -> Graph:
    """A request as a graph of its one op."""
    values = tuple(map(Value, request.types))
    rows = zip(values, request.constants, strict=True)
    known = {v: constant for v, constant in rows if constant is not None}
    results = tuple(map(Value, request.results))
    node = Node(request.op, values, results)
    names = tuple(f"in{i}" for i in range(len(values)))
    ends = tuple(f"out{i}" for i in range(len(results)))
    return Graph(request.op.name, values, results, (node,), known, names, ends)
