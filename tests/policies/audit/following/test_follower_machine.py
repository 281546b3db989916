"""Random appends, failures, refusals and kills: every record arrives at least once, in order within its journal."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from policies.audit.following.dead_letters import DeadLetters
from policies.audit.following.sink import RejectedError, SinkError
from policies.audit.record import Closed
from tests.policies.audit.following.rigs import FakeJournal, Id, Recorder, Time, follower, id_of, until_idle

EXAMPLES: Final = int(os.environ.get("FOLLOWER_EXAMPLES", "60"))
REFUSED: Final = "of this it will never have any"


class Moody(Recorder):
    """Takes all, a part and fails, refuses some whole or in pieces: as the machine has said."""

    def __init__(self) -> None:
        super().__init__()
        self.moods: list[str] = []

    async def deliver(self, batch: Sequence[Closed]) -> None:
        mood = self.moods.pop() if self.moods else "well"
        bad = [index for index, closed in enumerate(batch) if closed.record.why == REFUSED]
        if mood == "down":
            raise SinkError("down", 3.0)
        if mood == "torn":
            self.got += batch[: min([len(batch) // 2, *bad])]
            raise SinkError("torn")
        if mood == "late":
            self.got += batch[: min([len(batch), *bad])]
            raise SinkError("taken, and nobody knows")
        if mood == "bug":
            raise ZeroDivisionError
        if bad and mood == "first":
            self.got += batch[: bad[0]]
            raise RejectedError(bad[:1], "no", delivered=bad[0])
        if bad:
            raise RejectedError(bad, "no")
        self.got += batch


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.loop = asyncio.new_event_loop()
        self.time = Time()
        self.sink = Moody()
        self.journals: dict[str, FakeJournal] = {}
        self.written: list[Closed] = []
        self.one = self.born()

    def born(self) -> Any:
        return follower(self.folder, self.sink, self.time, batch={"records": 4, "bytes": 2_048}, retry={"failures": 3})

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    @rule(name=st.sampled_from(["a.0", "a.1", "b.0"]), count=st.integers(1, 9), bad=st.integers(0, 3))
    def append(self, name: str, count: int, bad: int) -> None:
        journal = self.journals.get(name)
        if journal is None:
            journal = self.journals[name] = FakeJournal(self.folder, name)
        self.written += journal.append(count)
        self.written += journal.append(bad, why=REFUSED)
        self.written += journal.append(1)

    @precondition(lambda self: self.journals)
    @rule(data=st.data())
    def rotate(self, data: st.DataObject) -> None:
        self.journals[data.draw(st.sampled_from(sorted(self.journals)))].rotate()

    @rule(moods=st.lists(st.sampled_from(["down", "torn", "late", "bug", "first", "well"]), max_size=6))
    def feel(self, moods: list[str]) -> None:
        self.sink.moods = moods

    @rule(count=st.integers(1, 8))
    def work(self, count: int) -> None:
        for _ in range(count):
            self.time.now += self.run(self.one.step())

    @rule()
    def kill(self) -> None:
        """Nothing is saved; the next goes on from the checkpoint."""
        self.one = self.born()
        self.sink.moods = []

    @rule()
    def end(self) -> None:
        self.run(self.one.stop())
        self.one = self.born()

    @invariant()
    def nothing_has_been_passed_over(self) -> None:
        """Whatever arrives for the first time is next in its journal, or behind dead letters."""
        dead = self.dead()
        seen: set[Id] = set()
        highest: dict[str, int] = {}
        for closed in self.sink.got:
            if id_of(closed) in seen:
                continue
            seen.add(id_of(closed))
            journal, sequence = id_of(closed)
            before = highest.get(journal, 0)
            assert sequence > before
            assert all((journal, missing) in dead for missing in range(before + 1, sequence))
            highest[journal] = sequence

    def dead(self) -> set[Id]:
        found = DeadLetters(self.folder, "sink", 10**9).read(0, 10**6, 10**9)
        return {(letter.journal, letter.sequence) for letter, _ in found if letter is not None}

    def teardown(self) -> None:
        try:
            self.sink.moods = []
            self.run(until_idle(self.one, self.time))
            self.run(self.one.stop())
            refused = {id_of(closed) for closed in self.written if closed.record.why == REFUSED}
            assert self.dead() == refused
            assert set(self.sink.ids()) == {id_of(closed) for closed in self.written} - refused
            lines = {id_of(closed): closed.line for closed in self.written}
            assert all(lines[id_of(closed)] == closed.line for closed in self.sink.got)
        finally:
            self.loop.close()
            shutil.rmtree(self.folder)


# Who is killed closes no file.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_every_record_arrives_and_only_what_is_refused_does_not() -> None:
    run_state_machine_as_test(Machine, settings=settings(max_examples=EXAMPLES, stateful_step_count=30, deadline=None))
