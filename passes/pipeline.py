"""The passes of this package by name, and named lists of them."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from graphwright.ir.arguments import checked
from graphwright.ir.errors import DTypeError, ModelError
from graphwright.ir.graph import Graph
from graphwright.passes.algebra import ALGEBRA
from graphwright.passes.attention import ATTENTION, NARROW_ATTENTION
from graphwright.passes.casts import CASTS
from graphwright.passes.cleanup import merge_common, remove_dead
from graphwright.passes.decompose import decompose_all
from graphwright.passes.fold import fold_constants
from graphwright.passes.fuse import fuse_epilogues
from graphwright.passes.fuse_elementwise import fuse_all
from graphwright.passes.hoist import hoist_invariants
from graphwright.passes.integer import INTEGER
from graphwright.passes.layout import channels_last, sink_reshapes
from graphwright.passes.loops import simplify_control
from graphwright.passes.manager import Pass, PassManager, register_pass
from graphwright.passes.masks import MASKS
from graphwright.passes.movement import MOVEMENT
from graphwright.passes.phases import in_phases
from graphwright.passes.precision import PRECISIONS
from graphwright.passes.recognize import COMPOSITES
from graphwright.passes.roll import roll_loops
from graphwright.passes.rotary import ROTARY
from graphwright.passes.rules import EXACT, ROUNDING, UNSAFE, RewriteClass, RuleSet
from graphwright.passes.scale import SCALES
from graphwright.passes.sinking import SINKING
from graphwright.passes.windows import WINDOWS

CANONICALIZE = RuleSet(
    "canonicalize",
    [
        rewrite
        for rules in (ALGEBRA, CASTS, MOVEMENT, WINDOWS, MASKS)
        for rewrite in rules.rewrites
    ],
)
"""Local rewrites after which composites are found: nothing sinks into their midst."""

SIMPLIFY = RuleSet("simplify", [*CANONICALIZE.rewrites, *SINKING.rewrites])
"""All local rewrites at once."""

RECOGNIZE = RuleSet("recognize", [*COMPOSITES.rewrites, *ROTARY.rewrites])
"""Composites that exporters wrote out, all but attention, which is made of some."""

register_pass("roll_loops", roll_loops)
register_pass("remove_dead", remove_dead)
register_pass("merge_common", merge_common)
register_pass("fold_constants", fold_constants)
register_pass("simplify_control", simplify_control)
register_pass("hoist_invariants", hoist_invariants)
register_pass("fuse_epilogues", fuse_epilogues)
register_pass("fuse_elementwise", fuse_all)
register_pass("in_phases", in_phases)
register_pass("channels_last", channels_last)
register_pass("sink_reshapes", sink_reshapes)
register_pass("decompose", decompose_all)
for _rules in (
    *(ALGEBRA, CASTS, MOVEMENT, SINKING, WINDOWS, MASKS, CANONICALIZE, SIMPLIFY),
    *(COMPOSITES, ROTARY, RECOGNIZE, ATTENTION, NARROW_ATTENTION, SCALES, INTEGER),
):
    register_pass(_rules.name, _rules)
for _name, _pass in PRECISIONS.items():
    register_pass(_name, _pass)

Pipeline: TypeAlias = tuple[str, ...]

DEFAULT: Pipeline = (
    "roll_loops",
    "integer_kernels",
    "fold_constants",
    "simplify_control",
    "merge_common",
    "canonicalize",
    "recognize",
    "merge_common",
    "recognize_attention",
    "recognize_narrow_attention",
    "fold_scales",
    "simplify",
    "hoist_invariants",
    "fold_constants",
    "merge_common",
    "remove_dead",
)

_TIDY: Pipeline = ("simplify", "fold_constants", "merge_common", "remove_dead")


def in_precision(name: str | None) -> Pipeline:
    """Passes that follow those of ``DEFAULT`` for a precision.

    Raises:
        DTypeError: If there is no such precision.
    """
    if name is None:
        return ()
    if name not in PRECISIONS:
        known = ", ".join(PRECISIONS)
        raise DTypeError(f"there is no precision {name!r}; there are {known}")
    return (name, *_TIDY)


PIPELINES: dict[str, tuple[Pipeline, RewriteClass]] = {
    "none": ((), EXACT),
    "default": (DEFAULT, ROUNDING),
    "strict_float": (DEFAULT, EXACT),
    "fast_math": (DEFAULT, UNSAFE),
    **{n: ((*DEFAULT, *in_precision(n)), ROUNDING) for n in PRECISIONS},
}
"""Passes and how far their rewrites may move results, by name."""


def manager(
    pipeline: "str | Sequence[str | Pass]" = "default",
    *,
    fast_math: bool = False,
    strict_float: bool = False,
    verify: bool | None = None,
    observe: "Callable[[str, Graph], None] | None" = None,
) -> PassManager:
    """What runs a pipeline; see ``optimize``."""
    passes: Sequence[str | Pass] = pipeline
    allowed = ROUNDING
    if isinstance(pipeline, str):
        if pipeline not in PIPELINES:
            known = ", ".join(PIPELINES)
            raise ModelError(f"there is no pipeline {pipeline!r}; there are {known}")
        passes, allowed = PIPELINES[pipeline]
    if fast_math and strict_float:
        raise ModelError("fast_math and strict_float exclude each other")
    if fast_math:
        allowed = UNSAFE
    allowed = EXACT if strict_float else allowed
    return PassManager(passes, allowed, verify, observe)


@checked
def optimize(
    graph: Graph,
    pipeline: "str | Sequence[str | Pass]" = "default",
    *,
    fast_math: bool = False,
    strict_float: bool = False,
) -> Graph:
    """The graph after a pipeline of passes; the same object if nothing changes.

    Args:
        graph: The graph.
        pipeline: ``default``, ``strict_float``, ``fast_math``, ``float16``,
            ``bfloat16`` or ``none``; or passes, by name or as functions.
        fast_math: Also rewrites that are wrong for some numbers, such as ``x * 0 = 0``
            for infinity.
        strict_float: Only rewrites that keep every bit.

    Raises:
        ModelError: If there is no such pipeline or pass.
    """
    run = manager(pipeline, fast_math=fast_math, strict_float=strict_float)
    return run(graph)
