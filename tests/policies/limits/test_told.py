"""What callers are told of their limits: in the fields, the forms and the units that their SDKs read."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.exchange import Dialect
from policies.limits.limit import KINDS, Limit
from policies.limits.store import Standing
from policies.limits.told import (
    FIELDS,
    WARNING,
    Stood,
    duration,
    fields,
    level_of,
    moment,
    remaining,
    soft,
    used,
    warning,
)
from tests.policies.limits.world import NOW, demand, limit, stood

HOURS = {"h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}


def in_milliseconds(text: str) -> int:
    """What Go's `time.ParseDuration` makes of it: numbers with units, the largest first, each at most once."""
    assert re.fullmatch(r"(?=\d)(?:\d+h)?(?:\d+m)?(?:\d+(?:\.\d+)?s)?(?:\d+ms)?", text), text
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|[hms])", text)
    return round(sum(float(number) * HOURS[unit] for number, unit in parts))


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "0s"),
        (1, "1ms"),
        (120, "120ms"),
        (999, "999ms"),
        (1_000, "1s"),
        (1_500, "1.5s"),
        (59_999, "59.999s"),
        (60_000, "1m0s"),
        (60_001, "1m0.001s"),
        (360_000, "6m0s"),
        (3_599_999, "59m59.999s"),
        (3_600_000, "1h0m0s"),
        (3_630_000, "1h0m30s"),
        (90_061_001, "25h1m1.001s"),
        (-5, "0s"),
    ],
)
def test_durations_in_gos_form(milliseconds: int, text: str) -> None:
    assert duration(milliseconds) == text


@given(st.integers(0, 10**10))
def test_a_duration_is_read_as_it_was_written(milliseconds: int) -> None:
    assert in_milliseconds(duration(milliseconds)) == milliseconds


RPM, TPM = limit(amount=60), limit("tokens_per_minute", 10_000)
TENANT_TPM = limit("tokens_per_minute", 50_000, "contoso")
SHADOWED = limit("tokens_per_minute", 10, "contoso", shadow=True)
BUDGET = limit("tokens_per_day", 100)
PARALLEL = limit("parallel_requests", 1)


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ([], {}),
        ([stood(RPM, 10)], {"requests": ("60", "50", "1m30s")}),
        ([stood(TPM, 10)], {"tokens": ("10000", "9990", "1m30s")}),
        # The minute before counts by the share of it that is not over, rounded up.
        ([stood(RPM, 10, 41)], {"requests": ("60", "29", "1m30s")}),
        ([stood(RPM, 0, 41)], {"requests": ("60", "39", "30s")}),
        ([stood(RPM, 0, 0)], {"requests": ("60", "60", "0s")}),
        ([stood(RPM, 0, 1, 120)], {"requests": ("60", "59", "120ms")}),
        ([stood(RPM, 80)], {"requests": ("60", "0", "1m30s")}),
        # Of several, the one that leaves least: not the smallest.
        ([stood(TPM, 10), stood(TENANT_TPM, 49_000)], {"tokens": ("50000", "1000", "1m30s")}),
        ([stood(TENANT_TPM, 49_000), stood(TPM, 9_500)], {"tokens": ("10000", "500", "1m30s")}),
        ([stood(TPM, 9_000), stood(TENANT_TPM, 49_000, 1)], {"tokens": ("50000", "999", "1m30s")}),
        # What is not enforced is no limit, and budgets and places are no rates.
        ([stood(TPM, 10), stood(SHADOWED, 10)], {"tokens": ("10000", "9990", "1m30s")}),
        ([stood(BUDGET, 99), stood(PARALLEL, 1), stood(limit("requests_per_day", 5), 4)], {}),
        (
            [stood(RPM, 1, 0, 59_000), stood(TPM, 0, 2, 59_000)],
            {"requests": ("60", "59", "1m59s"), "tokens": ("10000", "9998", "59s")},
        ),
    ],
)
def test_which_limit_is_told(found: list[Stood], told: dict[str, tuple[str, str, str]]) -> None:
    expected = {
        f"x-ratelimit-{what}-{measure}": value
        for measure, values in told.items()
        for what, value in zip(("limit", "remaining", "reset"), values, strict=True)
    }
    assert dict(fields(found, Dialect.OPENAI, NOW / 1000)) == expected


