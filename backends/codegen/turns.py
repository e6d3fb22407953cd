"""The text of what runs plans: launched as a kernel, or called by threads of the host.

Where a device's work-items are threads of this process, so could the host's own be: the
functions of a program are code like any other. A kernel tells at which addresses they
lie. One program has what threads run, for all plans: ``lead`` runs a plan on the
calling thread, and lays it on a *desk*, where helpers look for it. They wait awake for
a while, then asleep, and join what they find. A leader waits for no helper that does
not hold a ticket: so late ones, or none at all, do no harm, and a run wakes nobody but
them. What a plan consists of lies in other programs, and is called by its address.
"""

PLAN = "plan"
ROW = (
    "function",
    "end",
    "all",
    "few",
    "across",
    "down",
    "wait",
    "place",
    "weights",
    "size",
)
"""The numbers of a step in the table, before all arguments: its function, by number or
by address; the tickets up to its end; its work-items, those of a ticket, and those
along two axes; the steps that it waits for; where its arguments are; the address and
bytes of its weights."""
HEADER = len(ROW)
STRIDE = 16
"""Counters lie so many numbers apart: each in a line of cache of its own."""

JOB = ("table", "done", "near", "last", "open", "desk")
"""The numbers of a job: addresses of its table, counters and local memory; how many
steps it has; whether it is for helpers, too; the address of the desk where these find
it."""

LINE = 8
"""Numbers between those of a desk, each in a line of cache of its own."""
DESK = (
    *("job", "lock", "serial", "inside", "asleep", "closed", "leader", "leaders"),
    "cores",
)
"""The numbers of a desk: the address of the job that lies there; whether somebody leads
it; how many were laid there; how many helpers hold one, and how many sleep; whether
they are to end; the processor of the last leader, where none of them stays: two threads
that look at counters on one processor only lose it to each other; how many lead jobs,
also for themselves; how many processors there are: a helper leaves one to a leader."""

_SOON = 8
"""Steps that are looked at for the weights that are read next: of loops there may be
very many, without any."""
_SPINS = 1 << 14
"""Looks at a counter before a work-item rests: who holds the ticket that it waits for
may have to share its core with other processes, and comes to ours when it is free."""
_AWAKE = 1 << 13
"""Looks at the desk before a helper sleeps: 0.2 to 0.4 ms."""


def _place(name: str) -> str:
    return f"(desk + {LINE * DESK.index(name)})"


_COUNTER = "volatile __global int *"

ADDRESS = """\
#if defined(__x86_64__) && defined(__linux__)
#define ADDRESS(name, to) __asm__ volatile("leaq " #name "(%%rip), %0" : "=r"(to));
#else
#define ADDRESS(name, to) to = 0;
#endif
"""
"""Where a function lies; 0 where nobody can call it."""

SYSTEM = f"""\
#ifdef __has_builtin
#if __has_builtin(__builtin_ia32_pause)
#define PAUSE __builtin_ia32_pause();
#endif
#endif
#ifndef PAUSE
#define PAUSE
#endif
#define JOB {_place("job")}
#define LOCK ({_COUNTER}){_place("lock")}
#define SERIAL ({_COUNTER}){_place("serial")}
#define INSIDE ({_COUNTER}){_place("inside")}
#define ASLEEP ({_COUNTER}){_place("asleep")}
#define CLOSED ({_COUNTER}){_place("closed")}
#define LEADER ({_COUNTER}){_place("leader")}
#define LEADERS ({_COUNTER}){_place("leaders")}
#define CORES ({_COUNTER}){_place("cores")}
#if defined(__x86_64__) && defined(__linux__)
static void rest(void) {{
  long few[2] = {{0, 20000}}, nanosleep = 35;
  __asm__ volatile("syscall" : "+a"(nanosleep) : "D"(few), "S"(0L)
                   : "rcx", "r11", "memory");
}}
static void futex({_COUNTER} word, long what, long value) {{
  long call = 202;
  __asm__ volatile("xorl %%r10d, %%r10d; syscall"  // r10: without a timeout
                   : "+a"(call) : "D"(word), "S"(what), "d"(value)
                   : "rcx", "r10", "r11", "memory");
}}
static int processor(void) {{
  uint low, high, number;
  __asm__ volatile("rdtscp" : "=a"(low), "=d"(high), "=c"(number));
  return (int)(number & 1023);
}}
static void affinity(long call, __private ulong *set) {{
  __asm__ volatile("syscall" : "+a"(call) : "D"(0L), "S"(128L), "d"(set)
                   : "rcx", "r11", "memory");
}}
static void move_from(int taken, __private ulong *allowed) {{
  ulong set[16], any = 0;
  for (int i = 0; i < 16; i++) {{
    set[i] = allowed[i] & ~(i == taken / 64 ? 1UL << taken % 64 : 0UL);
    any |= set[i];
  }}
  if (any) affinity(203, set);
}}
#define SLEEP_UNLESS(word, value) futex(word, 128, value);
#define WAKE_ALL(word) futex(word, 129, 1 << 20);
#else
static void rest(void) {{}}
static int processor(void) {{ return -1; }}
static void affinity(long call, __private ulong *set) {{}}
static void move_from(int taken, __private ulong *allowed) {{}}
#define SLEEP_UNLESS(word, value) rest();
#define WAKE_ALL(word)
#endif
"""
"""Words of the processor and its system; 128 and 129 are private waits and wakes."""

