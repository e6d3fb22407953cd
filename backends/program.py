"""Programs: a graph made ready for a backend, with a plan for each binding.

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

from graphwright.backends.contract import Into, Kernel, Request
from graphwright.backends.homes import Homes
from graphwright.backends.host import (
    Fallback,
    built_kernel,
    fetched,
    host_kernel,
    placed,
    remote,
)
from graphwright.backends.late import Again, Settle, settling
from graphwright.backends.loop import Loop, fits
from graphwright.backends.options import Options
from graphwright.backends.plan import Env, Plan
from graphwright.backends.steps import (
    Resident,
    Run,
    StepFunction,
    View,
    actual,
    as_given,
    blamed,
    by_shapes,
    effect_step,
    late_guards,
    late_symbols,
    nbytes_of,
    outer_symbols,
)
from graphwright.backends.turns import loop_in_turns, turns_of
from graphwright.ir.collector import collector_paused
from graphwright.ir.constant import Constant
from graphwright.ir.errors import (
    GraphwrightError,
    UnsupportedOpError,
)
from graphwright.ir.evaluate import bind_inputs, check_guards
from graphwright.ir.graph import Graph, Node
from graphwright.ir.op import Tier, Trait, is_table
from graphwright.ir.ops.control import Scan, WhileLoop
from graphwright.ir.ops.effects import CopyTo, Effect
from graphwright.ir.ops.foreign import Foreign
from graphwright.ir.ops.fused import Placed
from graphwright.ir.types import TensorType, bind_type, type_symbols

_MAX_PLANS = 32
_MAX_KERNELS = 256

_logger = logging.getLogger("graphwright.run")


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
        self._guards = late_guards(graph)
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
                with collector_paused():
                    found = self._plans[key] = Plan(self, known)
                if not (self._keys or self.graph.guards):
                    self._only = found
        return found

    def run(
        self, feeds: Sequence[Any], run: Run, outer: Mapping[str, int]
    ) -> list[Any]:
        """Outputs for inputs."""
        plan, env = self._planned(feeds, outer)
        return plan.run(feeds, env, run)

    def run_apart(self, feeds: Sequence[Any], run: Run) -> list[Any]:
        """Outputs that share memory with nothing else: what the caller gets."""
        if self._only is not None:
            return self._only.run_apart(feeds, {}, run)
        plan, env = self._planned(feeds, {})
        return plan.run_apart(feeds, env, run)

    def _planned(
        self, feeds: Sequence[Any], outer: Mapping[str, int]
    ) -> tuple[Plan, Env]:
        """The plan for inputs, and the symbols' values."""
        if self._only is not None:
            return self._only, dict(outer)
        env = self.bind(feeds, outer)
        if self.graph.guards:
            check_guards(list(self.graph.guards), env)
        return self.plan(env), env

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
            kernel = self._kernel(Request(op, types, constants, declared), node)
            return Again(kernel) if isinstance(kernel, Into) else kernel, size

        settle = self._settling(node)

        def step(operands: list[Any], env: Env, run: Run) -> Sequence[Any]:
            try:
                kernel, size = chosen(operands, env)
                run.meter.reserve(size, node.op.name)
                results = kernel(*operands)
            except GraphwrightError as error:
                raise blamed(error, node) from error
            results = results if isinstance(results, tuple) else (results,)
            return settle(operands, results, env)

        return step

    def _settling(self, node: Node) -> Settle:
        return settling(node, self._guards.get(node, ()), self.options.backend)

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
        backend, settle = self.options.backend, self._settling(node)

        def step(operands: list[Any], env: Env, run: Run) -> Sequence[Any]:
            def call(graph: Graph, args: Sequence[Any]) -> Sequence[Any]:
                values = [
                    placed(x, v.type, backend)
                    for x, v in zip(args, graph.inputs, strict=True)
                ]
                part = self.subprogram(graph, env, anew=isinstance(node.op, Foreign))
                found = part.run(values, run, env)
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
            return settle(operands, results, env)

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
        if not isinstance(op, WhileLoop | Scan) or not fits(op, env):
            return step
        own = op.carried if isinstance(op, WhileLoop) else 0
        plan = Plan(self.subprogram(op.body, env), dict(env), carried=own)
        if all(s.into is None for s in plan.steps):  # perhaps no arrays of the host
            return step
        turns = turns_of(node, env, self.graph.constants)
        known = turns and loop_in_turns(node, plan, dict(env), turns)
        if known:
            return known.kernel(step)
        if isinstance(op, Scan):
            return step
        limit = self.options.limits.turns(op.max_iterations)
        return Loop(node, plan, dict(env), limit).kernel(step)

    def subprogram(
        self,
        graph: Graph,
        env: Env,
        options: Options | None = None,
        anew: bool = False,
    ) -> "Program":
        """The program of a sub-graph, made once.

        ``anew`` says that the graph came up in the run: no backend has seen it yet.
        """
        with self._lock:
            found = self._subprograms.get(id(graph))
            if found is None:
                if len(self._subprograms) >= _MAX_KERNELS:
                    self._subprograms.pop(next(iter(self._subprograms)))
                own = options or self.options
                body = own.suit(graph, own.backend) if anew else graph
                made = Program(body, own, outer_symbols(body))
                made.fallbacks = self.fallbacks
                found = self._subprograms[id(graph)] = (graph, made)
        return found[1]
