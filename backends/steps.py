"""Steps of a plan: kernel calls on numbered slots."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np

from graphwright.backends.arena import Block
from graphwright.backends.contract import Backend, Into
from graphwright.backends.host import placed
from graphwright.backends.limits import Meter
from graphwright.backends.observe import Observer
from graphwright.ir.constant import Constant
from graphwright.ir.dim import symbols
from graphwright.ir.emitter import Value
from graphwright.ir.errors import GraphwrightError
from graphwright.ir.graph import Graph, Node
from graphwright.ir.ops.effects import Effect
from graphwright.ir.types import Guard, TensorType, Type, bind_type, type_symbols


class Run:
    """What one run of an executable carries along."""

    __slots__ = ("lent", "meter", "observer", "state")

    def __init__(
        self,
        state: dict[str, Any],
        meter: Meter,
        observer: Observer | None,
        lent: Collection[int] = (),
    ) -> None:
        self.state, self.meter, self.observer = state, meter, observer
        self.lent = lent


StepFunction = Callable[[list[Any], Any, Run], Sequence[Any]]

T = TypeVar("T")
Choose: TypeAlias = Callable[[list[Any], Any], T]

_MOST_RECENT = 8


class View:
    """A step that depends on nothing but its operand, which it views if it can."""

    __slots__ = ("_run",)

    def __init__(self, run: StepFunction) -> None:
        self._run = run

    def __call__(self, operands: list[Any], env: Any, run: Any) -> Sequence[Any]:
        """The operand, seen another way."""
        return self._run(operands, env, run)


class Step:
    """One kernel call: which slots it reads, writes and frees.

    ``into`` is set where the kernel writes to the arena; else ``run`` is called.
    ``careful`` does the same in smaller steps, to be observed or interrupted.
    """

    __slots__ = (
        *(
            "careful",
            "frees",
            "inputs",
            "into",
            "nbytes",
            "node",
            "outputs",
            "run",
            "views",
        ),
    )

    def __init__(
        self,
        node: Node,
        run: "StepFunction | Into",
        inputs: tuple[int, ...],
        outputs: tuple[int, ...],
        frees: tuple[int, ...],
        nbytes: int,
    ) -> None:
        self.node, self.inputs = node, inputs
        self.into = run if isinstance(run, Into) else None
        self.run = _unplanned if isinstance(run, Into) else run
        self.views = isinstance(run, View)
        self.careful: StepFunction | None = getattr(run, "careful", None)
        self.outputs, self.frees, self.nbytes = outputs, frees, nbytes

    def read(self) -> set[int]:
        """Slots whose contents it looks at, not their sizes alone."""
        unread = () if self.into is None else self.into.unread
        return {s for i, s in enumerate(self.inputs) if i not in unread}


def nbytes_of(type_: Type) -> int:
    """Bytes of a tensor type whose dims are all known, else 0."""
    if not isinstance(type_, TensorType) or type_.shape is None:
        return 0
    size = type_.size
    return size * type_.dtype.itemsize if isinstance(size, int) else 0


def block_of(type_: Type, env: Mapping[str, int]) -> Block | None:
    """Shape and dtype of a tensor of numbers whose dims are all known."""
    bound = bind_type(type_, env)
    if not isinstance(bound, TensorType) or bound.shape is None:
        return None
    shape = tuple(d for d in bound.shape if isinstance(d, int))
    plain = len(shape) == bound.rank and bound.dtype.numpy.kind in "biufc"
    return Block(shape, bound.dtype.numpy, 0) if plain else None


def _unplanned(operands: list[Any], env: Any, run: Run) -> Sequence[Any]:
    raise AssertionError("a step with a place in the arena runs by its `into`")


def written(
    kernel: Into,
    places: Sequence[Any],
    operands: list[Any],
    node: Node,
    observer: Observer | None = None,
) -> Sequence[Any]:
    """The results of a kernel, in their places in the arena or, without one, anew."""
    rows = zip(places, kernel.places, strict=True)
    results = [new.empty() if place is None else place for place, new in rows]
    run = kernel.run if observer is None else observer.running(kernel)
    try:
        run(*results, *operands)
    except GraphwrightError as error:
        raise blamed(error, node) from error
    return results


def as_given(x: Any, type_: Type) -> Any:
    """A kernel's result as an array, where it is a scalar of NumPy's."""
    if isinstance(x, np.generic) and isinstance(type_, TensorType):
        return np.asarray(x, type_.dtype.numpy)
    return x


def actual(x: Any, declared: Type) -> Type:
    """The type of an operand as the run finds it."""
    if not isinstance(declared, TensorType):
        return declared
    return TensorType(declared.dtype, tuple(x.shape))


def effect_step(op: Effect) -> StepFunction:
    """What reads or writes the state of a run."""

    def step(operands: list[Any], env: Any, run: Run) -> Sequence[Any]:
        return op.apply(run.state, operands)

    return step


def blamed(error: GraphwrightError, node: Node) -> GraphwrightError:
    """The error with the place in the source that its node comes from."""
    if node.source is None or str(node.source) in str(error):
        return error
    return type(error)(f"{node.source}: {error}")


def outer_symbols(graph: Graph) -> frozenset[str]:
    """Symbols of enclosing graphs that a sub-graph's plan depends on."""
    names: set[str] = set()
    own: set[str] = set(graph.input_symbols())
    for node in graph.walk():
        names |= node.op.used_symbols()
        own |= set(node.op.defined_symbols())
        for v in node.results:
            names |= type_symbols(v.type)
    return frozenset(names - own)