def test_what_anthropics_sdks_read() -> None:
    found = [stood(RPM, 10, reset=30_000), stood(TPM, 0, 4, 30_000)]
    assert list(fields(found, Dialect.ANTHROPIC, NOW / 1000)) == [
        ("anthropic-ratelimit-requests-limit", "60"),
        ("anthropic-ratelimit-requests-remaining", "50"),
        ("anthropic-ratelimit-requests-reset", "2026-01-01T00:01:30Z"),
        ("anthropic-ratelimit-tokens-limit", "10000"),
        ("anthropic-ratelimit-tokens-remaining", "9998"),
        ("anthropic-ratelimit-tokens-reset", "2026-01-01T00:00:30Z"),
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (NOW / 1000, "2026-01-01T00:00:00Z"),
        # A budget's end, by two clocks that are not quite one.
        (NOW / 1000 - 0.004, "2026-01-01T00:00:00Z"),
        (NOW / 1000 + 0.004, "2026-01-01T00:00:00Z"),
        (NOW / 1000 - 0.6, "2025-12-31T23:59:59Z"),
    ],
)
def test_moments_are_told_to_the_nearest_second(seconds: float, text: str) -> None:
    assert moment(seconds) == text


COUNTS = st.integers(0, 10**12)
STANDINGS = st.builds(Standing, COUNTS, COUNTS, st.integers(0, 60_000), st.booleans())
LIMITS = st.builds(
    lambda kind, amount, soft, whose: limit(kind, amount, whose, soft=soft),
    st.sampled_from(sorted(KINDS)),
    COUNTS,
    st.sampled_from([0.01, 0.8, 1.0]),
    st.sampled_from(["contoso", "contoso/user=al%0Aice", "everyone", "t/user=%C3%BC,model=m", "everyone/model=m"]),
)
STOOD = st.lists(st.builds(lambda of, standing: Stood(of, demand(of), standing), LIMITS, STANDINGS), max_size=30)


@given(STOOD, st.sampled_from(Dialect), st.floats(0, 4e9))
def test_values_are_one_line_of_visible_ascii(found: list[Stood], dialect: Dialect, now: float) -> None:
    told = [*fields(found, dialect, now), (WARNING, warning(soft(found)) or "-")]
    assert len({name for name, _ in told}) == len(told)
    for name, value in told:
        assert name in FIELDS
        assert re.fullmatch(r"[!-~][ -~]{0,254}", value)
        assert "alice" not in value
        if name.startswith("anthropic") and name.endswith("reset"):
            assert datetime.fromisoformat(value).tzinfo == UTC


@given(LIMITS, STANDINGS)
def test_what_is_left_and_what_is_used_are_the_whole(of: Limit, standing: Standing) -> None:
    assert remaining(of.rule, standing) >= 0
    if used(of.rule, standing) <= of.rule.amount:
        assert remaining(of.rule, standing) + used(of.rule, standing) == of.rule.amount


def test_all_fields_are_named() -> None:
    assert len(FIELDS) == len(set(FIELDS)) == 13
    assert {"x-ratelimit-reset-tokens", "anthropic-ratelimit-tokens-reset", WARNING} < set(FIELDS)
    assert all(re.fullmatch(r"[a-z-]+", name) for name in FIELDS)


@pytest.mark.parametrize(
    ("found", "text"),
    [
        ([], ""),
        ([stood(RPM, 47)], ""),
        ([stood(RPM, 48)], "user requests_per_minute 80%"),
        ([stood(RPM, 59)], "user requests_per_minute 98%"),
        ([stood(RPM, 0, 96)], "user requests_per_minute 80%"),
        ([stood(limit(amount=60, soft=1.0), 60)], ""),
        ([stood(limit(amount=60, soft=0.5), 30)], "user requests_per_minute 50%"),
        # A subject that is suspended is not warned of it.
        ([stood(limit(amount=0), 5)], ""),
        ([stood(limit("dollars_per_month", 100, "contoso"), 2_000)], "tenant dollars_per_month 999%"),
        (
            [
                stood(limit("tokens_per_day", 100, "contoso/user=alice,model=gpt-4o"), 83),
                stood(limit("tokens_per_day", 100, "everyone"), 91),
                stood(limit("tokens_per_day", 100, "contoso/department=R%26D"), 10),
            ],
            "everyone tokens_per_day 91%, user and model tokens_per_day 83%",
        ),
    ],
)
def test_what_callers_are_warned_of(found: list[Stood], text: str) -> None:
    assert warning(soft(found)) == text


def test_a_warning_is_bounded_and_names_the_fullest() -> None:
    found = [stood(limit(kind, 100, "contoso/department=d,session=s"), 80 + at) for at, kind in enumerate(KINDS)]
    text = warning(soft(found))
    assert 150 < len(text) <= 200
    assert text.startswith("department and session parallel_requests 88%, department and session dollars_per_month 87%")
    assert text.endswith("%")


@pytest.mark.parametrize(
    ("subject", "words"),
    [
        ("contoso", "tenant"),
        ("everyone", "everyone"),
        ("contoso/user=alice", "user"),
        ("contoso/app=x,model=gpt-4o", "app and model"),
        ("everyone/model=gpt-4o", "model"),
    ],
)
def test_whose_limit_it_is_tells_nobody_a_name(subject: str, words: str) -> None:
    assert level_of(limit(subject=subject)) == words
