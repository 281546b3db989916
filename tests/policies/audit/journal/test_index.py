"""An index says of a segment what its lines say."""

from __future__ import annotations

from pathlib import Path

import pytest

from policies.audit.canonical import LineError, read
from policies.audit.journal.index import Seen, index, indexed, merge
from policies.audit.journal.segments import Segment, plain
from tests.policies.audit.journal.written import chain, put


def test_a_clock_that_goes_back_makes_nothing_older() -> None:
    seen: Seen = {}
    for stamp in ("2026-01-02", "2026-01-03", "2026-01-01"):
        merge(seen, {("a", "acme", "1"): stamp})
    merge(seen, {("a", "globex", ""): "2025-01-01", ("b", "", ""): "2026-01-01"})
    made = index(seen, 9, "h")
    assert made.events == {"a": "2026-01-03", "b": "2026-01-01"}
    assert made.tenants == ("1", "acme", "globex")
    assert (made.sequence, made.hash) == (9, "h")


def test_it_is_made_from_the_lines(tmp_path: Path) -> None:
    made = chain(3)
    made += chain(2, first=4, previous=read(made[-1]).hash, event="limit.changed", tenant="globex", tenant_id="2")
    segment = Segment(1, plain(tmp_path, 1))
    put(segment.path, made)
    found = indexed(segment)
    assert found is not None
    assert (found.sequence, found.hash) == (5, read(made[-1]).hash)
    assert found.tenants == ("2", "acme", "globex")
    assert sorted(found.events) == ["limit.changed", "request.allowed"]


def test_it_is_not_made_from_what_is_none(tmp_path: Path) -> None:
    segment = Segment(1, plain(tmp_path, 1))
    segment.path.touch()
    assert indexed(segment) is None
    for text in (chain(1)[0], chain(1)[0] + b"\n{}\n"):
        segment.path.write_bytes(text)
        with pytest.raises(LineError):
            indexed(segment)
