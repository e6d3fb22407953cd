"""Stable sorts of rows: of numbers in the order of their elements, by their digits.

An element becomes an unsigned *key* whose order is its own: the bits of a float, turned
over where it is negative, all ones for NaN; for a descending sort, all turned over. A
row, or each of some blocks of a long one, is sorted by digits of 8 bits from the lowest
up; a digit that is the same everywhere is passed over. Short rows are sorted eight at
once (`network.py`); where only few of the first are wanted, they are picked out
(`select.py`). Blocks are merged in pairs, each merge in parts that end at about the
same time (Odeh et al., "Merge Path", 2012). What comes first stays first among equals.
There may be any number of rows, of less than 2**31 elements each.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TypeAlias

from graphwright.backends.codegen.device import Target
from graphwright.backends.codegen.dialect import OPENCL
from graphwright.backends.codegen.elements import Array, read
from graphwright.backends.codegen.expr import Expr, choose, const, signed
from graphwright.backends.codegen.index import Axis, Item, of
from graphwright.backends.codegen.items import items_for
from graphwright.backends.codegen.kernels import network, select
from graphwright.backends.codegen.kernels.table import single
from graphwright.backends.codegen.kernels.text import block, named
from graphwright.backends.codegen.loops import Kernel, Sizes, Written
from graphwright.backends.codegen.narrow import carrier
from graphwright.backends.codegen.nest import extent_of
from graphwright.backends.codegen.schedule import looped
from graphwright.ir.dtype import DType, bool_, int32, int64, uint32, uint64
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Node
from graphwright.ir.ops.index import Sort

_BLOCK = 1 << 12
"""Elements that are worth a block of their own."""
_COST = 64
"""Operations for an element."""


@single("sort")
def sort(node: Node, arrays: Mapping[Value, Array], target: Target) -> Sequence[Kernel]:
    """Keys, their order, and what is there in that order."""
    (x,), op = node.operands, node.op
    assert isinstance(op, Sort)
    results = [arrays.get(v) for v in node.results]
    (kept, *_) = (array.shape[op.axis] for array in results if array is not None)
    n = arrays[x].shape[op.axis]
    made: type[_Rows] = _Short if n <= network.MOST else _Sort
    if kept <= select.MOST and select.LEAST * kept <= n:
        made = _First
    return made(op, arrays[x], results, target).kernels()


_Pair: TypeAlias = tuple[Array, Array]
"""Keys, and where in their row they were."""


class _Rows:
    """What is sorted, and what is read of it: values, where they were, or both."""

    def __init__(
        self, op: Sort, x: Array, results: Sequence[Array | None], target: Target
    ) -> None:
        self.op, self.x, self.results, self.target = op, x, results, target
        (some, *_) = (array for array in results if array is not None)
        self.axes = tuple(map(Axis, x.shape))
        self.kept = Axis(some.shape[op.axis])
        self.axis = self.axes[op.axis]
        self.rows = tuple(axis for axis in self.axes if axis is not self.axis)
        self.places = (*self.rows, self.axis)
        self.element = read(x, x.index(tuple(map(of, self.axes))))
        self.work, self.count = _COST * x.size, extent_of(self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of arrays of keys: rows one after another."""
        return tuple(axis.extent for axis in self.places)

    def turned(self, key: Expr) -> Expr:
        """A key, the other way round in a descending sort."""
        if not self.op.descending:
            return key
        return key ^ const(2**key.dtype.bits - 1, key.dtype)

    @property
    def ends(self) -> tuple[Axis, ...]:
        """Axes of the results, which may have the first elements only."""
        return tuple(self.kept if axis is self.axis else axis for axis in self.axes)

    def near(self, array: Array) -> Expr:
        """What an array of keys or places has for an element of the result."""
        return read(array, array.index(tuple(map(of, (*self.rows, self.kept)))))

    def kernels(self) -> list[Kernel]:
        """In the order in which they run."""
        raise NotImplementedError

    def moved(self, order: Array) -> Kernel:
        """The kernel that writes results, by the order."""
        at = tuple(map(of, self.ends))
        place = self.near(order)
        item = of(Item(place.bits(int32), self.axis.extent))
        source = (*at[: self.op.axis], item, *at[self.op.axis + 1 :])
        value = read(self.x, self.x.index(source))
        return self.written([value, place.to(int64)])

    def written(self, exprs: Sequence[Expr]) -> Kernel:
        """The kernel that writes those results that are read."""
        rows = zip(exprs, self.results, strict=True)
        found = [(expr, array) for expr, array in rows if array is not None]
        kept, arrays = zip(*found, strict=True)
        return looped(self.ends, kept, arrays, self.target)


