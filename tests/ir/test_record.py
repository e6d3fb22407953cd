"""Records are data classes; what they leave out is what type checkers do."""

import copy
import pickle
from dataclasses import field, replace

import pytest

from graphwright.ir.record import record


@record(frozen=True, slots=True)
class Pair:
    """Equal to what has the same fields."""

    first: int
    second: tuple[int, ...] = field(default=())


@record(frozen=True, eq=False, slots=True)
class Own:
    """Equal to itself alone."""

    first: int


@record(frozen=True, slots=True)
class Named:
    """What it says and when it is equal, it says itself."""

    first: int
    second: int

    def __repr__(self) -> str:
        return "named"

    def __hash__(self) -> int:
        return 7


def test_equal_fields_make_equal_records() -> None:
    assert Pair(1, (2,)) == Pair(1, (2,)) != Pair(1, (3,))
    assert {Pair(1): "a"}[Pair(1)] == "a"
    assert Own(1) != Own(1)
    assert len({Own(1), Own(1)}) == 2


def test_records_show_their_fields() -> None:
    assert repr(Pair(1, (2,))) == "Pair(first=1, second=(2,))"
    assert repr(Own(3)) == "Own(first=3)"


def test_methods_of_a_class_stay() -> None:
    assert repr(Named(1, 2)) == "named"
    assert hash(Named(1, 2)) == 7
    assert Named(1, 2) == Named(1, 2) != Named(1, 3)


def test_records_are_data_classes() -> None:
    pair = Pair(1, (2,))
    assert replace(pair, first=5) == Pair(5, (2,))
    assert copy.deepcopy(pair) == pair
    assert pickle.loads(pickle.dumps(pair)) == pair
    with pytest.raises(AttributeError):
        setattr(pair, "third", 3)  # noqa: B010
