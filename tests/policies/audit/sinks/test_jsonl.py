"""Lines as they are."""

from __future__ import annotations

from io import BytesIO

from policies.audit.canonical import read
from policies.audit.export.jsonl import export
from tests.policies.audit.sinks.made import HARD, full, made


def test_lines_are_those_of_the_journal_and_can_be_checked() -> None:
    records, out = [full(1), *(made(index, why=text) for index, text in enumerate(HARD, 2))], BytesIO()
    export(iter(records), out)
    lines = out.getvalue().split(b"\n")
    assert lines.pop() == b""
    assert [read(line) for line in lines] == records
