"""Which integer dtypes ONNX operators are commonly implemented for.

The standard admits most dtypes; runtimes implement fewer. Where a wider dtype gives the
same result it is taken instead, with casts around the node. Figures: the kernels that
ONNX Runtime 1.31 registers for CPU. Floats stay as they are, those of 8 bits and fewer
aside, which no arithmetic operator takes.
"""

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
    "Equal": f"bool {_ALL}",
    "MatMul": "int32 int64 uint32 uint64",
    "MaxPool": "int8 uint8",
    "Neg": _SIGNED,
    "NonZero": "bool int32 int64 uint8",
    "Range": "int16 int32 int64",
    "Relu": "int8 int32",
    "TopK": "int8 int16 int32 int64 uint8",
    "Where": "int8 int32 int64 uint8 uint32",
}
_ALLOWED = {op: frozenset(names.split()) for op, names in _TABLE.items()}

_WIDER = {
    "bool": ("uint8", "int32"),
    "int2": ("int32",),
    "int4": ("int32",),
    "uint2": ("int32",),
    "uint4": ("int32",),
    "int8": ("int32",),
    "uint8": ("int32",),
    "int16": ("int32",),
    "uint16": ("int32", "uint32"),
    "uint32": ("int64", "uint64"),
    "uint64": ("int64",),
    "int32": ("int64",),
}
_MODULAR = frozenset({"CumSum", "MatMul", "Pad", "Pow", "ReduceProd", "ReduceSum", "Where"})
"""Operators that give the low bits right, whatever the sign of the top one."""


def holder(op_type: str, dtype: DType) -> DType:
    """The dtype in which an operator computes on operands of a dtype."""
    if dtype.is_float:
        return DTYPES["float32"] if dtype.bits <= 8 else dtype
    allowed = _ALLOWED.get(op_type)
    if allowed is None or dtype.name in allowed:
        return dtype
    if dtype.name == "uint64" and op_type not in _MODULAR:
        return dtype
    wider = (name for name in _WIDER.get(dtype.name, ()) if name in allowed)
    return DTYPES[next(wider, dtype.name)]
