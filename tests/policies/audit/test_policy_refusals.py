"""What the audit policy says of every refusal, and when it refuses by itself: on a disk that fills up and empties."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path

import pytest

from extproc.completion import Decision, EndedBy, Ending, Verdict
from extproc.outcome import Reject, Respond
from policies.audit.journal.verify import verify
from tests.policies.audit.journal.written import records
from tests.policies.audit.kept import PROMPT, asked, keeping, recorded, verdict
from tests.policies.audit.test_insisting import Disk
from tests.policies.audit.world import ALICE, CHAT, OPENAI, completion


@pytest.mark.parametrize(
    ("status", "event", "level"),
    [
        (401, "authentication.refused", "warning"),
        (403, "access.refused", "warning"),
        (429, "limit.reached", "warning"),
        (404, "request.refused", "warning"),
        (503, "request.refused", "error"),
    ],
)
async def test_what_is_refused(tmp_path: Path, status: int, event: str, level: str) -> None:
    said = Decision("limits", "reject", "no_more", "tokens_per_day is used up")
    async with keeping(tmp_path) as policy:
        # Of one whom nobody could identify, nothing else is known.
        of = asked(CHAT) if status == 401 else asked()
        assert await verdict(policy, of, Reject(status, "no_more", "No."), said) is None
        ended = completion(status=status, verdict=Verdict.REJECT, ending=Ending.REJECTED, ended_by=EndedBy.POLICY)
        policy.on_settle(ended)
    decision, closing = recorded(tmp_path)
    told = (decision.event, decision.level, decision.decision, decision.status, decision.reason, decision.policy)
    assert told == (event, level, "reject", status, "no_more", "limits")
    assert (decision.why, decision.result) == ("tokens_per_day is used up", "refused")
    assert decision.user_id == ("" if status == 401 else "alice")
    assert (closing.decision, closing.ending, closing.requests, closing.cost) == ("reject", "rejected", 0, "")


async def test_what_the_gateway_answers(tmp_path: Path) -> None:
    async with keeping(tmp_path) as policy:
        assert await verdict(policy, asked(), Respond(b"{}")) is None
        policy.on_settle(completion(verdict=Verdict.RESPOND, ending=Ending.RESPONDED, ended_by=EndedBy.GATEWAY))
    decision, closing = recorded(tmp_path)
    assert (decision.event, decision.decision, decision.result) == ("request.responded", "respond", "success")
    assert (closing.ending, closing.requests, closing.result) == ("responded", 0, "success")


async def test_what_envoy_refused_has_a_closing(tmp_path: Path) -> None:
    async with keeping(tmp_path) as policy:
        policy.on_settle(completion(verdict=Verdict.NONE, ending=Ending.REFUSED, details="codec_error", status=400))
    (closing,) = recorded(tmp_path)
    assert (closing.decision, closing.details, closing.result) == ("none", "codec_error", "refused")


async def test_strict_answers_when_it_is_on_the_disk(tmp_path: Path) -> None:
    async with keeping(tmp_path, journal={"durability": "strict"}) as policy:
        answer = policy.on_verdict(asked(), None, ())
        counters = policy.counters()
        assert counters["synced"] < counters["appended"]
        assert isinstance(answer, Awaitable)
        assert await answer is None
        counters = policy.counters()
        assert counters["synced"] == counters["appended"]


@pytest.mark.parametrize("durability", ["batch", "strict"])
async def test_a_full_disk_refuses_until_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durability: str
) -> None:
    disk = Disk(monkeypatch)
    journal = {"durability": durability, "queue_bytes": 4_096}
    async with keeping(tmp_path, journal=journal) as policy:
        assert policy.readiness() is None
        disk.full = True
        refused = None
        async with asyncio.timeout(10):
            while refused is None:
                refused = await verdict(policy, asked())
                await asyncio.sleep(0)
        assert (refused.status, refused.code, refused.retry_after) == (503, "audit_unavailable", 1.0)
        assert PROMPT not in refused.why
        assert str(tmp_path) not in refused.message
        async with asyncio.timeout(10):
            while "No space left on device" not in (policy.readiness() or ""):
                await asyncio.sleep(0.01)
        assert policy.counters()["refused"] >= 1
        disk.full = False
        async with asyncio.timeout(10):
            while policy.readiness() is not None:
                await asyncio.sleep(0.01)
        assert await verdict(policy, asked()) is None
    assert verify(tmp_path, public_key=None).intact


async def test_a_closing_waits_for_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)
    async with keeping(tmp_path, journal={"queue_bytes": 1_024}) as policy:
        disk.full = True
        while await verdict(policy, asked()) is None:
            await asyncio.sleep(0)
        held = policy.counters()["held"]
        waiting = policy.on_settle(completion(ALICE, CHAT, OPENAI))
        assert waiting is not None
        assert policy.counters()["held"] == held + 1
        disk.full = False
        async with asyncio.timeout(10):
            await waiting
        assert policy.counters()["held"] == 0
    refused, closing = recorded(tmp_path)[-2:]
    assert (refused.decision, refused.reason, closing.kind) == ("reject", "audit_unavailable", "closing")


async def test_open_lets_pass_and_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)
    async with keeping(tmp_path, journal={"queue_bytes": 1_024, "full": "open"}) as policy:
        disk.full = True
        for _ in range(20):
            assert await verdict(policy, asked()) is None
        assert policy.readiness() is None
        dropped = policy.counters()["dropped"]
        assert 0 < dropped < 20
        disk.full = False
        async with asyncio.timeout(10):
            while policy.counters()["written"] < policy.counters()["appended"]:
                await asyncio.sleep(0.01)
        assert policy.counters()["refused"] == 0
    gaps = [one.record.lost for one in records(tmp_path / "gate.0") if one.record.event == "journal.gap"]
    assert sum(gaps) == dropped
    assert len(recorded(tmp_path)) == 20 - dropped


async def test_a_journal_that_was_closed_refuses(tmp_path: Path) -> None:
    async with keeping(tmp_path) as policy:
        pass
    refused = await verdict(policy, asked())
    assert refused is not None
    assert (refused.code, policy.readiness()) == ("audit_unavailable", "the journal is not open")
    unrecorded = policy.counters()["unrecorded"]
    assert policy.on_settle(completion(ALICE, CHAT, OPENAI)) is None
    assert policy.counters()["unrecorded"] == unrecorded + 1
