"""Events on record; and what records say was used, for who settles it again."""

from __future__ import annotations

from typing import Any

import pytest

from extproc.recorder import Event, Settled
from policies.audit.canonical import FIRST, read, seal_members
from policies.audit.happening import happened, settled
from policies.audit.record import SCHEMA, Reserved, Tokens
from tests.policies.audit.world import STAMP, Marked, Plain, closed, closing, decision


def test_an_event_says_what_a_record_has_names_for() -> None:
    values = {"tenant_id": "t-1", "by": "ops", "action": "set", "before": "", "after": "5", "colour": "red"}
    assert happened(Event("limit.changed", values, "1-0"), Plain()) == {
        "kind": "event",
        "event": "limit.changed",
        "level": "info",
        "result": "success",
        "tenant_id": "t-1",
        "by": "ops",
        "action": "set",
        "after": "5",
        "of": "1-0",
    }


def test_an_event_without_values() -> None:
    assert happened(Event("configuration.loaded"), Plain()) == {
        "kind": "event",
        "event": "configuration.loaded",
        "level": "info",
        "result": "success",
    }


def test_every_word_is_looked_at() -> None:
    values = {"request_id": "q-1", "why": "x", "user_id": "alice", "tenant": "contoso", "tenant_id": "t-1"}
    made = happened(Event("limit.changed", values, "1-0"), Marked())
    assert {name: made[name] for name in (*values, "of")} == {
        "request_id": "<q-1>",
        "why": "<x>",
        "user_id": "contoso:alice",
        "tenant": "<contoso>",
        "tenant_id": "<t-1>",
        "of": "<1-0>",
    }
    nameless = happened(Event("limit.changed", {"user_id": "alice", "tenant_id": "t-1"}), Marked())
    assert nameless["user_id"] == "t-1:alice"


@pytest.mark.parametrize(
    ("values", "members"),
    [
        ({"requests": "1", "tokens": "90", "dollars": "7"}, {"requests": 1, "reserved": {"tokens": 90, "dollars": 7}}),
        ({"tokens": "90"}, {"reserved": {"tokens": 90}}),
        ({"requests": "1", "route": "kb"}, {"requests": 1, "route": "kb"}),
        ({"requests": "", "tokens": "-1", "dollars": "1.5"}, {}),
        ({"requests": "many", "tokens": "ninety"}, {}),
    ],
)
def test_what_is_charged(values: dict[str, str], members: dict[str, Any]) -> None:
    bare = happened(Event("limit.lease_expired", {}, "t-1/a"), Plain())
    made = happened(Event("limit.lease_expired", values, "t-1/a"), Plain())
    assert made == bare | members
    line, _ = seal_members(
        {"journal": "gw.0", "sequence": 1, "previous": FIRST, "schema": SCHEMA, "timestamp": STAMP} | made
    )
    record = read(line).record
    assert record.requests == members.get("requests", 0)
    assert record.reserved == (Reserved(**members["reserved"]) if "reserved" in members else None)


@pytest.mark.parametrize(
    "text",
    [
        "005833789186d5605ab57b836dfabe43",
        "005833789186d5605ab57b836dfabe43.1",
        "16223b5e-7f36-5850-bda3-09553ced0b0e/005833789186d5605ab57b836dfabe43",
        "*/005833789186d5605ab57b836dfabe43.12",
        "00583378-9186-5850-bda3-095531234567",
    ],
)
def test_names_that_the_gateway_has_made_are_left_alone(text: str) -> None:
    """One that begins like a telephone number would else be told from the exchange that it is of."""
    names = {"reservation_id": text, "request_id": text, "exchange_id": text}
    made = happened(Event("limit.lease_expired", names, text), Marked())
    assert {name: made[name] for name in (*names, "of")} == {**names, "of": text}


def test_what_a_client_names_so_is_looked_at() -> None:
    made = happened(Event("limit.changed", {"session_id": "0" * 32, "by": "0" * 32}), Marked())
    assert (made["session_id"], made["by"]) == (f"<{'0' * 32}>",) * 2


