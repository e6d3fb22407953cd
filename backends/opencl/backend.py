"""The OpenCL backend: graphs as few kernels, on any device."""

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from graphwright.backends.codegen import complexes
from graphwright.backends.codegen.elements import HEAVY, Array, is_pulled
from graphwright.backends.codegen.kernels import attention
from graphwright.backends.codegen.kernels.table import SINGLES, Packed
from graphwright.backends.codegen.lower import Lowered, lowered
from graphwright.backends.codegen.narrow import is_stored
from graphwright.backends.codegen.parts import part_of
from graphwright.backends.codegen.pulled_more import MOST_SEEN
from graphwright.backends.contract import Backend, BuildError, GraphBackend, Kernel
from graphwright.backends.opencl.launch import Launch, LaunchPlan
from graphwright.backends.opencl.library import (
    Session,
    found,
    has_library,
    missing,
    session,
)
from graphwright.backends.opencl.programs import Programs, all_named
from graphwright.backends.opencl.resident import Residents
from graphwright.backends.opencl.target import Schedule, target_of, unknown, wanted
from graphwright.backends.opencl.tuner import Tuner
from graphwright.backends.progress import Progress
from graphwright.backends.tuning import Tuning
from graphwright.backends.workers import Workers
from graphwright.ir.dim import Dim, product
from graphwright.ir.dtype import bool_, float64
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph
from graphwright.ir.op import Op
from graphwright.ir.ops.attention import Attention
from graphwright.ir.ops.fused import Fused
from graphwright.ir.ops.index import Scatter
from graphwright.ir.ops.select import Bitcast
from graphwright.ir.ops.signal import Fft
from graphwright.ir.types import TensorType, Type


class OpenCLBackend(GraphBackend):
    """Runs graphs on one OpenCL device.

    Args:
        device: Its number, over all platforms.
        schedule: ``"cpu"`` or ``"gpu"``; by default ``$GRAPHWRIGHT_OPENCL_SCHEDULE``,
            else what suits the device.
    """

    name = "opencl"

    def __init__(self, device: int = 0, schedule: Schedule | None = None) -> None:
        self._device = device
        self._schedule = schedule or wanted()
        self._residents = Residents()
        self._tuning = Tuning()
        if device:
            self.name = f"opencl:{device}"

    def at(self, device: int) -> Backend:
        """The backend for another of the machine's devices."""
        if device == self._device:
            return self
        return OpenCLBackend(device, self._schedule)

    def tuned(self, tuning: Tuning) -> Backend:
        """The same backend, device and built programs, its kernels so chosen."""
        found = OpenCLBackend(self._device, self._schedule)
        vars(found).update(_session=self._session, _programs=self._programs)
        found._residents, found._tuning = self._residents, tuning
        return found

    def unavailable(self) -> str | None:
        """What is missing: PyOpenCL, or a device."""
        return unknown(self._schedule) or missing(self._device)

    def devices(self) -> list[str]:
        """``opencl:0`` and so on, as many as all platforms have."""
        if not has_library():
            return []
        return [f"opencl:{i}" for i in range(len(found().devices))]

    def claims(self, op: Op, types: Sequence[Type]) -> bool:
        """Whether an op is written out in loops, on dtypes that kernels store."""
        known = is_pulled(op) or op.name in SINGLES or op.name in complexes.ALONE
        if not known or not _stored(types):
            return False
        if isinstance(op, Fused):
            return op.kind == "conv" and self._claims_all(op, types)
        results = op.result_type(*types)
        ends = results if isinstance(results, tuple) else (results,)
        if not _stored(ends):
            return False
        if complexes.is_complex([*types, *ends]) and not complexes.takes(op, types):
            return False
        if _needs_doubles(op, [*types, *ends]) and not self._doubles:
            return False
        return _takes(op, types)

    @cached_property
    def _doubles(self) -> bool:
        """Whether there is float64; if there is no device, one that has it may come."""
        return self.unavailable() is not None or self._session.doubles

    def _claims_all(self, op: Fused, types: Sequence[Type]) -> bool:
        """Whether all nodes of a body are claimed."""
        known = zip(op.body.inputs, types, strict=True)
        found = dict[Value, Type](known)
        for node in op.body.nodes:
            own = [found.get(v, v.type) for v in node.operands]
            if not self.claims(node.op, own):
                return False
            results = node.op.result_type(*own)
            ends = results if isinstance(results, tuple) else (results,)
            found.update(zip(node.results, ends, strict=True))
        return True

    def layout(self) -> Mapping[str, str]:
        """Channels last suit vectors along them; shuffled ones are read as they lie.

        A GPU reads half as much where floats are half as wide.
        """
        found = {"conv": "NHWC", "shuffle": "read", "reduce_window": "apart"}
        gpu = self.unavailable() is None and self._session.schedule == "gpu"
        return found if gpu else {**found, "dot": "float32"}

    @property
    def integer_products(self) -> bool:
        """Whether the processor adds products of bytes faster than those of floats."""
        return self.unavailable() is None and self._session.dots

    @cached_property
    def _session(self) -> Session:
        return session(self._device, self._schedule)

    @cached_property
    def _programs(self) -> Programs:
        return Programs(self._session)

    def compile(self, graph: Graph) -> Kernel:
        """A launch plan, all of its kernels built."""
        return self._compiled(graph, strict=False)

    def compile_strictly(self, graph: Graph) -> Kernel:
        """The same without Winograd's convolutions and without fused multiply-adds."""
        return self._compiled(graph, strict=True)

    def _compiled(self, graph: Graph, strict: bool) -> Kernel:
        own = self._session
        ways = own.shares, strict, own.dots, own.amx
        target = target_of(own.device, own.schedule, *ways)
        types, graph = graph.output_types, complexes.in_parts(graph)
        graph = attention.decomposed(graph, target)
        heavy = sum(node.op.name in HEAVY for node in graph.nodes)
        progress = Progress("tuning kernels", heavy)
        tuner = Tuner(self._session, self._programs, self._tuning, progress)
        with progress.shown():
            found = lowered(graph, target, tuner.choose)
        sources = all_named([step.kernel for step in found.steps], strict)
        launches = [
            Launch(step.kernel, name, source)
            for step, (name, source) in zip(found.steps, sources, strict=True)
        ]
        parts = [
            part_of(step, name, source, graph)
            for step, (name, source) in zip(found.steps, sources, strict=True)
        ]
        ends = [found.arrays[v] for v in (*graph.outputs, *graph.inputs)]
        count = len(graph.outputs)
        try:
            with Workers(target.cores) as pool:
                constants = self._residents.of(self._wanted(graph, found), pool)
                plan = LaunchPlan(
                    self._session, self._programs, launches, ends, count, constants
                )
        except BuildError as error:
            raise self._blamed(found, sources, error) from error
        return plan.into(parts, types)

    def _blamed(
        self, lowered: Lowered, sources: Sequence[tuple[str, str]], error: BuildError
    ) -> BuildError:
        """The error of the one kernel that does not build, and of which node."""
        for step, source in zip(lowered.steps, sources, strict=True):
            try:
                self._programs.build([source])
            except BuildError as own:
                node = step.node
                made = BuildError(f"{node.source or node.op.name}: {own}")
                for note in own.__notes__:
                    made.add_note(note)
                return made
        return error

    def _wanted(self, graph: Graph, lowered: Lowered) -> dict[Array, Packed]:
        """What never changes, as it is read."""
        wanted = dict(lowered.packed)
        read = {array for step in lowered.steps for array in step.kernel.inputs}
        for v, constant in graph.constants.items():
            array = lowered.arrays.get(v)
            if array in read and array is not None:
                wanted[array] = Packed(constant, "", np.ascontiguousarray)
        return wanted


