"""Executables: a compiled graph with its plans, state and reports."""

import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from graphwright.backends.arrays import as_host_array
from graphwright.backends.contract import Backend
from graphwright.backends.digest import plan_digest
from graphwright.backends.host import Fallback, fetched, placed
from graphwright.backends.limits import Cancellation, Meter, exhausted
from graphwright.backends.observe import Callback, Observer, Reading
from graphwright.backends.options import Options
from graphwright.backends.plan import Plan
from graphwright.backends.program import Program
from graphwright.backends.steps import Run
from graphwright.backends.work import Work, flops_of, work_of
from graphwright.ir.arguments import checked
from graphwright.ir.dim import evaluate as evaluate_dim
from graphwright.ir.dtype import string
from graphwright.ir.errors import FeedError
from graphwright.ir.evaluate import bind_shape
from graphwright.ir.graph import Graph, Node
from graphwright.ir.ops.fused import Placed
from graphwright.ir.record import record
from graphwright.ir.types import TensorType, Type


@record(frozen=True, slots=True)
class StepTime:
    """Time of one step in a profiled run, or of one of the kernels in it.

    Attributes:
        op: Name of the op; of a kernel, of the main one that it computes.
        source: The source node, as text.
        seconds: Wall time; of a kernel, the device's.
        values: The values of the original graph that it computes, by name.
        kernel: Name of the device's kernel, if it is one.
        flops: Floating-point operations of the node, as it is defined; of several
            kernels of a node the first has them all.
        nbytes: Bytes of its operands and results, likewise.
    """

    op: str
    source: str
    seconds: float
    values: tuple[str, ...] = ()
    kernel: str = ""
    flops: int = 0
    nbytes: int = 0


def _times(
    reading: Reading, seconds: float, sizes: Mapping[str, int]
) -> Iterator[StepTime]:
    """The kernels of a step that took some time, or the step itself."""
    names = tuple(o.value for o in reading.origins if not o.path)
    rows = [(p.node, own, p.values, p.name) for p, own in reading.parts]
    seen = set[Node]()
    for node, own, values, kernel in rows or [(reading.node, seconds, names, "")]:
        work = Work() if node in seen else work_of(node, sizes)
        seen.add(node)
        source = str(node.source or "")
        yield StepTime(
            node.op.name, source, own, values, kernel, work.flops, work.nbytes
        )


def _taken(type_: Type, backend: Backend) -> tuple[Any, Any] | None:
    """Shape and dtype of what goes in as it is; None where that is not known."""
    if not isinstance(type_, TensorType) or type_.shape is None:
        return None
    kept = type(backend).to_device is Backend.to_device and type_.dtype is not string
    fixed = kept and all(isinstance(d, int) for d in type_.shape)
    return (type_.shape, type_.dtype.numpy) if fixed else None


def _is_as(x: Any, taken: tuple[Any, Any] | None) -> bool:
    """Whether nothing is left to do for an input."""
    if taken is None or type(x) is not np.ndarray:
        return False
    shape, dtype = taken
    return bool(x.shape == shape and (x.dtype is dtype or x.dtype == dtype))


