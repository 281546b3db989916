"""A record that was filled in is the record that would have been made, byte for byte."""

from __future__ import annotations

from collections.abc import Hashable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from extproc.actuals import Basis, Charged
from extproc.call import Payload
from extproc.completion import Completion, Decision, Ending
from extproc.exchange import Exchange, Headers, Request
from extproc.price import Portions
from extproc.reservation import Reservation
from policies.audit import closing, deciding
from policies.audit.canonical import FIRST, read, seal_content, seal_members
from policies.audit.form import Form, Forms, Values, form
from policies.audit.record import SCHEMA
from policies.audit.redaction import RedactionSettings, Redactor
from tests.policies.audit.world import ALICE, CHAT, OPENAI, STAMP, completion

WORDS = Redactor(RedactionSettings(), bytes(32))
CHAIN: dict[str, Any] = {"journal": "gw.7", "previous": "ab" * 32, "sequence": 12}
FILLED_CHAIN: Values = ("gw.7", "ab" * 32, "12", STAMP)
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

ids = st.from_regex("[0-9a-f]{32}", fullmatch=True)
uuids = st.from_regex("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", fullmatch=True)
counts = st.integers(0, 2**40)
charges = st.builds(
    Charged,
    st.builds(Portions, *[counts] * 5) | st.builds(Portions, *[st.sampled_from([0, 1, 2**40])] * 9),
    st.sampled_from(Basis),
    st.integers(0, 1),
    counts,
    st.none() | counts,
    st.sampled_from(["", "configured", "contract:a%b", "fallback", "list:genai-prices 0.2.3/priority"]),
)


def made(members: dict[str, Any]) -> bytes:
    """In the ordinary way."""
    return seal_members({**members, "timestamp": STAMP, "schema": SCHEMA, **CHAIN})[0]


def parts(parted: tuple[Hashable, Values] | None) -> tuple[Hashable, Values]:
    assert parted is not None
    return parted


def filled(known: Form | None, values: Values) -> bytes:
    assert known is not None
    return known.seal((*FILLED_CHAIN, *values))[0]


def learned(blanks: tuple[str, ...], alike: Any, members: dict[str, Any]) -> Forms:
    forms = Forms(blanks)
    for _ in range(2):
        forms.learn(alike, {**members, "timestamp": STAMP})
    return forms


@st.composite
def endings(draw: st.DrawFn, name: str) -> tuple[Completion, Charged]:
    """Completions of one caller, of which many are alike."""
    reserved = Reservation(name, ("t-1",), draw(counts), 5, draw(counts), draw(st.integers(1, 3)), draw(counts))
    reserved = replace(reserved, dollars=draw(st.none() | counts))
    ended = completion(ALICE, CHAT, OPENAI, *([reserved] if draw(st.booleans()) else ()))
    return (
        replace(
            ended,
            id=name,
            request_id=draw(uuids),
            path=draw(st.sampled_from(["/v1/chat/completions", '/100%s "quoted" %(id)s', "/é"])),
            status=draw(st.sampled_from([200, 500])),
            ending=draw(st.sampled_from(Ending)),
            duration=draw(st.floats(0, 1e5)),
            first_byte=draw(st.none() | st.floats(0, 1e4)),
            bytes_in=draw(counts),
            bytes_out=draw(counts),
            started=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=draw(st.integers(0, 10**13))),
            decisions=draw(st.sampled_from([(), (Decision("limits", "reject", "x", "50% of it", enforced=False),)])),
        ),
        draw(charges),
    )


@given(st.data(), ids, ids)
def test_a_closing_is_the_same_in_both_ways(data: st.DataObject, first: str, second: str) -> None:
    one, charge = data.draw(endings(first))
    other, charge_of_other = data.draw(endings(second))
    forms = learned(closing.BLANKS, parts(closing.parted(one, charge))[0], closing.closed(one, charge, WORDS))
    # It says what it was made from, and whatever else is alike.
    for ended, spent in ((one, charge), (other, charge_of_other)):
        alike, values = parts(closing.parted(ended, spent))
        known = forms.get(alike)
        if known is not None or ended is one:
            line = filled(known, values)
            assert line == made(closing.closed(ended, spent, WORDS))
            assert read(line).record.exchange_id == ended.id


def asked(name: str, request_id: str, *facts: object, trace: str | None = None) -> Exchange:
    headers = Headers((("traceparent", trace),) if trace is not None else ())
    made = Exchange(name, Request("POST", "/v1/chat/completions", "", "g.example", "https", headers, request_id))
    for fact in (ALICE, CHAT, OPENAI, *facts):
        made.put(fact)
    return made


def told(exchange: Exchange, *decisions: Decision, session: str = "", timings: bool = False) -> dict[str, Any]:
    return deciding.decided(exchange, None, decisions, WORDS, session=session, prompts=False, timings=timings)


parameters = st.dictionaries(
    st.sampled_from(["n", "temperature", "max_tokens", "seed", "service_tier", "messages"]),
    st.sampled_from([None, 1, 1.0, True, "1", 0.5, "50%", {"a": [1]}]),
    max_size=3,
)


