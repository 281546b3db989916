"""Changes of limits reach the record: every one, in order, at least once, and not before they are written."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.metrics import Metrics
from extproc.recorder import Event, Recorder
from extproc.snapshots import read
from policies.limits.limit import KINDS
from policies.limits.redis_client import RedisClient
from policies.limits.redis_registry import RedisRegistry
from policies.limits.registry import Change
from policies.limits.relay import Relay, event
from policies.limits.store import StoreUnavailableError
from policies.limits.subjects import parse
from tests.policies.limits.memory_registry import MemoryRegistry
from tests.redis_servers import RedisServer

DAY = "tokens_per_day"


class KilledError(Exception):
    """The worker was killed here."""


class Book:
    """A record. Fails where it is to be written, as often as it is told."""

    def __init__(self, *, fails: int = 0) -> None:
        self.told: list[Event] = []
        self.fails = fails
        self.order: list[str] = []
        self.recorder = Recorder()
        self.recorder.keep(self._tell, self._written)

    def _tell(self, event: Event) -> None:
        self.told.append(event)
        self.order.append(event.of)

    async def _written(self) -> None:
        self.order.append("written")
        if self.fails:
            self.fails -= 1
            raise KilledError

    def of(self) -> list[str]:
        return [one.of for one in self.told]


def change(number: int) -> Change:
    return Change(1_767_225_600.0, "ops", "set", "contoso/user=alice", DAY, None, number, f"{number:08d}-0")


def registry(count: int) -> MemoryRegistry:
    made = MemoryRegistry()
    made.history = [change(number) for number in range(count)]
    return made


@pytest.mark.parametrize(
    ("changed", "values"),
    [
        (
            Change(1.0, "ops", "set", "contoso/user=alice", DAY, 500, 0, "1-0"),
            ("contoso", "Contoso", "ops", "set", "contoso/user=alice tokens_per_day", "500", "0"),
        ),
        (
            Change(1.0, "boss", "unset", "contoso", DAY, 0, None, "1-0"),
            ("contoso", "Contoso", "boss", "unset", "contoso tokens_per_day", "0", ""),
        ),
        (
            Change(1.0, "", "reset", "everyone", "tokens_per_day,dollars_per_day", id="1-0"),
            # Of no tenant.
            ("", "", "", "reset", "everyone tokens_per_day,dollars_per_day", "", ""),
        ),
    ],
)
def test_what_a_change_says(changed: Change, values: tuple[str, ...]) -> None:
    names = ("tenant_id", "tenant", "by", "action", "subject", "before", "after")
    assert event(changed, {"contoso": "Contoso"}) == Event("limit.changed", dict(zip(names, values, strict=True)), "1-0")


async def test_where_no_record_is_kept_nothing_is_asked() -> None:
    there = registry(3)
    assert await Relay(there, Recorder()).look() == 0
    assert (there.calls, there.last_told) == ([], "")


async def test_each_is_told_once_and_then_remembered() -> None:
    there, book = registry(3), Book()
    relay = Relay(there, book.recorder)
    assert await relay.look() == 3
    assert book.told == [event(one, {}) for one in there.history]
    # Not remembered before it is written.
    assert book.order == [*book.of(), "written"]
    assert there.last_told == "00000002-0"
    assert await relay.look() == 0
    there.history.append(change(3))
    assert await relay.look() == 1
    assert book.of() == [one.id for one in there.history]


async def test_what_is_on_record_is_counted_by_its_kind() -> None:
    there, book, metrics = registry(2), Book(fails=1), Metrics()
    reset = Change(1.0, "ops", "reset", "contoso", "tokens_per_day,of_another_version", id="00000009-0")
    there.history.append(reset)
    relay = Relay(there, book.recorder, metrics)
    assert counted(metrics) == dict.fromkeys(KINDS, 0)
    with pytest.raises(KilledError):
        await relay.look()
    assert counted(metrics) == {}
    await relay.look()
    assert counted(metrics) == {DAY: 3, "other": 1}


def counted(metrics: Metrics) -> dict[str, Any]:
    """What has come to `sluicegate_limits_changes_total` since the last time, by kind."""
    told = [one for piece in metrics.take() if (one := read(piece)) is not None]
    return {kind: value for one in told for each in one.series for (kind,), value in each.values}


async def test_more_than_are_told_at_once() -> None:
    there, book = registry(250), Book()
    assert await Relay(there, book.recorder).look() == 250
    assert book.of() == [one.id for one in there.history]
    assert book.order.count("written") == 3


async def test_a_worker_that_is_killed_before_it_is_written_tells_it_again() -> None:
    there, book = registry(2), Book(fails=1)
    with pytest.raises(KilledError):
        await Relay(there, book.recorder).look()
    assert there.last_told == ""
    assert await Relay(there, book.recorder).look() == 2
    # The record can tell: they have the same ids.
    assert book.of() == ["00000000-0", "00000001-0"] * 2


async def test_a_registry_that_is_away_is_asked_again_later() -> None:
    there, book = registry(2), Book()
    there.away = True
    with pytest.raises(StoreUnavailableError):
        await Relay(there, book.recorder).look()
    assert book.told == []
    there.away = False
    assert await Relay(there, book.recorder).look() == 2


@given(st.lists(st.tuples(st.integers(0, 130), st.booleans()), max_size=6))
async def test_none_is_left_out_whoever_is_killed(rounds: list[tuple[int, bool]]) -> None:
    there, book = registry(0), Book()
    for count, killed in rounds:
        there.history += [change(len(there.history) + number) for number in range(count)]
        book.fails = int(killed)
        try:
            await Relay(there, book.recorder).look()
        except KilledError:
            continue
    book.fails = 0
    await Relay(there, book.recorder).look()
    heard = book.of()
    assert list(dict.fromkeys(heard)) == [one.id for one in there.history]
    # Nothing that was written is told again.
    assert len(heard) - len(set(heard)) <= 100 * sum(killed for _, killed in rounds)


@pytest.fixture
async def there(valkey: RedisServer) -> AsyncIterator[RedisRegistry]:
    client = RedisClient(valkey.settings(timeout=5))
    await client.start()
    yield RedisRegistry(client)
    await client.stop()


async def test_what_operators_do_in_redis_is_told_by_whoever_looks(there: RedisRegistry) -> None:
    alice = parse("contoso/user=alice")
    await there.change(alice, DAY, 500, "ops")
    await there.change(alice, DAY, None, "boss")
    await there.reset(alice, [DAY], "ops")
    first, second = Book(), Book()
    assert await Relay(there, first.recorder).look() == 3
    assert [(one.values["by"], one.values["action"], one.values["before"]) for one in first.told] == [
        ("ops", "set", ""),
        ("boss", "unset", "500"),
        ("ops", "reset", ""),
    ]
    assert await Relay(there, second.recorder).look() == 0
    await there.change(alice, DAY, 7, "ops")
    assert await Relay(there, second.recorder).look() == 1
    assert second.told[0].values["after"] == "7"
