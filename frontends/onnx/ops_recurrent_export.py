"""Recurrent layers on their way to ONNX."""

from typing import Any

from graphwright.frontends.onnx.exporting import Export, Exported
from graphwright.frontends.onnx.ops_recurrent import DEFAULTS
from graphwright.frontends.onnx.registry import exporter
from graphwright.ir.dtype import int32
from graphwright.ir.emitter import Value

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
def recurrent(e: Export) -> Exported:
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
        **_fields(e, r.shape[1]),
    )
    return [e.squeeze(names[0], [1]), *(e.squeeze(n, [0]) for n in names[1:])]


def _first(e: Export, v: Value) -> str:
    return e.name(e.b.expand_dims(v, [0]))


def _fields(e: Export, size: int) -> dict[str, Any]:
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
