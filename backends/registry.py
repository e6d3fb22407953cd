"""Backends by name: built in, registered, or found by entry point."""

import os
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from threading import Lock

from graphwright.backends.contract import CONTRACT_VERSION, Backend
from graphwright.ir.arguments import checked
from graphwright.ir.collector import collector_paused
from graphwright.ir.errors import BackendUnavailable

GROUP = "graphwright.backends"

AUTO = ("cuda", "numpy")
"""What ``"auto"`` prefers where ``$GRAPHWRIGHT_BACKEND`` is not set.

Not OpenCL: it builds kernels for a second or more before a graph's first run, and of
its devices only CPUs are tested. Who wants its speed names it.
"""

_LIBRARIES = {"opencl": "pyopencl"}
"""The optional library of a backend, which an extra of the backend's name brings."""


def _own(name: str, attribute: str) -> Callable[[], Backend]:
    """The factory of one of ours, whose kernels are loaded when it is wanted."""

    def made() -> Backend:
        with collector_paused():  # modules are not garbage
            module = import_module(f"graphwright.backends.{name}.backend")
        backend: Backend = getattr(module, attribute)()
        return backend

    return made


_factories: dict[str, Callable[[], Backend]] = {
    "numpy": _own("numpy", "NumpyBackend"),
    "cuda": _own("cuda", "CudaBackend"),
    "opencl": _own("opencl", "OpenCLBackend"),
}
_instances: dict[str, Backend] = {}
_lock = Lock()


@checked
def register_backend(name: str, factory: Callable[[], Backend]) -> None:
    """Makes ``factory()`` available under a name, in place of one that has it.

    Raises:
        BackendUnavailable: If a class was written for another version of the contract.
    """
    _check_contract(name, getattr(factory, "contract", None))
    with _lock:
        _factories[name] = factory
        for made in [n for n in _instances if n.partition(":")[0] == name]:
            del _instances[made]


def backend_names() -> list[str]:
    """Names of all backends known here, whether they can run or not."""
    found = {e.name for e in entry_points(group=GROUP)}
    return [*_factories, *sorted(found - _factories.keys())]


def _load(name: str) -> Backend:
    if name in _factories:
        return _factories[name]()
    for entry in entry_points(group=GROUP):
        if entry.name == name:
            try:
                made: Backend = entry.load()()
            except (ImportError, AttributeError) as error:
                raise BackendUnavailable(
                    f"backend {name!r} does not load: {error}"
                ) from error
            return made
    library = _LIBRARIES.get(name)
    if library is not None and find_spec(library) is None:
        raise BackendUnavailable(
            f"backend {name!r} needs {library}, which is not installed:"
            f' pip install "graphwright[{name}]"'
        )
    known = ", ".join(backend_names())
    raise BackendUnavailable(f"there is no backend {name!r}; installed are {known}")


def preferences() -> list[str]:
    """Names that ``"auto"`` stands for, in order: ``$GRAPHWRIGHT_BACKEND``'s if set."""
    wanted = os.environ.get("GRAPHWRIGHT_BACKEND", "")
    names = [n for n in (word.strip() for word in wanted.split(",")) if n]
    if names and names != ["auto"]:
        return names
    known = backend_names()
    return [n for n in AUTO if n in known]


def get_backend(name: str) -> Backend:
    """The backend of a name, made once; ``"name:1"`` is its device number 1.

    Raises:
        BackendUnavailable: If there is none, it was written for another version of the
            contract, or what follows the colon is no number of a device.
    """
    base, colon, number = name.partition(":")
    with _lock:
        if base not in _instances:
            _instances[base] = _checked(base, _load(base))
        if colon and name not in _instances:
            _instances[name] = _instances[base].at(_device_number(name, number))
        return _instances[name]


def devices() -> list[str]:
    """Devices that can run here, by the names that ``backend=`` takes.

    >>> "numpy" in devices()
    True
    """
    found: list[str] = []
    for name in backend_names():
        try:
            backend = get_backend(name)
        except BackendUnavailable:
            continue
        if backend.unavailable() is None:
            found += backend.devices()
    return found


def _device_number(name: str, text: str) -> int:
    if not text.isdecimal():
        one = f"{name.partition(':')[0]}:1"
        raise BackendUnavailable(
            f"{name!r} names no device: they have numbers, as in {one!r}"
        )
    return int(text)


def _checked(name: str, backend: Backend) -> Backend:
    """A backend that was written for this version of the contract."""
    if not isinstance(backend, Backend):  # pyright: ignore
        raise BackendUnavailable(
            f"backend {name!r} is a {type(backend).__name__}: register a class, or a"
            " function without parameters, that gives a gw.Backend"
        )
    _check_contract(name, backend.contract)
    return backend


def _check_contract(name: str, wanted: int | None) -> None:
    have = CONTRACT_VERSION
    if wanted is None or wanted == have:
        return
    cure = "graphwright" if wanted > have else f"the package of {name!r}"
    raise BackendUnavailable(
        f"backend {name!r} was written for version {wanted} of the backend contract,"
        f" this graphwright has version {have}: install a newer version of {cure}"
    )


def choose_backend(preference: "str | Backend | Sequence[str | Backend]") -> Backend:
    """The first backend of a preference that runs on this machine.

    ``"auto"`` is what ``$GRAPHWRIGHT_BACKEND`` names, else cuda if it runs, or numpy.

    Raises:
        BackendUnavailable: If none does, with the reason for each.
    """
    return choose_backends(preference)[0]


def choose_backends(
    preference: "str | Backend | Sequence[str | Backend]",
) -> list[Backend]:
    """The backends of a preference that run on this machine, in order.

    One of a single name, and of ``"auto"`` the first; of several names all that run.

    Raises:
        BackendUnavailable: If none does, with the reason for each.
    """
    if isinstance(preference, str | Backend):
        preference = [preference]
    found: list[Backend] = []
    reasons: list[str] = []
    for item in preference:
        group = preferences() if item == "auto" else [item]
        backend = _first(group, reasons)
        if backend is not None and backend not in found:
            found.append(backend)
    if not found:
        raise BackendUnavailable("; ".join(reasons) or "no backend was named")
    return found


def _first(group: "Sequence[str | Backend]", reasons: list[str]) -> Backend | None:
    """The first that runs here; ``reasons`` grows by why others do not."""
    for item in group:
        try:
            if isinstance(item, Backend):
                backend = _checked(item.name, item)
            else:
                backend = get_backend(item)
        except BackendUnavailable as error:
            reasons.append(str(error))
            continue
        reason = backend.unavailable()
        if reason is None:
            return backend
        reasons.append(f"{backend.name}: {reason}")
    return None
