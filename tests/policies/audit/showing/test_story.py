"""What is told of one request."""

from __future__ import annotations

from typing import Any

import pytest

from policies.audit.record import Record, Said, Tokens
from policies.audit.showing.story import exchanges, tell
from tests.policies.audit.showing.journaled import closed, closing, decision, record, refusal


def told(*records: Record) -> list[str]:
    return [line.strip() for line in tell([closed(one) for one in records])]


def test_a_request_that_was_answered() -> None:
    assert told(decision(1, sequence=4, session_id="s-9"), closing(1, sequence=7)) == [
        "Exchange x-1, request r-1",
        "Decided 2026-11-02 09:30:00.000 UTC.",
        "Sent by user alice through application editor of contoso (t-1).",
        "With department Research, roles TeamLead, session s-9.",
        "It asked for operation chat, model gpt-5 at POST /v1/chat/completions.",
        "It was allowed.",
        "Reserved before it went up: 1,400 tokens (400 for input, 1,000 for output) and $0.0025.",
        "It went to openai.",
        "The answer was delivered whole, with status 200 after 842 ms (first byte after 120 ms)."
        " It was ended by the upstream.",
        "Used: 500 tokens (input 300, cached input 80, output 120, of it reasoning 20), as the provider counted them.",
        "It cost $0.00123.",
        "On record: gw.0 #4, gw.0 #7.",
    ]


def test_a_request_that_was_refused() -> None:
    lines = told(refusal(2))
    assert (
        "It was refused by the policy limits (tokens_per_day_exceeded): contoso/user=alice tokens_per_day: 10,000 of"
        " 10,000 used" in lines
    )
    # Said once.
    assert not any(line.startswith("The policy limits said") for line in lines)
    assert "Its end is not on record: it may still be under way, or be in a journal that is elsewhere." in lines


def test_what_shadow_mode_would_have_refused() -> None:
    said = (Said("too_many", False, "reject", "limits", "61 of 60"),)
    assert "The policy limits said reject (too_many), which was not enforced: 61 of 60" in told(
        decision(1, decisions=said)
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"ending": "client_gone"}, "The client went away before the answer was whole, with status 200 after 842 ms"),
        (
            {"ending": "lost", "recovered": "closing"},
            "No end was ever reported; this was written later, from the decision.",
        ),
        ({"basis": "chunks"}, "at least: counted from the pieces of the answer, since the provider stated none."),
        ({"cost": ""}, "What it cost is not known: its model has no price."),
        ({"tokens": None, "basis": "nothing", "cost": ""}, "Used: no tokens, since nothing reached the provider."),
        ({"details": "via_upstream", "flags": ("UF", "URX")}, "Envoy says: via_upstream, UF, URX."),
        ({"tokens": Tokens(input=5, total=5, weighted=10)}, "Counted against limits: 10 tokens."),
        ({"redacted": True}, "Some of it was replaced before it was written: it was a secret, or of a person."),
        ({"ending": "sideways"}, "It ended: sideways, with status 200"),
    ],
)
def test_endings(fields: dict[str, Any], expected: str) -> None:
    assert any(expected in line for line in told(decision(1), closing(1, **fields)))


def test_an_end_without_a_beginning() -> None:
    lines = told(closing(1))
    assert lines[1] == "Ended 2026-11-02 09:30:01.000 UTC."
    assert "Its decision is not on record." in lines


def test_nobody() -> None:
    unknown = refusal(1, tenant="", tenant_id="", user_id="", app_id="", department="", roles=())
    assert "Nobody is known to have sent it: it was not authenticated." in told(unknown)


@pytest.mark.parametrize(
    ("fields", "by"),
    [
        ({"policy": "gateway", "reason": "unknown_endpoint"}, "It was refused by the gateway itself (unknown_endpoint)"),
        ({"policy": "entra", "reason": "no_token"}, "It was refused by the policy entra (no_token)"),
    ],
)
def test_who_refused(fields: dict[str, Any], by: str) -> None:
    assert any(line.startswith(by) for line in told(refusal(1, why="", **fields)))


def test_what_was_refused_went_nowhere() -> None:
    lines = told(refusal(1, upstream="openai"), closing(1, ending="rejected", status=429, upstream="openai"))
    assert "It would have gone to openai." in lines
    assert not any(line.startswith("It went") for line in lines)


def test_what_ended_before_anybody_was_looked_at() -> None:
    nobody = {"tenant": "", "tenant_id": "", "user_id": "", "app_id": "", "department": "", "roles": ()}
    late = decision(1, 900, decision="none", policy="envoy", reason="too_large", recovered="decision", **nobody)
    lines = told(late, closing(1, started="2026-11-02T09:30:00.000000Z"))
    assert lines[1:3] == [
        "Begun 2026-11-02 09:30:00.000 UTC.",
        "Who sent it is not on record: it ended before that was looked at.",
    ]


def test_an_application_on_its_own() -> None:
    assert "Sent by application editor on its own (as s-1) of contoso (t-1)." in told(
        decision(1, caller="app", user_id="s-1")
    )


def test_the_end_that_was_heard_of_counts() -> None:
    lines = told(decision(1), closing(1, 60, ending="lost", recovered="closing"), closing(1, 61))
    assert any(line.startswith("The answer was delivered whole") for line in lines)


def test_a_reservation_that_was_never_settled() -> None:
    late = record(300, event="limit.lease_expired", reservation_id="v-1", level="warning")
    assert "2026-11-02 09:35:00.000 UTC: its reservation was never settled, and was charged as it was made." in told(
        decision(1), late
    )


def test_one_request_id_sent_twice_is_two_exchanges() -> None:
    late = record(300, event="limit.lease_expired", reservation_id="v-2")
    history = [decision(1), decision(2, request_id="r-1"), closing(1), late, record(400, event="limit.changed")]
    groups = exchanges([closed(one) for one in history])
    assert [[one.record.event for one in group] for group in groups] == [
        ["request.allowed", "request.closed"],
        ["request.allowed", "limit.lease_expired"],
        ["limit.changed"],
    ]


def test_an_event_alone() -> None:
    changed = record(event="limit.changed", before="100", after="200", why="asked for by mail")
    assert told(changed) == ["2026-11-02 09:30:00.000 UTC: limit.changed, 100 -> 200: asked for by mail"]
