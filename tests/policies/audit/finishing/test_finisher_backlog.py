"""More is missing at once than may wait to be written, and what the finisher writes it reads late."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from policies.audit.journal import JournalError, JournalWriter
from policies.audit.record import Name
from tests.policies.audit.finishing.world import IDLE, LONGEST, World, decided, started


async def test_after_a_long_outage_everything_is_completed_in_one_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = World.journal
    monkeypatch.setattr(
        World, "journal", lambda world, instance: journal(world, instance).model_copy(update={"queue_bytes": 2_048})
    )
    async with started(tmp_path) as world:
        for first in range(0, 200, 4):
            await world.write(*(decided(number) for number in range(first, first + 4)))
        await world.look()
        await world.look(LONGEST)
        assert sorted(world.made()) == sorted(("closing", f"e-{number}") for number in range(200))
        assert world.finisher.completed == 200


async def test_a_session_whose_end_cannot_be_written_for_a_while_ends_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with started(tmp_path) as world:
        await world.write(decided(1, session_id="s-1"))
        append, full = JournalWriter.append, True

        def refuse(writer: JournalWriter, fields: dict[str, Any]) -> None:
            if full and fields["event"] == Name.SESSION_ENDED:
                raise JournalError("full")
            append(writer, fields)

        monkeypatch.setattr(JournalWriter, "append", refuse)
        world.now += 1
        await world.finisher.look()
        # It is not in the file yet when it is to end.
        world.now += IDLE
        with pytest.raises(JournalError):
            await world.finisher.look()
        await world.writer.written()
        for _ in range(2):
            world.now += IDLE
            with pytest.raises(JournalError):
                await world.finisher.look()
        full = False
        await world.look()
        await world.look(IDLE)
        assert world.made()[-2:] == [("session.begun", "s-1"), ("session.ended", "s-1")]
        assert [name for name, _ in world.made()].count("session.ended") == 1
