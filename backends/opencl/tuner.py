"""Times ways to compute a kernel on the device, and remembers which was fastest.

What is measured is kept in the folder of built programs, each choice in a file of its
own, by what is computed and for which device; and in a record, if one is named.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from threading import Lock
from typing import Any

import numpy as np

from graphwright.backends.arena import aligned
from graphwright.backends.codegen.elements import Array
from graphwright.backends.codegen.kernels.table import Site, Way
from graphwright.backends.codegen.loops import Kernel
from graphwright.backends.codegen.narrow import storage
from graphwright.backends.contract import BuildError
from graphwright.backends.opencl.cache import key_of, load, store
from graphwright.backends.opencl.launch import Launch, LaunchPlan
from graphwright.backends.opencl.library import Session
from graphwright.backends.opencl.programs import Programs, named
from graphwright.backends.opencl.resident import Residents
from graphwright.backends.progress import Progress
from graphwright.backends.tuning import Tuning
from graphwright.backends.workers import Workers
from graphwright.ir.errors import DeviceMemoryError

_RUNS = 7
"""Runs of which the shortest counts."""
_GAIN = 0.97
"""Another way must take at most so much of the first one's time: less is noise."""
_CACHES = 1 << 25
"""Bytes that are written between runs: in a network, weights come from memory."""

_timing = Lock()
"""Two measurements at once would each see half of the device."""


class Tuner:
    """Chooses ways for one device.

    Args:
        session: The device.
        programs: Where kernels are built.
        tuning: How much is measured, and what is known.
        progress: Told what is being measured.
    """

    def __init__(
        self, session: Session, programs: Programs, tuning: Tuning, progress: Progress
    ) -> None:
        self._session, self._programs, self._tuning = session, programs, tuning
        self._device = " ".join(session.identity)
        self._progress = progress

    def choose(self, site: Site, key: str, ways: Sequence[Way]) -> Way:
        """The way that was fastest, the first one where that is not known."""
        every = {w.name: w for way in ways for w in (way, *way.finer)}
        first, mode = ways[0], self._tuning.mode
        known = self._known(key)
        if known in every:
            return every[known]
        if mode == "off" or (mode == "fast" and len(ways) == 1):
            return first
        with _timing:
            best = self._fastest(site, ways, first)
            if mode == "full":
                best = self._fastest(site, (best, *best.finer), best)
        self._tuning.keep(self._device, key, best.name)
        store({self._file(key, mode): best.name.encode()})
        self._progress.advance()
        return best

    # What is known --------------------------------------------------------------------

    def _known(self, key: str) -> str | None:
        known = self._tuning.known(self._device, key)
        if known is not None or self._tuning.mode == "off":
            return known
        kept = load(self._file(key, "full"))
        if kept is None and self._tuning.mode == "fast":
            kept = load(self._file(key, "fast"))
        if kept is None:
            return None
        name = kept.decode()
        self._tuning.keep(self._device, key, name)
        return name

    def _file(self, key: str, mode: str) -> bytes:
        return key_of("tuning", mode, key, *self._session.identity)

    # Measuring ------------------------------------------------------------------------

    def _fastest(self, site: Site, ways: Sequence[Way], first: Way) -> Way:
        seconds = {way.name: self._seconds(site, way) for way in ways}
        best = min(ways, key=lambda way: seconds[way.name])
        enough = _GAIN * seconds[first.name]
        return best if seconds[best.name] <= enough else first

    def _seconds(self, site: Site, way: Way) -> float:
        """The shortest of some runs; infinity for what does not run here."""
        own = replace(site, packed={})
        kernels = way.kernels(own)
        launches = [Launch(kernel, *named(kernel)) for kernel in kernels]
        results, inputs = _ends(kernels, own.packed)
        try:
            with Workers(1) as pool:
                constants = Residents().of(own.packed, pool)
                plan = LaunchPlan(
                    *(self._session, self._programs, launches, [*results, *inputs]),
                    *(len(results), constants),
                )
            outputs, operands = list(map(_filled, results)), list(map(_filled, inputs))
            run = plan.bind(aligned(plan.scratch_bytes), *outputs, *operands)
            run()
        except (BuildError, DeviceMemoryError):
            return float("inf")
        cold, found = np.zeros(_CACHES // 8), float("inf")
        for number in range(_RUNS):
            cold.fill(number)
            for x in operands:  # the step before has just written them
                x.view(np.uint8).max(initial=0)
            start = time.perf_counter()
            run()
            found = min(found, time.perf_counter() - start)
        return found


def _ends(
    kernels: Sequence[Kernel], packed: Mapping[Array, object]
) -> tuple[list[Array], list[Array]]:
    """Arrays of the result, and those that come from outside."""
    own = {a.root for kernel in kernels[:-1] for a in kernel.outputs}
    results = [a.root for a in kernels[-1].outputs]
    read = {a.root: None for kernel in kernels for a in kernel.inputs}
    inside = {*own, *results, *packed}
    return results, [a for a in read if a not in inside]


def _filled(array: Array) -> Any:
    """Elements for it: numbers of usual size, or zeros."""
    found = np.zeros(array.span, storage(array.dtype).numpy)
    if array.dtype.is_float and array.dtype.bits >= 32:
        found[:] = np.random.default_rng(0).standard_normal(array.span)
    return found
