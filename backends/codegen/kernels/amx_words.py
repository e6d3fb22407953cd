"""Words of x86's AMX in kernels, and of what its tiles are made of: see `amx.py`.

Compilers know the instructions where they know the processor; all assemblers of x86
know bytes. ``TILES`` says how large tiles are, other words take them by their numbers.
``SPLIT`` writes ``n`` parts of two vectors, each number's above that of the other's: so
numbers 16 apart along the depth are a pair, on both sides.

On machines that are shared tiles may have a third of their speed for seconds, on some
cores, while vectors have all of theirs. ``tiles_are_fast`` compares eight products of
tiles with a chain of integer ones: 1.5 times as long, or 2.8 (Emerald Rapids).
It takes 0.3 us.
"""

WORDS = r"""
#ifdef __AVX512F__
#define TILES(p) __asm__ volatile(".byte 0xc4,0xe2,0x78,0x49,0" :: "a"(p) : "memory");
#define TILES_DONE __asm__ volatile(".byte 0xc4,0xe2,0x78,0x49,0xc0");
#define TILE_ZERO(n) \
  __asm__ volatile(".byte 0xc4,0xe2,0x7b,0x49,%c0" :: "i"((n) << 3 | 0xc0));
#define TILE_LOAD(n, p, step) \
  __asm__ volatile(".byte 0xc4,0xe2,0x7b,0x4b,%c2,8" \
                   :: "a"(p), "c"((long)(step)), "i"((n) << 3 | 4) : "memory");
#define TILE_STORE(n, p, step) \
  __asm__ volatile(".byte 0xc4,0xe2,0x7a,0x4b,%c2,8" \
                   :: "a"(p), "c"((long)(step)), "i"((n) << 3 | 4) : "memory");
#define TILE_DOT(c, a, b) \
  __asm__ volatile(".byte 0xc4,0xe2,%c0,0x5c,%c1" \
                   :: "i"((~(b) & 15) << 3 | 2), "i"((c) << 3 | (a) | 0xc0));
#define TILE_DOT_BYTES(c, a, b) \
  __asm__ volatile(".byte 0xc4,0xe2,%c0,0x5e,%c1" \
                   :: "i"((~(b) & 15) << 3 | 1), "i"((c) << 3 | (a) | 0xc0));
#define TOP(v) __builtin_astype(__builtin_astype(v, uint16) & 0xffff0000u, vec)
#define BOTH(to, u, v) { \
  uint16 both = __builtin_astype(u, uint16) >> 16; \
  __asm__("vpternlogd $0xf8, %2, %1, %0" \
          : "+v"(both) : "v"(v), "v"((uint16)(0xffff0000u))); \
  *(__local uint16 *)(to) = both; }
#define SPLIT(n, to, u, v) { \
  BOTH(to, u, v) \
  if (n > 1) { u -= TOP(u), v -= TOP(v); BOTH((to) + 256, u, v) } \
  if (n > 2) { u -= TOP(u), v -= TOP(v); BOTH((to) + 512, u, v) } }
#define TICKS(now) { \
  uint low, high; \
  __asm__ volatile("rdtscp" : "=a"(low), "=d"(high) :: "rcx", "memory"); \
  now = (ulong)high << 32 | low; }
static __attribute__((noinline)) int tiles_are_fast(const __local float *p) {
  ulong begin, middle, end, x = 1;
  for (int first = 1; first >= 0; first--) {  // at first they may have to wake up
    TICKS(begin)
    for (int i = 0; i < 4; i++) {
      TILE_LOAD(4, p, 64) TILE_LOAD(6, p, 64) TILE_DOT(0, 4, 6)
      TILE_LOAD(5, p, 64) TILE_LOAD(7, p, 64) TILE_DOT(1, 5, 7)
    }
    TICKS(middle)
  }
  for (int i = 0; i < 32; i++) __asm__ volatile("imulq %0, %0" : "+r"(x));
  TICKS(end)
  return middle - begin < 2 * (end - middle);
}
static __attribute__((noinline))
void split_part(const __global float *p, int left, __local float *to, int parts) {
  float rest[32] __attribute__((aligned(64)));
  for (int i = 0; i < 32; i++) rest[i] = i < left ? p[i] : 0;
  vec u = *(vec *)rest, v = *(vec *)(rest + 16);
  SPLIT(parts, to, u, v)
}
static inline int has_nan(vec v) {
  ivec m = v != v;
  int8 some = m.lo | m.hi;
  int4 few = some.lo | some.hi;
  return few.x | few.y | few.z | few.w;
}
#endif
"""
