"""Functions of plans, by their sources: built once, a few programs at a time.

What was built is kept on disk: parts, which say what functions they have, and in which
of them a function lies.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from graphwright.backends.codegen.dialect import OPENCL
from graphwright.backends.codegen.loops import Kernel
from graphwright.backends.codegen.persistent import FUNCTIONS, part_source
from graphwright.backends.opencl.aside import built, code_of
from graphwright.backends.opencl.cache import DIGEST, load, store
from graphwright.backends.opencl.library import Session, forked
from graphwright.backends.opencl.objects import Code, packed, unpacked
from graphwright.backends.progress import Progress
from graphwright.backends.workers import Workers

_EACH = 80_000
"""Characters of a part for which another process is worth its start: they take 1 s."""
_START = 60_000
"""Characters that are built while a process starts."""
_MORE = 4_000
"""Characters that are built in the time that any function takes, however short."""

_Function: TypeAlias = tuple[str, Kernel]
"""The source of a function, and the kernel that it is."""


class Parts:
    """Where functions of a device's plans lie.

    Args:
        session: The device, whose functions the host's threads can call.
        head: What stands before all functions.
    """

    def __init__(self, session: Session, head: str) -> None:
        self._session, self._head = session, FUNCTIONS + head
        self._known: dict[str, int] = {}
        self._held: list[Code] = []
        self._places: dict[bytes, int] = {}

    def functions(
        self, sources: Mapping[str, str], kernels: Mapping[str, Kernel]
    ) -> dict[str, int] | None:
        """The address of each function, by the names of kernels.

        None where what is built cannot be held.

        Raises:
            BuildError: If the compiler refuses it.
        """
        functions = {name: (sources[name], kernels[name]) for name in sources}
        self._load({x: functions[x] for x in functions.keys() - self._known.keys()})
        new = sorted(functions.keys() - self._known.keys())
        if new and not self._build({name: functions[name] for name in new}):
            return None
        return {name: self._known[name] for name in functions}

    def _load(self, functions: Mapping[str, _Function]) -> None:
        """Finds functions among those that were kept."""
        keys = {name: self._key(name, x) for name, x in functions.items()}
        for key in keys.values():
            if key not in self._places:
                self._load_part(load(key))
        places = {name: self._places.get(key) for name, key in keys.items()}
        self._known |= {name: x for name, x in places.items() if x is not None}

    def _load_part(self, key: bytes | None) -> None:
        """Finds the functions of a part, if there is one of that key."""
        data = None if key is None else load(key)
        code = None if data is None else unpacked(data)
        if data is not None and code is not None:
            behind = data[-DIGEST * len(code.addresses) :]
            starts = range(0, len(behind), DIGEST)
            self._hold([behind[at : at + DIGEST] for at in starts], code)

    def _hold(self, keys: Sequence[bytes], code: Code) -> None:
        self._held.append(code)
        self._places |= dict(zip(keys, code.addresses, strict=False))

    def _key(self, name: str, function: _Function) -> bytes:
        """What a function is kept by: its code, and how it is called."""
        return self._session.key("function", self._text({name: function}))

    def _build(self, new: Mapping[str, _Function]) -> bool:
        """Builds functions, and keeps them; whether they can be held."""
        cores = int(self._session.device.max_compute_units)
        lengths = {name: len(source) for name, (source, _) in new.items()}
        rows = shares(lengths, cores)
        texts = [self._text({name: new[name] for name in row}) for row in rows]
        with Progress("building kernels").waiting():
            codes = self._side_by_side(texts, [len(row) for row in rows])
        for row, text, (code, data) in zip(rows, texts, codes, strict=True):
            if code.library is None:
                return False
            self._known |= dict(zip(row, code.addresses, strict=True))
            key = self._session.key("part", text)
            keys = [self._key(name, new[name]) for name in row]
            self._hold(keys, code)
            if data is not None:
                whole = data + b"".join(keys)  # which a linker takes no note of
                store({key: whole, **dict.fromkeys(keys, key)})
        return True

    def _text(self, functions: Mapping[str, _Function]) -> str:
        kernels = {name: kernel for name, (_, kernel) in functions.items()}
        behind = part_source(kernels, OPENCL)
        return "\n".join([self._head, *(x for x, _ in functions.values()), behind])

    def _side_by_side(
        self, texts: Sequence[str], counts: Sequence[int]
    ) -> list[tuple[Code, bytes | None]]:
        """The functions of programs: of the first here, of others in processes."""
        each, ours = list(zip(texts, counts, strict=True)), 0 if forked() else 1
        rest = each[ours:]
        with Workers(len(texts)) as pool:
            others = [pool.submit(built, self._session, *x) for x in rest]
            codes = [self._here(*x) for x in each[:ours]]
            for other, x in zip(others, rest, strict=True):
                data = other.result()
                code = None if data is None else unpacked(data)
                codes.append((code, data) if code else self._here(*x))
        return codes

    def _here(self, text: str, count: int) -> tuple[Code, bytes | None]:
        code = code_of(self._session, text, count)
        return code, packed(code)


def shares(lengths: Mapping[str, int], cores: int) -> list[list[str]]:
    """Names, in as many rows as processes build side by side; the first is ours."""
    count = max(1, min(cores, sum(lengths.values()) // _EACH))
    rows: list[list[str]] = [[] for _ in range(count)]
    ends = [0, *[_START] * (count - 1)]
    for name in sorted(lengths, key=lambda name: (-lengths[name], name)):
        least = ends.index(min(ends))
        rows[least].append(name)
        ends[least] += lengths[name] + _MORE
    return [sorted(row) for row in rows if row]
