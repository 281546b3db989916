"""Which tenants are on record."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from policies.audit.journal import journals
from policies.audit.tenants import ids_of, is_on_record
from tests.policies.audit.showing.journaled import decision, record
from tests.policies.audit.showing.journaled import write as journal


def test_whether_a_tenant_is_on_record(tmp_path: Path) -> None:
    journal(tmp_path, "gw.0", [decision(1), decision(2, tenant='with "quotes" é', tenant_id="t-2")], per_segment=1)
    journal(tmp_path, "commands.0", [record(tenant="mistyped")])
    first = tmp_path / "gw.0" / f"{1:020d}.jsonl"
    first.with_suffix(".jsonl.gz").write_bytes(gzip.compress(first.read_bytes()))
    os.unlink(first)
    for tenant in ("contoso", "t-1", "t-2", 'with "quotes" é'):
        assert is_on_record(tmp_path, tenant, "commands")
    for tenant in ("mistyped", "alice", "conto"):
        assert not is_on_record(tmp_path, tenant, "commands")
    # What the index of a segment tells is not read again.
    index = tmp_path / "gw.0" / f"{2:020d}.index.json"
    index.write_text('{"sequence": 2, "hash": "", "tenants": ["from the index"], "events": {}}')
    assert is_on_record(tmp_path, "from the index", "commands")
    assert not is_on_record(tmp_path, "t-2", "commands")


CHANGE = record(event="limit.changed", tenant_id="t-1")
NAMED = record(tenant="contoso")
BOTH = record(tenant="contoso", tenant_id="t-1")
OTHER = record(tenant='with "quotes" é', tenant_id="t-2")


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ((), []),
        (("contoso",), ["t-1"]),
        (('with "quotes" é', "contoso"), ["t-1", "t-2"]),
        # An id has no other, and nobody is called so.
        (("t-1",), []),
        (("nobody", "contoso"), ["t-1"]),
        (("conto",), []),
    ],
)
@pytest.mark.parametrize("per_segment", [1, 2, 9])
def test_a_name_stands_for_an_id(names: tuple[str, ...], found: list[str], per_segment: int, tmp_path: Path) -> None:
    journal(tmp_path, "gw.0", [CHANGE, NAMED], per_segment=per_segment)
    journal(tmp_path, "gw.1", [NAMED, BOTH, OTHER, CHANGE], per_segment=per_segment)
    assert ids_of(journals(tmp_path), names) == found


def test_what_the_index_of_a_segment_tells_is_not_read(tmp_path: Path) -> None:
    journal(tmp_path, "gw.0", [BOTH, record(tenant="contoso", tenant_id="t-3")], per_segment=1)
    first = tmp_path / "gw.0" / f"{1:020d}.index.json"
    first.write_text('{"sequence": 1, "hash": "", "tenants": ["fabrikam"], "events": {}}')
    assert ids_of(journals(tmp_path), ("contoso",)) == ["t-3"]
    first.write_text('{"sequence": 1, "hash": "", "tenants": ["contoso"], "events": {}}')
    assert ids_of(journals(tmp_path), ("contoso",)) == ["t-1"]
    first.write_text("[" * 100_000)
    assert ids_of(journals(tmp_path), ("contoso",)) == ["t-1"]


def test_what_cannot_be_read_tells_nothing(tmp_path: Path) -> None:
    journal(tmp_path, "gw.0", [BOTH, BOTH], per_segment=1)
    first, second = (tmp_path / "gw.0" / f"{number:020d}.jsonl" for number in (1, 2))
    first.write_bytes(b'{"tenant":"contoso"}\n')
    second.rename(second.with_suffix(".jsonl.gz"))
    assert ids_of(journals(tmp_path), ("contoso",)) == []
    assert is_on_record(tmp_path, "contoso", "commands")
    assert not is_on_record(tmp_path, "t-1", "commands")
