"""Each call once, whatever comes again, in series whose number has an end."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.audit.record import Closed, Tokens
from policies.audit.sinks.histograms import OTHER, OVERFLOW, Histograms, Series
from policies.audit.sinks.model_calls import DURATION, INSTRUMENTS, TOKENS, measured
from tests.policies.audit.sinks.metric_receiver import stream

CHAT = (("gen_ai.operation.name", "chat"), ("gen_ai.provider.name", "openai"))


def histograms(models: int = 100, tenants: int = 0, series: int = 2_000) -> Histograms:
    return Histograms(models=models, tenants=tenants, series=series)


def counted(batch: list[Closed], **bounds: int) -> list[Series]:
    made = histograms(**bounds)
    made.count(batch)
    return made.series()


def named(batch: list[Closed], attribute: str, **bounds: int) -> list[Any]:
    """What the durations of these calls have for an attribute."""
    return [dict(one.attributes).get(attribute) for one in counted(batch, **bounds) if one.instrument is DURATION]


def test_a_call() -> None:
    tokens, _, duration, first, each = counted([stream(1)])
    models = (("gen_ai.request.model", "gpt-4o"), ("gen_ai.response.model", "gpt-4o-2024-11-20"))
    assert tokens == Series(TOKENS, (*CHAT, *models, ("gen_ai.token.type", "input")), (0, 0, 1, *[0] * 12), total=14)
    assert duration.attributes == first.attributes == each.attributes == (*CHAT, *models)
    assert [(one.total, one.count) for one in (duration, first, each)] == [(1_200_000, 1), (250_000, 1), (50_000, 1)]


@pytest.mark.parametrize(
    ("tokens", "bucket"), [(1, 0), (2, 1), (4, 1), (5, 2), (16, 2), (67_108_864, 13), (67_108_865, 14)]
)
def test_a_boundary_belongs_to_the_bucket_below_it(tokens: int, bucket: int) -> None:
    [one] = [one for one in counted([stream(1, tokens=Tokens(input=tokens))]) if one.instrument is TOKENS]
    assert [index for index, count in enumerate(one.buckets) if count] == [bucket]


@pytest.mark.parametrize(
    ("micros", "bucket"), [(9_999, 0), (10_000, 0), (10_001, 1), (640_000, 6), (640_001, 7), (81_920_001, 14)]
)
def test_a_boundary_of_seconds(micros: int, bucket: int) -> None:
    [one] = [one for one in counted([stream(1, latency_us=micros)]) if one.instrument is DURATION]
    assert [index for index, count in enumerate(one.buckets) if count] == [bucket]


def test_only_what_has_changed_is_told_again() -> None:
    made = histograms()
    made.count([stream(1), stream(2, model="gpt-4.1")])
    before = made.series()
    made.count([stream(3)])
    made.told(before)
    assert {(dict(one.attributes)["gen_ai.request.model"], one.count) for one in made.series()} == {("gpt-4o", 2)}
    assert len(made.series(everything=True)) == len(before) == 10
    made.told(made.series())
    made.told(before)
    assert made.series() == []


def test_a_model_gets_its_name_when_it_has_answered() -> None:
    batch = [
        stream(1, model="made-up", response_model="", result="failure", status=404),
        stream(2),
        stream(3, model="o3"),
    ]
    assert named(batch, "gen_ai.request.model") == [OTHER, "gpt-4o", "o3"]
    assert named(batch, "gen_ai.request.model", models=1) == [OTHER, "gpt-4o", OTHER]
    assert named(batch, "gen_ai.request.model", models=0) == [OTHER, OTHER]
    assert named([stream(1, model="", response_model="")], "gen_ai.request.model") == [None]
    assert named([stream(1, model="x" * 500)], "gen_ai.request.model") == ["x" * 256]


def test_tenants_are_told_where_somebody_wants_it() -> None:
    batch = [stream(1, tenant_id="a"), stream(2, tenant_id="b"), stream(3, tenant_id="c"), stream(4, tenant_id="")]
    assert named(batch, "sluicegate.tenant.id") == [None]
    assert named(batch, "sluicegate.tenant.id", tenants=2) == ["a", "b", OTHER, None]


def test_the_number_of_series_has_an_end_and_nothing_is_lost() -> None:
    """More than a hundred thousand combinations would be possible."""
    many = product(range(30), range(30), ("chat", "completions"))
    batch = [
        stream(number, model=f"m{model}", tenant_id=f"t{tenant}", operation=operation)
        for number, (model, tenant, operation) in enumerate(many, 1)
    ]
    found = counted(batch, models=20, tenants=20, series=50)
    for instrument in INSTRUMENTS:
        own = [one for one in found if one.instrument is instrument]
        assert len(own) == 51
        assert own[-1].attributes == OVERFLOW
        values = [one.value for closed in batch for one in measured(closed.record) if one.instrument is instrument]
        assert (sum(one.count for one in own), sum(one.total for one in own)) == (len(values), sum(values))


_calls = st.lists(
    st.fixed_dictionaries(
        {
            "journal": st.sampled_from(["a.0", "b.0"]),
            "model": st.sampled_from(["gpt-4o", "o3", "made-up", ""]),
            "tenant_id": st.sampled_from(["t1", "t2", "t3"]),
            "result": st.sampled_from(["success", "failure"]),
            "latency_us": st.integers(0, 90_000_000),
            "decision": st.sampled_from(["allow", "reject"]),
        }
    ),
    max_size=12,
)


@given(_calls, st.data())
def test_any_split_into_batches_and_any_repeat_give_the_same_sums(
    calls: list[dict[str, Any]], data: st.DataObject
) -> None:
    whole = [stream(number, **fields) for number, fields in enumerate(calls, 1)]
    bounds = {"models": 2, "tenants": 2, "series": 6}
    made = histograms(**bounds)
    reached = 0
    while reached < len(whole):
        # A follower may begin again at anything that it has brought, and never leaves anything out.
        start = data.draw(st.integers(0, reached))
        end = data.draw(st.integers(start, len(whole)))
        made.count(whole[start:end])
        if data.draw(st.booleans()):
            made.told(made.series())
        reached = max(reached, end)
        if end <= reached and data.draw(st.booleans()):
            made.count(whole[:reached])
            made.count(whole[reached : reached + 1])
            reached = min(len(whole), reached + 1)
    assert made.series(everything=True) == counted(whole, **bounds)
