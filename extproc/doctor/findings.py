"""What the doctor finds: one finding for each thing that is wrong, however many routes have it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import msgspec


class Severity(StrEnum):
    """How bad it is. An error lets requests pass unjudged, uncounted or twice, or breaks them; a warning may be meant."""

    ERROR = "error"
    WARNING = "warning"


class Trap(msgspec.Struct, frozen=True):
    """A kind of mistake.

    Attributes:
        code: stable, for programs and for the page.
        why: what comes of it.
        mend: what to write instead, in Envoy's words; and in those of Envoy Gateway where they are others.
    """

    code: str
    severity: Severity
    why: str
    mend: str


class Finding(msgspec.Struct, frozen=True):
    """A trap that this configuration has.

    Attributes:
        where: listener, route, filter or cluster.
        what: what stands there.
    """

    code: str
    severity: Severity
    where: str
    what: str
    why: str
    mend: str


def of(trap: Trap, where: str, what: str) -> Finding:
    """This trap, found there."""
    return Finding(trap.code, trap.severity, where, what, trap.why, trap.mend)


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """The findings, errors first; those that say the same of several places are one, which names the first place."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.code, finding.what), []).append(finding)
    found = []
    for same in groups.values():
        places = list(dict.fromkeys(finding.where for finding in same))
        more = f" and {len(places) - 1} more" if len(places) > 1 else ""
        found.append(msgspec.structs.replace(same[0], where=f"{places[0]}{more}"))
    return sorted(found, key=lambda finding: finding.severity is not Severity.ERROR)
