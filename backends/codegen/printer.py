"""Source of kernels: statements and expressions in a dialect's words."""

import math
import struct
from collections.abc import Iterator, Sequence
from typing import assert_never

from graphwright.backends.codegen.dialect import Dialect
from graphwright.backends.codegen.elements import Array
from graphwright.backends.codegen.expr import Expr, signed, unsigned
from graphwright.backends.codegen.loops import (
    Atomic,
    Barrier,
    For,
    If,
    Kernel,
    Let,
    Set,
    Soon,
    Statement,
    Store,
)
from graphwright.backends.codegen.narrow import storage
from graphwright.ir.dtype import DType, bool_, int32

_INFIX = {
    "add": "+",
    "sub": "-",
    "mul": "*",
    "div": "/",
    "rem": "%",
    "and": "&",
    "or": "|",
    "xor": "^",
    "shl": "<<",
    "shr": ">>",
    "lt": "<",
    "le": "<=",
    "eq": "==",
    "ne": "!=",
}
_WIDEST = 256
"""Bits of vectors that library functions take on every device."""
_COMPARISONS = frozenset({"lt", "le", "eq", "ne"})


def source_of(kernel: Kernel, name: str, dialect: Dialect) -> str:
    """The source of a kernel under a name."""
    return _Printer(kernel.model or kernel, dialect).function(name)


def statements_of(kernel: Kernel, dialect: Dialect) -> list[str]:
    """Its statements alone: for kernels that are written as text around them."""
    return list(_Printer(kernel, dialect).statements())


