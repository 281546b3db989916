"""A follower, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from policies.audit.following.breaker import BreakerState
from policies.audit.following.dead_letters import DeadLetters
from policies.audit.following.sink import RejectedError, SinkError
from policies.audit.following.status import SinkState
from policies.audit.record import Closed, Record
from tests.policies.audit.following.rigs import FakeJournal, Recorder, Time, follower, id_of, until_idle


def dead(folder: Path) -> list[int]:
    letters = DeadLetters(folder, "sink", 10**9)
    return [found.sequence for found, _ in letters.read(0, 10**6, 10**9) if found is not None]


async def test_everything_arrives_and_the_next_goes_on_from_there(tmp_path: Path) -> None:
    journal, sink, time = FakeJournal(tmp_path), Recorder(), Time()
    first = journal.append(7)
    one = follower(tmp_path, sink, time, batch={"records": 3})
    await until_idle(one, time)
    await one.stop()
    assert sink.got == first
    assert sink.batches == [3, 3, 1]
    assert (sink.started, sink.stopped) == (1, 1)
    more = journal.append(2)
    other = Recorder()
    second = follower(tmp_path, other, time)
    await until_idle(second, time)
    await second.stop()
    assert other.got == more


async def test_waiting_grows_while_nothing_is_new(tmp_path: Path) -> None:
    journal, sink, time = FakeJournal(tmp_path), Recorder(), Time()
    one = follower(tmp_path, sink, time)
    pauses = [await one.step() for _ in range(8)]
    assert pauses == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0]
    journal.append(1)
    assert await one.step() == 0.0
    assert await one.step() == 0.05
    await one.stop()


async def test_a_sink_that_is_down_is_left_alone_and_probed_with_one_record(tmp_path: Path) -> None:
    journal, sink, time = FakeJournal(tmp_path), Recorder(), Time()
    journal.append(5)
    sink.down = True
    one = follower(tmp_path, sink, time, retry={"failures": 3, "pause": 10, "first": 1.0, "most": 8.0}, chance=0.5)
    assert [await one.step() for _ in range(3)] == [0.5, 1.0, 10.0]
    assert one.status().breaker is BreakerState.OPEN
    assert one.status().state is SinkState.RETRYING
    assert one.status().error == "it is down"
    time.now += 4
    assert await one.step() == 6.0
    time.now += 6
    assert one.status().breaker is BreakerState.HALF_OPEN
    assert await one.step() == 10.0
    assert (one.status().failures, one.status().breaker_opened) == (4, 2)
    time.now += 10
    sink.down = False
    await until_idle(one, time)
    await one.stop()
    assert sink.batches == [1, 4]
    assert one.status().state is SinkState.FOLLOWING
    assert one.status().error == ""
    assert one.status().breaker is BreakerState.CLOSED


@pytest.mark.parametrize(("asked", "pause"), [(None, 0.25), (7.0, 7.0), (1e9, 20.0), (-4.0, 0.25), (0.1, 0.25)])
async def test_a_receiver_may_ask_for_a_pause_up_to_a_bound(tmp_path: Path, asked: float | None, pause: float) -> None:
    journal, sink, time = FakeJournal(tmp_path), Recorder(), Time()
    journal.append(1)
    sink.error = SinkError("busy", asked)
    one = follower(tmp_path, sink, time, retry={"first": 0.5, "retry_after": 20}, chance=0.5)
    assert await one.step() == pause
    await one.stop()


async def test_what_is_refused_is_a_dead_letter_and_all_else_arrives(tmp_path: Path) -> None:
    journal, sink, time = FakeJournal(tmp_path), Recorder(), Time()
    all_of_it = journal.append(20)
    sink.refuses = {("gw.0", 3), ("gw.0", 4), ("gw.0", 20)}
    one = follower(tmp_path, sink, time, batch={"records": 8})
    await until_idle(one, time)
    await one.stop()
    assert sink.got == [closed for closed in all_of_it if id_of(closed) not in sink.refuses]
    assert dead(tmp_path) == [3, 4, 20]
    assert (one.status().dead_letters, one.status().refused, one.status().failures) == (3, 3, 0)


class OneByOne(Recorder):
    """Names the first refused record, and those before it have arrived."""

    async def deliver(self, batch: Sequence[Closed]) -> None:
        for index, closed in enumerate(batch):
            if id_of(closed) in self.refuses:
                raise RejectedError([index], "no", delivered=index)
            self.got.append(closed)


async def test_what_had_arrived_before_a_refused_one_does_not_come_again(tmp_path: Path) -> None:
    journal, sink, time = FakeJournal(tmp_path), OneByOne(), Time()
    journal.append(10)
    sink.refuses = {("gw.0", n) for n in (1, 5, 6, 10)}
    one = follower(tmp_path, sink, time)
    await until_idle(one, time)
    await one.stop()
    assert [sequence for _, sequence in sink.ids()] == [2, 3, 4, 7, 8, 9]
    assert dead(tmp_path) == [1, 5, 6, 10]


async def test_full_dead_letters_stop_it_and_room_lets_it_go_on(tmp_path: Path) -> None:
    journal, sink, time = FakeJournal(tmp_path), Recorder(), Time()
    journal.append(10, why="x" * 20_000)
    journal.append(2)
    sink.refuses = {("gw.0", n) for n in range(1, 11)}
    one = follower(tmp_path, sink, time, dead_letters=65_536)
    for _ in range(20):
        time.now += await one.step()
    status = one.status()
    assert status.state is SinkState.STOPPED
    assert "by a replay" in status.error
    assert sink.got == []
    buried = dead(tmp_path)
    (tmp_path / "sink.dead.jsonl").unlink()
    sink.refuses = set()
    await until_idle(one, time)
    await one.stop()
    assert sorted({*buried, *(sequence for _, sequence in sink.ids())}) == list(range(1, 13))


async def test_an_unreadable_checkpoint_stops_it_until_it_is_mended(tmp_path: Path) -> None:
    journal, sink, time = FakeJournal(tmp_path), Recorder(), Time()
    journal.append(3)
    path = tmp_path / "sink.checkpoint.json"
    path.write_bytes(b"{")
    one = follower(tmp_path, sink, time)
    for _ in range(3):
        time.now += await one.step()
    assert sink.got == []
    assert one.status().state is SinkState.STOPPED
    assert "Put it back from a copy" in one.status().error
    path.unlink()
    await until_idle(one, time)
    await one.stop()
    assert len(sink.got) == 3


async def test_a_checkpoint_that_cannot_be_written_stops_it(tmp_path: Path) -> None:
    journal, sink, time = FakeJournal(tmp_path), Recorder(), Time()
    journal.append(3)
    one = follower(tmp_path, sink, time, batch={"records": 1})
    await one.step()
    path = tmp_path / "sink.checkpoint.json"
    path.unlink()
    path.mkdir()
    for _ in range(4):
        time.now += await one.step()
    assert one.status().state is SinkState.STOPPED
    assert len(sink.got) == 2
    path.rmdir()
    await until_idle(one, time)
    await one.stop()
    assert [sequence for _, sequence in sink.ids()] == [1, 2, 3]


async def test_its_own_redaction_takes_out_what_it_must_not_have(tmp_path: Path) -> None:
    journal, sink, time = FakeJournal(tmp_path), Recorder(), Time()
    journal.append(2, user_id="u-17", why="write to anna@contoso.example")
    one = follower(tmp_path, sink, time, redact_by={"drop": ["user_id"]})
    await until_idle(one, time)
    await one.stop()
    assert len(sink.got) == 2
    assert not any(b"u-17" in closed.line or b"anna@" in closed.line for closed in sink.got)


async def test_without_the_key_of_its_redaction_it_gets_nothing(tmp_path: Path) -> None:
    journal, sink, time = FakeJournal(tmp_path), Recorder(), Time()
    journal.append(2)
    one = follower(tmp_path, sink, time, redact_by={"key": {"env": "NO_SUCH_KEY"}})
    for _ in range(3):
        time.now += await one.step()
    assert one.status().state is SinkState.STOPPED
    assert "NO_SUCH_KEY" in one.status().error
    assert sink.got == []
    await one.stop()


class Drops:
    def record(self, record: Record) -> Record:
        if record.sequence == 2:
            raise ValueError("broken")
        return record


async def test_what_cannot_be_redacted_is_a_dead_letter(tmp_path: Path) -> None:
    journal, sink, time = FakeJournal(tmp_path), Recorder(), Time()
    journal.append(3)
    one = follower(tmp_path, sink, time, redact=Drops())
    await until_idle(one, time)
    await one.stop()
    assert [sequence for _, sequence in sink.ids()] == [1, 3]
    assert dead(tmp_path) == [2]


async def test_a_sink_gets_only_what_it_is_to_have(tmp_path: Path) -> None:
    journal, sink, time = FakeJournal(tmp_path), Recorder(), Time()
    journal.append(4, tenant="contoso")
    journal.append(4, tenant="fabrikam")
    one = follower(tmp_path, sink, time, match={"tenants": ["fab*"]}, batch={"records": 3})
    await until_idle(one, time)
    await one.stop()
    assert [sequence for _, sequence in sink.ids()] == [5, 6, 7, 8]
    assert one.positions()["gw.0"].sequence == 9


async def test_a_batch_is_bounded_by_bytes(tmp_path: Path) -> None:
    journal, sink, time = FakeJournal(tmp_path), Recorder(), Time()
    journal.append(5, why="x" * 900)
    journal.append(1, why="y" * 9_000)
    one = follower(tmp_path, sink, time, batch={"bytes": 3_000})
    await until_idle(one, time)
    await one.stop()
    assert len(sink.got) == 6
    assert max(sink.batches) == 2


class Unready(Recorder):
    async def start(self) -> None:
        self.started += 1
        if self.started < 3:
            raise SinkError("not yet")


async def test_a_sink_that_cannot_start_is_tried_again(tmp_path: Path) -> None:
    journal, sink, time = FakeJournal(tmp_path), Unready(), Time()
    journal.append(1)
    one = follower(tmp_path, sink, time)
    assert await one.step() > 0
    assert one.status().error == "not yet"
    await until_idle(one, time)
    await one.stop()
    assert sink.started == 3
    assert len(sink.got) == 1


async def test_what_waits_is_told(tmp_path: Path) -> None:
    journal, sink, time = FakeJournal(tmp_path), Recorder(), Time()
    first = journal.append(2)[0]
    sink.down = True
    one = follower(tmp_path, sink, time)
    assert one.waiting() is None
    await one.step()
    assert one.waiting() == ("gw.0", first.record.timestamp)
    await one.stop()
