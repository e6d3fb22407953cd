"""``vmap``: a function of one row, run on all rows at once."""

from collections.abc import Callable, Sequence
from functools import update_wrapper
from typing import Any

import numpy as np

from graphwright.frontends.tracing import state
from graphwright.frontends.tracing.control import Body, captured_by
from graphwright.frontends.tracing.pytree import Structure, flatten, paths, unflatten
from graphwright.frontends.tracing.rewire import rewired
from graphwright.frontends.tracing.storage import Handle, operand_of
from graphwright.frontends.tracing.trace import argument_names, is_array, name_of
from graphwright.frontends.tracing.wrap import strong
from graphwright.ir.arguments import checked
from graphwright.ir.dim import Dim
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import ShapeError, TraceError
from graphwright.ir.types import TensorType
from graphwright.passes.batching import batch_graph


@checked
def vmap(function: Callable[..., Any], in_axes: Any = 0, out_axes: Any = 0) -> Any:
    """A function that runs ``function`` on each row of its arguments, all at once.

    Operations work on all rows together, those that cannot run in a loop over them.
    ``vmap`` may be nested, and used in and around ``gw.jit``.

    Args:
        function: A function of arrays, written for NumPy or for tensors.
        in_axes: Which axis of each argument counts the rows, None for arguments that
            are the same for all rows: one for all, or a tuple with one for each
            argument, in which a tree may stand for an argument's own. Arguments given
            by keyword have rows along axis 0.
        out_axes: The same for the results. None asks for a result that does not differ
            between rows, without them.

    Raises:
        ShapeError: When called, if arguments have different numbers of rows, or none.
        TraceError: When called, if axes do not fit the arguments.
    """

    def run(*args: Any, **options: Any) -> Any:
        return _Call(function, in_axes, (args, options)).run(out_axes)

    update_wrapper(run, function)
    return run


def _prefix(axes: Any, structure: Structure, what: str) -> list[Any]:
    """An axis for each leaf of a structure, of which ``axes`` is a prefix."""
    if axes is None or isinstance(axes, int):
        return [axes] * len(paths(structure))
    kind, names, children = structure or (None, (), ())
    parts = _parts(axes, kind, names)
    if structure is None or parts is None or len(parts) != len(children):
        raise TraceError(
            f"{state.where()}: vmap: {what} {axes!r} does not fit: it is an axis, None,"
            " or built as the arguments (or results) are"
        )
    found: list[Any] = []
    for part, child in zip(parts, children, strict=True):
        found += _prefix(part, child, what)
    return found


def _parts(axes: Any, kind: type | None, names: tuple[Any, ...]) -> list[Any] | None:
    """What of ``axes`` belongs to each child of a node."""
    if isinstance(axes, dict):
        return [axes[n] for n in names] if set(axes) == set(names) else None
    if isinstance(axes, (tuple, list)):
        return list(axes)
    if type(axes) is kind:
        return [getattr(axes, n) for n in names]
    return None