class _Printer:
    def __init__(self, kernel: Kernel, dialect: Dialect) -> None:
        self.kernel, self.dialect = kernel, dialect
        self.arrays: dict[Array, str] = {}
        for array in kernel.inputs:
            self.arrays[array] = f"in{len(self.arrays)}"
        for number, array in enumerate(kernel.outputs):
            self.arrays[array] = f"out{number}"
        for number, array in enumerate(kernel.local):
            self.arrays[array] = f"near{number}"

    def function(self, name: str) -> str:
        """The whole function."""
        lines = [f"  {line}" for line in (*self._locals(), *self.statements())]
        group = ", ".join(map(str, (*self.kernel.group, 1, 1)[:3]))
        head = self.dialect.kernel.format(
            name=name, arguments=", ".join(self._arguments()), group=group
        )
        return "\n".join([head, "{", *lines, "}", ""])

    def _locals(self) -> Iterator[str]:
        form = self.dialect.local
        for array in self.kernel.local:
            word = self._word(array.dtype, 1)
            yield form.format(type=word, name=self.arrays[array], size=array.size)

    def statements(self) -> Iterator[str]:
        """The lines of the body."""
        return self._block(self.kernel.body)

    def _arguments(self) -> Iterator[str]:
        together = {array for pair in self.kernel.pointwise for array in pair}
        for array in (*self.kernel.inputs, *self.kernel.outputs):
            name = self.arrays[array]
            const = "" if array in self.kernel.outputs else "const "
            word = self.dialect.types[storage(array.dtype).name]
            alone = "" if array in together else self.dialect.alone
            yield self.dialect.array.format(
                const=const, type=word, alone=alone, name=name
            )
        if self.kernel.checks:
            yield self.dialect.fault
        word = self.dialect.types[self.kernel.sizes.dtype.name]
        for number, _ in enumerate(self.kernel.sizes.values):
            yield f"const {word} n{number}"

    # Statements ---------------------------------------------------------------------

    def _block(self, body: Sequence[Statement]) -> Iterator[str]:
        for statement in body:
            yield from self._statement(statement)

    def _statement(self, statement: Statement) -> Iterator[str]:
        match statement:
            case Let(name, value, mutable):
                const = "" if mutable else "const "
                yield f"{const}{self._type(value)} {name} = {self._text(value)};"
            case Set(name, value):
                yield f"{name} = {self._text(value)};"
            case Store():
                yield self._store(statement)
            case For(name, begin, end, step, body):
                word = self.dialect.types[begin.dtype.name]
                first, last = self._text(begin), self._text(end)
                by = f"{name} += {self._by(step)}" if step != 1 else f"++{name}"
                yield f"for ({word} {name} = {first}; {name} < {last}; {by}) {{"
                yield from (f"  {line}" for line in self._block(body))
                yield "}"
            case If(condition, body):
                yield f"if ({self._text(condition)}) {{"
                yield from (f"  {line}" for line in self._block(body))
                yield "}"
            case Barrier():
                yield self.dialect.barrier
            case Atomic(kind, array, offset, value):
                address = f"{self.arrays[array]} + {self._text(offset)}"
                yield self.dialect.atomics[kind].format(
                    type=self._type(value), address=address, value=self._text(value)
                )
            case Soon(array, offset, written):
                address = f"{self.arrays[array]} + {self._text(offset)}"
                yield self.dialect.soon.format(address=address, written=int(written))
            case _:
                assert_never(statement)

    def _by(self, step: int | Expr) -> str:
        return self._text(step) if isinstance(step, Expr) else str(step)

    def _store(self, store: Store) -> str:
        name, at = self.arrays[store.array], self._text(store.offset)
        text = self._text(store.value)
        if store.value.lanes == 1:
            return f"{name}[{at}] = {text};"
        form = self.dialect.past if store.past else self.dialect.store
        return form.format(
            vector=self._type(store.value), address=f"{name} + {at}", value=text
        )

    # Expressions ----------------------------------------------------------------------

    def _type(self, expr: Expr) -> str:
        return self._word(expr.dtype, expr.lanes)

    def _word(self, dtype: DType, lanes: int) -> str:
        word = self.dialect.types[dtype.name]
        return (
            word if lanes == 1 else self.dialect.vector.format(type=word, lanes=lanes)
        )

    def _text(self, expr: Expr) -> str:
        match expr.op:
            case "const":
                return self._splatted(expr, self._number(expr))
            case "var":
                return str(expr.value)
            case "item" | "items" | "member" | "group" | "groups":
                word = getattr(self.dialect, expr.op)
                return self.dialect.cast.format(type=self._type(expr), value=word)
            case "load":
                return self._load(expr)
            case "splat":
                return self._splatted(expr, self._text(expr.args[0]))
            case "pack":
                values = ", ".join(map(self._text, expr.args))
                return self.dialect.pack.format(type=self._type(expr), values=values)
            case "lane":
                return f"{self._text(expr.args[0])}.s{expr.value:x}"
            case "half":
                return f"({self._text(expr.args[0])}).{expr.value}"
            case "checked":
                return self._checked(expr)
            case "line":
                return self._line(expr)
            case _:
                return self._operation(expr)

    def _splatted(self, expr: Expr, text: str) -> str:
        if expr.lanes == 1:
            return text
        return self.dialect.pack.format(type=self._type(expr), values=text)

    def _load(self, expr: Expr) -> str:
        name, at = self.arrays[expr.value], self._text(expr.args[0])
        if expr.lanes == 1:
            return f"{name}[{at}]"
        return self.dialect.load.format(
            vector=self._type(expr), address=f"{name} + {at}"
        )

    def _line(self, expr: Expr) -> str:
        """Whether a line begins there, which has not been read as an operand's."""
        own, at = self.arrays[expr.value], self._text(expr.args[0])
        pairs = self.kernel.pointwise
        others = [self.arrays[x] for out, x in pairs if out is expr.value]
        tests = [self.dialect.line.format(address=f"{own} + {at}")]
        tests += [f"(size_t){own} != (size_t){other}" for other in others]
        return f"({' && '.join(tests)})"

    def _checked(self, expr: Expr) -> str:
        (index,) = expr.args
        text, free = self._text(index), self._word(unsigned(index.dtype), 1)
        inside = f"({free})({text}) < {expr.value}"
        return f"({inside} ? {text} : (*fault = 1, 0))"

    def _operation(self, expr: Expr) -> str:
        args = [self._text(arg) for arg in expr.args]
        match expr.op:
            case "select":
                mask = self._mask(expr.args[0], expr.dtype, args[0])
                return f"({mask} ? {args[1]} : {args[2]})"
            case "rare" if expr.lanes > 1:
                mask = self._mask(expr.args[0], expr.dtype, args[0])
                some = self.dialect.some.format(mask=mask, lanes=expr.lanes)
                return f"({some} ? ({mask} ? {args[1]} : {args[2]}) : {args[2]})"
            case "branch" | "rare":
                return f"({args[0]} ? {args[1]} : {args[2]})"
            case "cast":
                return self._cast(expr, args[0])
            case "bitcast":
                whole = expr.dtype.is_int and expr.args[0].dtype.is_int
                form = self.dialect.bitcast
                if whole and expr.lanes == 1:  # narrow ones are int in expressions
                    form = self.dialect.cast
                return form.format(type=self._type(expr), value=args[0])
            case "call":
                return self._call(expr, args)
            case "neg":
                return f"(-{args[0]})"
            case "not":
                sign = "!" if expr.lanes == 1 and expr.dtype is bool_ else "~"
                return self._narrowed(expr, f"({sign}{args[0]})")
        text = f"({args[0]} {_INFIX[expr.op]} {args[1]})"
        if expr.op in _COMPARISONS:
            return self._comparison(expr, text)
        return self._narrowed(expr, text)

    def _call(self, expr: Expr, args: Sequence[str]) -> str:
        """A library function; of wide vectors, as the device has it."""
        every = ", ".join(args)
        if expr.lanes == 1 or expr.lanes * expr.dtype.bits <= _WIDEST:
            form = self.dialect.calls.get(expr.value, f"{expr.value}({{args}})")
            return form.format(args=every)
        return self.dialect.wide.format(
            count=len(args), type=self._type(expr), name=expr.value, args=every
        )

    def _narrowed(self, expr: Expr, text: str) -> str:
        """C computes narrow integers as int: back to what they are."""
        if expr.lanes == 1 and expr.dtype.is_int and expr.dtype.bits < 32:
            return self.dialect.cast.format(type=self._type(expr), value=text)
        return text

    def _comparison(self, expr: Expr, text: str) -> str:
        """A mask of 32 bits a lane."""
        if expr.lanes == 1 or expr.args[0].dtype.bits == 32:
            return text
        if expr.args[0].dtype is bool_:
            return text
        return self.dialect.convert.format(type=f"int{expr.lanes}", value=text)

    def _mask(self, condition: Expr, dtype: DType, text: str) -> str:
        """A mask as wide as what it chooses."""
        if condition.lanes == 1 or dtype.bits == 32 or dtype is bool_:
            return text
        word = self._word(signed(dtype), condition.lanes)
        return self.dialect.convert.format(type=word, value=text)

    def _cast(self, expr: Expr, text: str) -> str:
        (source,) = expr.args
        if source.dtype is bool_:
            text = f"({text} & 1)"
        word = self._type(expr)
        if expr.lanes == 1:
            return self.dialect.cast.format(type=word, value=text)
        if source.dtype is bool_ and expr.dtype is int32:
            return text
        return self.dialect.convert.format(type=word, value=text)

    def _number(self, expr: Expr) -> str:
        value, dtype = expr.value, expr.dtype
        if dtype is bool_:
            return ("-1" if expr.lanes > 1 else "1") if value else "0"
        if dtype.is_int:
            return _integer(int(value), dtype)
        if not math.isfinite(value):
            return self._odd_number(value, dtype)
        text = float(value).hex()
        return f"({text}f)" if dtype.bits == 32 else f"({text})"

    def _odd_number(self, value: float, dtype: DType) -> str:
        wide = dtype.bits == 64
        code = struct.pack("<d" if wide else "<f", value)
        bits = int.from_bytes(code, "little")
        text = f"0x{bits:x}" + ("UL" if wide else "U")
        word = self._word(dtype, 1)
        return self.dialect.bitcast.format(type=word, value=text)


def _integer(value: int, dtype: DType) -> str:
    end = {("i", 64): "L", ("u", 64): "UL", ("u", 32): "U"}.get(
        (dtype.kind, dtype.bits), ""
    )
    if dtype.kind == "i" and dtype.bits >= 32 and value == dtype.limits[0]:
        return f"(-{-value - 1}{end} - 1)"
    return f"({value}{end})" if value < 0 else f"{value}{end}"
