"""What is told when, what comes again, and what is refused: with the sink of traces, and a receiver."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from policies.audit.following.sink import RejectedError, SinkError
from policies.audit.sinks.sql_halves import PATIENCE
from tests.policies.audit.following.rigs import FakeJournal, Time, follower, until_idle
from tests.policies.audit.sinks.otlp_receiver import Answer, Receiver, partial
from tests.policies.audit.sinks.test_otlp_traces import sink_to
from tests.policies.audit.sinks.trace_receiver import (
    TRACE,
    TraceReceiver,
    both,
    closing,
    decision,
    exchange_id,
    fields_of,
    spans_of,
)


def servers(receiver: Receiver) -> list[str]:
    """The exchanges that were taken, by the ends of their traces, in order."""
    return [span.trace_id.hex()[:16].lstrip("0") for span in receiver.taken if span.kind == 2]


async def test_halves_find_each_other_across_batches_and_processes(tmp_path: Path) -> None:
    with TraceReceiver() as receiver:
        sink = await sink_to(receiver.url, tmp_path)
        await sink.deliver([decision(1, trace_id=TRACE), closing(2)])
        assert receiver.requests == []
        await sink.stop()
        again = await sink_to(receiver.url, tmp_path)
        await again.deliver([closing(1)])
        await again.deliver([decision(2)])
        await again.stop()
    assert servers(receiver) == [TRACE[:16].lstrip("0"), "2"]
    assert len(receiver.taken) == 6


async def test_what_comes_again_has_the_same_ids(tmp_path: Path) -> None:
    with TraceReceiver(lambda number, _: Answer(503) if number == 0 else Answer()) as receiver:
        sink = await sink_to(receiver.url, tmp_path)
        await sink.deliver([decision(1, trace_id=TRACE)])
        with pytest.raises(SinkError, match="status 503"):
            await sink.deliver([closing(1), *both(2)])
        await sink.deliver([closing(1), *both(2)])
        # As after a kill between the answer and the checkpoint: the decision is of an earlier batch.
        await sink.deliver([closing(1), *both(2)])
        await sink.stop()
    first, second, third = (
        [(span.trace_id, span.span_id, span.start_time_unix_nano) for span in spans_of(request)]
        for request in receiver.requests
    )
    assert first == second == third
    assert len(first) == 6


def refusing(number: int, status: int = 400) -> Any:
    def judge(_request: int, spans: Sequence[Any]) -> Answer:
        return Answer(status) if any(span.trace_id.hex() == exchange_id(number) for span in spans) else Answer()

    return judge


@pytest.mark.parametrize("status", [400, 413])
async def test_the_exchange_that_is_refused_is_found(status: int, tmp_path: Path) -> None:
    batch = [decision(number) for number in range(1, 6)] + [closing(number) for number in range(1, 6)]
    with TraceReceiver(refusing(3, status)) as receiver:
        sink = await sink_to(receiver.url, tmp_path)
        with pytest.raises(RejectedError) as caught:
            await sink.deliver(batch)
        assert (caught.value.indexes, caught.value.delivered, str(caught.value)) == ((7,), 7, f"status {status}")
        assert servers(receiver) == ["1", "2"]
        await sink.deliver(batch[8:])
        assert servers(receiver) == ["1", "2", "4", "5"]
        # A replay of what was refused finds its other half.
        again = await sink_to(receiver.url, tmp_path)
        with pytest.raises(RejectedError):
            await again.deliver([batch[7]])
        await again.stop()
        await sink.stop()


async def test_what_is_rejected_in_part_is_not_sent_again(tmp_path: Path) -> None:
    batch = [decision(9), *both(1), *both(2)]
    with TraceReceiver(lambda number, _: partial(2) if number == 0 else Answer()) as receiver:
        sink = await sink_to(receiver.url, tmp_path)
        with pytest.raises(RejectedError, match="rejected 2 of 2 exchanges and does not say which") as caught:
            await sink.deliver(batch)
        assert (caught.value.indexes, caught.value.delivered) == ((2, 4), 2)
        # The follower brings what is left.
        await sink.deliver([batch[3]])
        await sink.stop()
    assert len(receiver.requests) == 1


async def test_a_closing_whose_decision_does_not_come_is_told_as_it_is(tmp_path: Path) -> None:
    with TraceReceiver(refusing(2)) as receiver:
        sink = await sink_to(receiver.url, tmp_path)
        now = Time(1_000.0)
        sink._clock = now
        await sink.deliver([closing(1), closing(2), closing(3)])
        now.now += PATIENCE + 1
        await sink.deliver([])
        assert servers(receiver) == ["1", "3"]
        await sink.deliver([])
        await sink.stop()
    assert servers(receiver) == ["1", "3"]


async def test_an_outage_loses_nothing_and_takes_no_memory(tmp_path: Path) -> None:
    """Two journals, decisions in one and closings in the other, behind each other by all there are."""
    count = 300
    deciding, settling = FakeJournal(tmp_path, "gw.0"), FakeJournal(tmp_path, "gw.1")
    for number in range(1, count + 1):
        deciding.append(**fields_of(decision(number)))
    down = [True]
    with TraceReceiver(lambda _number, _spans: Answer(503) if down[0] else Answer()) as receiver:
        sink = await sink_to(receiver.url, tmp_path)
        time = Time()
        one = follower(tmp_path, sink, time, batch={"records": 50})
        await until_idle(one, time)
        for number in range(1, count + 1):
            settling.append(**fields_of(closing(number)))
        for _ in range(40):
            time.now += await one.step()
        assert (one.status().state, one.status().error) == ("retrying", "status 503")
        assert receiver.taken == []
        assert "gw.1" not in one.positions()
        down[0] = False
        await until_idle(one, time)
        assert one.status().error == ""
        await one.stop()
    assert sorted(servers(receiver), key=lambda one: int(one, 16)) == [f"{number:x}" for number in range(1, count + 1)]
    assert len({span.span_id for span in receiver.taken}) == 3 * count
    assert one.status().dead_letters == 0


async def test_a_file_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "traces.halves.db").mkdir()
    with pytest.raises(SinkError, match=r"traces\.halves\.db: IsADirectoryError"):
        await sink_to("http://127.0.0.1:9/v1/traces", tmp_path)
