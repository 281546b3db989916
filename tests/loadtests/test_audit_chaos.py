"""What the run of the chaos takes for wrong: halves that are missing or too many, and what is on record nowhere."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

import pytest

from loadtests.chaos import books
from loadtests.chaos.books import Exchange, Findings, Journals
from loadtests.chaos.requests import _KINDS, Requests
from loadtests.chaos.traffic import Answer
from policies.audit.journal import JournalWriter
from policies.audit.record import Closed
from tests.policies.audit.journal.written import fields, settings
from tests.policies.audit.world import closing, decision

WHOLE = {"e-1": Exchange([decision()], [closing(requests=1)])}


def answer(status: int = 200, request_id: str = "q-1", *, when: float = 100.0, unavailable: bool = False) -> Answer:
    return Answer("plain", status, request_id, when, whole=True, unavailable=unavailable)


@pytest.mark.parametrize(
    ("decisions", "closings", "wrong"),
    [
        ([decision()], [closing()], 0),
        ([decision()], [], 1),
        ([], [closing()], 1),
        ([decision(), decision()], [closing()], 1),
        ([decision()], [closing(), closing(recovered="closing")], 1),
    ],
)
def test_each_exchange_has_two_halves(decisions: list[Closed], closings: list[Closed], wrong: int) -> None:
    assert len(list(books._halves({"e-1": Exchange(decisions, closings)}))) == wrong


@pytest.mark.parametrize(
    ("told", "deafened", "wrong"),
    [
        (answer(), [], False),
        (answer(request_id="q-2"), [], True),
        # What a policy or an upstream has answered is on record whatever dies.
        (answer(200, "q-2"), [(99.0, 101.0)], True),
        (answer(503, "q-2"), [(99.0, 101.0)], True),
        (answer(503, "q-2", unavailable=True), [(99.0, 101.0)], False),
        (answer(400, ""), [(99.0, 101.0)], False),
        (answer(400, ""), [(80.0, 90.0)], True),
        (answer(400, ""), [], True),
    ],
)
def test_what_was_answered_is_on_record(told: Answer, deafened: list[tuple[float, float]], wrong: bool) -> None:
    assert bool(list(books._unrecorded(WHOLE, [told], deafened))) is wrong


def test_what_reached_the_upstream_counts_once() -> None:
    twice = {"e-1": Exchange([decision()], [closing(requests=1), closing(requests=1)])}
    assert list(books._not_counted(WHOLE, ["q-1"])) == []
    assert len(list(books._not_counted(WHOLE, ["q-1", "q-2"]))) == 1
    assert len(list(books._not_counted(twice, ["q-1"]))) == 1


def test_what_was_charged_is_on_record_as_used() -> None:
    unused = {"e-1": Exchange([decision()], [closing(decision="none")])}
    assert list(books._charged(WHOLE, {"e-1": "q-1"})) == []
    assert len(list(books._charged(unused, {"e-1": "q-1"}))) == 1
    assert len(list(books._charged({}, {"e-1": "q-1"}))) == 1


async def test_a_closing_that_knows_no_decision_belongs_to_that_of_its_request(tmp_path: Path) -> None:
    writer = JournalWriter(settings(tmp_path), time.time)
    await writer.start()
    halves = [
        {"exchange_id": "e-1", "request_id": "q-1", "decision": "allow"},
        {"exchange_id": "s-1", "request_id": "q-1", "decision": "none", "kind": "closing"},
        {"exchange_id": "s-2", "request_id": "q-2", "decision": "none", "kind": "closing"},
        {"exchange_id": "e-3", "request_id": "q-3", "decision": "allow"},
        {"exchange_id": "e-3", "request_id": "q-3", "decision": "allow", "kind": "closing"},
    ]
    for half in halves:
        writer.append(fields(**half))
    await writer.stop(5)
    journals = Journals(tmp_path)
    await asyncio.to_thread(journals.read)
    await asyncio.to_thread(journals.read)
    found = journals.exchanges()
    assert {name: one.whole for name, one in found.items()} == {"e-1": True, "s-2": False, "e-3": True}
    assert len(journals.ids) == len(halves) + 2
    assert len(journals.events) == 2


def test_one_thing_that_is_wrong_is_enough() -> None:
    found = Findings({"requests": 1_000})
    found.check("this", [])
    good = [found.good]
    found.check("that", (f"wrong {number}" for number in range(7)))
    assert [*good, found.good] == [True, False]
    lines = list(found.lines())
    assert lines[:3] == ["| requests | 1,000 |", "| this | yes |", "| that | NO: 7 |"]
    assert len(lines) == 3 + 5


class _Vouching:
    def token(self, user: str, *, tenant: str = "contoso", role: str = "User") -> str:
        return f"{tenant}.{user}.{role}"


def test_every_kind_of_request_is_drawn_and_the_same_again_with_the_same_seed() -> None:
    one, other = (Requests(_Vouching(), random.Random(7)) for _ in range(2))
    drawn = [one.draw() for _ in range(5_000)]
    assert {asked.kind for asked in drawn} == set(_KINDS)
    assert drawn == [other.draw() for _ in range(5_000)]
    for asked in drawn:
        head, _, body = asked.data.partition(b"\r\n\r\n")
        if asked.kind != "no HTTP":
            assert f"content-length: {len(body)}".encode() in head
        assert asked.part is None or asked.part < len(asked.data)
