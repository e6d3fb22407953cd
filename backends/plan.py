"""Plans: the steps of a program for one binding, over numbered slots."""

from collections.abc import Sequence
from typing import Any, Protocol

from graphwright.backends.arena import SMALL, Ends, Layout, plan_layout
from graphwright.backends.contract import Into
from graphwright.backends.frame import Binding, Frame
from graphwright.backends.homes import Homes
from graphwright.backends.loop import in_place
from graphwright.backends.observe import Observer
from graphwright.backends.options import Options
from graphwright.backends.outputs import Outputs
from graphwright.backends.settings import Settled
from graphwright.backends.steps import (
    Resident,
    Run,
    Step,
    StepFunction,
    blamed,
    block_of,
    frees_of,
    nbytes_of,
    peak_of,
    written,
)
from graphwright.ir.emitter import Value
from graphwright.ir.errors import GraphwrightError, IndexBoundsError
from graphwright.ir.graph import Graph, Node
from graphwright.ir.ops.effects import Effect
from graphwright.ir.types import bind_type

Env = dict[str, int]


class Planned(Protocol):
    """What a plan asks of its program."""

    graph: Graph
    options: Options
    writes: Sequence[tuple[int, int]]
    constants: dict[Value, Resident]
    homes: Homes

    def step_function(self, node: Node, env: Env) -> "StepFunction | Into":
        """What runs a node where the symbols in ``env`` are known."""
        ...


class Plan:
    """The steps of a program for one binding."""

    def __init__(self, program: Planned, env: Env, carried: int = -1) -> None:
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
        self._results = Outputs(
            self.outputs,
            graph.output_types,
            self.inputs,
            self.steps,
            self.layout.targets,
            program.writes,
        )
        self._divided = False
        self._running = program.options.backend.running()
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
            if not careful:
                try:
                    return self._run_bound(frame, feeds, env, run)
                except IndexBoundsError:  # once more, to learn which step it is
                    if run.lent or run.observer is not None:
                        raise
            slots = self._filled(list(frame.slots), feeds)
            for number in range(len(self.steps)):
                run.meter.check()
                self._run_step(number, slots, frame, env, run)
            return self._results.gathered(slots, frame)
        finally:
            self._idle.append(frame)

    def run_apart(self, feeds: Sequence[Any], env: Env, run: Run) -> list[Any]:
        """The same; outputs share no memory with inputs, constants or each other."""
        with self._running:
            found = None if self._divided else self._run_whole(feeds, run)
            if found is None:
                with Settled():
                    found = self.run(feeds, env, run)
        if self._results.exposed:
            self._results.part(found, feeds, self.program.options.backend)
        return found

    def _run_whole(self, feeds: Sequence[Any], run: Run) -> list[Any] | None:
        """Outputs of a run whose steps are all bound; None if it is not such a run."""
        if run.meter.ticking or run.observer is not None:
            return None
        if self.peak_bytes > run.meter.limit:
            return None  # which raises
        frame = self.frame()
        try:
            binding, fresh = frame.bind(feeds, run.lent)
            if binding.whole is None:
                self._divided = True
                return None
            frame.run(binding.whole)
            return self._results.bound(binding, fresh, feeds, frame)
        except IndexBoundsError:  # once more, to learn which step it is
            if run.lent:
                raise
            return None
        finally:
            self._idle.append(frame)

    def _filled(self, slots: list[Any], feeds: Sequence[Any]) -> list[Any]:
        for slot, value in zip(self.inputs, feeds, strict=True):
            slots[slot] = value
        return slots

    def _run_bound(
        self, frame: Frame, feeds: Sequence[Any], env: Env, run: Run
    ) -> list[Any]:
        binding, fresh = frame.bind(feeds, run.lent)
        slots = self._filled(list(binding.slots), feeds)
        for slot, array in fresh.items():
            slots[slot] = array
        if run.observer is None:
            self.run_segments(binding, slots, frame, env, run)
        else:
            self._run_shown(binding, slots, frame, env, run, run.observer)
        return self._results.gathered(slots, frame)

    def _run_shown(
        self,
        binding: Binding,
        slots: list[Any],
        frame: Frame,
        env: Env,
        run: Run,
        observer: Observer,
    ) -> None:
        """Runs all steps, bound ones as they are bound, and shows what each makes."""
        rows = zip(self.steps, binding.calls, strict=True)
        for number, (step, call) in enumerate(rows):
            run.meter.check()
            plain = step.into is not None and not observer.looks_into(step.into)
            if call is None or not plain or step.careful is not None:
                self._run_step(number, slots, frame, env, run)
                continue
            try:
                call()
            except GraphwrightError as error:
                raise blamed(error, step.node) from error
            self._show(step, [slots[s] for s in step.outputs], observer)

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
            self._show(step, results, run.observer)
        for slot in step.frees:
            slots[slot] = None

    def _show(self, step: Step, results: Sequence[Any], observer: Observer) -> None:
        shown = self.program.homes.shown(step.node, results)
        observer.after(step.node, shown, self.program.graph)
