"""Dialects: what the same kernel is called in each C-family language, as tables."""

from collections.abc import Mapping
from dataclasses import field

from graphwright.ir.record import record


@record(frozen=True, slots=True)
class Dialect:
    """The words of a language.

    Attributes:
        kernel: Format of a kernel's head, of ``name``, ``arguments`` and ``group``.
            Within, ``ITEM(0)`` to ``ITEM(2)`` say which work-item runs, and ``ITEMS``
            how many there are in the first direction: macros, see `preamble`.
        array: Format of an array argument: ``const`` or empty, ``type``, ``name``, and
            ``alone`` if no other argument shares its memory.
        alone: The word for that.
        fault: The argument at which failed checks are noted.
        types: Names of scalar types by dtype.
        vector: Format of a vector type, of ``type`` and ``lanes``.
        pack: Format of a vector made of scalars, of ``type`` and ``values``.
        load: Format of a vector read at unaligned ``address``, of ``vector``.
        store: Format of a vector written there, of ``value``.
        past: The same past the caches, at an address that fits the vector.
        line: Format of whether a line of memory begins at an ``address``; 0 where
            nothing can be written past the caches.
        cast: Format of a number in another type; vectors by ``convert``.
        convert: Format of a vector in another element type.
        bitcast: Format of bits as another ``type``.
        item: The number of a work-item.
        items: How many there are.
        member: Its number in its work-group.
        group: The number of its work-group.
        groups: How many of these there are.
        local: Format of a work-group's array, of ``type``, ``name``, ``size``.
        barrier: Where the work-items of a work-group meet.
        atomics: Formats of what combines integers of a ``type`` in global memory at an
            ``address`` with a ``value``, by how they are combined.
        calls: Formats of library functions, where names are not those of C.
        soon: Format of a hint that what lies at an ``address`` is soon read, or
            ``written``.
        wide: Format of a function ``name`` of vectors of more than 256 bits of a
            ``type``: ``count`` of them are ``args``.
        some: Format of whether any of the ``lanes`` of a ``mask`` is set: rarely.
        preamble: What stands before kernels. By default, they are launched.
    """

    kernel: str
    array: str
    alone: str
    fault: str
    types: Mapping[str, str]
    vector: str
    pack: str
    load: str
    store: str
    cast: str
    convert: str
    bitcast: str
    item: str
    items: str
    member: str
    group: str
    groups: str
    local: str
    barrier: str
    atomics: Mapping[str, str]
    calls: Mapping[str, str] = field(default_factory=dict[str, str])
    soon: str = ""
    past: str = ""
    line: str = ""
    wide: str = ""
    some: str = ""
    preamble: str = ""


def _unaligned(name: str, size: int) -> str:
    types = (f"{name}{lanes}" for lanes in (2, 4, 8, 16))
    return "\n".join(
        f"typedef {t} {t}u __attribute__((aligned({size})));" for t in types
    )


_VECTORS = "\n".join(
    _unaligned(name, size)
    for name, size in (
        *(("char", 1), ("uchar", 1), ("short", 2), ("ushort", 2)),
        *(("int", 4), ("uint", 4), ("long", 8), ("ulong", 8), ("float", 4)),
    )
)


def _abreast(name: str, lanes: int) -> str:
    """Vectors of more lanes than the language has, for Clang, which cuts them."""
    made = f"{name}{lanes}"
    form = "typedef {0} {1}{2} __attribute__((ext_vector_type({3}), aligned({4})));"
    lines = [
        form.format(name, made, u, lanes, size) for u, size in (("", 64), ("u", 4))
    ]
    cast = f"#define as_{made}(x) __builtin_astype(x, {made})"
    return "\n".join([*lines, cast])


_ABREAST = "\n".join(_abreast(name, 64) for name in ("float", "int", "uint"))