class Executable:
    """A graph compiled for a backend; safe to call from many threads.

    Attributes:
        graph: The graph as given.
        program: The optimised graph with its plans.
        writes: Positions of outputs and of the inputs that they replace: see
            ``run_arrays``.
        state: Variables by name; runs that share one take turns.
    """

    def __init__(
        self,
        graph: Graph,
        lowered: Graph,
        options: Options,
        writes: Sequence[tuple[int, int]] = (),
    ) -> None:
        self.graph, self.options = graph, options
        self.program = Program(lowered, options, writes=writes)
        self.writes = dict(writes)
        self.state: dict[str, Any] = {
            k: placed(c.array(), c.type, options.backend)
            for k, c in lowered.variables.items()
        }
        self._turn = threading.Lock()
        self._timed = options.limits.timeout is not None
        self._observer: Observer | None = None
        self._plain = self._run(None, ())
        self._fixed = not graph.input_symbols()
        self._taken = [_taken(v.type, options.backend) for v in graph.inputs]

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs, in order."""
        return self.graph.input_names

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the outputs, in order."""
        return self.graph.output_names

    @property
    def fallbacks(self) -> list[Fallback]:
        """Ops that ran on the host so far because the backend lacks them."""
        return list(self.program.fallbacks)

    @property
    def placement(self) -> dict[str, list[str]]:
        """What other backends run: sources of nodes, by the backend's name."""
        found: dict[str, dict[str, None]] = {}
        for node in self.program.graph.walk():
            if isinstance(node.op, Placed):
                names = (str(n.source or n.op.name) for n in node.op.body.nodes)
                found.setdefault(node.op.device, {}).update(dict.fromkeys(names))
        return {device: list(names) for device, names in found.items()}

    # Running ------------------------------------------------------------------------

    def execute(
        self, feeds: Sequence[Any], *, cancel: Cancellation | None = None
    ) -> list[Any]:
        """Outputs, on the device, for positional inputs.

        Args:
            feeds: One array, or anything with DLPack or a buffer, an input.
            cancel: Stops the run when it is cancelled.

        Raises:
            FeedError: If inputs do not fit.
            BudgetError: If a limit would be exceeded, or the run was cancelled.
            DeviceMemoryError: If there is no memory left; later runs are not harmed.
        """
        return self.run_arrays(self._accept(feeds), cancel=cancel)

    def run_arrays(
        self,
        arrays: list[Any],
        *,
        cancel: Cancellation | None = None,
        lent: Collection[int] = (),
    ) -> list[Any]:
        """As ``execute``, for the device's arrays that are known to fit the inputs.

        Inputs at the positions ``lent`` may be written over by the outputs that replace
        them, which then are these arrays. After an error their contents are undefined.
        """
        run = self._plain
        if cancel is not None or self._observer is not None or self._timed:
            run = self._run(cancel, lent)
        elif lent:
            run = Run(self.state, run.meter, None, lent)
        try:
            if not self.state:
                return self.program.run_apart(arrays, run)
            with self._turn:
                results = self.program.run_apart(arrays, run)
                self._keep_apart([*arrays, *results])
                return results
        except MemoryError as error:
            raise exhausted(error) from error

    def _run(self, cancel: Cancellation | None, lent: Collection[int]) -> Run:
        meter = Meter(self.options.limits, cancel)
        return Run(self.state, meter, self._observer, lent)

    def _keep_apart(self, arrays: Sequence[Any]) -> None:
        """Variables that share memory with what callers hold are copied."""
        host = [x for x in arrays if isinstance(x, np.ndarray)]
        for name, held in self.state.items():
            there = isinstance(held, np.ndarray)
            if there and any(np.may_share_memory(held, x) for x in host):
                self.state[name] = held.copy()

    def _accept(self, feeds: Sequence[Any]) -> list[Any]:
        graph = self.graph
        if len(feeds) == len(self._taken) and all(map(_is_as, feeds, self._taken)):
            return list(feeds)
        if len(feeds) != len(graph.inputs):
            names, count = ", ".join(map(repr, graph.input_names)), len(graph.inputs)
            raise FeedError(
                f"{graph.name} takes {count} inputs ({names}), got {len(feeds)}"
            )
        accepted, backend = list[Any](), self.options.backend
        for x, v, name in zip(feeds, graph.inputs, graph.input_names, strict=True):
            there = None
            if isinstance(v.type, TensorType) and not isinstance(x, np.ndarray):
                there = backend.adopt(x, v.type.dtype)
            if there is None:
                there = placed(as_host_array(x, v.type, name), v.type, backend)
            accepted.append(there)
        if self._fixed:
            for x, v, name in zip(
                accepted, graph.inputs, graph.input_names, strict=True
            ):
                bind_shape(v.type, getattr(x, "shape", ()), {}, f"input {name!r}")
        return accepted

    def positional(self, feeds: Mapping[str, Any]) -> list[Any]:
        """Feeds by name, in the order of the inputs.

        Raises:
            FeedError: If a name is missing or unknown, or they are no dict.
        """
        names = self.graph.input_names
        if not isinstance(feeds, Mapping):
            kind = type(feeds).__name__
            raise FeedError(f"feeds are a dict by the inputs' names, got a {kind}")
        unknown = [n for n in feeds if n not in names]
        missing = [n for n in names if n not in feeds]
        if unknown or missing:
            words = f"no input is called {unknown[0]!r}" if unknown else ""
            words = words or f"input {missing[0]!r} is missing"
            raise FeedError(f"{words}; the inputs are {', '.join(map(repr, names))}")
        return [feeds[n] for n in names]

    def run(self, outputs: Sequence[str] | None, feeds: Mapping[str, Any]) -> list[Any]:
        """ONNX Runtime's spelling: the named outputs (all if None) as numpy arrays."""
        if not isinstance(outputs, Sequence | None) or isinstance(outputs, str):
            raise FeedError(f"outputs are a list of names, or None, got {outputs!r}")
        found = self.execute(self.positional(feeds))
        host = [
            self._to_host(x, v.type)
            for x, v in zip(found, self.graph.outputs, strict=True)
        ]
        if outputs is None:
            return host
        names = self.graph.output_names
        unknown = [n for n in outputs if n not in names]
        if unknown:
            raise FeedError(
                f"no output is called {unknown[0]!r}; they are {', '.join(names)}"
            )
        return [host[names.index(n)] for n in outputs]

    def _to_host(self, x: Any, type_: Type) -> Any:
        return fetched(x, type_, self.options.backend)

    # Read-out -------------------------------------------------------------------------

    @checked
    @contextmanager
    def observe(
        self,
        callback: Callback,
        *,
        named: bool = False,
        copy: bool = True,
        timed: bool = False,
    ) -> Iterator[None]:
        """Calls back with a copy of each value that runs make inside the block.

        The plan stays as it is.

        Args:
            callback: Called after each step, for each of its results.
            named: Whether to leave out what equals no value of the original graph.
            copy: Whether arrays are copies; else a later step may write over them.
            timed: Whether the device's kernels are timed: ``Reading.parts``.
        """
        before, to_host = self._observer, self.options.backend.to_host
        self._observer = Observer(
            callback, to_host, named=named, copy=copy, timed=timed
        )
        try:
            yield
        finally:
            self._observer = before

    @checked
    def profile(self, feeds: Sequence[Any] | Mapping[str, Any]) -> list[StepTime]:
        """Wall time of each step of one run, in order; of each kernel of a device.

        Args:
            feeds: Inputs, in order or by name.

        Raises:
            FeedError: If they do not fit.
        """
        return self.run_timed(feeds)[1]

    @checked
    def run_timed(
        self, feeds: Sequence[Any] | Mapping[str, Any]
    ) -> tuple[list[Any], list[StepTime]]:
        """Outputs as ``execute`` gives them, and wall time of each step, in order."""
        given = self.positional(feeds) if isinstance(feeds, Mapping) else feeds
        arrays, rows = self._accept(given), list[StepTime]()
        sizes = self.program.bind(arrays, {})
        last = time.perf_counter()

        def note(reading: Reading) -> None:
            nonlocal last
            if reading.index == 0:
                rows.extend(_times(reading, time.perf_counter() - last, sizes))
            last = time.perf_counter()

        with self.observe(note, timed=True):
            last = time.perf_counter()
            results = self.run_arrays(arrays)
        return results, rows

    @checked
    def plan_for(self, **sizes: int) -> Plan:
        """The plan for sizes of the named dims."""
        return self.program.plan(dict(sizes))

    def digest(self, **sizes: int) -> str:
        """What tells the plan for sizes of the named dims from other plans."""
        return plan_digest(self.plan_for(**sizes))

    @checked
    def cost_analysis(self, **sizes: int) -> dict[str, float]:
        """FLOPs and bytes written of a run with these sizes of the named dims.

        Raises:
            UnboundSymbolError: If one is missing.
        """
        flops = written = 0
        for node in self.program.graph.nodes:
            flops += evaluate_dim(flops_of(node, sizes), sizes)
        for step in self.plan_for(**sizes).steps:
            written += step.nbytes
        return {"flops": float(flops), "bytes written": float(written)}

    def memory_analysis(self, **sizes: int) -> dict[str, int]:
        """Bytes of constants, and the peak of results alive, of a run."""
        constants = sum(r.constant.nbytes for r in self.program.constants.values())
        return {"constants": constants, "peak": self.plan_for(**sizes).peak_bytes}

    def __repr__(self) -> str:
        name = self.options.backend.name
        steps = len(self.program.graph.nodes)
        return f"<executable {self.graph.name!r} on {name}: {steps} steps>"
