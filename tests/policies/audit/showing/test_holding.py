"""`hold`, `release`, `holds` and `retain` as they are typed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from policies.audit.journal.writer import JournalWriter
from policies.audit.showing.reading import everything
from tests.policies.audit.journal.written import settings
from tests.policies.audit.showing.typed import Typed, configuration


def test_holds(typed: Typed, journals: Path) -> None:
    at = ("--folder", journals)
    assert typed("holds", *at) == ["no tenant is held"]
    assert typed("hold", "contoso", *at, "--why", "court\x1b order", "--by", "Legal") == [
        "contoso is held: nothing of it is removed"
    ]
    assert typed.complaints == []
    [row] = typed("holds", *at)[1:]
    assert row.split("  ")[0] == "contoso"
    assert row.endswith("Legal  court\\x1b order")
    [held] = typed.json("holds", *at)
    assert (held["tenant"], held["by"], held["why"]) == ("contoso", "Legal", "court\x1b order")
    typed("hold", "contoso", *at, status=1)
    assert typed.complaints == ["sluicegate: contoso is held already"]
    assert typed("release", "contoso", *at, "--by", "Legal") == ["contoso is released: retention counts again"]
    typed("release", "contoso", *at, status=1)
    assert typed.complaints == ["sluicegate: contoso is not held"]
    records, _ = everything(journals)
    changes = [one.record for one in records if one.record.event.startswith("hold.")]
    assert [(one.event, one.tenant, one.by, one.before, one.after) for one in changes] == [
        ("hold.placed", "contoso", "Legal", "not held", "held"),
        ("hold.released", "contoso", "Legal", "held", "not held"),
    ]
    assert [one.why for one in changes] == ["court\x1b order", ""]


def test_a_tenant_that_nobody_knows(typed: Typed, journals: Path) -> None:
    typed("hold", "cotnoso", "--folder", journals)
    assert typed.complaints == ["warning: no record names cotnoso as its tenant yet: is it spelt as records have it?"]
    for wrong in ("", " contoso", "a\nb"):
        typed("hold", wrong, "--folder", journals, status=2)


def test_what_cannot_be_recorded_is_not_done(typed: Typed, journals: Path) -> None:
    typed("hold", "contoso", "--folder", journals)
    config = configuration(journals.parent, journal={"signing_key": {"file": "/nowhere/key.pem"}})
    typed("release", "contoso", config, status=1)
    assert typed.complaints == ["sluicegate: signing_key: file /nowhere/key.pem: FileNotFoundError"]
    assert typed("holds", config)[1].startswith("contoso")


async def _write(folder: Path) -> None:
    """A segment for each record, years ago."""
    writer = JournalWriter(settings(folder, instance="gw", segment_bytes=1_024), lambda: 1_577_836_800.0)
    await writer.start()
    for tenant in ("contoso", "fabrikam", "fabrikam"):
        fields = {"event": "request.allowed", "kind": "event", "level": "info", "tenant": tenant, "why": "x" * 1_000}
        writer.append({**fields, "timestamp": "2020-01-01T00:00:00.000000Z"})
        await writer.durable()
    await writer.stop(5)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    asyncio.run(_write(tmp_path / "journal"))
    return configuration(tmp_path, retention={"days": 30, "events": {"journal.*": 1}})


def fates(rows: list[dict[str, str]]) -> dict[str, str]:
    return {one["segment"].lstrip("0").partition(".")[0]: one["fate"] for one in rows if one["journal"] == "gw.0"}


def test_what_is_held_stays(typed: Typed, config: Path) -> None:
    before = sorted(path.name for path in (config.parent / "journal/gw.0").iterdir())
    planned = typed.json("retain", config)
    assert planned["done"] is False
    assert "removed" in fates(planned["segments"]).values()
    # Nothing was done.
    assert sorted(path.name for path in (config.parent / "journal/gw.0").iterdir()) == before

    typed("hold", "contoso", config)
    done = typed.json("retain", config, "--do", "--by", "Legal")
    assert done["done"] is True
    left, _ = everything(config.parent / "journal")
    assert [one.record.tenant for one in left if one.record.event == "request.allowed"] == ["contoso"]
    assert typed("verify", config.parent / "journal")

    typed("release", "contoso", config)
    summary = typed("retain", config, "--do")[-1]
    assert "removed" in summary
    left, sources = everything(config.parent / "journal")
    found = [one.record for one in left]
    assert [one for one in found if one.event == "request.allowed"] == []
    assert [source.broken for source in sources] == [None] * len(sources)
    first, second = (one for one in found if one.event == "retention.applied")
    assert first.by == "Legal"
    assert first.params["segments"] >= 1
    assert set(second.params["up_to"]) == {"gw.0"}


def test_nothing_is_removed_where_holds_cannot_be_read(typed: Typed, config: Path) -> None:
    (config.parent / "journal/holds.json").write_text("{")
    typed("retain", config, "--do", status=1)
    assert "nothing is removed before it is mended" in typed.complaints[0]


def test_rules_that_are_wrong(typed: Typed, tmp_path: Path) -> None:
    typed("retain", configuration(tmp_path, retention={"days": -1}), status=2)
    assert len(typed.complaints) == 1
    assert "policies[0].settings.retention.days: Input should be greater than 0" in typed.complaints[0]
