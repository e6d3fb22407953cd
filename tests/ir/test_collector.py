"""Blocks without cyclic garbage collection leave the collector as they found it."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from graphwright.ir.collector import collector_paused


class Ring:
    """An object that only the collector can free."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture(autouse=True)
def _collecting() -> Iterator[None]:
    gc.enable()
    yield
    gc.enable()


def test_collection_stops_inside_and_goes_on_after() -> None:
    with collector_paused():
        assert not gc.isenabled()
        with collector_paused():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


def test_an_error_inside_leaves_it_on() -> None:
    with pytest.raises(KeyError), collector_paused():
        raise KeyError
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off() -> None:
    gc.disable()
    with collector_paused():
        pass
    assert not gc.isenabled()


def test_many_new_objects_are_old_afterwards() -> None:
    with collector_paused():
        kept = [[i] for i in range(200_000)]
    assert gc.get_count()[0] < len(kept) // 2
    assert any(x is kept for x in gc.get_objects(generation=2))


def test_cycles_made_inside_are_freed_by_a_full_collection() -> None:
    with collector_paused():
        rings = [Ring() for _ in range(200_000)]
        found = weakref.ref(rings[0])
        del rings
    assert found() is not None
    gc.collect()
    assert found() is None


def test_what_others_froze_stays_frozen() -> None:
    gc.freeze()
    try:
        with collector_paused():
            kept = [[i] for i in range(200_000)]
        assert gc.get_freeze_count() > 0
        assert len(kept) == 200_000
    finally:
        gc.unfreeze()
