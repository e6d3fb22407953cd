"""``compile``: graphs and models made ready to call."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from graphwright.backends import executable
from graphwright.backends.compile import lower
from graphwright.backends.contract import Backend
from graphwright.backends.limits import Cancellation, Limits
from graphwright.backends.registry import get_backend
from graphwright.backends.tuning import Mode, tuning_of
from graphwright.frontends.onnx.load import load
from graphwright.frontends.tracing.tensor import Tensor
from graphwright.ir.arguments import checked
from graphwright.ir.errors import FeedError
from graphwright.ir.graph import Graph
from graphwright.ir.types import TensorType, Type


class Executable(executable.Executable):
    """A compiled graph that is called with arrays and gives tensors."""

    def __call__(
        self, *args: Any, cancel: Cancellation | None = None, **feeds: Any
    ) -> Any:
        """One tensor, or a tuple of them, for inputs by position or by name.

        Raises:
            FeedError: If an input is missing, unknown, given twice or does not fit.
        """
        if feeds:
            names = self.graph.input_names
            twice = [n for n in names[: len(args)] if n in feeds]
            if twice:
                raise FeedError(f"input {twice[0]!r} is given by position and by name")
            args = tuple(
                self.positional({**dict(zip(names, args, strict=False)), **feeds})
            )
        results = self.execute(args, cancel=cancel)
        outputs = tuple(
            _tensor(x, v.type, self.options.backend)
            for x, v in zip(results, self.graph.outputs, strict=True)
        )
        return outputs[0] if len(outputs) == 1 else outputs


def _tensor(x: Any, type_: Type, home: Backend) -> Any:
    """A backend's array as a tensor; what is no tensor as it is."""
    if not isinstance(type_, TensorType):
        return x
    own = home if home.holds(type_) else get_backend("numpy")
    shape = tuple(x.shape)
    if type_.contents is not None or type_.shape != shape:
        type_ = TensorType(type_.dtype, shape)
    return Tensor.typed(x, type_, own)


@checked
def compile(
    model: "Graph | str | os.PathLike[str] | bytes | Any",
    *,
    backend: "str | Backend | Sequence[str | Backend]" = "auto",
    placement: Mapping[str, str] | None = None,
    strict: bool = False,
    optimize: bool = True,
    fast_math: bool = False,
    strict_float: bool = False,
    precision: str | None = None,
    max_bytes: int | None = None,
    timeout: float | None = None,
    max_loop_iterations: int = 2**31,
    dump: "str | os.PathLike[str] | None" = None,
    tune: Mode = "off",
    tuning: "str | os.PathLike[str] | None" = None,
) -> Executable:
    """An executable of a graph, or of what ``load`` takes.

    Args:
        model: A graph, a path, the bytes of an ONNX model, or a ModelProto.
        backend: A name, names in order of preference, ``"auto"``, or a backend. Of
            several names the first runs what it can, the next what that lacks.
        placement: Names of backends by what they run, whatever runs the rest: the name
            of an ONNX node, of a value of the model, a ``file.py:line``, or an
            operation's name such as ``Conv`` or ``dot``. The graph is
            divided there, and copies are put between: ``print(exe.program.graph)``.
        strict: Whether an op that the backend does not run itself is an error.
        optimize: Whether passes run; without, the graph runs as it is.
        fast_math: Also rewrites that are wrong for some numbers, such as ``x * 0 = 0``
            for infinity.
        strict_float: Keep to rewrites and kernels that do not change rounding.
        precision: ``float16`` or ``bfloat16``: products of float32 take 16-bit
            operands and sum in float32, and what follows them is narrow where that is
            safe; inputs and outputs keep their types. Without passes it does nothing.
        max_bytes: Bytes of results alive at once in a run; all memory if None.
        timeout: Seconds a run may take.
        max_loop_iterations: Iterations of one loop.
        dump: A folder to which, when sizes are first met, the plan is written with
            source, schedule and seconds of each of the device's kernels.
        tune: What OpenCL measures, once for each device, where kernels can be computed
            in several ways: nothing (``"off"``), other algorithms (``"fast"``), other
            divisions of their work too (``"full"``). Results differ in rounding only.
        tuning: A file with choices that were made: those that it has are taken, those
            that are measured are added. Without ``tune`` it must exist.

    Raises:
        BackendUnavailable: If no backend of that preference can run here.
        UnsupportedOpError: With ``strict``, if the backend lacks an op.
        ModelError: If ``dump`` cannot be written to.
        CacheError: If ``tuning`` is no record, or cannot be read or written.
        ArgumentError: If an argument is none that its annotation allows.
    """
    own = tuning_of(tune, tuning)
    graph = model if isinstance(model, Graph) else load(model)
    lowered, options = lower(
        graph,
        backend=backend,
        placement=placement,
        strict=strict,
        optimize=optimize,
        fast_math=fast_math,
        strict_float=strict_float,
        precision=precision,
        limits=Limits(max_bytes, timeout, max_loop_iterations),
        dump=dump,
        tuning=own,
    )
    return Executable(graph, lowered, options)