OPENCL = Dialect(
    kernel="KERNEL({group}) void {name}({arguments} ITEM_ARGUMENTS)",
    array="__global {const}{type} *{alone}{name}",
    alone="restrict ",
    fault="__global int *restrict fault",
    types={
        "bool": "int",
        "float32": "float",
        "float64": "double",
        "int8": "char",
        "int16": "short",
        "int32": "int",
        "int64": "long",
        "uint8": "uchar",
        "uint16": "ushort",
        "uint32": "uint",
        "uint64": "ulong",
    },
    vector="{type}{lanes}",
    pack="({type})({values})",
    load="*(const __global {vector}u *)({address})",
    store="*(__global {vector}u *)({address}) = {value};",
    cast="(({type})({value}))",
    convert="GW_CONVERT({type}, {value})",
    bitcast="as_{type}({value})",
    item="ITEM(0)",
    items="ITEMS",
    member="get_local_id(0)",
    group="get_group_id(0)",
    groups="get_num_groups(0)",
    local="__local {type} {name}[{size}];",
    barrier="barrier(CLK_LOCAL_MEM_FENCE);",
    atomics={
        kind: f"atomic_{name}((volatile __global {{type}} *)({{address}}), {{value}});"
        for kind, name in (("sum", "add"), ("max", "max"), ("min", "min"))
    },
    soon="GW_SOON({address}, {written})",
    past="GW_PAST({vector}, {address}, {value})",
    line="GW_LINE({address})",
    wide="GW_WIDE_{count}({type}, {name}, {args})",
    some="GW_SOME_{lanes}({mask})",
    preamble=f"""\
#ifndef KERNEL
#define KERNEL(...) __kernel __attribute__((reqd_work_group_size(__VA_ARGS__)))
#define ITEM_ARGUMENTS
#define AFTER(type, p) (p)
#define ITEM(axis) get_global_id(axis)
#define ITEMS get_global_size(0)
#endif
#ifdef __has_builtin
#if __has_builtin(__builtin_convertvector)
#define GW_CONVERT(type, value) __builtin_convertvector(value, type)
#endif
#endif
#ifdef __has_builtin
#if __has_builtin(__builtin_prefetch)
#define GW_SOON(p, w) __builtin_prefetch((const void *)(size_t)(p), w, 3);
#endif
#endif
// work-items are counted, by locked instructions, after what is written past the caches
#if defined(__x86_64__) && defined(__has_builtin)
#if __has_builtin(__builtin_nontemporal_store)
#define GW_PAST(type, p, v) \\
  __builtin_nontemporal_store((type)(v), (__global type *)(p));
#define GW_LINE(p) (((size_t)(p) & 63) == 0)
#endif
#endif
#ifndef GW_PAST
#define GW_PAST(type, p, v) *(__global type##u *)(p) = v;
#define GW_LINE(p) 0
#endif
#ifndef GW_SOON
#define GW_SOON(p, w)
#endif
#ifndef GW_CONVERT
#define GW_CONVERT(type, value) convert_##type(value)
#endif
// PoCL 3.0 does not inline any()
#define GW_SOME_8(m) __builtin_expect(as_ulong(GW_CONVERT(char8, m)) != 0, 0)
#define GW_SOME_16(m) GW_SOME_8((m).lo | (m).hi)
#define GW_HALVES(type, name, x, y) ((type)(name(x.lo, y.lo), name(x.hi, y.hi)))
#ifdef __AVX512F__
#define GW_WIDE_1(type, name, x) name(x)
#define GW_WIDE_2(type, name, x, y) GW_WIDE_##type(name, x, y)
#define GW_WIDE_float16(name, x, y) name(x, y)
#else
#define GW_WIDE_1(type, name, x) ((type)(name(x.lo), name(x.hi)))
#define GW_WIDE_2(type, name, x, y) GW_HALVES(type, name, x, y)
#endif
#ifdef cl_khr_fp64
#pragma OPENCL EXTENSION cl_khr_fp64 : enable
{_unaligned("double", 8)}
// PoCL 3.0: fmod of double8 may be wrong or not end beside large quotients, pow wrong
#define GW_WIDE_double8(name, x, y) GW_HALVES(double8, name, x, y)
#endif
{_VECTORS}
#ifdef __clang__
{_ABREAST}
#endif
""",
)
