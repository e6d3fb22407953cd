"""Operators of other domains in terms of the standard ones."""

from collections.abc import Sequence
from typing import Any

import onnx

from graphwright.frontends.onnx.context import Context
from graphwright.frontends.onnx.registry import find_converter
from graphwright.ir.emitter import Value
from graphwright.ir.errors import UnsupportedOpError

VERSION = 24


def standard_all(
    c: Context,
    name: str,
    inputs: Sequence[Value | None],
    *,
    results: int = 1,
    version: int = VERSION,
    keep: bool = False,
    **attributes: Any,
) -> list[Value]:
    """The results of a standard operator on these operands.

    Args:
        c: The node that is expressed so.
        name: The operator of the domain ai.onnx.
        inputs: Its operands.
        results: How many results are wanted.
        version: Its opset version.
        keep: Whether the node's own attributes count, too.
        attributes: Its attributes; those that are None are left out.
    """
    given = {k: v for k, v in attributes.items() if v is not None}
    node = onnx.helper.make_node(
        name,
        ["" if v is None else f"in{i}" for i, v in enumerate(inputs)],
        [f"out{i}" for i in range(results)],
        name=c.node.name,
        **given,
    )
    if keep:
        node.attribute.extend(a for a in c.node.attribute if a.name not in given)
    convert = find_converter("", name, version)
    if convert is None:
        raise UnsupportedOpError(
            f"operator ai.onnx.{name} of opset {version} is not known"
        )
    found = convert(Context(c.b, node, version, inputs, c.importer))
    return [found] if isinstance(found, Value) else [v for v in found if v is not None]


def standard(c: Context, name: str, *inputs: Value | None, **attributes: Any) -> Value:
    """The one result of a standard operator; see ``standard_all``."""
    return standard_all(c, name, inputs, **attributes)[0]


def refuse(c: Context, *indices: int) -> None:
    """Raises UnsupportedOpError if one of these operands is given."""
    for i in indices:
        if c.optional(i) is not None:
            raise UnsupportedOpError(f"{c.op_type} with input {i} is not supported")


def activated(c: Context, x: Value, attribute: str = "activation") -> Value:
    """The activation that an attribute names, with its parameters."""
    name = c.string(attribute, "")
    if not name:
        return x
    given = c.reals("activation_params", [])
    names = {
        "LeakyRelu": ("alpha",),
        "HardSigmoid": ("alpha", "beta"),
        "Elu": ("alpha",),
        "ThresholdedRelu": ("alpha",),
    }.get(name, ())
    if name == "Clip":
        limits = [c.b.scalar(v, x.dtype) for v in given[:2]]
        return standard(c, "Clip", x, *limits)
    return standard(c, name, x, **dict(zip(names, given, strict=False)))