@given(ids, ids, uuids, uuids, parameters, parameters, counts, st.booleans(), st.booleans(), st.booleans())
def test_a_decision_is_the_same_in_both_ways(
    first: str,
    second: str,
    request: str,
    request_of_other: str,
    params: dict[str, Any],
    params_of_other: dict[str, Any],
    tokens: int,
    traced: bool,
    traced_other: bool,
    timings: bool,
) -> None:
    one = asked(
        first, request, Payload(params), Reservation(first, ("t-1",), 1, 2, 3), trace=TRACEPARENT if traced else None
    )
    held = Reservation(second, ("t-1",), tokens, 0, tokens, 2, tokens)
    trace = TRACEPARENT.replace("0af", "1bf") if traced_other else None
    other = asked(second, request_of_other, Payload(params_of_other), held, trace=trace)
    other.timings.update(entra=tokens, access=0)
    forms = learned(deciding.BLANKS, parts(deciding.parted(one, (), ""))[0], told(one, timings=timings))
    for exchange in (one, other):
        alike, values = parts(deciding.parted(exchange, (), "", timings=timings))
        known = forms.get(alike)
        if known is not None or exchange is one:
            assert filled(known, values) == made(told(exchange, timings=timings))


@pytest.mark.parametrize(
    ("one", "other"),
    [({"n": 1}, {"n": True}), ({"n": 1}, {"n": 1.0}), ({"n": 1}, {"n": "1"}), ({"n": 1}, {"seed": 1})],
    ids=["true", "fraction", "text", "name"],
)
def test_what_is_equal_and_not_the_same_is_not_alike(one: dict[str, Any], other: dict[str, Any]) -> None:
    name, request = "0" * 32, "00000000-0000-0000-0000-000000000000"
    first, _ = parts(deciding.parted(asked(name, request, Payload(one)), (), ""))
    second, _ = parts(deciding.parted(asked(name, request, Payload(other)), (), ""))
    assert first != second


@pytest.mark.parametrize("name", ["e-1", "0" * 31, '"' * 32, "é" * 32], ids=["short", "cut", "quotes", "accents"])
def test_an_id_that_may_need_escaping_is_not_filled_in(name: str) -> None:
    request = "00000000-0000-0000-0000-000000000000"
    assert deciding.parted(asked(name, request), (), "") is None
    charge = Charged(Portions(), Basis.NOTHING, 0, 0, 0)
    assert closing.parted(replace(completion(ALICE), id=name, request_id=request), charge) is None
    assert deciding.parted(asked("0" * 32, name), (), "") is None
    assert closing.parted(replace(completion(ALICE), id="0" * 32, request_id=name), charge) is None


def test_a_reservation_of_another_name_is_not_filled_in() -> None:
    name, request = "0" * 32, "00000000-0000-0000-0000-000000000000"
    other = Reservation(f"{name}.1", ("t-1",))
    assert deciding.parted(asked(name, request, other), (), "") is None
    ended = replace(completion(ALICE, other), id=name, request_id=request)
    assert closing.parted(ended, Charged(Portions(), Basis.NOTHING, 0, 0, 0)) is None


# Forms

EVENT: dict[str, Any] = {
    "kind": "event",
    "event": "configuration.loaded",
    "level": "info",
    "timestamp": STAMP,
    "tenant": "contoso",
    "why": '100 % "sure" of %(why)s',
}


def test_blanks_are_filled_and_the_rest_stays() -> None:
    known = form(EVENT | {"lost": 3, "tokens": {"input": 1}}, ("timestamp", "lost", "cost", "tokens"))
    assert known.about == ("configuration.loaded", "contoso", "")
    content = (
        '{"event":"configuration.loaded","kind":"event","level":"info","lost":4,"tenant":"contoso","timestamp":"later",'
        '"tokens":{"input":2},"why":"100 % \\"sure\\" of %(why)s"}'
    )
    assert known.seal(("later", "4", "left out", '{"input":2}')) == seal_content(content.encode())


def test_what_was_seen_once_has_no_form() -> None:
    forms = Forms(("timestamp",))
    forms.learn("a", EVENT)
    assert forms.get("a") is None
    forms.learn("b", EVENT)
    forms.learn("a", EVENT)
    assert forms.get("a") is not None
    assert forms.get("b") is None


def test_the_oldest_are_forgotten() -> None:
    forms = Forms(("timestamp",), most=2)
    for name in ("a", "b", "c"):
        forms.learn(name, EVENT)
        forms.learn(name, EVENT)
    assert [forms.get(name) is not None for name in ("a", "b", "c")] == [False, True, True]


def test_what_was_seen_once_is_forgotten_too() -> None:
    forms = Forms(("timestamp",), most=2)
    for name in ("a", "b", "c", "a"):
        forms.learn(name, EVENT)
    assert forms.get("a") is None


@pytest.mark.parametrize(
    "members",
    [
        EVENT | {"unknown": "member"},
        EVENT | {"lost": "three"},
        EVENT | {"params": {"a": 0.5}},
        EVENT | {"timestamp": '2026-01-01T00:00:00.000000Z"'},
        EVENT | {"timestamp": "now"},
    ],
    ids=["unknown", "type", "fraction", "escaped", "pattern"],
)
def test_of_what_is_no_record_no_form_is_made(members: dict[str, Any]) -> None:
    forms = Forms(("timestamp", "journal", "previous", "sequence"))
    for _ in range(3):
        forms.learn("it", members)
    assert forms.get("it") is None


def test_a_blank_that_would_be_escaped_makes_no_form() -> None:
    forms = Forms(("why",))
    for _ in range(3):
        forms.learn("it", EVENT)
    assert forms.get("it") is None


def test_a_form_does_not_hold_the_chain_of_its_record() -> None:
    forms = Forms(("timestamp", "journal", "previous", "sequence"))
    for number in (1, 2):
        forms.learn("it", {**EVENT, "journal": "gw.1", "previous": FIRST, "sequence": number, "schema": SCHEMA})
    assert filled(forms.get("it"), ()) == made(EVENT)
