"""The audit policy on a real journal: what it writes down, when it refuses, and what it finds again after a kill."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from extproc.actuals import Basis, Charged
from extproc.call import Payload
from extproc.catalogue import Catalogue, Model, Provider, Upstream
from extproc.completion import Completion, Decision, Usage
from extproc.exchange import Exchange, Request
from extproc.outcome import Reject, Respond
from extproc.policy import Surroundings
from extproc.price import Portions, Price
from extproc.recorder import Event, Recorder, Settled
from extproc.tasks import waits
from policies.audit.journal import JournalError, JournalReader, Position, journals
from policies.audit.policy import AuditPolicy
from policies.audit.record import Record, Timing, Tokens
from policies.audit.settings import AuditSettings
from policies.audit.version import VERSION
from tests.policies.audit.world import ALICE, CHAT, OPENAI, RESERVED, completion, exchange

NOW = 1_767_225_600.25
STAMP = "2026-01-01T00:00:00.250000Z"
CONFIGURATION = "0123456789abcdef" * 4
PRICED = Model("gpt-4o", price=Price(2_500_000, 10_000_000, 1_250_000, 2_500_000))
CATALOGUE = Catalogue(upstreams=(Upstream("openai", Provider.OPENAI, models=(PRICED, Model("free-*"))),))
NO = Reject(403, "not_you", "No.")


def policy(folder: Path, recorder: Recorder | None = None, **given: Any) -> AuditPolicy:
    journal = {"folder": str(folder), "instance": "gw", **given.pop("journal", {})}
    made = AuditSettings.model_validate({"journal": journal, **given})
    surroundings = Surroundings(
        CATALOGUE, lambda: NOW, recorder=recorder or Recorder(), configuration=CONFIGURATION, longest=190.0
    )
    return AuditPolicy.build(made, surroundings)


@asynccontextmanager
async def started(folder: Path, recorder: Recorder | None = None, **given: Any) -> AsyncIterator[AuditPolicy]:
    made = policy(folder, recorder, **given)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


def written(folder: Path) -> list[Record]:
    """Everything in the journals, but for what they say of themselves."""
    records = [one.record for path in journals(folder) for one in JournalReader(path).read(Position(), 10_000)[0]]
    return [one for one in records if not one.event.startswith("journal.")]


async def verdict(
    made: AuditPolicy, of: Exchange, outcome: Reject | Respond | None = None, *decisions: Decision
) -> Reject | None:
    answer = made.on_verdict(of, outcome, decisions)
    return await answer if waits(answer) else answer


async def settled(made: AuditPolicy, ended: Completion) -> None:
    pending = made.on_settle(ended)
    if pending is not None:
        await pending


@pytest.mark.parametrize(
    ("sinks", "found"),
    [
        ([], ()),
        (
            [{"kind": "traces", "name": "t", "url": "http://127.0.0.1:4318/v1/traces"}],
            (Timing(12, "entra"), Timing(0, "access")),
        ),
    ],
)
async def test_how_long_policies_took_is_recorded_for_whom_it_concerns(
    tmp_path: Path, sinks: list[dict[str, str]], found: tuple[Timing, ...]
) -> None:
    async with started(tmp_path, sinks=sinks) as made:
        for number in range(4):
            # From the third on they are filled into a form.
            request = exchange().request
            named = Request(
                request.method, request.path, "", "gateway.example", "https", request.headers, str(UUID(int=number))
            )
            of = Exchange(f"{number:032x}", named)
            for fact in (ALICE, CHAT, OPENAI):
                of.put(fact)
            of.timings.update(entra=12_999, access=400)
            assert made.on_verdict(of, None, ()) is None
    decisions = [one for one in written(tmp_path) if one.kind == "decision"]
    assert [one.timings for one in decisions] == [found] * 4


async def test_an_exchange_has_a_decision_and_a_closing(tmp_path: Path) -> None:
    async with started(tmp_path) as made:
        of = exchange(ALICE, CHAT, OPENAI, RESERVED, headers={"x-session-id": "s" * 200})
        assert made.on_verdict(of, None, ()) is None
        await settled(made, completion(ALICE, CHAT, OPENAI, RESERVED))
    loaded, decision, closing = written(tmp_path)
    assert (loaded.event, loaded.after) == ("configuration.loaded", CONFIGURATION[:16])
    assert [one.kind for one in (decision, closing)] == ["decision", "closing"]
    for one in (loaded, decision, closing):
        assert (one.timestamp, one.version, one.configuration) == (STAMP, VERSION, CONFIGURATION[:16])
    assert decision.exchange_id == closing.exchange_id == "e-1"
    # A client may name its session as long as it likes.
    assert decision.session_id == "s" * 128


@pytest.mark.parametrize("strict", [False, True])
async def test_what_is_refused_or_answered_is_recorded_too(strict: bool, tmp_path: Path) -> None:
    durability = {"durability": "strict" if strict else "batch"}
    async with started(tmp_path, journal=durability) as made:
        assert await verdict(made, exchange(), NO, Decision("access", "reject", "not_you", "no role")) is None
        assert await verdict(made, exchange(), Respond(b"{}")) is None
        answer = made.on_verdict(exchange(), None, ())
        # Only where it must survive the machine is it waited for, and then it is on the disk.
        assert waits(answer) is strict
        if waits(answer):
            assert await answer is None
            assert [one.decision for one in written(tmp_path)] == ["", "reject", "respond", "allow"]
    assert [one.policy for one in written(tmp_path)] == ["", "access", "", ""]


# What it cost


METERED = Usage(input=90, output=30, total=120, cached_input=40)


@pytest.mark.parametrize(
    ("model", "upstream", "cost"),
    [("gpt-4o", "openai", "0.000475"), ("free-1", "openai", ""), ("gone", "openai", ""), ("gpt-4o", "gone", "")],
)
async def test_where_nobody_keeps_counters_it_costs_what_the_catalogue_says(
    model: str, upstream: str, cost: str, tmp_path: Path
) -> None:
    async with started(tmp_path) as made:
        for _ in range(2):
            facts = (replace(CHAT, model=model), replace(OPENAI, upstream=upstream))
            await settled(made, completion(*facts, usage=METERED))
    for closing in written(tmp_path)[1:]:
        assert (closing.cost, closing.basis) == (cost, "metered")
        assert closing.tokens == Tokens(input=50, cached_input=40, output=30, total=120, weighted=120)


async def test_who_keeps_counters_says_what_it_cost(tmp_path: Path) -> None:
    ended = completion(ALICE, CHAT, OPENAI, usage=METERED)
    ended.put(Charged(Portions(1), Basis.CHUNKS, 1, 7, 9))
    async with started(tmp_path) as made:
        await settled(made, ended)
    closing = written(tmp_path)[-1]
    assert (closing.cost, closing.basis, closing.tokens) == ("0.000009", "chunks", Tokens(input=1, total=1, weighted=7))


# Prompts


PROMPT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "I am alice@contoso.com"}], "n": 1}


@pytest.mark.parametrize("tenants", [[], ["fabrikam"], ["contoso"]])
async def test_prompts_are_recorded_of_who_opted_in_and_redacted(tenants: list[str], tmp_path: Path) -> None:
    of = exchange(ALICE, CHAT, Payload(PROMPT))
    of.body = b"{}"
    async with started(tmp_path, capture={"tenants": tenants}) as made:
        assert await verdict(made, of) is None
    asked = written(tmp_path)[-1].params
    assert asked["n"] == 1
    assert ("messages" in asked) is (tenants == ["contoso"])
    assert "alice@contoso.com" not in str(asked)
    if "messages" in asked:
        assert asked["messages"][0]["content"].startswith("I am [email:")


# When it cannot be written down


@pytest.mark.parametrize("full", ["closed", "open"])
async def test_what_cannot_be_written_down_does_not_go_up(full: str, tmp_path: Path) -> None:
    """Unless it is said that it may."""
    async with started(tmp_path, journal={"full": full, "queue_bytes": 1_024}) as made:
        # All in one turn of the event loop: nothing is written meanwhile.
        answers = [made.on_verdict(exchange(ALICE, CHAT), None, ()) for _ in range(20)]
        counters = made.counters()
    taken = answers.index(None, 0), sum(1 for answer in answers if answer is None)
    if full == "open":
        assert taken == (0, 20)
        assert counters["refused"] == 0 < counters["dropped"] < 20
        return
    assert taken[0] == 0
    assert counters["refused"] == 20 - taken[1] > 0
    assert counters["dropped"] == 0
    for refused in answers[taken[1] :]:
        assert isinstance(refused, Reject)
        assert (refused.status, refused.code, refused.retry_after) == (503, "audit_unavailable", 1.0)
        assert refused.why == "too much waits to be written: the disk does not answer"
        assert "disk" not in refused.message
    assert sum(one.decision == "allow" for one in written(tmp_path)) == taken[1]


async def test_without_a_journal_it_does_not_start_and_nothing_passes(tmp_path: Path) -> None:
    blocked = tmp_path / "journal"
    blocked.write_text("a file, where a folder should be")
    recorder = Recorder()
    made = policy(blocked, recorder)
    with pytest.raises((JournalError, OSError)):
        await made.start()
    assert not recorder.is_kept
    assert made.readiness() == "the journal is not open"
    refused = await verdict(made, exchange())
    assert refused is not None
    assert refused.code == "audit_unavailable"


async def test_it_is_ready_while_the_journal_is_open(tmp_path: Path) -> None:
    made = policy(tmp_path)
    said = [made.readiness()]
    await made.start()
    said.append(made.readiness())
    await made.stop()
    assert [*said, made.readiness()] == ["the journal is not open", None, "the journal is not open"]


def test_an_exchange_is_not_given_up_before_it_can_have_ended(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"close_after: exchanges can last 190 s"):
        policy(tmp_path, close_after=189)
    assert policy(tmp_path, close_after=190).counters()["refused"] == 0


# What others tell, and what is found again


async def test_what_others_tell_is_recorded(tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.tell(Event("too.early"))
    async with started(tmp_path, recorder) as made:
        assert recorder.is_kept
        recorder.tell(Event("limit.changed", {"by": "ops"}, "1-0"))
        # What cannot be written down is counted: whoever told it has other things to do.
        recorder.tell(Event("limit.changed", {"by": 5}))  # type: ignore[dict-item]
        await recorder.written()
        assert [(one.event, one.by, one.of) for one in written(tmp_path)[1:]] == [("limit.changed", "ops", "1-0")]
        assert made.counters()["unrecorded"] == 1


async def test_what_a_killed_process_may_not_have_settled_is_found_again(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    async with started(first) as made:
        assert await verdict(made, exchange(ALICE, CHAT, OPENAI, RESERVED)) is None
        ended = completion(ALICE, CHAT, OPENAI, RESERVED)
        ended.put(Charged(Portions(40, output=30), Basis.METERED, 1, 210, 4_500))
        await settled(made, ended)
        await made._writer.written()
        # As it stands at this moment: nobody has closed it.
        shutil.copytree(first, second)
    for folder, expected in ((first, []), (second, [Settled("e-1.1", ("t-1", "*"), 1, 210, 4_500)])):
        recorder, found = Recorder(), list[Settled]()
        recorder.on_found(found.extend)
        async with started(folder, recorder):
            assert found == expected
