"""Settlements arrive: all of them, each once, in whatever order, however often the store fails."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.limits import settling
from policies.limits.memory_store import MemoryStore
from policies.limits.settling import Settlement, Settler
from policies.limits.spool import Spool
from policies.limits.store import Ask, Used
from tests.policies.limits.failing_store import FailingStore, Fate
from tests.policies.limits.world import NOW, ask, demand, limit

ANSWERED, FAILED, LOST = Fate.ANSWERED, Fate.FAILED, Fate.LOST
TPD = limit("tokens_per_day", 10**9)
RESERVED = 1_000


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "_PAUSES", (0.0005, 0.001))


def asked(id: str) -> Ask:
    return ask(demand(TPD, RESERVED), id=id)


def locally(id: str, tokens: int) -> Settlement:
    """What a worker has counted by itself: it was let through, whatever the limits say now."""
    forced = ask(demand(limit("tokens_per_day", 1), RESERVED), id=id, force=True, at=NOW)
    return Settlement("contoso", id, Used(1, tokens), forced)


def reserved(id: str, tokens: int) -> Settlement:
    return Settlement("contoso", id, Used(1, tokens))


def store(fates: Iterable[Fate] = (), usual: Fate = ANSWERED, *, reservations: Sequence[str] = ()) -> FailingStore:
    memory = MemoryStore(lambda: NOW)
    for id in reservations:
        assert memory.reserve_now(asked(id)).admitted
    return FailingStore(memory, fates, usual)


def counted(store: FailingStore) -> int:
    """Tokens, in the store."""
    counter = store.store.counter(TPD.key, TPD.rule.kind.counter)
    return counter.current if counter is not None else 0


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.0005)


async def brought(settler: Settler, settlements: Iterable[Settlement]) -> None:
    """Start, put these, and stop once they have arrived."""
    settler.start()
    for one in settlements:
        settler.put(one)
        await asyncio.sleep(0)
    await settler.stop(20)
    assert settler.backlog == 0


async def test_what_was_used_replaces_what_was_reserved() -> None:
    there = store(reservations=["a", "b"])
    assert counted(there) == 2 * RESERVED
    settler = Settler(there)
    await brought(settler, [reserved("a", 17), reserved("b", 5_000)])
    assert counted(there) == 5_017
    assert settler.counters() == {"settled": 2, "settled_again": 0, "settlements_dropped": 0}


async def test_what_was_counted_locally_is_reserved_and_settled() -> None:
    there = store()
    await brought(Settler(there), [locally("a", 17)])
    assert there.calls == ["reserve a", "settle a"]
    assert counted(there) == 17


@pytest.mark.parametrize(
    ("fates", "calls", "again"),
    [
        ([FAILED], ["reserve a", "reserve a", "settle a"], 1),
        ([LOST], ["reserve a", "reserve a", "settle a"], 1),
        ([ANSWERED, FAILED], ["reserve a", "settle a", "reserve a", "settle a"], 1),
        ([ANSWERED, LOST], ["reserve a", "settle a", "reserve a", "settle a"], 1),
        ([FAILED, LOST, ANSWERED, LOST], ["reserve a"] * 3 + ["settle a", "reserve a", "settle a"], 3),
    ],
)
async def test_it_is_repeated_until_it_has_arrived(fates: list[Fate], calls: list[str], again: int) -> None:
    there = store(fates)
    settler = Settler(there)
    await brought(settler, [locally("a", 17)])
    assert there.calls == calls
    assert counted(there) == 17
    assert settler.counters() == {"settled": 1, "settled_again": again, "settlements_dropped": 0}


FATES = st.lists(st.sampled_from([ANSWERED, FAILED, LOST]), max_size=60)
WORK = st.lists(st.tuples(st.booleans(), st.integers(0, 5_000)), max_size=15)


@given(WORK, FATES, st.randoms(use_true_random=False), st.booleans())
def test_none_is_lost_and_none_counts_twice(
    work: list[tuple[bool, int]], fates: list[Fate], random: object, twice: bool
) -> None:
    """Whatever fails, in whatever order they come, and if all are put twice."""
    there = store(fates, reservations=[str(number) for number, (local, _) in enumerate(work) if not local])
    settlements = [
        locally(str(number), tokens) if local else reserved(str(number), tokens)
        for number, (local, tokens) in enumerate(work)
    ] * (2 if twice else 1)
    random.shuffle(settlements)  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settling, "_BATCH", 4)
        asyncio.run(brought(Settler(there), settlements))
    assert counted(there) == sum(tokens for _, tokens in work)


async def test_what_can_never_be_brought_keeps_nothing_else_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "_BATCH", 2)
    there = store(reservations=["a"])
    there.tenants_away.add("fabrikam")
    settler = Settler(there)
    settler.start()
    for number in range(5):
        settler.put(Settlement("fabrikam", str(number), Used()))
    settler.put(reserved("a", 17))
    await until(lambda: counted(there) == 17)
    assert settler.backlog == 5
    there.tenants_away.clear()
    await settler.stop(20)
    assert settler.backlog == 0


async def test_a_mistake_costs_one_settlement_and_not_the_others(caplog: pytest.LogCaptureFixture) -> None:
    """Its reservation is charged when its lease ends."""
    # Once among the others, and once by itself.
    there = store([Fate.BROKEN, Fate.BROKEN], reservations=["a", "b"])
    settler = Settler(there)
    await brought(settler, [reserved("a", 17), reserved("b", 18)])
    assert counted(there) == RESERVED + 18
    assert [record.message for record in caplog.records] == ["a settlement failed: RuntimeError"]
    assert settler.counters()["settled"] == 1


async def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(settling, "_MOST", 3)
    there = store(reservations=["0", "1", "2", "3", "4"])
    settler = Settler(there)
    for number in range(5):
        settler.put(reserved(str(number), 0))
    assert settler.backlog == 3
    assert settler.counters()["settlements_dropped"] == 2
    assert len(caplog.records) == 1
    await brought(settler, [])
    # The other two will be charged as they were reserved.
    assert counted(there) == 2 * RESERVED


async def test_stopping_brings_what_waits() -> None:
    there = store(reservations=[str(number) for number in range(600)])
    settler = Settler(there)
    settler.start()
    for number in range(600):
        settler.put(reserved(str(number), 1))
    await settler.stop(20)
    assert counted(there) == 600


async def test_stopping_does_not_wait_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    there = store(usual=FAILED)
    settler = Settler(there)
    settler.start()
    settler.put(reserved("a", 1))
    await settler.stop(0.01)
    assert settler.backlog == 1
    assert [record.message for record in caplog.records] == [
        "1 settlements have not arrived: their reservations will be charged as made"
    ]
    calls = len(there.calls)
    await asyncio.sleep(0.01)
    assert len(there.calls) == calls


async def test_stopping_leaves_a_call_that_is_stuck() -> None:
    there = store(usual=Fate.STUCK)
    settler = Settler(there)
    settler.start()
    settler.put(reserved("a", 1))
    await until(lambda: there.calls == ["settle a"])
    await settler.stop(0.01)
    assert settler.backlog == 1


async def test_what_was_never_started_stops_at_once() -> None:
    await Settler(store()).stop(20)


def left(directory: Path) -> Iterator[str]:
    """Ids in the spool."""
    for path in directory.iterdir():
        for line in path.read_bytes().split():
            yield json.loads(line)["id"]


async def test_a_later_process_brings_what_was_counted_locally(tmp_path: Path) -> None:
    away = store(usual=FAILED)
    former = Settler(away, Spool(tmp_path))
    former.start()
    for number in range(20):
        former.put(locally(str(number), number))
    former.put(reserved("x", 5))
    await former.stop(0)
    # What is reserved in the store is charged there in any case, and is not written down.
    assert sorted(map(int, left(tmp_path))) == list(range(20))

    there = store()
    await brought(Settler(there, Spool(tmp_path)), [])
    assert counted(there) == sum(range(20))
    assert list(left(tmp_path)) == []
    again = store()
    await brought(Settler(again, Spool(tmp_path)), [])
    assert again.calls == []


async def test_what_arrived_before_a_process_ended_is_not_counted_twice(tmp_path: Path) -> None:
    """It was in the middle of it: some had arrived, and the answers of others were lost."""
    there = store([ANSWERED, ANSWERED, ANSWERED, LOST, LOST], usual=FAILED)
    former = Settler(there, Spool(tmp_path))
    former.start()
    for number in range(3):
        former.put(locally(str(number), 10))
        await asyncio.sleep(0.001)
    await former.stop(0)
    there.usual = ANSWERED
    await brought(Settler(there, Spool(tmp_path)), [])
    assert counted(there) == 30


async def test_the_spool_is_cleared_when_all_has_arrived(tmp_path: Path) -> None:
    there = store([FAILED] * 3)
    settler = Settler(there, Spool(tmp_path))
    settler.start()
    settler.put(locally("a", 1))
    assert list(left(tmp_path)) == ["a"]
    await until(lambda: settler.backlog == 0)
    assert list(left(tmp_path)) == []
    there.usual = FAILED
    settler.put(locally("b", 2))
    assert list(left(tmp_path)) == ["b"]
    await settler.stop(0)


async def test_what_there_is_no_room_for_waits_in_the_spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until another process starts: also when all that was waited for has arrived."""
    monkeypatch.setattr(settling, "_MOST", 2)
    there = store()
    settler = Settler(there, Spool(tmp_path))
    for number in range(5):
        settler.put(locally(str(number), 10))
    await brought(settler, [])
    assert counted(there) == 20
    assert sorted(left(tmp_path)) == ["2", "3", "4"]
    monkeypatch.undo()
    await brought(Settler(there, Spool(tmp_path)), [])
    assert counted(there) == 50
    assert list(left(tmp_path)) == []


