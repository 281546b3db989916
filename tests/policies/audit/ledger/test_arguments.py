from __future__ import annotations

from datetime import UTC, datetime

import pytest

from policies.audit.ledger.arguments import ArgumentError, dimensions, filters, question
from policies.audit.ledger.queries import By, Question

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "found"),
    [("tenant", (By.TENANT,)), (" day , user ", (By.DAY, By.USER)), ("", ()), (",".join(By), tuple(By))],
)
def test_dimensions(text: str, found: tuple[By, ...]) -> None:
    assert dimensions(text) == found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("modle", "expected some of tenant, department"),
        ("modle", "(did you mean 'model'?)"),
        ("tenant,,user", "--by '': expected"),
        ("user,user", "one of them stands there twice"),
    ],
)
def test_what_is_no_dimension(text: str, words: str) -> None:
    with pytest.raises(ArgumentError) as refused:
        dimensions(text)
    assert words in str(refused.value)


def test_filters() -> None:
    assert filters({By.USER: ["alice", "bob"], By.MODEL: None, By.APP: []}) == {By.USER: ("alice", "bob")}


@pytest.mark.parametrize(
    ("since", "until", "period"),
    [
        ("7d", "", (datetime(2026, 11, 13, 12, tzinfo=UTC), NOW)),
        ("2026-11-01", "2026-11-02", (datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 3, tzinfo=UTC))),
        ("last-month", "last-month", (datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC))),
    ],
)
def test_periods(since: str, until: str, period: tuple[datetime, datetime]) -> None:
    assert question("tenant", since, until, {}, NOW) == Question((By.TENANT,), *period)


@pytest.mark.parametrize(
    ("since", "until", "words"),
    [
        ("when", "", "--from when: expected a time"),
        ("today", "when", "--to when: expected a time"),
        ("2026-11-02", "2026-11-01", "--to 2026-11-01 is not after --from 2026-11-02"),
        ("now", "", "--to now is not after --from now"),
    ],
)
def test_what_is_no_period(since: str, until: str, words: str) -> None:
    with pytest.raises(ArgumentError) as refused:
        question("tenant", since, until, {}, NOW)
    assert words in str(refused.value)
