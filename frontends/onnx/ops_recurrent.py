"""RNN, GRU and LSTM of ONNX."""

from typing import Any

from graphwright.frontends.onnx.context import Context
from graphwright.frontends.onnx.exporting import Export, Exported
from graphwright.frontends.onnx.registry import converter, exporter
from graphwright.ir.dtype import int32
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import ModelError
from graphwright.ir.ops.recurrent import ACTIVATIONS, Activation

DEFAULTS = {
    "affine": (1.0, 0.0),
    "leakyrelu": (0.01, None),
    "thresholdedrelu": (1.0, None),
    "scaledtanh": (1.0, 1.0),
    "hardsigmoid": (0.2, 0.5),
    "elu": (1.0, None),
}
"""Alpha and beta by function; None where it has none."""

_FUNCTIONS = {
    "RNN": ["tanh"],
    "GRU": ["sigmoid", "tanh"],
    "LSTM": ["sigmoid", "tanh", "tanh"],
}


@converter("RNN", "GRU", "LSTM")
def recurrent(c: Context) -> tuple[Value, ...]:
    """One layer, in one direction or both."""
    b, kind = c.b, c.op_type
    directions = _directions(c)
    functions = _activations(c, len(directions))
    batch_first = c.integer("layout", 0) != 0
    x = b.transpose(c[0], (1, 0, 2)) if batch_first else c[0]
    found = [
        b.emit_all(
            kind.lower(),
            x,
            *_operands(c, x, i, batch_first),
            activations=functions[i],
            reverse=reverse,
            **_fields(c),
        )
        for i, reverse in enumerate(directions)
    ]
    columns = list(zip(*found, strict=True))
    y, *states = (b.stack(parts, int(k == 0)) for k, parts in enumerate(columns))
    if batch_first:
        y = b.transpose(y, (2, 0, 1, 3))
        states = [b.transpose(s, (1, 0, 2)) for s in states]
    return (y, *states)


def _directions(c: Context) -> list[bool]:
    """Whether each runs in reverse."""
    name = c.string("direction", "forward").lower()
    rows = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}
    if name not in rows:
        raise ModelError(f"{c.op_type} has no direction {name!r}")
    return rows[name]


def _fields(c: Context) -> dict[str, Any]:
    fields: dict[str, Any] = {"clip": c.real("clip", 0.0)}
    fields["lengths"] = c.optional(4) is not None
    if c.op_type == "GRU":
        fields["linear_before_reset"] = c.integer("linear_before_reset", 0) != 0
    if c.op_type == "LSTM":
        fields["coupled"] = c.integer("input_forget", 0) != 0
        fields["peepholes"] = c.optional(7) is not None
    return fields


def _operands(c: Context, x: Value, i: int, batch_first: bool) -> list[Value]:
    """Those of direction ``i`` but the sequence; states left out are zeros."""
    b = c.b
    w, r = _part(b, c[1], i, 0), _part(b, c[2], i, 0)
    bias = c.optional(3)
    size = r.shape[1]
    zeros = b.full((w.shape[0] * 2,), 0, x.dtype)
    found = [w, r, zeros if bias is None else _part(b, bias, i, 0)]
    for k in (5, 6) if c.op_type == "LSTM" else (5,):
        state = c.optional(k)
        if state is None:
            found.append(b.full((x.shape[1], size), 0, x.dtype))
        else:
            found.append(_part(b, state, i, 1 if batch_first else 0))
    holes = c.optional(7) if c.op_type == "LSTM" else None
    if holes is not None:
        found.append(_part(b, holes, i, 0))
    lengths = c.optional(4)
    return found if lengths is None else [*found, lengths]


def _part(b: Emitter, v: Value, i: int, axis: int) -> Value:
    """Number ``i`` along the axis of directions."""
    if isinstance(v.shape[axis], int) and not i < v.shape[axis]:  # type: ignore[operator]
        raise ModelError(f"{v.type} holds no direction {i}")
    return b.squeeze(b.slice_axis(v, axis, i, i + 1), [axis])


def _activations(c: Context, directions: int) -> list[tuple[Activation, ...]]:
    """The functions of each direction; alphas and betas go to those that have them."""
    default = _FUNCTIONS[c.op_type]
    names = [n.lower() for n in c.strings("activations", default * directions)]
    if len(names) != len(default) * directions or not set(names) <= ACTIVATIONS.keys():
        raise ModelError(f"{c.op_type} in {directions} directions by {names}")
    alphas = iter(c.reals("activation_alpha", []))
    betas = iter(c.reals("activation_beta", []))
    rows: list[Activation] = []
    for name in names:
        alpha, beta = DEFAULTS.get(name, (None, None))
        first = 0.0 if alpha is None else next(alphas, alpha)
        rows.append((name, first, 0.0 if beta is None else next(betas, beta)))
    step = len(default)
    return [tuple(rows[i : i + step]) for i in range(0, len(rows), step)]


# Export -------------------------------------------------------------------------------


_NAMES = {
    "affine": "Affine",
    "elu": "Elu",
    "hardsigmoid": "HardSigmoid",
    "leakyrelu": "LeakyRelu",
    "relu": "Relu",
    "scaledtanh": "ScaledTanh",
    "sigmoid": "Sigmoid",
    "softplus": "Softplus",
    "softsign": "Softsign",
    "tanh": "Tanh",
    "thresholdedrelu": "ThresholdedRelu",
}


@exporter("rnn", "gru", "lstm")
def export_recurrent(e: Export) -> Exported:
    """One layer in one direction."""
    op, b = e.op, e.b
    x, w, r, bias, *rest = e.operands
    if not isinstance(r.shape[1], int):
        return op.decompose(b, *e.operands)  # type: ignore[no-any-return]
    states, rest = rest[: op.states], rest[op.states :]
    holes = [rest.pop(0)] if op.extras else []
    lengths = e.name(b.cast(rest[0], int32)) if op.lengths else ""
    given = [_first(e, v) for v in (w, r, bias)]
    given += [lengths, *(_first(e, v) for v in (*states, *holes))]
    names = e.all(
        op.name.upper(),
        e.name(x),
        *given,
        outputs=1 + op.states,
        **_layer_fields(e, r.shape[1]),
    )
    return [e.squeeze(names[0], [1]), *(e.squeeze(n, [0]) for n in names[1:])]


def _first(e: Export, v: Value) -> str:
    return e.name(e.b.expand_dims(v, [0]))


def _layer_fields(e: Export, size: int) -> dict[str, Any]:
    op = e.op
    alphas, betas = [], []
    for name, alpha, beta in op.activations:
        given = DEFAULTS.get(name, (None, None))
        alphas += [alpha] if given[0] is not None else []
        betas += [beta] if given[1] is not None else []
    return {
        "hidden_size": size,
        "activations": [_NAMES[a[0]] for a in op.activations],
        "activation_alpha": alphas or None,
        "activation_beta": betas or None,
        "clip": op.clip or None,
        "direction": "reverse" if op.reverse else None,
        "linear_before_reset": int(getattr(op, "linear_before_reset", 0)) or None,
        "input_forget": int(getattr(op, "coupled", 0)) or None,
    }
