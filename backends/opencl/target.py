"""What kernels are planned for: by the properties of a device, not by its name."""

import os
from typing import Any, TypeAlias

from graphwright.backends.codegen.device import Cpu, Gpu, Target

Schedule: TypeAlias = str
"""``"cpu"``: vectors, and few work-items; ``"gpu"``: work-groups and local memory."""

SCHEDULES: tuple[Schedule, ...] = ("cpu", "gpu")
VARIABLE = "GRAPHWRIGHT_OPENCL_SCHEDULE"

_GROUP = 256
"""Work-items of a group where a device takes more: so several groups fit on a unit."""
_WIDTHS = (8, 16)
"""Elements of 32 bits that a vector of a kernel for a CPU can have."""
_LANES = 32
"""Work-items that run in step, where a device does not say."""
_SAID = (
    "preferred_work_group_size_multiple",
    "warp_size_nv",
    "wavefront_width_amd",
)
"""Properties that say so: OpenCL 3.0's, and older ones of vendors'."""


def wanted() -> Schedule | None:
    """What ``$GRAPHWRIGHT_OPENCL_SCHEDULE`` says, if anything."""
    return os.environ.get(VARIABLE) or None


def unknown(schedule: Schedule | None) -> str | None:
    """What is wrong with the name of a schedule, if anything."""
    if schedule is None or schedule in SCHEDULES:
        return None
    return f"${VARIABLE} is {schedule!r}: it can be {' or '.join(SCHEDULES)}"


def schedule_of(device: Any, cpu: int) -> Schedule:
    """The schedule that suits a device; ``cpu`` is the type of CPUs."""
    return "cpu" if device.type & cpu else "gpu"


def target_of(
    device: Any,
    schedule: Schedule,
    shares: bool,
    strict: bool,
    dots: bool = False,
    amx: bool = False,
) -> Target:
    """What kernels are planned for.

    Args:
        device: The device.
        schedule: Which kind of schedule.
        shares: Whether the device works in the host's memory.
        strict: Whether each op is computed as it is written.
        dots: Whether its processor multiplies bytes at once.
        amx: Whether it multiplies tiles of bfloat16 numbers.
    """
    cores, near = int(device.max_compute_units), int(device.local_mem_size)
    if schedule == "cpu":
        return Cpu(cores, near, shares, strict, dots, amx, lanes=width_of(device))
    group = _power_of_two(min(_GROUP, int(device.max_work_group_size)))
    return Gpu(cores, group, min(_lanes(device), group), near, strict)


def width_of(device: Any) -> int:
    """Elements of 32 bits that vectors of kernels for a CPU have: a register's."""
    own = int(device.native_vector_width_float)
    return max((width for width in _WIDTHS if width <= own), default=_WIDTHS[0])


def _lanes(device: Any) -> int:
    for name in _SAID:
        try:
            return _power_of_two(int(getattr(device, name)))
        except Exception:  # each library has its own error for what it does not know
            continue
    return _LANES


def _power_of_two(number: int) -> int:
    """The greatest up to a number."""
    return 1 << (max(number, 1).bit_length() - 1)
