"""The mutation check itself: its changes are real, few of them are enough to see."""

import ast
import os
from functools import partial

import pytest

from mutation.__main__ import examine
from mutation.children import in_children
from mutation.operators import KINDS, guilty, modules, mutants, mutated, path_of


def test_there_are_changes_of_each_kind() -> None:
    found = [m for module in modules() for m in mutants(module)]
    assert {m.kind for m in found} == set(KINDS)
    assert len(found) > 1000


@pytest.mark.parametrize("module", modules())
def test_changed_sources_compile_and_differ(module: str) -> None:
    source = path_of(module).read_text(encoding="utf-8")
    plain = ast.dump(ast.parse(source))
    for mutant in mutants(module)[::7]:
        tree = mutated(source, mutant.number)
        compile(tree, module, "exec")
        assert ast.dump(tree) != plain


def test_helpers_blame_the_rewrites_that_use_them() -> None:
    mutant = next(m for m in mutants("scale") if m.owner == "_moved_in")
    assert {"factor_into_dot", "divisor_into_conv"} <= guilty(mutant)
    assert "scale_conv" not in guilty(mutant)


def test_a_fault_is_found_and_named() -> None:
    mutant = next(
        m for m in mutants("algebra") if m.owner == "add_negative" and m.kind == "swap"
    )
    ((_, found),) = in_children(partial(examine, tries=20), [mutant], 1, 60)
    assert found
    assert found["fault"]
    assert found["blamed"] == "add_negative"


def test_children_answer_in_order_and_may_die() -> None:
    def task(n: int) -> int:
        return n * n if n != 1 else os._exit(1)

    assert list(in_children(task, range(4), 2, 60)) == [
        (0, 0),
        (1, None),
        (2, 4),
        (3, 9),
    ]