@pytest.mark.parametrize("text", ["4111 1111 1111 1111", "+493012345678", "005833789186d5605ab57b836dfabe4", "a" * 40])
def test_what_only_looks_so_is_looked_at(text: str) -> None:
    assert happened(Event("limit.lease_expired", {"request_id": text}, text), Marked())["of"] == f"<{text}>"


def test_values_do_not_take_the_place_of_what_the_journal_says_itself() -> None:
    own = ("kind", "event", "level", "result", "journal", "sequence", "previous", "schema", "timestamp", "configuration")
    made = happened(Event("limit.changed", dict.fromkeys(own, "forged"), ""), Plain())
    assert "forged" not in made.values()


@pytest.mark.parametrize(("name", "level"), [("limit.lease_expired", "warning"), ("authentication.accepted", "info")])
def test_what_wants_attention(name: str, level: str) -> None:
    assert happened(Event(name), Plain())["level"] == level


def test_an_event_is_a_record() -> None:
    texts = ("action", "after", "app_id", "before", "by", "caller", "department", "exchange_id", "model", "policy")
    more = ("reason", "request_id", "reservation_id", "session_id", "subject", "tenant", "tenant_id", "tool", "why")
    values = {name: f"a {name}" for name in (*texts, *more, "user_id")}
    members = happened(Event("limit.changed", values, "7"), Plain())
    chained = {"journal": "gw.0", "sequence": 1, "previous": FIRST, "schema": SCHEMA, "timestamp": STAMP}
    record = read(seal_members({**members, **chained})[0]).record
    assert {name: getattr(record, name) for name in values} == values


# What is to be settled again

USED: dict[str, Any] = {
    "reservation_id": "e-1.1",
    "accounts": ("t-1", "*"),
    "requests": 1,
    "tokens": Tokens(input=90, output=30, total=120, weighted=210),
    "cost": "0.004500",
}


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, Settled("e-1.1", ("t-1", "*"), 1, 210, 4_500)),
        # It was refused after it was reserved: nothing was used, and that is to be settled.
        ({"requests": 0, "tokens": None, "cost": ""}, Settled("e-1.1", ("t-1", "*"), 0, 0, 0)),
        ({"cost": ""}, Settled("e-1.1", ("t-1", "*"), 1, 210, 0)),
        ({"reservation_id": ""}, None),
        # Written by who completes, when a lease had long ended.
        ({"recovered": "closing"}, None),
        ({"kind": "decision", "reserved": Reserved(input=5)}, None),
        ({"kind": "event"}, None),
    ],
)
def test_what_was_used_under_a_reservation(changes: dict[str, Any], found: Settled | None) -> None:
    assert list(settled([closing(**{**USED, **changes})])) == ([] if found is None else [found])


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"ending": "client_gone"}, True),
        ({"ending": "timed_out"}, True),
        ({"ending": "refused"}, True),
        # It went up.
        ({"ending": "upstream_cut"}, False),
        ({"ending": "refused", "decision": "allow"}, False),
        ({"ending": "refused", "request_id": ""}, False),
        ({"ending": "refused", "recovered": "closing"}, False),
        ({"ending": "refused", "kind": "decision"}, False),
    ],
)
def test_whose_verdict_did_not_arrive(changes: dict[str, Any], told: bool) -> None:
    """Whatever is reserved for it is given back, also if who was about to say so was killed."""
    expected = [Settled("", (), 0, 0, 0, "q-1")] if told else []
    assert list(settled([closing(**{"decision": "none", **changes})])) == expected


def test_each_closing_is_settled_in_the_order_of_the_record() -> None:
    records = [decision(1), closing(1, **USED), closed(), closing(2, **{**USED, "reservation_id": "e-2.1"})]
    assert [one.reservation for one in settled(records)] == ["e-1.1", "e-2.1"]
    assert list(settled([])) == []
