"""Metrics, with a receiver that decodes the wire format."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from policies.audit.following.sink import SinkError
from policies.audit.sinks.otlp_metrics import WHOLE, MetricsSink
from policies.audit.sinks.settings import MetricsSettings
from tests.policies.audit.following.rigs import FakeJournal, Time, follower, until_idle
from tests.policies.audit.sinks.made import made
from tests.policies.audit.sinks.metric_receiver import MetricReceiver, stream
from tests.policies.audit.sinks.otlp_receiver import Answer, named, partial
from tests.policies.audit.sinks.trace_receiver import decision, fields_of

SHARED = {
    ("gen_ai.operation.name", "chat"),
    ("gen_ai.provider.name", "openai"),
    ("gen_ai.request.model", "gpt-4o"),
    ("gen_ai.response.model", "gpt-4o-2024-11-20"),
}
TAKEN = ("gen_ai.client.token.usage", frozenset({*SHARED, ("gen_ai.token.type", "input")}))
MADE = ("gen_ai.client.token.usage", frozenset({*SHARED, ("gen_ai.token.type", "output")}))
LASTED = ("gen_ai.server.request.duration", frozenset(SHARED))
FIRST = ("gen_ai.server.time_to_first_token", frozenset(SHARED))
EACH = ("gen_ai.server.time_per_output_token", frozenset(SHARED))


@dataclass
class Clock:
    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


async def sink_to(url: str, clock: Clock | None = None, **more: Any) -> MetricsSink:
    settings = MetricsSettings.model_validate({"kind": "metrics", "name": "metrics", "url": url, **more})
    sink = MetricsSink(settings, clock or Clock())
    await sink.start()
    return sink


@pytest.mark.parametrize("compression", ["gzip", "none"])
async def test_calls_arrive(compression: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTLP_TOKEN", "Bearer s3cret")
    clock = Clock()
    resource = {"deployment.environment.name": "test", "service.instance.id": "gateway-1"}
    with MetricReceiver() as receiver:
        headers = {"authorization": {"env": "OTLP_TOKEN"}}
        sink = await sink_to(receiver.url, clock, compression=compression, headers=headers, resource=resource)
        await sink.deliver([stream(1), stream(2)])
        clock.now = 1_007.5
        await sink.deliver([stream(3)])
        await sink.stop()
    assert receiver.sums() == {TAKEN: (3, 42), MADE: (3, 60), LASTED: (3, 3.6), FIRST: (3, 0.75), EACH: (3, 0.15)}
    assert {(one.start_time_unix_nano, one.time_unix_nano) for _, one in receiver.taken} == {
        (1_000_000_000_000, 1_000_000_000_000),
        (1_000_000_000_000, 1_007_500_000_000),
    }
    assert receiver.paths == ["/v1/metrics"] * 2
    assert [seen["authorization"] for seen in receiver.headers] == ["Bearer s3cret"] * 2
    of_resource = receiver.requests[0].resource_metrics[0]
    assert named(of_resource.resource.attributes) == {"service.name": "sluicegate", **resource}
    assert of_resource.scope_metrics[0].scope.name == "sluicegate.audit"


@pytest.mark.parametrize("answer", [Answer(503), Answer(0), Answer(401), Answer(400), Answer(413), Answer(422)])
async def test_what_comes_again_is_not_counted_twice(answer: Answer) -> None:
    with MetricReceiver(lambda number, _: answer if number < 2 else Answer()) as receiver:
        sink = await sink_to(receiver.url)
        for _ in range(2):
            with pytest.raises(SinkError):
                await sink.deliver([stream(1), stream(2)])
        await sink.deliver([stream(1)])
        await sink.deliver([stream(2), stream(3)])
        await sink.deliver([stream(2), stream(3)])
        await sink.stop()
    assert len(receiver.requests) == 4
    assert receiver.sums()[TAKEN] == (3, 42)
    assert [point.count for metric, point in receiver.taken if metric.name == LASTED[0]] == [2, 3]


async def test_what_did_not_arrive_is_in_the_next_one() -> None:
    """Of several requests one fails: what was taken is not sent again, and nothing is missing."""
    models = [f"{number:03}" + "x" * 250 for number in range(40)]
    batch = [stream(number, model=model, stream=False) for number, model in enumerate(models, 1)]
    with MetricReceiver(lambda number, _: Answer(503) if number == 1 else Answer()) as receiver:
        sink = await sink_to(receiver.url, max_bytes=16_384)
        with pytest.raises(SinkError, match="status 503"):
            await sink.deliver(batch)
        await sink.deliver(batch[-1:])
        await sink.stop()
    durations = [dict(named)["gen_ai.request.model"] for name, named in receiver.sums() if name == LASTED[0]]
    assert sorted(durations) == models
    assert set(receiver.sums().values()) == {(1, 14), (1, 20), (1, 1.2)}


async def test_nothing_is_sent_where_nothing_has_changed() -> None:
    with MetricReceiver() as receiver:
        sink = await sink_to(receiver.url)
        await sink.deliver([])
        await sink.deliver([made(1), made(2)])
        await sink.deliver([stream(2)])
        await sink.stop()
    assert receiver.requests == []


async def test_silent_series_are_told_again_from_time_to_time() -> None:
    clock = Clock()

    def models(request: Any) -> set[str]:
        points = request.resource_metrics[0].scope_metrics[0].metrics[0].histogram.data_points
        return {named(one.attributes)["gen_ai.request.model"] for one in points}

    with MetricReceiver() as receiver:
        sink = await sink_to(receiver.url, clock)
        await sink.deliver([stream(1, model="a"), stream(2, model="b")])
        clock.now += WHOLE - 1
        await sink.deliver([stream(3, model="a")])
        clock.now += 1
        await sink.deliver([stream(4, model="a")])
        await sink.deliver([stream(5, model="b")])
        clock.now = 10.0
        await sink.deliver([stream(6, model="a")])
        await sink.stop()
    assert [models(one) for one in receiver.requests] == [{"a", "b"}, {"a"}, {"a", "b"}, {"b"}, {"a", "b"}]
    # The clock was set back: no point is older than the one before it.
    assert receiver.taken[-1][1].time_unix_nano == 1_060_000_000_000


async def test_what_is_rejected_in_part_is_told_and_not_repeated(caplog: pytest.LogCaptureFixture) -> None:
    with (
        MetricReceiver(lambda number, _: partial(2) if number < 2 else Answer()) as receiver,
        caplog.at_level(logging.WARNING),
    ):
        sink = await sink_to(receiver.url)
        for number in (1, 1, 2, 3):
            await sink.deliver([stream(number)])
        await sink.stop()
    assert len(receiver.requests) == 3
    assert [one.getMessage() for one in caplog.records] == [
        "sink metrics: the receiver rejected 2 of 5 points and does not say which"
    ]
    assert receiver.sums()[TAKEN] == (3, 42)


async def test_a_new_sink_begins_anew() -> None:
    with MetricReceiver() as receiver:
        for now in (1_000.0, 2_000.0):
            sink = await sink_to(receiver.url, Clock(now))
            await sink.deliver([stream(1)])
            await sink.stop()
    assert {(one.start_time_unix_nano, one.count) for _, one in receiver.taken} == {
        (1_000_000_000_000, 1),
        (2_000_000_000_000, 1),
    }


async def test_what_is_told_of_mistakes() -> None:
    with pytest.raises(SinkError, match="environment variable SLUICEGATE_UNSET"):
        await sink_to("http://127.0.0.1:9/v1/metrics", headers={"authorization": {"env": "SLUICEGATE_UNSET"}})
    with MetricReceiver(lambda *_: Answer(404)) as receiver:
        sink = await sink_to(receiver.url)
        with pytest.raises(SinkError, match="status 404: nothing takes metrics there"):
            await sink.deliver([stream(1)])
        await sink.stop()
        with pytest.raises(SinkError, match="not started"):
            await sink.deliver([stream(1)])


async def test_a_follower_and_a_receiver_that_fails_give_the_sums_of_the_journals(tmp_path: Path) -> None:
    journals = [FakeJournal(tmp_path, "a.0"), FakeJournal(tmp_path, "b.0")]
    time, refusing = Time(), {0, 1, 3, 5, 6, 7, 9}
    with MetricReceiver(lambda number, _: Answer(503) if number in refusing else Answer()) as receiver:
        sink = await sink_to(receiver.url, Clock())
        one = follower(tmp_path, sink, time, batch={"records": 7}, match={"events": ["request.closed"]})
        for _ in range(3):
            for journal in journals:
                for number in range(10):
                    journal.append(**fields_of(decision(number)))
                    journal.append(**fields_of(stream(number)))
            await until_idle(one, time)
        status = one.status()
        await one.stop()
    assert (status.delivered, status.failures, status.dead_letters) == (60, len(refusing), 0)
    assert receiver.sums() == {TAKEN: (60, 840), MADE: (60, 1_200), LASTED: (60, 72), FIRST: (60, 15), EACH: (60, 3)}
