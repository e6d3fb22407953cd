"""Words that all library kernels for CPU devices are written in.

``vec`` holds `WIDTH` floats. What a compiler does not inline, such as ``vload8`` and
``fma``, costs more than the arithmetic: so vectors are read by casts of pointers to an
unaligned type, and ``a * b + c`` contracts by itself.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2s

from graphwright.backends.codegen.dialect import Dialect

WIDTH = 8
"""Floats of a vector: a register of 256 bits. Wider ones were split and spilled where
the compiler's target has no such registers (0.5x, LLVM 14)."""


def prelude(dialect: Dialect) -> str:
    """Definitions before the kernels of a program."""
    vector = dialect.vector.format(type="float", lanes=WIDTH)
    load = dialect.load.format(vector=vector, address="p")
    store = dialect.store.format(vector=vector, address="p", value="(v)")
    near = load.replace("__global", "__local")
    keep = store.replace("__global", "__local")
    return f"""\
typedef {vector} vec;
#define SPLAT(s) ((vec)(s))
#define LOAD(p) {load}
#define STORE(p, v) {store}
#define NEAR_LOAD(p) {near}
#define NEAR_STORE(p, v) {keep}
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
  if (left >= {WIDTH}) return LOAD(p);
  float v[{WIDTH}];
  for (int i = 0; i < {WIDTH}; i++) v[i] = i < left ? p[i] : 0.0f;
  return (vec)({", ".join(f"v[{i}]" for i in range(WIDTH))});
}}
static inline void put(__global float *p, vec x, int left) {{
  float v[{WIDTH}] = {{{", ".join(f"x.s{i:x}" for i in range(WIDTH))}}};
  for (int i = 0; i < {WIDTH}; i++) if (i < left) p[i] = v[i];
}}
#define PART_STORE(p, v, left) \\
  if ((left) >= {WIDTH}) {{ STORE(p, v) }} else put(p, v, left);
"""


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
    arrays: Iterable[str], sizes: Iterable[str], out: str, indices: Iterable[str] = ()
) -> str:
    """Declarations of arrays that are read, one that is written, and sizes."""
    found = [f"const __global float *restrict {name}" for name in arrays]
    found += (f"const __global int *restrict {name}" for name in indices)
    numbers = (f"int {name}" for name in sizes)
    return ", ".join([*found, f"__global float *restrict {out}", *numbers])


def named(kind: str, text: str) -> tuple[str, str]:
    """A name for a function, and the text with that name for each ``NAME`` in it.

    Equal texts have equal names; no others do.
    """
    name = f"{kind}_{blake2s(text.encode(), digest_size=6).hexdigest()}"
    return name, text.replace("NAME", name)


def block(head: str, body: Sequence[str]) -> list[str]:
    """A compound statement, indented."""
    return [f"{head} {{", *(f"  {line}" for line in body), "}"]
