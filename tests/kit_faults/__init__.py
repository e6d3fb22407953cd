"""Mechanical faults in backends, by seed: the conformance kit has to find them."""

from kit_faults import runs as runs
from kit_faults import values as values
