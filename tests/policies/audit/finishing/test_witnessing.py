"""How far all journals are is on record: who cuts one off, with the last seal in the place of its head, is found out."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from extproc.secret import Secret
from policies.audit.finishing import witnessing as module
from policies.audit.finishing.witnessing import Witnessing
from policies.audit.journal import JournalSettings, JournalWriter
from policies.audit.journal.chain import What
from policies.audit.journal.heads import head, write
from policies.audit.journal.own_events import witness
from policies.audit.journal.segments import HEAD, segments
from policies.audit.journal.signing import public_key
from policies.audit.journal.verify import verify
from policies.audit.record import Name
from tests.policies.audit.finishing.world import World, decided, started
from tests.policies.audit.journal.written import key_pair, records

HOUR = module._EVERY


def say(folder: Path, journal: str, sequence: int, digest: str = "a" * 64) -> None:
    (folder / journal).mkdir(exist_ok=True)
    write(folder / journal / HEAD, head(journal, sequence, digest, 0.0, None))


def test_only_what_is_new_is_said(tmp_path: Path) -> None:
    one = Witnessing(tmp_path, 100.0)
    assert (one.is_due(100.0 + HOUR - 1), one.is_due(100.0 + HOUR)) == (False, True)
    say(tmp_path, "a.0", 5)
    say(tmp_path, "b.0", 7)
    say(tmp_path, "own.0", 9)
    found = one.look("own.0")
    assert found == {"a.0": (5, "a" * 64), "b.0": (7, "a" * 64)}
    # It could not be written down.
    assert one.look("own.0") == found
    one.said(found, 200.0)
    assert (one.is_due(200.0 + HOUR - 1), one.is_due(200.0 + HOUR)) == (False, True)
    assert one.look("own.0") == {}
    say(tmp_path, "b.0", 8)
    assert one.look("own.0") == {"b.0": (8, "a" * 64)}


def test_a_head_that_goes_back_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one = Witnessing(tmp_path, 0.0)
    say(tmp_path, "a.0", 5)
    one.said(one.look("own.0"), 0.0)
    say(tmp_path, "a.0", 4)
    assert one.look("own.0") == {"a.0": (4, "a" * 64)}
    assert caplog.messages == ["journal a.0 was synced up to record 5, and now says 4"]


def named(folder: Path) -> list[dict[str, int]]:
    """What the finisher has named: journals, and up to which record."""
    return [
        {name: sequence for name, (sequence, _) in witness(one).items()}
        for one in records(folder / "gw-finisher.0")
        if witness(one) or one.record.event == Name.JOURNAL_WITNESSED
    ]


async def test_it_is_said_at_the_start_each_hour_and_at_the_end(tmp_path: Path) -> None:
    before = World(tmp_path)
    await before.write(decided(1))
    async with started(tmp_path) as world:
        assert named(tmp_path) == [{"gw.0": 3}]
        await world.write(decided(2))
        await world.look(HOUR - 1)
        assert len(named(tmp_path)) == 1
        await world.look(1)
        assert named(tmp_path)[1:] == [{"gw.0": 6}]
        # Nothing has happened since.
        await world.look(HOUR)
        assert len(named(tmp_path)) == 2
        await world.write(decided(3), instance="other")
    assert named(tmp_path)[2:] == [{"other.0": 3}]
    assert records(tmp_path / "gw-finisher.0")[-1].record.event == "journal.closed"
    assert verify(tmp_path, public_key=None).intact


class Signed(World):
    """All journals are signed."""

    key: Secret

    def journal(self, instance: str) -> JournalSettings:
        return super().journal(instance).model_copy(update={"signing_key": self.key})


async def test_an_end_that_was_cut_off_up_to_a_seal_is_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret, pem = key_pair(tmp_path)
    monkeypatch.setattr(Signed, "key", secret, raising=False)
    folder = tmp_path / "journal"
    world = Signed(folder)
    await world.finisher.start()
    # A worker that goes on: no other journal is opened after this.
    writer = JournalWriter(world.journal("gw"), lambda: 0.0)
    await writer.start()
    for number in range(20):
        writer.append({"timestamp": "2026-01-01T00:00:00.000000Z", "level": "info", **decided(number)})
        await writer.durable()
    writer._segments.tell()
    await world.look(HOUR)
    journal = folder / "gw.0"
    *_, sealed, last = segments(journal)
    assert sealed.seal.exists()
    assert not last.seal.exists()
    assert verify(folder, public_key=public_key(pem)).intact
    copy = tmp_path / "cut"
    shutil.copytree(folder, copy)
    (copy / "gw.0" / last.path.name).unlink()
    shutil.copy(copy / "gw.0" / sealed.seal.name, copy / "gw.0" / HEAD)
    # By itself it is whole.
    assert verify(copy / "gw.0", public_key=public_key(pem)).intact
    (finding,) = verify(copy, public_key=public_key(pem)).findings
    assert (finding.journal, finding.what, finding.sequence) == ("gw.0", What.CUT, last.first)
    assert finding.why.startswith("journal gw-finisher.0 names record 21, and the last there is is ")
    await writer.stop(5)
    await world.finisher.stop(5)


async def test_what_cannot_be_written_down_is_said_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with started(tmp_path) as world:
        await world.write(decided(1))
        with monkeypatch.context() as patch:
            patch.setattr(JournalWriter, "append", _full)
            with pytest.raises(RuntimeError):
                await world.look(HOUR)
        assert named(tmp_path) == []
        await world.look(1)
        assert named(tmp_path) == [{"gw.0": 3}]


def _full(*_: object) -> None:
    raise RuntimeError("full")
