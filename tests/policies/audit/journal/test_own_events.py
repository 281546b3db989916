"""What a journal says of itself, and of those beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from policies.audit.canonical import read, seal
from policies.audit.journal import own_events
from policies.audit.record import SCHEMA, Record
from tests.policies.audit.journal.written import chain, written


def sealed(fields: dict[str, object]) -> bytes:
    return seal(Record(journal="gate.1", sequence=1, previous="0" * 64, schema=SCHEMA, **fields))[0]  # type: ignore[arg-type]


def test_its_events_are_records() -> None:
    made = [own_events.opened(0, {}), own_events.closed(0), own_events.witnessing(0, {}), own_events.gap(0, 7)]
    found = [read(sealed(fields)).record for fields in made]
    assert [one.event for one in found] == ["journal.opened", "journal.closed", "journal.witnessed", "journal.gap"]
    assert [(one.kind, one.level, one.lost) for one in found] == [
        *[("event", "info", 0)] * 3,
        ("event", "error", 7),
    ]


def test_it_witnesses_those_beside_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    journal = written(tmp_path, 3)
    (tmp_path / "gate.1").mkdir()
    (tmp_path / "gate.2").mkdir()
    (tmp_path / "gate.2" / "head.json").write_text("{")
    found = own_events.witnessed(tmp_path, "gate.1")
    assert {name: sequence for name, (sequence, _) in found.items()} == {"gate.0": 5}
    assert "gate.2" in caplog.text
    assert own_events.witnessed(tmp_path, journal.name) == {}
    for fields in (own_events.opened(0, found), own_events.witnessing(0, found)):
        assert own_events.witness(read(sealed(fields))) == found


@pytest.mark.parametrize("said", [1, [], {"a": 1}, {"a": {}}, {"a": {"sequence": "1", "hash": ""}}, {"a": {"hash": ""}}])
def test_a_witness_that_says_nothing(said: object) -> None:
    fields = own_events.opened(0, {}) | {"params": {"witness": said}}
    assert own_events.witness(read(sealed(fields))) == {}
    assert own_events.witness(read(chain(1, params={"witness": {"a": {"sequence": 1, "hash": ""}}})[0])) == {}