class _Short(_Rows):
    """Rows that a network sorts."""

    def kernels(self) -> list[Kernel]:
        """In the order in which they run."""
        key = self.turned(_exact(self.element, self.x.dtype))
        a, b = (Array(key.dtype, self.shape) for _ in range(2))
        order = Array(uint32, self.shape)
        places = self.results[1] is not None
        name, text = network.network(
            key.dtype, self.x.dtype.is_float, self.op.descending, places
        )
        units = -(-self.count // network.ROWS)
        sizes = Sizes(int32, [units, self.axis.extent, self.count])
        items = items_for(units, self.work, self.target)
        outputs = (a, b, order) if places else (a, b)
        sorted_ = Written((), outputs, sizes, (), (items,), name=name, text=text)
        at = tuple(map(of, self.places))
        value = _element(self.turned(self.near(b)), self.x.dtype)
        return [
            looped(self.places, [key], [a], self.target, at),
            sorted_,
            self.written([value, self.near(order).to(int64)]),
        ]


class _First(_Rows):
    """Rows of which few elements are wanted."""

    def kernels(self) -> list[Kernel]:
        """In the order in which they run."""
        key = self.turned(_key(self.element, self.x.dtype))
        keys, n, k = Array(key.dtype, self.shape), self.axis.extent, self.kept.extent
        blocks = 1
        while self.count * blocks < self.target.cores and n >= 2 * blocks * _BLOCK:
            blocks *= 2
        at = tuple(map(of, self.places))
        first = looped(self.places, [key], [keys], self.target, at)
        pair = self._pair(key.dtype, blocks * k)
        found = [first, self._select((keys,), pair, blocks)]
        if blocks > 1:
            last = self._pair(key.dtype, k)
            found.append(self._select(pair, last, 1))
            pair = last
        return [*found, self.moved(pair[1])]

    def _pair(self, key: DType, count: int) -> _Pair:
        """Keys and places of some elements of each row."""
        shape = (*(axis.extent for axis in self.rows), count)
        return Array(key, shape), Array(uint32, shape)

    def _select(self, source: Sequence[Array], to: _Pair, blocks: int) -> Kernel:
        """The kernel that picks out what comes first of each block."""
        units = self.count * blocks
        items = items_for(units, self.work, self.target)
        numbers = [units, source[0].shape[-1], blocks, self.kept.extent]
        text = select.select(source[0].dtype, placed=len(source) > 1)
        return _written(text, source, to, numbers, items)


class _Sort(_Rows):
    """Rows that are sorted by digits."""

    def __init__(
        self, op: Sort, x: Array, results: Sequence[Array | None], target: Target
    ) -> None:
        super().__init__(op, x, results, target)
        self.key = self.turned(_key(self.element, x.dtype))
        rows, most = self.count, self.axis.extent
        blocks = 1
        while rows * blocks < target.cores and most >= 2 * blocks * _BLOCK:
            blocks *= 2
        self.blocks = blocks

    def kernels(self) -> list[Kernel]:
        """In the order in which they run."""
        pairs: list[_Pair] = [
            (Array(self.key.dtype, self.shape), Array(uint32, self.shape))
            for _ in range(2)
        ]
        at = tuple(map(of, self.places))
        keys = looped(self.places, [self.key], [pairs[0][0]], self.target, at)
        levels = [self.blocks >> i for i in range(self.blocks.bit_length())]
        merges = [
            self._merge(blocks, *(pairs if i % 2 == 0 else pairs[::-1]))
            for i, (blocks, _) in enumerate(pairwise(levels))
        ]
        (_, order) = pairs[len(merges) % 2]
        return [keys, self._digits(*pairs), *merges, self.moved(order)]

    def _digits(self, pair: _Pair, spare: _Pair) -> Kernel:
        """The kernel that sorts rows, or each block of them, in place."""
        units = self.count * self.blocks
        items = items_for(units, self.work, self.target)
        numbers = [units, self.axis.extent, self.blocks]
        return _written(_digits_text(pair[0]), (), (*pair, *spare), numbers, items)

    def _merge(self, blocks: int, source: _Pair, to: _Pair) -> Kernel:
        """The kernel that merges blocks in pairs."""
        pairs = self.count * blocks // 2
        parts = max(1, 4 * self.target.cores // pairs)
        units = pairs * parts
        items = items_for(units, self.work, self.target)
        numbers = [units, self.axis.extent, blocks, parts]
        return _written(_merge_text(source[0]), source, to, numbers, items)


def _key(x: Expr, dtype: DType) -> Expr:
    """An unsigned number whose order is that of the elements."""
    if dtype is bool_:
        return choose(x, const(1, uint32), const(0, uint32))
    bits = 64 if x.dtype.bits == 64 else 32
    free = uint64 if bits == 64 else uint32
    top = const(1 << (bits - 1), free)
    if x.dtype.is_float:
        plain = x.bits(free)
        turned = choose(x < 0, plain ^ (2**bits - 1), plain | top)  # -0 is as 0
        return choose(x.differs(x), const(2**bits - 1, free), turned)
    if dtype.kind == "u":
        return x.to(free)
    return x.to(signed(free)).bits(free) ^ top


def _exact(x: Expr, dtype: DType) -> Expr:
    """The same, of all bits of a float: so that it can be told what it was."""
    if not x.dtype.is_float:
        return _key(x, dtype)
    bits = x.bits(uint64 if x.dtype.bits == 64 else uint32)
    low = x.bits(signed(bits.dtype)) < 0
    top = const(1 << (bits.dtype.bits - 1), bits.dtype)
    return choose(low, bits ^ (2**bits.dtype.bits - 1), bits | top)


def _element(key: Expr, dtype: DType) -> Expr:
    """What has such an exact key."""
    held = carrier(dtype)
    if dtype is bool_:
        return key.differs(0)
    if dtype.kind == "u":
        return key.to(held)
    top = const(1 << (key.dtype.bits - 1), key.dtype)
    if not held.is_float:
        return (key ^ top).bits(signed(key.dtype)).to(held)
    low = key < top
    return choose(low, key ^ (2**key.dtype.bits - 1), key ^ top).bits(held)


# Source ------------------------------------------------------------------------------


def _written(
    source: tuple[str, str],
    inputs: Sequence[Array],
    outputs: Sequence[Array],
    numbers: Sequence[int],
    items: int,
) -> Kernel:
    name, text = source
    sizes = Sizes(int32, list(numbers))
    return Written(
        tuple(inputs), tuple(outputs), sizes, (), (items,), name=name, text=text
    )


def _head(key: str, arrays: Sequence[str], sizes: Sequence[str]) -> str:
    """A kernel's head: arrays of keys by name, with where in a row they were."""
    found: list[str] = []
    for name in arrays:
        found += [f"__global {key} *{name}", f"__global uint *{name}_place"]
    found += [f"int {name}" for name in sizes]
    return OPENCL.kernel.format(
        name="NAME", group="1, 1, 1", arguments=", ".join(found)
    )


def _units(body: Sequence[str]) -> list[str]:
    return block("for (long u = ITEM(0); u < units; u += ITEMS)", body)


_ALL = "for (int i = 0; i < count; i++)"


def _digits_text(keys: Array) -> tuple[str, str]:
    key, digits = OPENCL.types[keys.dtype.name], keys.dtype.bits // 8
    counting = [
        f"{key} own = from[i];",
        "from_place[i] = first + i;",
        *(f"counts[{d}][own >> {8 * d} & 255]++;" for d in range(digits)),
    ]
    unit = [
        "long row = u / blocks, k = u % blocks;",
        "int first = (int)(k * n / blocks);",
        "int count = (int)((k + 1) * n / blocks) - first;",
        f"__global {key} *from = a + row * n + first, *to = b + row * n + first;",
        "__global uint *from_place = a_place + row * n + first;",
        "__global uint *to_place = b_place + row * n + first;",
        f"uint counts[{digits}][256];",
        f"for (int d = 0; d < {digits}; d++) "
        "for (int c = 0; c < 256; c++) counts[d][c] = 0;",
        *block(_ALL, counting),
        *block(f"for (int d = 0; d < {digits}; d++)", _digit(key)),
        "if (from == a + row * n + first) continue;",
        f"{_ALL} {{ to[i] = from[i]; to_place[i] = from_place[i]; }}",
    ]
    head = _head(key, ("a", "b"), ("units", "n", "blocks"))
    return named("sort", "\n".join(block(head, _units(unit))) + "\n")


def _digit(key: str) -> list[str]:
    """Elements by one digit, from one place to the other."""
    scatter = [
        f"{key} own = from[i];",
        "uint at = counts[d][own >> 8 * d & 255]++;",
        "to[at] = own;",
        "to_place[at] = from_place[i];",
    ]
    return [
        "if (counts[d][from[0] >> 8 * d & 255] == (uint)count) continue;",
        "uint sum = 0;",
        "for (int c = 0; c < 256; c++) "
        "{ uint own = counts[d][c]; counts[d][c] = sum; sum += own; }",
        *block(_ALL, scatter),
        f"__global {key} *t = from; from = to; to = t;",
        "__global uint *p = from_place; from_place = to_place; to_place = p;",
    ]


def _merge_text(keys: Array) -> tuple[str, str]:
    key = OPENCL.types[keys.dtype.name]
    search = [
        "int m = (low + high) / 2;",
        "if (left[m] <= right[begin - 1 - m]) low = m + 1; else high = m;",
    ]
    merging = [
        "int first = j >= behind || (i < before && left[i] <= right[j]);",
        "to[t] = first ? left[i] : right[j];",
        "to_place[t] = first ? left_place[i] : right_place[j];",
        "i += first;",
        "j += 1 - first;",
    ]
    unit = [
        "long part = u % parts, k = u / parts % (blocks / 2) * 2;",
        "long row = u / parts / (blocks / 2) * n;",
        "int start = (int)(k * n / blocks), middle = (int)((k + 1) * n / blocks);",
        "int before = middle - start, behind = (int)((k + 2) * n / blocks) - middle;",
        "int begin = (int)(part * (before + behind) / parts);",
        "int end = (int)((part + 1) * (before + behind) / parts);",
        f"const __global {key} *left = a + row + start, *right = a + row + middle;",
        "const __global uint *left_place = a_place + row + start;",
        "const __global uint *right_place = a_place + row + middle;",
        f"__global {key} *to = b + row + start;",
        "__global uint *to_place = b_place + row + start;",
        "int low = begin > behind ? begin - behind : 0;",
        "int high = begin < before ? begin : before;",
        *block("while (low < high)", search),
        "int i = low, j = begin - low;",
        *block("for (int t = begin; t < end; t++)", merging),
    ]
    head = _head(key, ("a", "b"), ("units", "n", "blocks", "parts"))
    return named("merge", "\n".join(block(head, _units(unit))) + "\n")
