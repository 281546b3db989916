"""Findings: one for each thing that is wrong, errors first."""

from __future__ import annotations

from extproc.doctor import traps
from extproc.doctor.findings import Severity, merged, of


def test_the_same_in_several_places_is_one_finding() -> None:
    found = merged(of(traps.FAIL_OPEN, where, "set") for where in ("route a", "route b", "route a", "route c"))
    assert [(finding.where, finding.what) for finding in found] == [("route a and 2 more", "set")]


def test_errors_come_first_and_others_keep_their_order() -> None:
    given = [
        of(traps.PATH_REWRITTEN, "a", "one"),
        of(traps.FAIL_OPEN, "a", "two"),
        of(traps.PATH_REWRITTEN, "a", "three"),
        of(traps.RETRIES, "a", "four"),
    ]
    assert [finding.what for finding in merged(given)] == ["two", "four", "one", "three"]
    assert [finding.severity for finding in merged(given)][:2] == [Severity.ERROR, Severity.ERROR]


def test_a_finding_says_what_its_trap_says() -> None:
    finding = of(traps.RETRIES, "route a", "retry_on: 5xx")
    assert (finding.code, finding.why, finding.mend) == ("retries", traps.RETRIES.why, traps.RETRIES.mend)