def _stored(types: Sequence[Type]) -> bool:
    return all(
        isinstance(t, TensorType) and is_stored(complexes.real_of(t.dtype))
        for t in types
    )


def _needs_doubles(op: Op, types: Sequence[Type]) -> bool:
    """Whether something is computed in float64; transforms always are."""
    dtypes = [complexes.real_of(t.dtype) for t in types if isinstance(t, TensorType)]
    return isinstance(op, Fft) or float64 in dtypes


_WHOLE = (
    *("reshape", "transpose", "broadcast_to", "slice", "concat", "pad", "gather"),
    *("dynamic_update_slice", "cast", "where", "sort"),
)
"""Ops that keep elements as they are, or convert them."""


def _takes(op: Op, types: Sequence[Type]) -> bool:
    """What loops are not too slow for, and no arithmetic on parts of bytes."""
    tensors = [t for t in types if isinstance(t, TensorType)]
    if isinstance(op, Attention):
        return attention.accepts(op, types)
    if isinstance(op, Scatter):
        few = _few(tensors[1].dims[op.batch_dims :])
        return few or tensors[0].dtype is not bool_
    if isinstance(op, Bitcast):  # which NaN of 8 bits it is would get lost
        both = tensors[0].dtype, op.dtype
        return all(t.bits >= 16 or (t.bits == 8 and not t.is_float) for t in both)
    whole = all(not t.dtype.is_int or t.dtype.bits >= 8 for t in tensors)
    return op.name in _WHOLE or whole


def _few(sizes: Sequence[Dim]) -> bool:
    """Whether each result can look at all elements of some axes."""
    count = product(sizes)
    return isinstance(count, int) and count <= MOST_SEEN