_TAKE = f"""\
{"".join(f"#define ROW_{name} {i}" + chr(10) for i, name in enumerate(ROW))}\
typedef const __global char *place;
static place weights_of(const __global ulong *step, uint part, uint parts) {{
  const ulong lines = step[ROW_size] / {8 * LINE} / parts * part;
  return (place)step[ROW_weights] + {8 * LINE} * lines;
}}
static __attribute__((noinline))
void take(const __global ulong *restrict table, volatile __global int *done,
          __local char *near, int first, int last, uint side,
          const volatile __global ulong *desk)
{{
  const __global ulong *steps = table + {HEADER};
  int known = first, s = *done > first ? *done : first;
  while (s < last) {{
    if (desk && *INSIDE + *LEADERS > *CORES) return;
    const __global ulong *step = steps + {HEADER} * s;
    volatile __global int *own = done + {STRIDE} * (s + 1);
    const uint tickets = (uint)(step[ROW_end] - step[ROW_end - {HEADER}]);
    const uint middle = tickets / 2;
    uint part = side, most = part ? tickets - middle : middle;
    uint taken = (uint)atomic_inc(own + 1 + part);
    if (taken >= most) {{  // then what the others would come to last
      part = !side, most = tickets - most;
      taken = (uint)atomic_inc(own + 1 + part);
    }}
    if (taken >= most) {{
      *done = ++s;  // only where to look first: all before it are taken
      continue;
    }}
    const uint ticket = part * middle + taken;
    const int wait = (int)step[ROW_wait];
    for (; known < wait; known++) {{
      const int all = (int)steps[{HEADER} * known + ROW_all];
      for (int i = 0; done[{STRIDE} * (known + 1)] < all; i++) {{
        if (i < {_SPINS}) {{ PAUSE }} else rest();
      }}
    }}
    mem_fence(CLK_GLOBAL_MEM_FENCE);
    const uint all = (uint)step[ROW_all], few = (uint)step[ROW_few];
    const uint across = (uint)step[ROW_across], down = (uint)step[ROW_down];
    const uint begin = ticket * few;
    const uint end = begin + few < all ? begin + few : all;
    place after = 0;
    if (taken + 1 == most) {{
      int next = s + 1, far = s + {_SOON} < last ? s + {_SOON} : last;
      while (next < far && !steps[{HEADER} * next + ROW_weights]) next++;
      if (next < far) after = weights_of(steps + {HEADER} * next, part, 2);
    }}
    for (uint i = begin; i < end; i++)
      run(step[ROW_function], table + step[ROW_place], near, i % across,
          i / across % down, i / (across * down), across, i + 1 < end ? 0 : after);
    mem_fence(CLK_GLOBAL_MEM_FENCE);
    atomic_add(own, (int)(end - begin));
  }}
}}
static void clear(volatile __global int *done, int last) {{
  for (int i = 0; i <= last; i++) {{
    volatile __global int *own = done + {STRIDE} * i;
    own[0] = own[1] = own[2] = 0;
  }}
}}
"""

