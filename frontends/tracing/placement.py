"""Which backend runs what no tensor's own place decides."""

from collections.abc import Sequence
from contextvars import ContextVar
from types import TracebackType

from graphwright.backends.contract import Backend
from graphwright.backends.registry import choose_backend
from graphwright.ir.arguments import checked

_chosen: ContextVar[Backend | None] = ContextVar("backend", default=None)
_setting: list[Backend] = []


def default() -> Backend:
    """The backend that runs expressions on the host's arrays."""
    chosen = _chosen.get()
    if chosen is not None:
        return chosen
    if not _setting:
        _setting.append(choose_backend("auto"))
    return _setting[0]


class default_backend:  # noqa: N801
    """Makes a backend the default, from now on or in a ``with`` block.

    ``default_backend("opencl")`` sets it for the whole program; used as a context, what
    was before returns at the end of the block.
    """

    @checked
    def __init__(self, backend: "str | Backend | Sequence[str]") -> None:
        self._before = list(_setting)
        self._backend = choose_backend(backend)
        _setting[:] = [self._backend]

    def __enter__(self) -> Backend:
        _setting[:] = self._before
        self._token = _chosen.set(self._backend)
        return self._backend

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _chosen.reset(self._token)

    def __repr__(self) -> str:
        return f"<default backend {self._backend.name!r}>"
