"""What a sink is given of a record."""

from __future__ import annotations

from pathlib import Path

import msgspec

from policies.audit import canonical
from policies.audit.following.copies import copy_for
from policies.audit.record import Record
from tests.policies.audit.following.rigs import FakeJournal


class NoUser:
    def record(self, record: Record) -> Record:
        return msgspec.structs.replace(record, user_id="", redacted=True)


def test_without_redaction_it_is_the_line_of_the_journal(tmp_path: Path) -> None:
    closed = FakeJournal(tmp_path).seal(user_id="u-1")
    assert copy_for(closed, None) is closed


def test_a_redacted_copy_holds_nothing_by_which_what_is_gone_could_be_guessed(tmp_path: Path) -> None:
    journal = FakeJournal(tmp_path)
    first, second = journal.seal(user_id="u-1"), journal.seal(user_id="u-2")
    copy = copy_for(second, NoUser())
    assert canonical.read(copy.line) == copy
    assert (copy.record.journal, copy.record.sequence, copy.record.user_id) == ("gw.0", 2, "")
    assert first.hash not in copy.line.decode()
    assert second.hash not in copy.line.decode()
    assert b"u-2" not in copy.line
