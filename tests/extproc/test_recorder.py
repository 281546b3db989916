"""What happened reaches whoever keeps the record; without one, nothing waits for anything."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest

from extproc.recorder import Event, Recorder, Settled
from extproc.tasks import spawn

LOADED = Event("configuration.loaded", {"after": "abc"}, "1")
USED = Settled("r1", ("contoso", "*"), 1, 120, 4_500)


class Book:
    """A record, which is written when it is let."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.waited = 0
        self.let = asyncio.Event()

    async def written(self) -> None:
        self.waited += 1
        await self.let.wait()


async def test_without_a_record_nothing_is_kept_and_nothing_waits() -> None:
    recorder, book = Recorder(), Book()
    assert not recorder.is_kept
    recorder.tell(LOADED)
    waiting = recorder.written()
    # It ends without a turn of the event loop.
    with pytest.raises(StopIteration):
        waiting.send(None)
    recorder.keep(book.events.append, book.written)
    assert book.events == []


async def test_who_keeps_the_record_is_told_in_order() -> None:
    recorder, book = Recorder(), Book()
    recorder.keep(book.events.append, book.written)
    assert recorder.is_kept
    told = [LOADED, Event("limit.changed"), LOADED]
    for event in told:
        recorder.tell(event)
    assert book.events == told


async def _all(recorder: Recorder) -> None:
    await recorder.written()


async def test_what_was_told_is_waited_for() -> None:
    recorder, book = Recorder(), Book()
    recorder.keep(book.events.append, book.written)
    waiting = spawn(_all(recorder), name="written")
    await asyncio.sleep(0.01)
    assert (waiting.done(), book.waited) == (False, 1)
    book.let.set()
    await waiting
    await recorder.written()
    assert book.waited == 2


async def test_a_bound_method_taken_before_the_record_was_kept_waits_for_it() -> None:
    """Policies are built before any is started."""
    recorder, book = Recorder(), Book()
    written = recorder.written
    book.let.set()
    recorder.keep(book.events.append, book.written)
    await written()
    assert book.waited == 1


def test_every_listener_hears_all_that_was_found_once() -> None:
    recorder = Recorder()
    heard: list[tuple[str, list[Settled]]] = []

    def listener(name: str) -> None:
        def listen(found: Iterable[Settled]) -> None:
            heard.append((name, list(found)))

        recorder.on_found(listen)

    recorder.found([USED])
    assert heard == []
    for name in ("a", "b"):
        listener(name)
    # What can be walked over only once is there for both.
    recorder.found(iter([USED, USED]))
    assert heard == [("a", [USED, USED]), ("b", [USED, USED])]
    recorder.found(())
    assert heard[2:] == [("a", []), ("b", [])]


def test_an_event_is_told_once_unless_it_says_otherwise() -> None:
    assert (Event("limit.changed").values, Event("limit.changed").of) == ({}, "")
    first, second = (Event("limit.changed", {"by": "ops"}, of) for of in "12")
    assert first != second