def late_symbols(graph: Graph) -> frozenset[str]:
    """Symbols whose values nodes of the graph find out."""
    return frozenset(n for node in graph.nodes for n in node.op.defined_symbols())


def late_guards(graph: Graph) -> dict[Node, list[Guard]]:
    """Conditions on such symbols, by the node that finds out the last one of each."""
    last = {n: node for node in graph.nodes for n in node.op.defined_symbols()}
    order = {name: number for number, name in enumerate(last)}
    found: dict[Node, list[Guard]] = {}
    for guard in graph.guards:
        own = (symbols(guard.left) | symbols(guard.right)) & order.keys()
        if own:
            found.setdefault(last[max(own, key=order.__getitem__)], []).append(guard)
    return found


class Resident:
    """A constant, put on the device when it is first needed."""

    __slots__ = ("_array", "backend", "constant")

    def __init__(self, constant: Constant, backend: Backend) -> None:
        self.constant, self.backend = constant, backend
        self._array: Any = None

    @property
    def value(self) -> Any:
        """The device's array."""
        if self._array is None:
            array = self.constant.array()
            if self.backend.regions and not array.flags.c_contiguous:
                array = np.ascontiguousarray(array)  # or each run would copy it
            self._array = placed(array, self.constant.type, self.backend)
        return self._array


def frees_of(graph: Graph, constants: Mapping[Value, Any]) -> dict[int, list[Value]]:
    """Values that no later node needs, by node index; inputs and results alike."""
    last: dict[Value, int] = {}
    for index, node in enumerate(graph.nodes):
        for v in (*node.operands, *node.results):
            last[v] = index
    for v in (*graph.outputs, *constants):
        last.pop(v, None)
    rows: dict[int, list[Value]] = {}
    for v, index in last.items():
        rows.setdefault(index, []).append(v)
    return rows


def by_shapes(node: Node) -> Callable[[Choose[T]], Choose[T]]:
    """Keeps what a function gave for the last few shapes of a node's operands."""
    used = sorted(node.op.used_symbols())
    tensors = all(isinstance(v.type, TensorType) for v in node.operands)

    def keep(choose: Choose[T]) -> Choose[T]:
        recent: dict[Any, T] = {}

        def chosen(operands: list[Any], env: Any) -> T:
            key = (*(x.shape for x in operands), *map(env.get, used))
            found = recent.get(key)
            if found is None:
                if len(recent) >= _MOST_RECENT:
                    recent.clear()
                found = recent[key] = choose(operands, env)
            return found

        return chosen if tensors else choose

    return keep


def peak_of(steps: Sequence[Step]) -> int:
    """Largest sum of the results alive at once, as far as sizes are known."""
    sizes: dict[int, int] = {}
    live = peak = 0
    for step in steps:
        live += step.nbytes
        peak = max(peak, live)
        if step.outputs:
            sizes[step.outputs[0]] = step.nbytes
        live -= sum(sizes.pop(s, 0) for s in step.frees)
    return peak