async def test_a_line_that_cannot_be_read_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    former = Spool(tmp_path)
    former.keep(b'{"tenant":"contoso","id":"cut off')
    former.keep(b"\xff\x00")
    former.keep(b"[]")
    former.close()
    other = Settler(store(usual=FAILED), Spool(tmp_path))
    other.start()
    other.put(locally("a", 17))
    await other.stop(0)
    there = store()
    await brought(Settler(there, Spool(tmp_path)), [])
    assert counted(there) == 17
    messages = {record.message for record in caplog.records if "settlements have not arrived" not in record.message}
    assert messages == {"a line of the spool of limits cannot be read, and is left out"}
    assert "cut off" not in caplog.text


async def test_what_the_store_cannot_count_is_left_out_and_slows_down_nothing_for_ever() -> None:
    there = store([Fate.REFUSED] * 6)
    settler = Settler(there)
    await brought(settler, [locally("a", 17)])
    assert settler.counters() == {"settled": 0, "settled_again": 5, "settlements_dropped": 1}
    assert there.calls == ["reserve a"] * 6
    await brought(Settler(there), [locally("b", 20)])
    assert counted(there) == 20


async def test_what_is_not_on_record_yet_is_not_settled_yet() -> None:
    """A worker that is killed leaves a record of all that it may have settled."""
    there = store(reservations=["a", "b"])
    asks: list[asyncio.Event] = []

    async def recorded() -> None:
        asks.append(asyncio.Event())
        await asks[-1].wait()

    settler = Settler(there, recorded=recorded)
    settler.start()
    settler.put(reserved("a", 17))
    await until(lambda: len(asks) == 1)
    settler.put(reserved("b", 18))
    await asyncio.sleep(0.01)
    assert (there.calls, settler.backlog) == ([], 2)
    asks[0].set()
    # What came meanwhile waits for a record of its own.
    await until(lambda: len(asks) == 2)
    assert counted(there) == 17 + RESERVED
    asks[1].set()
    await settler.stop(20)
    assert counted(there) == 35


async def test_stopping_does_not_wait_for_a_record_that_never_comes() -> None:
    settler = Settler(store(reservations=["a"]), recorded=asyncio.Event().wait)  # type: ignore[arg-type]
    settler.start()
    settler.put(reserved("a", 17))
    await settler.stop(0.01)
    assert settler.backlog == 1
