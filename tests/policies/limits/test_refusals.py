"""Refusals: which limit is named, what it says, and how long an SDK is told to wait."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.outcome import Reject
from policies.limits import refusals
from policies.limits.limit import KINDS, Limit
from policies.limits.refusals import Refusal, refusal, reject
from policies.limits.store import Standing
from policies.limits.told import Stood
from policies.limits.windows import MINUTE, weighed
from tests.policies.limits.world import NOW, demand, limit, stood

HOUR, DAY = 3_600_000, 86_400_000
TOKEN = 1_000_000
RPM, TPM = limit(amount=60), limit("tokens_per_minute", 1_000)
DAILY, MONTHLY = limit("tokens_per_day", 10_000), limit("dollars_per_month", 2_500_000, "contoso")
PARALLEL = limit("parallel_requests", 4, "contoso/app=chat-ui")


def no(of: Limit, used: int, before: int = 0, reset: int = 30_000, **asked: object) -> Stood:
    return stood(of, used, before, reset, refused=True, **asked)


def found(*stood: Stood, output: int = 0, floor: int = 16) -> Refusal:
    refusing = refusal(stood, output, floor)
    assert refusing is not None
    return refusing


@pytest.mark.parametrize(
    ("stands", "output", "wait"),
    [
        # A rate: until the sliding minute has room for it.
        (no(RPM, 60), 0, 31_000),
        (no(RPM, 0, 120, 30_000), 0, 500),
        (no(TPM, 1_000, fixed=500), 0, 60_000),
        (no(TPM, 950, fixed=100), 0, 33_158),
        (no(TPM, 0, 1_000, 60_000, fixed=100, per_output=TOKEN), 0, 6_000),
        (no(TPM, 550, fixed=100, per_output=TOKEN), 400, 35_455),
        (no(TPM, 500, fixed=100, per_output=TOKEN), 900, 90_000),
        # More output than the rate ever admits is asked for: it is lowered to that, and the wait is for as much.
        (no(TPM, 500, fixed=100, per_output=TOKEN), 4_096, 90_000),
        # Larger than the whole limit, even without output worth the name.
        (no(TPM, 0, fixed=1_001), 0, None),
        (no(TPM, 0, fixed=990, per_output=TOKEN), 100, None),
        (no(TPM, 0, fixed=990, per_output=TOKEN), 10, 1),
        # A budget: until its window ends, if as much as the floor of it can then be granted.
        (no(DAILY, 9_990, reset=HOUR, fixed=100, per_output=TOKEN), 4_096, HOUR),
        (no(DAILY, 9_990, reset=0, fixed=100), 0, 1),
        (no(DAILY, 100, reset=HOUR, fixed=9_990, per_output=TOKEN), 4_096, None),
        (no(DAILY, 100, reset=HOUR, fixed=9_984, per_output=TOKEN), 4_096, HOUR),
        (no(DAILY, 100, reset=HOUR, fixed=9_990, per_output=TOKEN), 10, HOUR),
        # What such calls usually produce is reserved, and not told: with nothing used it can never fit.
        (no(TPM, 0, fixed=100, per_output=TOKEN, expected=True), 4_096, None),
        (no(TPM, 900, fixed=100, per_output=TOKEN, expected=True), 4_096, 90_000),
        (no(TPM, 0, 900, fixed=100, per_output=TOKEN, expected=True), 4_096, 30_000),
        (no(TPM, 900, fixed=100, per_output=TOKEN, expected=True), 200, 43_334),
        (no(TPM, 900, fixed=1_001, per_output=TOKEN, expected=True), 200, None),
        (no(DAILY, 9_990, reset=HOUR, fixed=100, per_output=TOKEN, expected=True), 4_096, HOUR),
        # A place among the parallel ones may be free at any time.
        (no(PARALLEL, 4, reset=0), 0, 1_000),
    ],
)
def test_how_long_a_limit_refuses(stands: Stood, output: int, wait: int | None) -> None:
    assert found(stands, output=output).wait == wait


@given(
    st.integers(1, 2_000),
    st.integers(0, 3_000),
    st.integers(0, 3_000),
    st.integers(1, MINUTE),
    st.integers(1, 2_000),
    st.integers(0, 3_000),
)
def test_what_fits_after_the_wait_is_what_was_asked(
    amount: int, used: int, before: int, reset: int, fixed: int, output: int
) -> None:
    """If the rate can admit it at all: as much output as was asked for, or as much as it ever grants."""
    of = limit("tokens_per_minute", amount)
    one = found(no(of, used, before, reset, fixed=fixed, per_output=TOKEN), output=output)
    if one.wait is None:
        assert fixed + min(16, output) > amount
        return
    later = one.wait
    if later < reset:
        left = amount - used - weighed(before, reset - later)
    else:
        left = amount - (weighed(used, reset + MINUTE - later) if later < reset + MINUTE else 0)
    assert left >= fixed + min(output, amount - fixed)


@pytest.mark.parametrize(
    ("stands", "named"),
    [
        ([stood(RPM, 1), no(TPM, 1_000, fixed=10)], TPM),
        ([no(RPM, 60), no(DAILY, 10_000, reset=HOUR), no(TPM, 990, fixed=20)], DAILY),
        ([no(DAILY, 10_000, reset=HOUR), no(MONTHLY, 2_500_000, reset=20 * DAY), no(PARALLEL, 4)], MONTHLY),
        # What no waiting helps comes before what some does, and a suspension before all.
        ([no(DAILY, 10_000, reset=HOUR), no(TPM, 0, fixed=1_001)], TPM),
        ([no(TPM, 0, fixed=1_001), no(limit(amount=0), 0)], limit(amount=0)),
        # What is not enforced has not refused.
        ([no(limit("tokens_per_month", 5, shadow=True), 9, reset=20 * DAY), no(RPM, 60)], RPM),
        ([no(limit(amount=0, shadow=True), 9), no(RPM, 60)], RPM),
        ([no(limit("tokens_per_month", 5, shadow=True), 9)], limit("tokens_per_month", 5, shadow=True)),
    ],
)
def test_which_limit_is_named(stands: list[Stood], named: Limit) -> None:
    assert found(*stands).limit == named
    assert found(*reversed(stands)).limit == named


def test_nothing_is_named_where_nothing_refuses() -> None:
    assert refusal([], 100, 16) is None
    assert refusal([stood(RPM, 60), stood(DAILY, 20_000)], 100, 16) is None


ROWS = [
    (
        no(RPM, 60, reset=30_000),
        (429, "rate_limit_exceeded", 31.0, False),
        "The user's limit requests_per_minute of 60 requests leaves 0 requests, and this request needs more."
        " Try again in 31 s.",
    ),
    (
        no(TPM, 950, fixed=100),
        (429, "rate_limit_exceeded", 33.158, False),
        "The user's limit tokens_per_minute of 1000 tokens leaves 50 tokens, and this request needs more."
        " Try again in 33.2 s.",
    ),
    (
        no(DAILY, 9_990, reset=HOUR, fixed=11),
        (403, "budget_exceeded", 3_600.0, True),
        "The user's limit tokens_per_day of 10000 tokens leaves 10 tokens, and this request needs more."
        " It resets at 2026-01-01T01:00:00Z.",
    ),
    (
        no(DAILY, 9_990, reset=120_000, fixed=11),
        (403, "budget_exceeded", 120.0, False),
        "The user's limit tokens_per_day of 10000 tokens leaves 10 tokens, and this request needs more."
        " It resets at 2026-01-01T00:02:00Z.",
    ),
    (
        no(MONTHLY, 2_499_999, reset=31 * DAY, fixed=2),
        (403, "budget_exceeded", 31 * 86_400.0, True),
        "The tenant's limit dollars_per_month of 2.5 US dollars leaves 0.000001 US dollars, and this request needs more."
        " It resets at 2026-02-01T00:00:00Z.",
    ),
    (
        no(limit("requests_per_day", 5, "everyone/model=gpt-4o"), 5, reset=DAY),
        (403, "budget_exceeded", 86_400.0, True),
        "The model's limit requests_per_day of 5 requests leaves 0 requests, and this request needs more."
        " It resets at 2026-01-02T00:00:00Z.",
    ),
    (
        no(PARALLEL, 4, reset=0),
        (429, "too_many_parallel_requests", 1.0, False),
        "The app's limit parallel_requests of 4 parallel requests leaves 0 parallel requests, and this request needs"
        " more.",
    ),
    (
        no(TPM, 900, fixed=1_001),
        (429, "request_exceeds_limit", None, True),
        "The user's limit tokens_per_minute of 1000 tokens leaves 100 tokens, and this request needs more."
        " It is larger than the whole limit: make it smaller, or ask for less output.",
    ),
    (
        no(limit("dollars_per_day", 0, "contoso/user=alice,model=gpt-4o"), 0),
        (403, "suspended", None, True),
        "The user and model is suspended: its limit dollars_per_day is 0.",
    ),
]


@pytest.mark.parametrize(("stands", "form", "message"), ROWS, ids=[row[1][1] + str(at) for at, row in enumerate(ROWS)])
def test_how_a_refusal_is_told(stands: Stood, form: tuple[int, str, float | None, bool], message: str) -> None:
    told = reject(found(stands), budget_status=403, now=NOW / 1000)
    assert (told.status, told.code, told.retry_after, told.stop_retrying) == form
    assert told.message == message


def test_a_budgets_status_is_configured() -> None:
    one = found(no(DAILY, 10_000, reset=HOUR))
    assert reject(one, budget_status=429, now=0).status == 429
    rate = found(no(RPM, 60))
    assert reject(rate, budget_status=403, now=0).status == 429


def test_a_budget_resets_at_midnight_also_by_a_clock_that_is_a_little_behind() -> None:
    one = found(no(DAILY, 10_000, reset=HOUR))
    assert "resets at 2026-01-01T01:00:00Z." in reject(one, budget_status=429, now=NOW / 1000 - 0.004).message


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("amount", [0, 5, 100])
@pytest.mark.parametrize("fixed", [1, 50])
def test_no_caller_is_told_a_name(kind: str, amount: int, fixed: int) -> None:
    """The operator is: in the record."""
    of = limit(kind, amount, "contoso-secret/user=alice-secret,model=model-secret")
    told = reject(found(no(of, 5, fixed=fixed)), budget_status=429, now=NOW / 1000)
    assert "secret" not in told.message
    assert kind in told.message
    assert "contoso-secret/user=alice-secret,model=model-secret" in told.why
    assert "limits[0]" in told.why


@given(
    st.sampled_from(sorted(KINDS)), st.integers(0, 50), st.integers(0, 60), st.integers(1, 100), st.integers(0, 40 * DAY)
)
def test_whoever_need_not_wait_long_is_told_so(kind: str, amount: int, used: int, fixed: int, reset: int) -> None:
    """SDKs wait for at most two minutes: what takes longer says that they need not try again."""
    of = limit(kind, amount)
    reset = min(reset, MINUTE) if of.rule.kind.window == "minute" else reset
    one = found(Stood(of, demand(of, fixed), Standing(used, 0, reset, True)))
    told = reject(one, budget_status=429, now=NOW / 1000)
    assert told.stop_retrying == (told.retry_after is None or told.retry_after > 120)
    assert told.retry_after is None or told.retry_after > 0


@pytest.mark.parametrize(
    ("told", "status", "code", "stop_retrying"),
    [
        (refusals.unavailable(1.5), 503, "limits_unavailable", False),
        (refusals.unpriced(), 403, "model_unpriced", True),
    ],
)
def test_what_is_no_matter_of_one_limit(told: Reject, status: int, code: str, stop_retrying: bool) -> None:
    assert (told.status, told.code, told.stop_retrying) == (status, code, stop_retrying)
    assert told.retry_after == (1.5 if status == 503 else None)
    assert told.message
    assert told.why
