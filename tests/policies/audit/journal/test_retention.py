"""What is old goes by rule, what is held stays, and the chain says where it begins."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from extproc.secret import read_secret
from policies.audit.journal.chain import What
from policies.audit.journal.heads import Removal, Removed
from policies.audit.journal.index import Index
from policies.audit.journal.retention import WHY, Fate, RetentionRules, compress, decide, joined, retain
from policies.audit.journal.segments import segments
from policies.audit.journal.signing import Signer, public_key
from policies.audit.journal.slots import hold
from policies.audit.journal.verify import verify
from policies.audit.moments import moment
from tests.policies.audit.journal.written import key_pair, records, stored, written

NOW = 2_000_000_000.0
DAY = 86_400
RULES = RetentionRules(days=90, events={"limit.changed": 400, "authentication.*": 10}, compress_after=2)


def about(*tenants: str, **events: float) -> Index:
    """A segment whose events are so many days old."""
    ages = {name.replace("_", "."): moment(NOW - days * DAY) for name, days in events.items()}
    return Index(9, "0" * 64, tenants, ages)


DECISIONS = [
    (about(request_allowed=91), False, [], Fate.REMOVED),
    (about(request_allowed=91), True, [], Fate.REMOVED),
    (about(request_allowed=89), True, [], Fate.KEPT),
    (about(request_allowed=89), False, [], Fate.COMPRESSED),
    (about(request_allowed=1), False, [], Fate.KEPT),
    (about(request_allowed=91, request_closed=89), True, [], Fate.KEPT),
    (about(request_allowed=91, limit_changed=91), True, [], Fate.KEPT),
    (about(request_allowed=401, limit_changed=401), True, [], Fate.REMOVED),
    (about(authentication_refused=11), True, [], Fate.REMOVED),
    (about("acme", "globex", request_allowed=91), True, ["acme"], Fate.KEPT),
    (about("acme", "globex", request_allowed=91), False, ["acme"], Fate.COMPRESSED),
    (about("acme", "globex", request_allowed=91), True, ["initech"], Fate.REMOVED),
]


@pytest.mark.parametrize(("index", "packed", "holds", "fate"), DECISIONS)
def test_decisions(index: Index, packed: bool, holds: list[str], fate: Fate) -> None:
    assert decide(index, packed, RULES, NOW, holds)[0] is fate


def removal(first: int, last: int) -> Removal:
    return Removal(first, last, f"{last:064d}", "", WHY)


@pytest.mark.parametrize(
    ("before", "more", "after"),
    [
        ([], (1, 5), [(1, 5)]),
        ([(1, 5)], (6, 9), [(1, 9)]),
        ([(1, 5)], (8, 9), [(1, 5), (8, 9)]),
        ([(1, 5), (8, 9)], (6, 7), [(1, 9)]),
        ([(8, 9)], (1, 7), [(1, 9)]),
        ([(1, 9)], (4, 9), [(1, 9)]),
        ([(1, 9)], (4, 6), [(1, 9)]),
    ],
)
def test_removals_are_joined(before: list[tuple[int, int]], more: tuple[int, int], after: list[tuple[int, int]]) -> None:
    made = joined(Removed(tuple(removal(*one) for one in before)), removal(*more))
    assert made == Removed(tuple(removal(*one) for one in after))


def test_segments_are_compressed_then_removed(tmp_path: Path) -> None:
    journal = written(tmp_path, 60, segment_bytes=2_000)
    made, now = stored(journal), time.time()
    rules = RetentionRules(days=90, compress_after=1)
    kept = retain(tmp_path, rules, now, [])
    assert {one.fate for one in kept} == {Fate.KEPT}
    # Nothing is done where it is only asked for.
    asked = retain(tmp_path, rules, now + 2 * DAY, [], do=False)
    assert {one.fate for one in asked} == {Fate.COMPRESSED}
    assert not any(part.packed for part in segments(journal))
    done = retain(tmp_path, rules, now + 2 * DAY, [])
    assert done == asked
    assert [part.packed for part in segments(journal)] == [True] * len(done) + [False]
    assert stored(journal) == made
    assert verify(tmp_path, public_key=None).intact
    assert {one.fate for one in retain(tmp_path, rules, now + 3 * DAY, [])} == {Fate.KEPT}
    retain(tmp_path, rules, now + 91 * DAY, [])
    report = verify(tmp_path, public_key=None)
    assert report.intact
    assert report.journals[0].removed == 62
    assert segments(journal) == []
    assert sorted(path.name for path in journal.iterdir()) == ["head.json", "lock", "removed.json"]
    [trace] = json.loads((journal / "removed.json").read_bytes())["removed"]
    assert (trace["first"], trace["sequence"], trace["why"]) == (1, 62, "retention")
    written(tmp_path, 3)
    assert verify(tmp_path, public_key=None).intact
    assert records(journal)[0].record.sequence == 63


def test_what_is_held_stays_in_the_middle(tmp_path: Path) -> None:
    secret, public = key_pair(tmp_path)
    folder = tmp_path / "journals"
    journal = written(folder, 80, segment_bytes=2_000, signing_key=secret)
    part = segments(journal)[3]
    index = json.loads(part.index.read_bytes()) | {"tenants": ["globex"]}
    part.index.write_text(json.dumps(index))
    signer = Signer.from_pem(read_secret(secret))
    retain(folder, RetentionRules(days=1), time.time() + 3 * DAY, ["globex"], signer)
    assert [one.first for one in segments(journal)] == [part.first]
    report = verify(folder, public_key=public_key(public))
    assert report.intact, report
    assert report.journals[0].records == len(records(journal)) == index["sequence"] - part.first + 1
    # A trace that was made up is not signed.
    trace = json.loads((journal / "removed.json").read_bytes())
    trace["removed"][1]["sequence"] += 1
    (journal / "removed.json").write_text(json.dumps(trace))
    assert not verify(folder, public_key=public_key(public)).intact
    # Nor does it become true by another that is: it is signed with none.
    retain(folder, RetentionRules(days=1), time.time() + 3 * DAY, [], signer)
    assert [(one.what, one.sequence) for one in verify(folder, public_key=public_key(public)).findings] == [
        (What.UNSIGNED, trace["removed"][1]["sequence"])
    ]


def test_removals_become_one_once_what_lay_between_them_may_go(tmp_path: Path) -> None:
    secret, public = key_pair(tmp_path)
    folder = tmp_path / "journals"
    journal = written(folder, 80, segment_bytes=2_000, signing_key=secret)
    part = segments(journal)[3]
    part.index.write_text(json.dumps(json.loads(part.index.read_bytes()) | {"tenants": ["globex"]}))
    signer = Signer.from_pem(read_secret(secret))
    for holds, removals in ((["globex"], 2), ([], 1)):
        retain(folder, RetentionRules(days=1), time.time() + 3 * DAY, holds, signer)
        assert len(json.loads((journal / "removed.json").read_bytes())["removed"]) == removals
        assert verify(folder, public_key=public_key(public)).intact


def test_who_has_no_key_removes_what_then_is_not_signed(tmp_path: Path) -> None:
    secret, public = key_pair(tmp_path)
    folder = tmp_path / "journals"
    written(folder, 20, signing_key=secret)
    retain(folder, RetentionRules(days=1), time.time() + 3 * DAY, [])
    assert verify(folder, public_key=None).intact
    assert [one.what for one in verify(folder, public_key=public_key(public)).findings] == [What.UNSIGNED]


def test_an_index_is_made_where_there_is_none(tmp_path: Path) -> None:
    journal = written(tmp_path, 40, segment_bytes=2_000)
    part = segments(journal)[1]
    said = part.index.read_bytes()
    for content in (None, b"{", said.replace(b'"sequence":', b'"sequence":9')):
        part.index.unlink()
        if content is not None:
            part.index.write_bytes(content)
        retain(tmp_path, RetentionRules(), time.time(), [])
        assert part.index.read_bytes() == said


def test_a_segment_that_is_not_what_was_sealed_is_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    journal = written(tmp_path, 40, segment_bytes=2_000)
    part = segments(journal)[1]
    part.index.unlink()
    part.path.write_bytes(part.path.read_bytes().replace(b"acme", b"evil"))
    done = retain(tmp_path, RetentionRules(days=1), time.time() + 3 * DAY, [])
    assert [one.segment for one in done if one.fate is Fate.KEPT] == [part.path.name]
    assert [one.path for one in segments(journal)] == [part.path]
    assert "is kept" in caplog.text


def test_the_last_segment_of_a_journal_that_is_written_stays(tmp_path: Path) -> None:
    journal = written(tmp_path, 3)
    lock = hold(journal)
    assert lock is not None
    assert retain(tmp_path, RetentionRules(days=1), time.time() + 3 * DAY, []) == []
    os.close(lock)
    # Nobody else would ever end it.
    assert retain(tmp_path, RetentionRules(days=1), time.time() + 3 * DAY, ["acme"]) == []
    [done] = retain(tmp_path, RetentionRules(days=1), time.time() + 3 * DAY, [])
    assert done.fate is Fate.REMOVED
    assert segments(journal) == []


def test_a_segment_that_was_being_compressed(tmp_path: Path) -> None:
    journal = written(tmp_path, 40, segment_bytes=2_000)
    made, part = stored(journal), segments(journal)[0]
    half = part.path.with_suffix(".jsonl.gz")
    half.write_bytes(b"half")
    assert stored(journal) == made
    retain(tmp_path, RetentionRules(), time.time(), [])
    assert not half.exists()
    half.write_bytes(b"half")
    retain(tmp_path, RetentionRules(compress_after=0), time.time() + 1, [])
    assert stored(journal) == made
    assert not part.path.exists()


def test_what_somebody_has_yet_to_read_stays(tmp_path: Path) -> None:
    journal = written(tmp_path, 60, segment_bytes=2_000)
    later, rules = time.time() + 100 * DAY, RetentionRules(days=90)
    third = segments(journal)[2]
    done = retain(tmp_path, rules, later, [], needed={journal.name: third.first})
    assert [one.fate for one in done[:3]] == [Fate.REMOVED, Fate.REMOVED, Fate.KEPT]
    assert "yet to read" in done[2].why
    assert segments(journal)[0].first == third.first
    # Of a journal that nobody has begun to read, all stays.
    assert all(one.fate is Fate.KEPT for one in retain(tmp_path, rules, later, [], needed={journal.name: 0}))
    # Where nobody follows, all may go.
    assert any(one.fate is Fate.REMOVED for one in retain(tmp_path, rules, later, [], needed={}))
    assert verify(tmp_path, public_key=None).intact


def test_nobody_else_may_read_what_is_left(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        journal = written(tmp_path, 60, segment_bytes=2_000)
        for part in segments(journal)[1:3]:
            compress(part)
        segments(journal)[0].index.unlink()
        retain(tmp_path, RetentionRules(days=1), time.time() + 3 * DAY, [])
        written(tmp_path, 60, segment_bytes=2_000)
        compress(segments(journal)[0])
    finally:
        os.umask(before)
    assert segments(journal)[0].packed
    assert (journal / "removed.json").exists()
    assert [path.name for path in journal.iterdir() if path.stat().st_mode & 0o077] == []


def test_a_journal_of_which_all_is_gone_is_witnessed_all_the_same(tmp_path: Path) -> None:
    journal = written(tmp_path, 20)
    retain(tmp_path, RetentionRules(days=90), time.time() + 100 * DAY, [])
    assert segments(journal) == []
    written(tmp_path, 3, instance="later")
    report = verify(tmp_path, public_key=None)
    assert report.intact
    assert [one.journal for one in report.journals] == ["gate.0", "later.0"]
