"""Programs and plans: a graph made ready for a backend, and its steps for one binding.

A ``Program`` is what a graph is compiled to. For each binding of its symbols (a batch
size, a sequence length) it keeps a ``Plan``: ordered steps over numbered slots, whose
kernels know all sizes. Dims that only a run finds out make a step choose its kernel in
the run.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from threading import RLock
from typing import Any

import numpy as np

from graphwright.backends.arena import SMALL, Ends, Layout, plan_layout
from graphwright.backends.contract import Into, Kernel, Request
from graphwright.backends.frame import Binding, Frame
from graphwright.backends.homes import Homes
from graphwright.backends.host import (
    Fallback,
    built_kernel,
    fetched,
    host_kernel,
    is_table,
    placed,
    remote,
)
from graphwright.backends.lease import owned
from graphwright.backends.loop import Loop, fits, in_place
from graphwright.backends.options import Options
from graphwright.backends.steps import (
    Resident,
    Run,
    Step,
    StepFunction,
    View,
    actual,
    as_given,
    blamed,
    block_of,
    by_shapes,
    effect_step,
    frees_of,
    late_symbols,
    nbytes_of,
    outer_symbols,
    peak_of,
    written,
)
from graphwright.ir.constant import Constant
from graphwright.ir.emitter import Value
from graphwright.ir.errors import (
    GraphwrightError,
    IndexBoundsError,
    UnsupportedOpError,
)
from graphwright.ir.evaluate import bind_inputs, check_guards, define_symbols
from graphwright.ir.graph import Graph, Node
from graphwright.ir.op import Tier, Trait
from graphwright.ir.ops.control import WhileLoop
from graphwright.ir.ops.effects import CopyTo, Effect
from graphwright.ir.ops.foreign import Foreign
from graphwright.ir.ops.fused import Placed
from graphwright.ir.types import TensorType, bind_type, type_symbols

_MAX_PLANS = 32
_MAX_KERNELS = 256

Env = dict[str, int]

_logger = logging.getLogger("graphwright.run")


class Plan:
    """The steps of a program for one binding."""

    def __init__(self, program: "Program", env: Env, carried: int = -1) -> None:
        self.program, self.env = program, env
        graph = program.graph
        self.slots: dict[Value, int] = {}
        for v in graph.inputs:
            self._slot(v)
        self.initial: list[tuple[int, Any]] = []
        for v, constant in program.constants.items():
            self.initial.append((self._slot(v), constant))
        frees = frees_of(graph, program.constants)
        self.steps = [
            self._step(node, frees.get(i, ())) for i, node in enumerate(graph.nodes)
        ]
        self.inputs = [self.slots[v] for v in graph.inputs]
        self.outputs = [self.slots[v] for v in graph.outputs]
        self.peak_bytes = peak_of(self.steps)
        own = self.inputs[2 : 2 + max(carried, 0)]  # a loop's
        self.updated = in_place(self.steps, own, self.outputs) if own else {}
        self.layout = self._layout(carried >= 0)
        fed = {*self.inputs, *self.layout.targets}
        self._made = [row for row, slot in enumerate(self.outputs) if slot not in fed]
        self._idle: list[Frame] = []
        program.options.show(graph, env, self.steps)

    def _layout(self, turning: bool) -> Layout:
        """Places in the arena of all results but those that outlive the run.

        With ``turning`` inputs and outputs lie where a loop has them: none is copied.
        """
        graph = self.program.graph
        kept, copied = set(self.updated), set[int]()
        for step in self.steps:
            if isinstance(step.node.op, Effect):
                kept.update(step.inputs)
        for v in graph.outputs:
            block = block_of(v.type, self.env)
            small = block is not None and block.nbytes <= SMALL and not turning
            (copied if small else kept).add(self.slots[v])
        outside = {*self.inputs, *(slot for slot, _ in self.initial)}
        blocks = {self.slots[v]: block_of(v.type, self.env) for v in graph.inputs}
        inputs = {s: b for s, b in blocks.items() if b is not None and not turning}
        targets = [(self.outputs[i], self.inputs[j], j) for i, j in self.program.writes]
        ends = Ends(inputs, kept, copied - kept, self.outputs, targets)
        return plan_layout(self.steps, ends, outside, len(self.slots))

    def frame(self) -> Frame:
        """A frame that no other run uses; a run gives it back."""
        try:
            return self._idle.pop()
        except IndexError:
            read = {*self.outputs}.union(*(step.read() for step in self.steps))
            constants = [(s, c.value) for s, c in self.initial if s in read]
            return Frame(self.layout, constants, self.inputs, self.outputs)

    def _slot(self, v: Value) -> int:
        return self.slots.setdefault(v, len(self.slots))

    def _step(self, node: Node, frees: Sequence[Value]) -> Step:
        inputs = tuple(self.slots[v] for v in node.operands)
        outputs = tuple(self._slot(v) for v in node.results)
        size = sum(nbytes_of(bind_type(v.type, self.env)) for v in node.results)
        run = self.program.step_function(node, self.env)
        return Step(node, run, inputs, outputs, tuple(map(self._slot, frees)), size)

    def run(self, feeds: Sequence[Any], env: Env, run: Run) -> list[Any]:
        """Outputs for inputs; ``env`` grows by the symbols that the run finds out."""
        run.meter.reserve(self.peak_bytes, "this run")
        frame = self.frame()
        try:
            careful = run.meter.ticking and any(s.careful for s in self.steps)
            if run.observer is None and not careful:
                try:
                    return self._run_bound(frame, feeds, env, run)
                except IndexBoundsError:  # once more, to learn which step it is
                    if run.lent:
                        raise
            slots = self._filled(list(frame.slots), feeds)
            for number in range(len(self.steps)):
                run.meter.check()
                self._run_step(number, slots, frame, env, run)
            return self._results(slots)
        finally:
            self._idle.append(frame)

    def _filled(self, slots: list[Any], feeds: Sequence[Any]) -> list[Any]:
        for slot, value in zip(self.inputs, feeds, strict=True):
            slots[slot] = value
        return slots

    def _results(self, slots: list[Any]) -> list[Any]:
        """The outputs, those copied that share memory which the next run writes to."""
        found = [slots[i] for i in self.outputs]
        for row in self._made:
            x = found[row]
            if isinstance(x, np.ndarray) and not owned(x):
                found[row] = np.array(x, order="C")
        return found

    def _run_bound(
        self, frame: Frame, feeds: Sequence[Any], env: Env, run: Run
    ) -> list[Any]:
        if not run.meter.ticking and (found := frame.run(feeds)) is not None:
            return found
        fresh = frame.fresh(feeds, run.lent)
        binding = frame.binding(feeds, fresh)
        slots = self._filled(list(binding.slots), feeds)
        for slot, array in fresh.items():
            slots[slot] = array
        self.run_segments(binding, slots, frame, env, run)
        return self._results(slots)

    def run_segments(
        self, binding: Binding, slots: list[Any], frame: Frame, env: Env, run: Run
    ) -> None:
        """Runs all steps on what is in the slots, bound ones as they are bound."""
        check = run.meter.check if run.meter.ticking else None
        for calls, number in binding.segments:
            for call in calls:
                if check is not None:
                    check()
                call()
            if number is not None:
                if check is not None:
                    check()
                self._run_step(number, slots, frame, env, run)

    def _run_step(
        self, number: int, slots: list[Any], frame: Frame, env: Env, run: Run
    ) -> None:
        """Runs a step with what is in the slots."""
        step = self.steps[number]
        operands = [slots[i] for i in step.inputs]
        careful = run.observer is not None or run.meter.ticking
        if careful and step.careful is not None:
            results: Sequence[Any] = step.careful(operands, env, run)
        elif step.into is not None:
            rows = zip(frame.places[number], step.outputs, strict=True)
            places = [slots[s] if place is None else place for place, s in rows]
            results = written(step.into, places, operands, step.node, run.observer)
        else:
            results = step.run(operands, env, run)
        for slot, value in zip(step.outputs, results, strict=True):
            slots[slot] = value
        if run.observer is not None:
            shown = self.program.homes.shown(step.node, results)
            run.observer.after(step.node, shown, self.program.graph)
        for slot in step.frees:
            slots[slot] = None


class Program:
    """A graph compiled for a backend: plans by binding, kernels, fallbacks."""

    def __init__(
        self,
        graph: Graph,
        options: Options,
        outer: frozenset[str] = frozenset(),
        writes: Sequence[tuple[int, int]] = (),
    ) -> None:
        self.graph, self.options, self.writes = graph, options, writes
        used = {v for node in graph.nodes for v in node.operands} | set(graph.outputs)
        self.constants = {
            v: Resident(c, options.backend)
            for v, c in graph.constants.items()
            if v in used
        }
        self.fallbacks: dict[Fallback, None] = {}
        self._keys = sorted(graph.input_symbols() | outer)
        self._late = late_symbols(graph)
        self._plans: dict[tuple[int, ...], Plan] = {}
        self._only: Plan | None = None
        self._subprograms: dict[int, tuple[Graph, Program]] = {}
        self._lock = RLock()  # a loop plans its body
        self.homes = Homes(graph, options.backend, options.devices)
        self._kernel = lru_cache(maxsize=_MAX_KERNELS)(self._kernel_for)

    def bind(self, feeds: Sequence[Any], outer: Mapping[str, int]) -> Env:
        """Symbols' values from the shapes of the inputs."""
        env: Env = dict(outer)
        if self._keys:
            bind_inputs(self.graph, feeds, env)
        return env

    def plan(self, env: Env) -> Plan:
        """The plan for a binding, made when it is first met."""
        key = tuple(env.get(name, -1) for name in self._keys)
        with self._lock:
            found = self._plans.get(key)
            if found is None:
                if len(self._plans) >= _MAX_PLANS:
                    self._plans.pop(next(iter(self._plans)))
                known = {k: v for k, v in env.items() if k not in self._late}
                found = self._plans[key] = Plan(self, known)
                if not (self._keys or self.graph.guards):
                    self._only = found
        return found

    def run(
        self, feeds: Sequence[Any], run: Run, outer: Mapping[str, int]
    ) -> list[Any]:
        """Outputs for inputs."""
        if self._only is not None:
            return self._only.run(feeds, dict(outer), run)
        env = self.bind(feeds, outer)
        if self.graph.guards:
            check_guards(list(self.graph.guards), env)
        return self.plan(env).run(feeds, env, run)

    # Steps ------------------------------------------------------------------------

    def step_function(self, node: Node, env: Env) -> "StepFunction | Into":
        """What runs a node where the symbols in ``env`` are known."""
        op = node.op
        if isinstance(op, Effect):
            return effect_step(op)
        if isinstance(op, Placed):
            return self._placed_step(op)
        if isinstance(op, CopyTo) and self.options.devices:
            return self.homes.copy(node)
        if op.tier is Tier.CONTROL and not self._whole(node):
            return self._loop_step(node, env)
        if self._settled(node, env):
            return self._static_step(node, env)
        return self._dynamic_step(node)

    def _whole(self, node: Node) -> bool:
        """Whether the backend takes a node, as it said when the graph was compiled."""
        return self.options.backend.supports(node.op, [v.type for v in node.operands])

    def _settled(self, node: Node, env: Env) -> bool:
        """Whether all dims of a node are known before the run."""
        names = set(node.op.used_symbols())
        for v in (*node.operands, *node.results):
            names |= type_symbols(v.type)
            if isinstance(v.type, TensorType) and v.type.shape is None:
                return False
        return not node.op.defined_symbols() and names <= env.keys()

    def _constants_of(self, node: Node) -> tuple[Constant | None, ...]:
        return tuple(self.graph.constants.get(v) for v in node.operands)

    def _static_step(self, node: Node, env: Env) -> "StepFunction | Into":
        types = tuple(bind_type(v.type, env) for v in node.operands)
        results = tuple(bind_type(v.type, env) for v in node.results)
        request = Request(node.op.bind(env), types, self._constants_of(node), results)
        kernel = self._kernel_for(request, node)
        if isinstance(kernel, Into):
            return kernel
        single = len(node.results) == 1

        def step(operands: list[Any], _: Env, run: Run) -> Sequence[Any]:
            try:
                found = kernel(*operands)
            except GraphwrightError as error:
                raise blamed(error, node) from error
            if not single:
                several: Sequence[Any] = found
                return several
            return (as_given(found[0] if type(found) is tuple else found, results[0]),)

        return View(step) if Trait.VIEW in node.op.traits else step

    def _dynamic_step(self, node: Node) -> StepFunction:
        constants = self._constants_of(node)

        @by_shapes(node)
        def chosen(operands: list[Any], env: Env) -> tuple[Kernel, int]:
            types = tuple(
                actual(x, v.type) for x, v in zip(operands, node.operands, strict=True)
            )
            op = node.op.bind(env)
            found = op.result_type(*types)
            declared = found if isinstance(found, tuple) else (found,)
            size = sum(map(nbytes_of, declared))
            return self._kernel(Request(op, types, constants, declared), node), size

        def step(operands: list[Any], env: Env, run: Run) -> Sequence[Any]:
            try:
                kernel, size = chosen(operands, env)
                run.meter.reserve(size, node.op.name)
                results = kernel(*operands)
            except GraphwrightError as error:
                raise blamed(error, node) from error
            results = results if isinstance(results, tuple) else (results,)
            return self._settle(node, operands, results, env)

        return step

    def _settle(
        self, node: Node, operands: Sequence[Any], results: Sequence[Any], env: Env
    ) -> list[Any]:
        """Results as the backend's arrays; symbols that they define are bound."""
        backend = self.options.backend
        arrays = [
            placed(r, v.type, backend)
            for r, v in zip(results, node.results, strict=True)
        ]
        if node.op.defined_symbols():
            known = [
                fetched(x, v.type, backend)
                for x, v in zip(operands, node.operands, strict=True)
                if not node.results  # only then do operands say what symbols are
            ]
            define_symbols(node, known, arrays, env)
        return arrays

    def _kernel_for(self, request: Request, node: Node) -> Kernel:
        backend = self.options.backend
        if self._whole(node) and backend.supports(request.op, request.types):
            strict = self.options.strict_float
            request = replace(request, strict_float=strict)
            made = built_kernel(request, backend, self.options.strict)
            if made is not None:
                return made
        if is_table(request.op, request.types, request.results):
            return host_kernel(request, backend)
        words = ", ".join(map(str, request.types))
        fallback = Fallback(request.op.name, words, str(node.source or ""))
        if self.options.strict:
            raise UnsupportedOpError(
                f"{fallback.source}: backend {backend.name!r} does not run"
                f" {fallback.op}({words}): allow fallback with strict=False"
            )
        if fallback not in self.fallbacks:
            self.fallbacks[fallback] = None
            _logger.warning("%s", fallback)
        return host_kernel(request, backend)

    def _control_step(self, node: Node) -> StepFunction:
        backend = self.options.backend

        def step(operands: list[Any], env: Env, run: Run) -> Sequence[Any]:
            def call(graph: Graph, args: Sequence[Any]) -> Sequence[Any]:
                values = [
                    placed(x, v.type, backend)
                    for x, v in zip(args, graph.inputs, strict=True)
                ]
                found = self.subprogram(graph, env).run(values, run, env)
                return remote(found, graph.output_types, backend)

            op = node.op.bind(env)
            if isinstance(op, WhileLoop):
                op = op.replace(
                    max_iterations=self.options.limits.turns(op.max_iterations)
                )
            try:
                types = [v.type for v in node.operands]
                if isinstance(op, Foreign):  # expanded for these very values
                    shown = [
                        fetched(x, t, backend)
                        for x, t in zip(operands, types, strict=True)
                    ]
                else:
                    shown = remote(operands, types, backend)
                results = op.run(call, shown)
            except GraphwrightError as error:
                raise blamed(error, node) from error
            return self._settle(node, operands, results, env)

        return step

    def _placed_step(self, op: Placed) -> StepFunction:
        options = self.options
        there = replace(
            options, backend=options.devices.get(op.device, options.backend)
        )

        def step(operands: list[Any], env: Env, run: Run) -> Sequence[Any]:
            return self.subprogram(op.body, env, there).run(operands, run, env)

        return step

    def _loop_step(self, node: Node, env: Env) -> "StepFunction | Into":
        step, op = self._control_step(node), node.op
        if not isinstance(op, WhileLoop) or not fits(op, env):
            return step
        plan = Plan(self.subprogram(op.body, env), dict(env), carried=op.carried)
        if all(s.into is None for s in plan.steps):  # perhaps no arrays of the host
            return step
        limit = self.options.limits.turns(op.max_iterations)
        return Loop(node, plan, dict(env), limit).kernel(step)

    def subprogram(
        self, graph: Graph, env: Env, options: Options | None = None
    ) -> "Program":
        """The program of a sub-graph, made once."""
        with self._lock:
            found = self._subprograms.get(id(graph))
            if found is None:
                if len(self._subprograms) >= _MAX_KERNELS:
                    self._subprograms.pop(next(iter(self._subprograms)))
                made = Program(graph, options or self.options, outer_symbols(graph))
                made.fallbacks = self.fallbacks
                found = self._subprograms[id(graph)] = (graph, made)
        return found[1]
