"""`verify`, `keygen` and `schema` as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

from policies.audit.showing import record_schema
from policies.audit.showing.configured import Configured, read
from policies.audit.showing.recording import record
from tests.policies.audit.showing.typed import Typed, configuration


def test_verify(typed: Typed, tmp_path: Path) -> None:
    record(Configured(tmp_path, {"journal": {"folder": str(tmp_path)}}, "here"), {"event": "a.thing"})
    assert typed("verify", tmp_path) == ["commands.0: intact: 3 records (1 to 3)"]
    segment = next((tmp_path / "commands.0").glob("*.jsonl"))
    assert typed("verify", segment) == ["commands.0: intact: 3 records (1 to 3)"]
    assert typed.json("verify", tmp_path)["intact"] is True

    segment.write_bytes(segment.read_bytes().replace(b"a.thing", b"a.thong"))
    lines = typed("verify", tmp_path, status=1)
    assert lines[:2] == ["commands.0: NOT intact: 3 records (1 to 3)", "  1 fault, the first at record 2"]
    [journal] = typed.json("verify", tmp_path, status=1)["journals"]
    assert [(one["sequence"], one["what"]) for one in journal["findings"]] == [(2, "edited")]


def test_what_cannot_be_read(typed: Typed, tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        assert typed("verify", path, status=2) == []
        assert len(typed.complaints) == 1
    record(Configured(tmp_path, {"journal": {"folder": str(tmp_path)}}, "here"), {"event": "a.thing"})
    typed("verify", tmp_path, "--public-key", tmp_path / "nowhere.pem", status=2)
    assert typed.complaints == [f"sluicegate: {tmp_path / 'nowhere.pem'}: No such file or directory"]
    (tmp_path / "wrong.pem").write_bytes(b"\xff\x00")
    typed("verify", tmp_path, "--public-key", tmp_path / "wrong.pem", status=2)
    assert typed.complaints == ["sluicegate: expected an Ed25519 public key in PEM"]


def test_a_key_that_was_made_verifies_what_it_signs(typed: Typed, tmp_path: Path) -> None:
    private = tmp_path / "key.pem"
    assert typed("keygen", private)[1].startswith(f"{private}.pub: the public key ")
    typed("keygen", private, status=1)
    assert typed.complaints == [f"sluicegate: {private}.pub: is there already"]
    config = configuration(tmp_path, journal={"signing_key": {"file": str(private)}})
    record(read(config, None, tmp_path), {"event": "a.thing"})
    typed("verify", tmp_path / "journal", "--public-key", f"{private}.pub")
    typed("keygen", tmp_path / "other.pem")
    typed("verify", tmp_path / "journal", "--public-key", tmp_path / "other.pem.pub", status=1)


def test_the_schema_is_what_is_published(typed: Typed) -> None:
    lines = typed("schema")
    assert "\n".join(lines) + "\n" == record_schema.text()
    assert json.loads(record_schema.text())["title"]
