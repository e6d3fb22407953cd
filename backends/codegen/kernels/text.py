"""Words that all library kernels for CPU devices are written in.

``vec`` holds as many floats as a register. What a compiler does not inline, such as
``vload8`` and ``fma``, costs more than the arithmetic: so vectors are read by casts of
pointers to an unaligned type, and ``a * b + c`` contracts by itself.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2s

from graphwright.backends.codegen.dialect import Dialect
from graphwright.backends.codegen.kernels.amx_words import WORDS


def prelude(dialect: Dialect, lanes: int) -> str:
    """Definitions before the kernels of a program.

    Args:
        dialect: Its language.
        lanes: Floats of a vector, as many as registers have: wider ones are split and
            spilled (0.5x, LLVM 14).
    """
    vector = dialect.vector.format(type="float", lanes=lanes)
    load = dialect.load.format(vector=vector, address="p")
    store = dialect.store.format(vector=vector, address="p", value="(v)")
    near = load.replace("__global", "__local")
    keep = store.replace("__global", "__local")
    words = dialect.vector.format(type="int", lanes=lanes)
    fours = dialect.load.format(vector=words, address="p")
    keep_fours = dialect.store.format(vector=words, address="p", value="(v)")
    return f"""\
typedef {vector} vec;
#define SPLAT(s) ((vec)(s))
#define LOAD(p) {load}
#define STORE(p, v) {store}
#define NEAR_LOAD(p) {near}
#define NEAR_STORE(p, v) {keep}
typedef {words} ivec;
#define WORDS(p) {fours}
#define WORDS_STORE(p, v) {keep_fours}
#define DOT4(c, x, w) __asm__("vpdpbusd %2, %1, %0" : "+v"(c) : "v"(x), "v"(w));
static inline ivec dot4(ivec c, ivec x, ivec w) {{
  for (int i = 0; i < 32; i += 8)
    c += ((x >> i) & 255) * ((w << (24 - i)) >> 24);
  return c;
}}
#define LOAD_BFLOAT16(p) as_{vector}(GW_CONVERT({words}, \
  *(const __global ushort{lanes}u *)(p)) << 16)
static inline vec LOAD_FLOAT16(const __global ushort *p) {{
#ifdef __F16C__
  vec found;
  __asm__("vcvtph2ps %1, %0" : "=v"(found) : "m"(*(const __global ushort{lanes}u *)p));
  return found;
#else
  ivec bits = GW_CONVERT({words}, *(const __global ushort{lanes}u *)p);
  ivec size = (bits & 0x7fff) << 13, normal = size + (112 << 23);
  vec small = as_{vector}(size + (113 << 23)) - 0x1p-14f;
  ivec found = size < 1 << 23 ? as_{words}(small) : normal;
  found = size < 31 << 23 ? found : size | 0x7f800000;
  return as_{vector}(found | (bits & 0x8000) << 16);
#endif
}}
{WORDS if lanes == 16 else ""}\
#define WITHIN(i, n) ((uint)(i) < (uint)(n))
#ifdef __has_builtin
#if __has_builtin(__builtin_prefetch)
#define AHEAD(p) __builtin_prefetch((const void *)(size_t)(p), 0, 2);
#endif
#endif
#ifndef AHEAD
#define AHEAD(p)
#endif
static inline vec part(const __global float *p, int left) {{
  if (left >= {lanes}) return LOAD(p);
  float v[{lanes}];
  for (int i = 0; i < {lanes}; i++) v[i] = i < left ? p[i] : 0.0f;
  return (vec)({", ".join(f"v[{i}]" for i in range(lanes))});
}}
static inline void put(__global float *p, vec x, int left) {{
  float v[{lanes}] = {{{_lanes("x", lanes)}}};
  for (int i = 0; i < {lanes}; i++) if (i < left) p[i] = v[i];
}}
#define PUT(type, p, v, left) {{ \\
  type##{lanes} whole = (v); \\
  if ((left) >= {lanes}) {{ *(__global type##{lanes}u *)(p) = whole; }} \\
  else {{ type each[{lanes}] = {{{_lanes("whole", lanes)}}}; \\
    for (int e = 0; e < {lanes}; e++) if (e < (left)) (p)[e] = each[e]; }} }}
#define PART_STORE(p, v, left) \\
  if ((left) >= {lanes}) {{ STORE(p, v) }} else put(p, v, left);
"""


def _lanes(vector: str, lanes: int) -> str:
    return ", ".join(f"{vector}.s{i:x}" for i in range(lanes))


def read(address: str, left: str | None) -> str:
    """A vector in global memory; only ``left`` floats of it if that is not None."""
    return f"LOAD({address})" if left is None else f"part({address}, {left})"


def write(address: str, value: str, left: str | None) -> str:
    """The statement that writes one."""
    if left is None:
        return f"STORE({address}, {value})"
    return f"PART_STORE({address}, {value}, {left})"


def number(value: float) -> str:
    """A float, exactly."""
    return f"{float(value).hex()}f"


def arguments(
    arrays: Iterable[str],
    sizes: Iterable[str],
    out: str,
    types: Mapping[str, str] = {},
    near: Sequence[str] = (),
) -> str:
    """Declarations of arrays that are read, one that is written, ``near`` ones, sizes.

    Arrays are of floats, but for those that have other ``types``.
    """

    def pointer(name: str) -> str:
        return f"__global {types.get(name, 'float')} *restrict {name}"

    found = [f"const {pointer(name)}" for name in arrays]
    local = (f"__local float *restrict {name}" for name in near)
    numbers = (f"int {name}" for name in sizes)
    return ", ".join([*found, pointer(out), *local, *numbers])


def named(kind: str, text: str) -> tuple[str, str]:
    """A name for a function, and the text with that name for each ``NAME`` in it.

    Equal texts have equal names; no others do.
    """
    name = f"{kind}_{blake2s(text.encode(), digest_size=6).hexdigest()}"
    return name, text.replace("NAME", name)


def block(head: str, body: Sequence[str]) -> list[str]:
    """A compound statement, indented."""
    return [f"{head} {{", *(f"  {line}" for line in body), "}"]
