"""Attention on GPUs: a query for each work-item, keys and values shared by its group.

A group copies some keys and values to local memory; each work-item has its query and
its sums in registers, and goes through what is near (Dao et al., "FlashAttention",
2022). Scores of a few keys are found together, so that sums fade once for all of them.
"""

from graphwright.backends.codegen.device import Gpu
from graphwright.backends.codegen.dialect import Dialect
from graphwright.backends.codegen.kernels.attend import (
    AttendShape,
    head_of,
    sizes_of,
)
from graphwright.backends.codegen.kernels.launch import (
    Argument,
    Launch,
    Library,
    Local,
)
from graphwright.backends.codegen.kernels.scores import Scores
from graphwright.backends.codegen.kernels.text import (
    block,
    named,
    number,
)
from graphwright.ir.record import record

GROUP = 64
"""Queries of a group."""
_MOST = 128
"""Numbers of a query, and of its sums, that registers hold."""
_FEW = 8
"""Keys whose scores are found together."""
_SPAN = 32
"""Keys that are near at once, if there is room for them."""


def accepts(depth: int, width: int, target: Gpu) -> bool:
    """Whether registers and local memory suffice for queries, keys and values."""
    near = _span(depth, width, target) >= _FEW and target.group >= GROUP
    return near and max(depth, width) <= _MOST


def _span(depth: int, width: int, target: Gpu) -> int:
    """Keys that are near at once: some times those that go together."""
    room = target.near // (4 * (depth + width))
    return min(_SPAN, room // _FEW * _FEW)


def attend_groups(
    shape: AttendShape, scale: float, scores: Scores, target: Gpu, dialect: Dialect
) -> Library:
    """Attention of ``q``, ``k`` and ``v`` to ``out``, as one launch; see `attend`."""
    span = _span(shape.depth, shape.width, target)
    numbers = (*sizes_of(shape, -(-shape.rows // GROUP), span, 1), *scores.sizes)
    arrays = ("q", "k", "v", *scores.arrays, "out")
    items = -(-shape.rows // GROUP), shape.images * shape.heads
    near = Local(span * (shape.depth + shape.width))
    name, text = _Writer(shape.depth, shape.width, scale, scores, dialect).kernel()
    every: tuple[Argument, ...] = (*arrays, near, *numbers)
    return Library((Launch(name, text, every, items, (GROUP, 1)),))


@record(frozen=True, slots=True)
class _Writer:
    """The kernel's source, for one depth and width."""

    depth: int
    width: int
    scale: float
    scores: Scores
    dialect: Dialect

    def kernel(self) -> tuple[str, str]:
        """Its name and text."""
        head = head_of(self.scores, self.dialect, GROUP)
        steps = block(f"for (int t = 0; t < many; t += {_FEW})", self._few())
        passing = [
            "int many = until - from < span ? until - from : span;",
            self.dialect.barrier,
            *self._copied("keys", "near", "k_step", self.depth),
            *self._copied("values", "near_values", "1", self.width),
            self.dialect.barrier,
            *steps,
        ]
        body = [
            *self._begun(),
            *block("for (int from = low; from < until; from += span)", passing),
            "if (query_ >= rows) return;",
            "float over = total == 0.0f ? 1.0f : 1.0f / total;",
            "__global float *to = out + o_start + (size_t)image * o_image +",
            "    (size_t)head * o_head + (size_t)row * o_row;",
            f"for (int e = 0; e < {self.width}; e++) to[e] = sums[e] * over;",
        ]
        return named("attend_groups", "\n".join(block(head, body)) + "\n")

    def _begun(self) -> list[str]:
        """Where operands are, a query in registers, sums of nothing."""
        first, member = f"{self.dialect.group} * {GROUP}", self.dialect.member
        return [
            "int image = ITEM(1) / heads, head = ITEM(1) % heads;",
            "int shared = head / share;",
            f"int member = {member}, first = {first}, query_ = first + member;",
            "int row = query_ < rows ? query_ : rows - 1;",
            "int low = first + below > 0 ? first + below : 0;",
            f"int until = first + {GROUP} + above;",
            "until = until < columns ? until : columns;",
            "const __global float *queries = q + q_start + (size_t)image * q_image +",
            "    (size_t)head * q_head + (size_t)row * q_row;",
            "const __global float *keys = k + k_start + (size_t)image * k_image +",
            "    (size_t)shared * k_head;",
            "const __global float *values = v + v_start + (size_t)image * v_image +",
            "    (size_t)shared * v_head;",
            f"__local float *near_values = near + span * {self.depth};",
            f"float mine[{self.depth}], sums[{self.width}];",
            f"for (int d = 0; d < {self.depth}; d++)",
            f"  mine[d] = queries[d] * {number(self.scale)};",
            f"for (int e = 0; e < {self.width}; e++) sums[e] = 0.0f;",
            "float high = -INFINITY, total = 0.0f;",
        ]

    def _copied(self, what: str, to: str, step: str, size: int) -> list[str]:
        """Rows of keys or values, by all of the group."""
        letter = what[0]
        place = f"(size_t)(from + i / {size}) * {letter}_row + i % {size} * {step}"
        return block(
            f"for (int i = member; i < many * {size}; i += {GROUP})",
            [f"{to}[i] = {what}[{place}];"],
        )

    def _few(self) -> list[str]:
        """Scores of some keys, then sums of their values by their weights."""
        score = [
            "float sum = 0.0f;",
            f"const __local float *a = near + (t + i) * {self.depth};",
            f"for (int d = 0; d < {self.depth}; d++) sum = mine[d] * a[d] + sum;",
            *self.scores.scored("sum", "row", "from + t + i"),
            "scores[i] = sum;",
            "best = sum > best ? sum : best;",
        ]
        weigh = [
            "float x = scores[i] - base;",
            *self.scores.weighed("x"),
            "total += x;",
            f"const __local float *a = near_values + (t + i) * {self.width};",
            f"for (int e = 0; e < {self.width}; e++) sums[e] = a[e] * x + sums[e];",
        ]
        return [
            f"float scores[{_FEW}], best = high;",
            f"int few = many - t < {_FEW} ? many - t : {_FEW};",
            *block("for (int i = 0; i < few; i++)", score),
            "float base = best == -INFINITY ? 0.0f : best;",
            "float fade = high - base;",
            *self.scores.weighed("fade"),
            "high = best;",
            "total *= fade;",
            f"for (int e = 0; e < {self.width}; e++) sums[e] *= fade;",
            *block("for (int i = 0; i < few; i++)", weigh),
        ]
