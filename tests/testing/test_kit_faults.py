"""Mechanical faults in backends: the conformance kit finds them, and no others.

A few by default; `python -m kit_faults` looks for more.
"""

import pytest
from kit_faults.hosts import clean
from kit_faults.hunt import SMALL, draw, look_for
from kit_faults.kinds import KINDS, Fault

from graphwright.testing import conform

SAMPLE = 8
"""Faults of seed 1 that a plain run looks for."""

FULL_SEEDS = (1, 2, 3)


def test_the_kinds_are_many() -> None:
    assert len(KINDS) >= 30
    assert sum(kind.scaled for kind in KINDS.values()) >= 5


def test_a_third_of_the_faults_is_small() -> None:
    sizes = [f.size for f in draw(3, 9) if f.kind.scaled]
    assert sum(size < SMALL for size in sizes) >= 3


def test_a_sample_is_found() -> None:
    missed = [str(fault) for fault in draw(1, SAMPLE) if look_for(fault, 40) is None]
    assert not missed


@pytest.mark.full
@pytest.mark.parametrize("seed", FULL_SEEDS)
def test_29_of_30_are_found(seed: int) -> None:
    missed = [str(fault) for fault in draw(seed) if look_for(fault, 8) is None]
    assert len(missed) <= 1, missed


WITHIN_RUNS = ("a race", "memory is kept", "an operand overwritten", "a stale buffer")


@pytest.mark.parametrize("name", WITHIN_RUNS)
@pytest.mark.parametrize("host", ["recording", "recording-graphs"])
def test_what_one_run_does_not_show_is_found(name: str, host: str) -> None:
    finding = look_for(Fault(KINDS[name], host, "exp", "", 0.01), 40)
    assert finding is not None
    assert finding.part in ("behaviour", "primitives", "first")


@pytest.mark.full
@pytest.mark.parametrize("host", ["numpy", "recording", "recording-graphs", "torch"])
def test_clean_backends_raise_no_alarm(host: str) -> None:
    pytest.importorskip("torch", reason="torch is not installed") if (
        host == "torch"
    ) else None
    assert not conform(clean(host)).counts()["wrong"]
