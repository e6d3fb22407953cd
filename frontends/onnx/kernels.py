"""Which dtypes ONNX operators take, and which of them have kernels.

The standard says what an operator takes at an opset version; of integers runtimes
implement less (figures: the kernels that ONNX Runtime 1.31 registers for CPU). Where a
wider dtype gives the same result it is taken instead, with casts around the node.
"""

from functools import cache, lru_cache

import onnx

from graphwright.ir.dtype import DTYPES, DType

_ALL = "int8 int16 int32 int64 uint8 uint16 uint32 uint64"
_SIGNED = "int8 int16 int32 int64"
_SUMS = "int32 int64"
_ENDS = "int8 int32 int64 uint8 uint32 uint64"

_TABLE = {
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Mod", "Abs", "Sign"), _ALL),
    **dict.fromkeys(("Less", "LessOrEqual", "Greater", "GreaterOrEqual"), _ALL),
    **dict.fromkeys(("BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseNot"), _ALL),
    **dict.fromkeys(("Max", "Min", "Clip", "Pad"), _ENDS),
    **dict.fromkeys(("ReduceSum", "ReduceProd", "CumSum", "Pow"), _SUMS),
    **dict.fromkeys(("ReduceMax", "ReduceMin"), "int8 int32 int64 uint8"),
    "ArgMax": "int8 int32 int64 uint8",
    "ArgMin": "int8 int32 int64 uint8",
    "BitShift": "uint8 uint32 uint64",
    "CumProd": "int32 int64 uint32 uint64",
    "Equal": f"bool string {_ALL}",
    "MatMul": "int32 int64 uint32 uint64",
    "MaxPool": "int8 uint8",
    "Neg": _SIGNED,
    "NonZero": "bool int32 int64 uint8",
    "Range": "int16 int32 int64",
    "Relu": "int8 int32",
    "TopK": "int8 int16 int32 int64 uint8",
    "Unique": "int8 int64 string",
    "Where": "int8 int32 int64 uint8 uint32 string",
}
_ALLOWED = {op: frozenset(names.split()) for op, names in _TABLE.items()}

_WIDER = {
    "bool": ("uint8", "int32"),
    "int2": ("int8", "int32"),
    "int4": ("int8", "int32"),
    "uint2": ("uint8", "int32"),
    "uint4": ("uint8", "int32"),
    "int8": ("int32", "int64"),
    "uint8": ("int32", "int64"),
    "int16": ("int32", "int64"),
    "uint16": ("int32", "uint32", "int64"),
    "uint32": ("int64", "uint64"),
    "uint64": ("int64",),
    "int32": ("int64",),
    "float16": ("float32",),
    "bfloat16": ("float32",),
}
_MODULAR = frozenset(
    {"CumSum", "MatMul", "Pad", "Pow", "ReduceProd", "ReduceSum", "Unique", "Where"}
)
"""Operators that give the low bits right, whatever the sign of the top one."""

_NAMES = {"float": "float32", "double": "float64"} | {
    name.replace("_", ""): name for name in DTYPES
}
_SECOND = frozenset({"Where"})
"""Operators whose first input is not of the type in question."""


@lru_cache(maxsize=1024)
def _standard(op_type: str, version: int) -> frozenset[str]:
    """The dtypes that an operator takes at an opset version."""
    schema = onnx.defs.get_schema(op_type, version, "")
    kind = schema.inputs[op_type in _SECOND].type_str
    rows = (
        t.allowed_type_strs for t in schema.type_constraints if t.type_param_str == kind
    )
    words = (w.rpartition("tensor(")[2].rstrip(")") for row in rows for w in row)
    return frozenset(_NAMES[w] for w in words if w in _NAMES)


def holds(op_type: str, dtype: DType, version: int) -> bool:
    """Whether an operator of sequences or optionals takes a dtype."""
    return dtype.name in _standard(op_type, version)


def holder(op_type: str, dtype: DType, version: int) -> DType:
    """The dtype in which an operator computes on operands of a dtype."""
    allowed = _standard(op_type, version)
    if not dtype.is_float:
        allowed &= _ALLOWED.get(op_type, allowed)
    if dtype.name in allowed:
        return dtype
    if dtype.name == "uint64" and op_type not in _MODULAR:
        return dtype
    wider = _WIDER.get(dtype.name, ("float32",) if dtype.is_float else ())
    return DTYPES[next((name for name in wider if name in allowed), dtype.name)]


@cache
def _first_versions() -> dict[str, int]:
    found: dict[str, int] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if not schema.domain:
            since = found.get(schema.name, schema.since_version)
            found[schema.name] = min(since, schema.since_version)
    return found


def first_version(op_type: str) -> int:
    """The opset version that brought an operator of ai.onnx."""
    return _first_versions()[op_type]


_SINCE = {
    "float8": 19,
    "float4": 23,
    "int4": 21,
    "uint4": 21,
    "int2": 25,
    "uint2": 25,
    "float8_e8m0fnu": 24,
}


def since_opset(dtype: DType) -> int:
    """The opset version that brought a dtype."""
    return _SINCE.get(dtype.name) or _SINCE.get(dtype.name.split("_")[0], 1)