_LED = f"""\
// volatile: or a compiler may pass on numbers instead of where they are
#define OF(name) job[JOB_##name]
{"".join(f"#define JOB_{name} {i}" + chr(10) for i, name in enumerate(JOB))}\
static
void take_of(const volatile __global ulong *job, __local char *near, uint side) {{
  take((const __global ulong *)OF(table), (volatile __global int *)OF(done), near, 0,
       (int)OF(last), side, side ? (const volatile __global ulong *)OF(desk) : 0);
}}
static
void join_plan(const volatile __global ulong *job, __local char *near) {{
  take_of(job, near, 1);
}}
__attribute__((noinline, used)) static
void lead_plan(const volatile __global ulong *job, volatile __global ulong *desk) {{
  const int few = atomic_inc(LEADERS) + 1 < *CORES;
  const int open = OF(open) && few && !*LOCK && atomic_cmpxchg(LOCK, 0, 1) == 0;
  if (open) {{
    *LEADER = processor();
    *JOB = (ulong)job;
    atomic_inc(SERIAL);
    if (*ASLEEP) {{ WAKE_ALL(SERIAL) }}
  }}
  take_of(job, (__local char *)OF(near), 0);
  if (open) {{
    *JOB = 0;
    atomic_xchg(LOCK, 2);  // a fence: helpers go in before they look
    for (int i = 0; *INSIDE; i++) {{
      if (i < {_SPINS}) {{ PAUSE }} else rest();
    }}
    atomic_xchg(LOCK, 0);
  }}
  atomic_dec(LEADERS);
  clear((volatile __global int *)OF(done), (int)OF(last));
}}
"""

_KERNEL = f"""\
__kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void {PLAN}(__global ulong *table, volatile __global int *done, __local char *near,
            int first, int last)
{{
  take(table, done, near, first, last, get_global_id(0) % 2, 0);
  if (atomic_inc(done + 1) + 1 == (int)get_global_size(0)) clear(done, last);
}}
"""

RUN = """\
void run(ulong function, const __global ulong *a, __local char *near, uint item0,
         uint item1, uint item2, uint items, const __global char *after_item)"""
"""One work-item of a step: its function, its arguments in the table, local memory."""

TEXT = "\n".join([SYSTEM, _TAKE, _KERNEL])
"""A kernel that is launched to run a plan: behind what ``RUN`` declares."""

THREADS = "threads"

LED = f"""\
{ADDRESS}
#if defined(__x86_64__) && defined(__linux__)
static __attribute__((naked, noinline, used))
{RUN} {{
  __asm__ volatile("jmpq *%rdi");  // the function takes the same arguments
}}
#else
static {RUN} {{}}
#endif
{SYSTEM}
{_TAKE}
{_LED}
static __attribute__((noinline, used))
void help_always(volatile __global ulong *desk, __local char *near) {{
  int seen = *SERIAL;
  ulong allowed[16] = {{0}};
  affinity(204, allowed);
  while (!*CLOSED) {{
    for (int i = 0; i < {_AWAKE}; i++) {{
      if (*SERIAL != seen) {{
        seen = *SERIAL;
        if (*LEADER == processor()) move_from(*LEADER, allowed);
        atomic_inc(INSIDE);
        const ulong job = *JOB;
        if (job) join_plan((const volatile __global ulong *)job, near);
        atomic_dec(INSIDE);
        i = 0;
      }}
      PAUSE
    }}
    atomic_inc(ASLEEP);
    SLEEP_UNLESS(SERIAL, seen)
    atomic_dec(ASLEEP);
  }}
}}
__kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void {THREADS}(__global ulong *seen, __local char *near)
{{
  ulong help, lead;
  ADDRESS(help_always, help)
  ADDRESS(lead_plan, lead)
  seen[0] = (ulong)seen;
  if (seen[1]) {{  // never: but else they would be left out
    help_always(seen, near);
    lead_plan(seen, seen);
  }}
  seen[1] = help;
  seen[2] = lead;
}}
"""
"""What threads of the host run. Its kernel tells where it sees its argument, and where
``help_always`` lies, which a helper calls and never leaves, and ``lead_plan``."""
