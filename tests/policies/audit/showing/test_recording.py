"""What is done by hand goes on record."""

from __future__ import annotations

from pathlib import Path

import pytest

from extproc.mistakes import ConfigurationError
from policies.audit.journal.settings import JournalError
from policies.audit.journal.signing import public_key
from policies.audit.journal.verify import verify
from policies.audit.showing.configured import Configured, read
from policies.audit.showing.keygen import make
from policies.audit.showing.reading import everything
from policies.audit.showing.recording import HOLD_PLACED, record
from tests.policies.audit.showing.typed import configuration


def test_it_is_on_the_disk_and_bound_to_what_was_before(tmp_path: Path) -> None:
    configured = Configured(tmp_path, {"journal": {"folder": str(tmp_path)}}, "here")
    for tenant in ("alpha", "beta"):
        record(configured, {"event": HOLD_PLACED, "tenant": tenant, "by": "root"})
    records, _ = everything(tmp_path)
    found = [closed.record for closed in records]
    assert [one.tenant for one in found if one.event == HOLD_PLACED] == ["alpha", "beta"]
    assert {one.journal for one in found} == {"commands.0"}
    assert [one.sequence for one in found] == list(range(1, len(found) + 1))
    assert verify(tmp_path, public_key=None).intact


def test_it_is_signed_where_the_gateway_signs(tmp_path: Path) -> None:
    public, _ = make(tmp_path / "key.pem")
    config = configuration(tmp_path, journal={"signing_key": {"file": str(tmp_path / "key.pem")}, "instance": "gateway"})
    record(read(config, None, tmp_path), {"event": HOLD_PLACED, "tenant": "alpha"})
    report = verify(tmp_path / "journal", public_key=public_key(public.read_text()))
    assert [one.journal for one in report.journals] == ["commands.0"]
    assert report.intact


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("a file")
    with pytest.raises(JournalError):
        record(read(configuration(tmp_path), None, tmp_path), {"event": HOLD_PLACED})
    with pytest.raises(ConfigurationError, match=r"journal\.queue_bytes"):
        record(read(configuration(tmp_path, journal={"queue_bytes": -1}), None, tmp_path), {"event": HOLD_PLACED})
