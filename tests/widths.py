"""Vectors of kernels for CPUs as wide as a test wants them, whatever the machine's."""

import pytest

from graphwright.backends.opencl import library, target
from graphwright.backends.opencl.backend import OpenCLBackend

BOTH = [8, pytest.param(16, marks=pytest.mark.full)]
"""Widths of vectors. Where registers are wider, all other tests run these."""


def of_width(patch: pytest.MonkeyPatch, lanes: int) -> OpenCLBackend:
    """A backend with vectors of so many elements."""
    for module in (target, library):
        patch.setattr(module, "width_of", lambda device: lanes)
    return OpenCLBackend()
