"""The environment variables that graphwright reads: ``docs/configuration.md``."""

import os
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Variable:
    """An environment variable.

    Attributes:
        name: Its name.
        default: What holds where it is not set, in words.
        meaning: What it changes.
    """

    name: str
    default: str
    meaning: str


VARIABLES = (
    Variable(
        "GRAPHWRIGHT_BACKEND",
        "cuda if it runs, else numpy",
        'the backend of backend="auto", or several with commas, in order of preference',
    ),
    Variable(
        "GRAPHWRIGHT_NUM_THREADS",
        "one a processor that the process may use",
        "how many threads the numpy backend's kernels use, the caller among them",
    ),
    Variable(
        "GRAPHWRIGHT_VERIFY_PASSES",
        "no verification",
        "any value verifies graphs before and after each pass of a compilation",
    ),
    Variable(
        "GRAPHWRIGHT_CACHE_DIR",
        "`$XDG_CACHE_HOME/graphwright`, else `~/.cache/graphwright`",
        "where the OpenCL backend keeps built programs; nowhere if it is empty",
    ),
    Variable(
        "GRAPHWRIGHT_OPENCL_SCHEDULE",
        "what suits the device",
        "the kind of kernels that OpenCL devices get: cpu or gpu",
    ),
    Variable(
        "GRAPHWRIGHT_LOG",
        "warning",
        "the least level that the command line writes to stderr: debug, info, ...",
    ),
    Variable(
        "GRAPHWRIGHT_DEBUG",
        "0",
        "1 makes the command line show tracebacks, as --debug does",
    ),
)
"""Every variable, in the order of the documentation."""


def settings(environ: Mapping[str, str] = os.environ) -> dict[str, str | None]:
    """The value of each variable; None where it is not set."""
    return {v.name: environ.get(v.name) for v in VARIABLES}


def is_debugging(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether ``GRAPHWRIGHT_DEBUG`` asks for tracebacks."""
    return environ.get("GRAPHWRIGHT_DEBUG", "") not in ("", "0")