class _Call:
    """One call of a function over rows.

    Attributes:
        leaves: The arguments' leaves; those numbered by ``arrays`` are arrays.
        names: What the leaves are called.
        axes: Which axis of each leaf counts rows, None where it has none.
    """

    def __init__(self, function: Callable[..., Any], in_axes: Any, args: Any) -> None:
        self.function = function
        self.leaves, self.structure = flatten(args)
        self.names = argument_names(function, self.structure, len(self.leaves))
        positional, named = self.structure[2]
        chosen = _prefix(in_axes, positional, "in_axes")
        self.axes = chosen + [0] * len(paths(named))
        self.arrays = [i for i, x in enumerate(self.leaves) if is_array(x)]
        for i in set(range(len(self.leaves))).difference(self.arrays):
            self._check_static(i)

    def _check_static(self, i: int) -> None:
        number = isinstance(self.leaves[i], (int, float, complex))
        if number and self.axes[i] is not None:
            raise TraceError(
                f"{state.where()}: vmap: {self.names[i]} is a number and has no rows:"
                " give it the axis None in in_axes"
            )

    def run(self, out_axes: Any) -> Any:
        """The results, with rows along their axes; what the function wrote, written."""
        name = name_of(self.function)
        b = state.emitter(f"vmap of {name}")
        values = [self._rows(b, i) for i in self.arrays]
        mapped = [self.axes[i] is not None for i in self.arrays]
        size = self._size(values, mapped)
        types = [
            TensorType(v.dtype, v.shape[1:] if m else v.shape)
            for v, m in zip(values, mapped, strict=True)
        ]
        results: list[Any] = []
        body = Body(name, lambda xs: self._row(xs, results), types, list)
        written = self._written(body, mapped)
        body.values += [body.inputs[k]._cell.value for k in written]
        keys, outer = captured_by([body])
        kinds = [TensorType(v.dtype, v.shape) for v in outer]
        graph = body.graph(keys, kinds)
        given, flags = [*values, *outer], [*mapped, *(False for _ in outer)]
        found, varies = batch_graph(b, graph, given, flags, size)
        count = len(found) - len(written)
        for k, v in zip(written, found[count:], strict=True):
            self._write(b, self.arrays[k], v)
        pairs = zip(found[:count], varies[:count], strict=True)
        return _results(b, results, iter(pairs), out_axes, size)

    def _rows(self, b: Emitter, i: int) -> Value:
        """An array, its rows along the first axis."""
        value, axis = strong(b, operand_of(b, self.leaves[i])), self.axes[i]
        if axis is None:
            return value
        if not -value.rank <= axis < value.rank:
            raise ShapeError(
                f"{state.where()}: vmap: {self.names[i]} is {value.type} and has no"
                f" axis {axis}: give another one, or None, in in_axes"
            )
        return _moved(b, value, axis % value.rank, 0)

    def _size(self, values: Sequence[Value], mapped: Sequence[bool]) -> Dim:
        """How many rows there are."""
        pairs = zip(self.arrays, values, mapped, strict=True)
        sizes = {self.names[i]: v.shape[0] for i, v, m in pairs if m}
        if not sizes:
            raise ShapeError(
                f"{state.where()}: vmap of {name_of(self.function)}: no argument has"
                " rows: in_axes is None for all of them"
            )
        first, *others = sizes.values()
        if any(n != first for n in others):
            words = ", ".join(f"{name} {n}" for name, n in sizes.items())
            raise ShapeError(
                f"{state.where()}: vmap: arguments have different numbers of rows:"
                f" {words}"
            )
        return first

    def _row(self, handles: Sequence[Handle], results: list[Any]) -> list[Any]:
        """What the function gives of one row: its arrays; all of it to ``results``."""
        leaves = list(self.leaves)
        for i, handle in zip(self.arrays, handles, strict=True):
            leaves[i] = handle
        args, options = unflatten(self.structure, leaves)
        results[:] = flatten(rewired(self.function)(*args, **options))
        return [x for x in results[0] if is_array(x)]

    def _written(self, body: Body, mapped: Sequence[bool]) -> list[int]:
        """Numbers of the arrays that the function writes to."""
        found = [k for k, h in enumerate(body.inputs) if h._cell.version > 0]
        for k in found:
            if not mapped[k]:
                raise TraceError(
                    f"{state.where()}: vmap: {name_of(self.function)} writes to"
                    f" {self.names[self.arrays[k]]}, which all rows share: return it"
                )
        return found

    def _write(self, b: Emitter, i: int, value: Value) -> None:
        new = _moved(b, value, 0, self.axes[i] % value.rank)
        target, trace = self.leaves[i], state.current.get()
        if isinstance(target, np.ndarray) and trace is not None:
            target = trace.import_array(target)
        if isinstance(target, Handle):
            target.write(new)
        else:
            np.copyto(target, Handle.make(new).data("vmap"))


def _moved(b: Emitter, x: Value, source: int, target: int) -> Value:
    """One axis at another place."""
    perm = [i for i in range(x.rank) if i != source]
    perm.insert(target, source)
    return b.transpose(x, perm)


def _results(b: Emitter, results: Any, found: Any, out_axes: Any, size: Dim) -> Any:
    leaves, structure = results
    axes = _prefix(out_axes, structure, "out_axes")
    made: list[Any] = []
    for path, leaf, axis in zip(paths(structure, "result"), leaves, axes, strict=True):
        if not is_array(leaf):
            made.append(leaf)
            continue
        value, varies = next(found)
        made.append(Handle.make(_placed(b, path, value, varies, axis, size)))
    return unflatten(structure, made)


def _placed(
    b: Emitter, path: str, value: Value, varies: bool, axis: Any, size: Dim
) -> Value:
    """A result with rows along its axis."""
    if axis is None:
        if varies:
            raise TraceError(
                f"{state.where()}: vmap: {path} differs between rows: out_axes cannot"
                " be None for it"
            )
        return value
    if not varies:
        value = b.broadcast_to(value, (size, *value.shape))
    if not -value.rank <= axis < value.rank:
        raise ShapeError(
            f"{state.where()}: vmap: {path} is {value.type} and has no axis {axis}:"
            " give another one in out_axes"
        )
    return _moved(b, value, 0, axis % value.rank)
