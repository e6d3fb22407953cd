"""How a program runs: on what, within which limits, how strictly."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from graphwright.backends.contract import Backend
from graphwright.backends.limits import Limits


@dataclass(frozen=True, slots=True)
class Options:
    """How a program runs.

    Attributes:
        backend: What runs its ops.
        limits: Budgets.
        strict: Whether an op that the backend does not support is an error.
        strict_float: Whether kernels must compute each op as it is written.
        devices: The other backends that run parts of it, by name.
    """

    backend: Backend
    limits: Limits = field(default_factory=Limits)
    strict: bool = False
    strict_float: bool = False
    devices: Mapping[str, Backend] = field(default_factory=dict[str, Backend])
