"""What a run of the conformance kit found, as a table, as JSON and as a score."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from graphwright.backends.contract import CONTRACT_VERSION
from graphwright.display import Shown, stacked, styled, table

PASSES = "passes"
DECLINED = "declined"
FALLS_BACK = "falls back"
WRONG = "wrong"
FIRST_PART = "first"
"""Name of the part that a backend may not decline."""

STATUSES = (PASSES, DECLINED, FALLS_BACK, WRONG)


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one check.

    Attributes:
        part: The part of the kit, such as ``primitives``.
        subject: What was checked: an op, a test's name.
        case: Which case of it.
        status: ``passes`` (the backend ran all of it and is right), ``declined`` (it
            does not run the op in question itself), ``falls back`` (right, but the host
            ran something else for it) or ``wrong``.
        detail: What is wrong, or who ran it.
    """

    part: str
    subject: str
    case: str
    status: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.case or self.subject}: {self.status}: {self.detail}"


@dataclass(frozen=True, slots=True, repr=False)
class KitReport(Shown):
    """All findings about one backend.

    Attributes:
        backend: Its name.
        findings: In the order of the checks.
    """

    backend: str
    findings: tuple[Finding, ...]

    def counts(self, part: str | None = None) -> dict[str, int]:
        """How many checks there are of each status, in one part or in all."""
        rows = [f.status for f in self.findings if part in (None, f.part)]
        return {status: rows.count(status) for status in STATUSES}

    @property
    def parts(self) -> list[str]:
        """Parts that ran, in order."""
        return list(dict.fromkeys(f.part for f in self.findings))

    @property
    def score(self) -> float:
        """Percentage of the checks that pass with nothing left to the host."""
        count = len(self.findings)
        return 100 * self.counts()[PASSES] / count if count else 0.0

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong, and it runs all of the first stage itself."""
        first = self.counts(FIRST_PART)
        own = first[PASSES] == sum(first.values()) > 0
        return own and not self.counts()[WRONG]

    def to_dict(self) -> dict[str, Any]:
        """The report as plain dictionaries and lists."""
        return {
            "backend": self.backend,
            "contract": CONTRACT_VERSION,
            "ok": self.ok,
            "score": round(self.score, 2),
            "counts": self.counts(),
            "parts": {part: self.counts(part) for part in self.parts},
            "findings": [asdict(f) for f in self.findings],
        }

    def to_json(self) -> str:
        """The report as JSON."""
        return json.dumps(self.to_dict(), indent=1)

    def __repr__(self) -> str:
        return f"<conformance of {self.backend!r}: {self._summary()}>"

    def _summary(self) -> str:
        counts = self.counts()
        words = ", ".join(f"{n} {status}" for status, n in counts.items() if n)
        return f"{words or 'nothing was checked'}; score {self.score:.1f}"

    def __rich__(self) -> Any:
        style = "bold green" if self.ok else "bold red"
        rows = [(part, *self.counts(part).values()) for part in self.parts]
        shown = [
            styled(f"Conformance of {self.backend}: {self._summary()}", style),
            table("", ("part", *STATUSES), rows, right=range(1, 5)),
        ]
        lacking = _grouped(f for f in self.findings if f.status == DECLINED)
        if lacking:
            shown.append(table("Declined", ("op", "cases", "such as"), lacking, (1,)))
        wrong = _grouped(f for f in self.findings if f.status == WRONG)
        if wrong:
            shown.append(table("Wrong", ("of", "cases", "such as"), wrong, (1,)))
        return stacked(*shown)


def _grouped(findings: Iterable[Finding]) -> list[Sequence[object]]:
    """A row for each subject: how many cases, and the first of them."""
    rows: dict[str, list[Finding]] = {}
    for finding in findings:
        rows.setdefault(finding.subject, []).append(finding)
    return [(name, len(held), str(held[0])) for name, held in rows.items()]
