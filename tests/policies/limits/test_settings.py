"""What may stand in the configuration of limits, and what is refused with a word of help."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from policies.limits.limit import KINDS, Measure, Outage
from policies.limits.settings import LimitEntry, LimitsSettings, Match, Weights
from policies.limits.subjects import Level

REDIS = {"url": "unix:///run/redis.sock"}


def entry(**members: Any) -> LimitEntry:
    return LimitEntry.model_validate({"subject": "user", **members})


def settings(**members: Any) -> LimitsSettings:
    return LimitsSettings.model_validate({"redis": REDIS, **members})


def test_what_holds_where_nothing_is_said() -> None:
    found = settings()
    assert [(one.subject, dict(one.amounts())) for one in found.limits] == [
        ((Level.USER,), {"requests_per_minute": 60}),
        ((Level.TENANT,), {"tokens_per_minute": 100_000}),
    ]
    assert (found.time_zone, found.budget_status, found.lease, found.spool) == ("UTC", 429, None, None)
    assert found.weights == Weights(input=1, cached_input=1, cache_write=1, output=1, reasoning=1)
    assert (found.limits[0].soft, found.limits[0].match, found.limits[0].outage) == (0.8, Match(), None)


def test_an_entry_states_a_limit_of_every_kind() -> None:
    found = entry(**dict.fromkeys(KINDS, 7))
    assert found.amounts() == {name: 7_000_000 if kind.measure is Measure.DOLLARS else 7 for name, kind in KINDS.items()}
    assert list(found.amounts()) == list(KINDS)


@pytest.mark.parametrize(
    ("dollars", "micros"),
    [
        (0, 0),
        (12, 12_000_000),
        (12.5, 12_500_000),
        # Not the binary float that is nearest to it.
        (0.1, 100_000),
        (0.07, 70_000),
        (1_234_567.891, 1_234_567_891_000),
        (0.000001, 1),
        (1e9, 10**15),
        ("12.5", 12_500_000),
        ("0.000001", 1),
        ("1e-6", 1),
        ("2.50000000", 2_500_000),
        ("999999999.999999", 999_999_999_999_999),
        (Decimal("0.3"), 300_000),
    ],
)
def test_dollars_are_counted_exactly(dollars: object, micros: int) -> None:
    assert entry(dollars_per_month=dollars).amounts() == {"dollars_per_month": micros}


@given(st.decimals(0, 10**9, places=6, allow_nan=False))
def test_dollars_as_they_are_written(dollars: Decimal) -> None:
    assert entry(dollars_per_day=str(dollars)).amounts() == {"dollars_per_day": int(dollars.scaleb(6))}


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({}, "expected at least one limit: requests_per_minute, "),
        ({"shadow": True}, "expected at least one limit"),
        ({"requests_per_minut": 5}, "Extra inputs are not permitted"),
        ({"requests_per_minute": -1}, "greater than or equal to 0"),
        ({"requests_per_minute": 1.0}, "valid integer"),
        ({"requests_per_minute": "5"}, "valid integer"),
        ({"requests_per_minute": True}, "valid integer"),
        ({"tokens_per_day": 10**12 + 1}, "less than or equal to 1000000000000"),
        ({"dollars_per_day": True}, "Decimal input"),
        ({"dollars_per_day": -0.5}, "greater than or equal to 0"),
        ({"dollars_per_day": "NaN"}, "finite number"),
        ({"dollars_per_day": float("inf")}, "finite number"),
        ({"dollars_per_day": "1e999999"}, "less than or equal to"),
        ({"dollars_per_day": "a lot"}, "valid decimal"),
        ({"dollars_per_day": 0.0000001}, "at most six decimals"),
        ({"dollars_per_day": "1.0000000000000000000000000000001"}, "at most six decimals"),
        ({"dollars_per_day": "1e-400"}, "at most six decimals"),
        ({"requests_per_day": 5, "soft": 0}, "greater than 0"),
        ({"requests_per_day": 5, "soft": 1.1}, "less than or equal to 1"),
        ({"requests_per_day": 5, "outage": "open"}, "'local', 'closed' or 'allowance'"),
        ({"requests_per_day": 5, "output_reserve": "none"}, "'ceiling' or 'expected'"),
        ({"requests_per_day": 5, "match": {"users": "a"}}, "Extra inputs are not permitted"),
        ({"requests_per_day": 5, "match": {"user": ""}}, "at least 1 character"),
        # Allowances.
        ({"dollars_per_day": 5, "outage": "allowance"}, "belong together"),
        ({"dollars_per_day": 5, "outage": "local", "allowance": 1}, "belong together"),
        ({"dollars_per_day": 5, "allowance": 1}, "belong together"),
        ({"dollars_per_day": 5, "requests_per_day": 5, "outage": "allowance", "allowance": 1}, "states one limit"),
        ({"requests_per_day": 5, "outage": "allowance", "allowance": 0.5}, "expected a whole number"),
    ],
)
def test_what_is_no_entry(members: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        entry(**members)


@pytest.mark.parametrize(
    ("kind", "allowance", "counted"),
    [
        ("dollars_per_day", 0.5, 500_000),
        ("dollars_per_month", "2.000001", 2_000_001),
        ("tokens_per_day", 1_000, 1_000),
        ("requests_per_day", "5.0", 5),
        ("requests_per_day", 0, 0),
    ],
)
def test_an_allowance_is_in_the_unit_of_its_limit(kind: str, allowance: object, counted: int) -> None:
    assert entry(**{kind: 10, "outage": "allowance", "allowance": allowance}).counted_allowance() == counted


def test_without_an_allowance_there_is_none() -> None:
    assert entry(dollars_per_day=10, outage="closed").counted_allowance() == 0
    assert entry(dollars_per_day=10, outage="closed").outage is Outage.CLOSED


@pytest.mark.parametrize(
    ("subject", "levels"),
    [
        ("user", (Level.USER,)),
        (["user"], (Level.USER,)),
        ("tenant", (Level.TENANT,)),
        ("everyone", (Level.EVERYONE,)),
        # In one order, however they are written: they name the counters.
        (["model", "user"], (Level.USER, Level.MODEL)),
        (["user", "model"], (Level.USER, Level.MODEL)),
        (["model", "everyone"], (Level.EVERYONE, Level.MODEL)),
        (["session", "department"], (Level.DEPARTMENT, Level.SESSION)),
    ],
)
def test_whom_an_entry_is_for(subject: object, levels: tuple[Level, ...]) -> None:
    assert entry(subject=subject, requests_per_day=1).subject == levels


@pytest.mark.parametrize(
    ("subject", "message"),
    [
        ("nobody", "'everyone', 'tenant', "),
        ([], "at least 1 item"),
        (["user", "app", "model"], "at most 2 items"),
        (["user", "user"], "two different levels"),
        (["tenant", "user"], "`tenant` stands alone"),
        (["everyone", "tenant"], "`tenant` stands alone"),
        (None, "valid tuple"),
    ],
)
def test_whom_no_entry_is_for(subject: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        entry(subject=subject, requests_per_day=1)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"time_zone": "Europe/Atlantis"}, "a time zone such as Europe/Berlin"),
        ({"time_zone": "../../etc/passwd"}, "a time zone such as Europe/Berlin"),
        ({"time_zone": ""}, "a time zone such as Europe/Berlin"),
        ({"weights": {"input": -1}}, "greater than or equal to 0"),
        ({"weights": {"audio": 1}}, "Extra inputs are not permitted"),
        ({"budget_status": 402}, "Input should be 403 or 429"),
        ({"max_output": 0}, "greater than or equal to 1"),
        ({"min_output": 0}, "greater than or equal to 1"),
        ({"lease": 0.5}, "greater than or equal to 1"),
        ({"session_header": "X-Session"}, "match pattern"),
        ({"session_header": "a\nb"}, "match pattern"),
        ({"redis": {"url": "redis://user:secret@host"}}, "no credentials in a URL"),
        ({"limit": []}, "Extra inputs are not permitted"),
    ],
)
def test_what_are_no_settings(members: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        settings(**members)


@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin", "Australia/Lord_Howe"])
def test_time_zones_by_their_names(name: str) -> None:
    assert settings(time_zone=name).time_zone == name


def test_there_may_be_no_limits() -> None:
    assert settings(limits=[]).limits == ()
