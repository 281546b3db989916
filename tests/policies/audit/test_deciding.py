"""What a decision says: who, what, how it was decided and by whom; and no word of a client that was not looked at."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from extproc.call import Call, Endpoint, Operation, Payload
from extproc.completion import Decision
from extproc.exchange import Dialect, Exchange
from extproc.identity import CallerKind
from extproc.outcome import Reject, Respond
from extproc.reservation import Reservation
from policies.audit.canonical import FIRST, read, seal_members
from policies.audit.deciding import decided, held, params, refused, request_name, said, what, who
from policies.audit.record import SCHEMA, Record, Reserved, Said
from policies.audit.redaction import RedactionSettings, Redactor
from policies.audit.words import Words
from tests.policies.audit.world import ALICE, CHAT, OPENAI, RESERVED, STAMP, Marked, Plain, exchange

BARE = {
    "kind": "decision",
    "exchange_id": "e-1",
    "request_id": "q-1",
    "http.request.method": "POST",
    "url.path": "/v1/chat/completions",
}
ALLOWED = {"event": "request.allowed", "level": "info", "decision": "allow", "result": "success"}
REDACTOR = Redactor(RedactionSettings(), bytes(32))
TRACE = "0af7651916cd43dd8448eb211c80319c"


def of(
    asked: Exchange,
    outcome: Reject | Respond | None = None,
    *decisions: Decision,
    words: Words | None = None,
    session: str = "",
    prompts: bool = False,
) -> dict[str, Any]:
    return decided(asked, outcome, decisions, words or Plain(), session=session, prompts=prompts)


def as_record(members: dict[str, Any]) -> Record:
    """As it is written and read back."""
    chained = {"journal": "gw.0", "sequence": 1, "previous": FIRST, "schema": SCHEMA, "timestamp": STAMP}
    return read(seal_members({**members, **chained})[0]).record


# The verdict


def test_an_exchange_of_which_nothing_is_known() -> None:
    """The query may hold a credential: it stands nowhere."""
    assert of(exchange()) == BARE | ALLOWED


@pytest.mark.parametrize(
    ("status", "event", "level"),
    [
        (400, "request.refused", "warning"),
        (401, "authentication.refused", "warning"),
        (403, "access.refused", "warning"),
        (404, "request.refused", "warning"),
        (429, "limit.reached", "warning"),
        (499, "request.refused", "warning"),
        (500, "request.refused", "error"),
        (503, "request.refused", "error"),
    ],
)
def test_what_a_refusal_is(status: int, event: str, level: str) -> None:
    made = of(exchange(), Reject(status, "no", "A message for the caller.", why="not recorded from here"))
    refused = {"event": event, "level": level, "decision": "reject", "result": "refused", "reason": "no"}
    assert made == BARE | refused | {"http.response.status_code": status}


def test_an_answer_of_the_gateway() -> None:
    answered = {"event": "request.responded", "level": "info", "decision": "respond", "result": "success"}
    assert of(exchange(), Respond(b'{"secret":1}')) == BARE | answered


NO = Reject(403, "not_you", "No.")
SHADOWED = Decision("limits", "reject", "tokens_per_day", "used up", enforced=False)


@pytest.mark.parametrize(
    ("decisions", "policy", "why"),
    [
        ((Decision("access", "reject", "not_you", "no role"),), "access", "no role"),
        # Who refused is the last whose word counted.
        ((SHADOWED, Decision("access", "reject", "not_you")), "access", None),
        ((Decision("access", "reject", "not_you", "no role"), SHADOWED), "access", "no role"),
        (
            (Decision("a", "failed", "policy_failed", "OSError"), Decision("a", "reject", "x", "a: OSError")),
            "a",
            "a: OSError",
        ),
        ((SHADOWED,), None, None),
        ((), None, None),
    ],
)
def test_who_refused_and_why(decisions: tuple[Decision, ...], policy: str | None, why: str | None) -> None:
    made = of(exchange(), NO, *decisions)
    assert (made.get("policy"), made.get("why")) == (policy, why)
    assert len(made.get("decisions", [])) == len(decisions)


def test_what_was_said_and_did_not_count_is_recorded_of_what_passes() -> None:
    made = of(exchange(), None, SHADOWED)
    assert "policy" not in made
    assert as_record(made).decisions == (Said("tokens_per_day", False, "reject", "limits", "used up"),)


# Who, what, and what is held for it


def test_all_that_is_known_is_recorded() -> None:
    headers = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
    asked = exchange(ALICE, CHAT, OPENAI, RESERVED, Payload({"model": "gpt-4o", "seed": 7}), headers=headers)
    asked.flag("soft_limit")
    record = as_record(of(asked, session="s-1"))
    expected: dict[str, Any] = {
        "tenant_id": "t-1",
        "tenant": "contoso",
        "user_id": "alice",
        "app_id": "chat-ui",
        "caller": "user",
        "operation": "chat",
        "dialect": "openai",
        "model": "gpt-4o",
        "upstream": "openai",
        "session_id": "s-1",
        "marks": ("soft_limit",),
        "trace_id": TRACE,
        "reservation_id": "e-1.1",
        "accounts": ("t-1", "*"),
        "reserved": Reserved(4_250, 100, 800, 900),
        "params": {"seed": 7},
    }
    assert {name: getattr(record, name) for name in expected} == expected


def test_where_there_is_no_call_yet_its_endpoint_is_known() -> None:
    endpoint = Endpoint(Operation.MESSAGES, Dialect.ANTHROPIC, has_payload=True)
    made = of(exchange(endpoint), NO)
    assert (made["operation"], made["dialect"]) == ("messages", "anthropic")
    both = of(exchange(endpoint, CHAT))
    assert (both["operation"], both["dialect"]) == ("chat", "openai")


@pytest.mark.parametrize(
    ("call", "members"),
    [
        (CHAT, {"operation": "chat", "dialect": "openai", "model": "<gpt-4o>"}),
        (replace(CHAT, stream=True), {"operation": "chat", "dialect": "openai", "model": "<gpt-4o>", "stream": True}),
        (
            Call(Operation.AGENT, Dialect.OPENAI, route="kb", method="GET", path="/secret"),
            {"operation": "agent", "dialect": "openai", "route": "kb"},
        ),
    ],
)
def test_what_is_called(call: Call, members: dict[str, Any]) -> None:
    assert what(call, Marked()) == members


def test_who_calls() -> None:
    rich = replace(
        ALICE,
        kind=CallerKind.APP,
        roles=frozenset({"User", "Admin"}),
        groups=frozenset({"g"}),
        department="R&D",
        cost_centre="42",
    )
    assert dict(who(rich, Marked())) == {
        "tenant_id": "t-1",
        "tenant": "contoso",
        "user_id": "contoso:alice",
        "app_id": "chat-ui",
        "caller": "app",
        # In one order, whatever that of the set is.
        "roles": ("Admin", "User"),
        "department": "R&D",
        "cost_centre": "42",
    }
    assert who(replace(ALICE, tenant_name=""), Marked())["user_id"] == "t-1:alice"


def test_two_redactions_of_one_caller_are_told_apart() -> None:
    """What is remembered of a caller is remembered for these words."""
    marked, plain = Marked(), Plain()
    assert (who(ALICE, marked)["user_id"], who(ALICE, plain)["user_id"]) == ("contoso:alice", "alice")
    assert who(ALICE, marked)["user_id"] == "contoso:alice"


@pytest.mark.parametrize(("dollars", "reserved"), [(None, Reserved(None, 5)), (0, Reserved(0, 5)), (7, Reserved(7, 5))])
def test_what_has_no_price_is_told_from_what_is_free(dollars: int | None, reserved: Reserved) -> None:
    members = of(exchange(Reservation("r", ("t-1",), 5, dollars=dollars)))
    assert as_record(members).reserved == reserved
    assert held(Reservation("r"))["accounts"] == ()


def test_what_policies_said_in_their_order() -> None:
    both = [Decision("a", "reject", "x", "why"), SHADOWED]
    assert [(one["policy"], one["code"], one["why"], one["enforced"]) for one in said(both, Plain())] == [
        ("a", "x", "why", True),
        ("limits", "tokens_per_day", "used up", False),
    ]


# A client's words


def test_every_word_of_a_client_is_looked_at() -> None:
    asked = exchange(ALICE, CHAT, Payload({"model": "gpt-4o", "n": 1}))
    made = of(asked, words=Marked(), session="s-1")
    expected = {
        "request_id": "<q-1>",
        "http.request.method": "<POST>",
        "url.path": "</v1/chat/completions>",
        "model": "<gpt-4o>",
        "session_id": "<s-1>",
        "user_id": "contoso:alice",
        "params": {"redacted": {"n": 1}},
    }
    assert {name: made[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("0af76519-16cd-43dd-8448-eb211c80319c", "0af76519-16cd-43dd-8448-eb211c80319c"),
        ("0AF76519-16CD-43DD-8448-EB211C80319C", "<0AF76519-16CD-43DD-8448-EB211C80319C>"),
        ("0af76519-16cd-43dd-8448-eb211c80319c0", "<0af76519-16cd-43dd-8448-eb211c80319c0>"),
        ("alice@contoso.com", "<alice@contoso.com>"),
        ("", "<>"),
    ],
)
def test_only_ids_that_envoy_makes_are_not_looked_at(text: str, name: str) -> None:
    assert request_name(text, Marked()) == name


PAYLOAD: dict[str, Any] = {
    "model": "gpt-4o",
    "messages": [{"role": "user", "content": "a prompt"}],
    "system": "a prompt",
    "tools": [{"a": "prompt"}],
    "temperature": 0,
    "n": 2,
    "seed": None,
    "user": "alice@contoso.com",
    "metadata": {"a": "b"},
    "unheard_of": "a prompt",
}


def test_prompts_are_recorded_only_where_they_may_be() -> None:
    assert params(PAYLOAD, Plain(), prompts=False) == {"temperature": 0, "n": 2}
    with_prompts = params(PAYLOAD, Plain(), prompts=True)
    assert with_prompts == {name: PAYLOAD[name] for name in ("temperature", "n", "messages", "system", "tools")}
    assert params(PAYLOAD, Marked(), prompts=True) == {"redacted": with_prompts}
    assert "a prompt" not in str(of(exchange(Payload(PAYLOAD))))
    assert "a prompt" in str(of(exchange(Payload(PAYLOAD)), prompts=True))


@pytest.mark.parametrize("members", [{}, {"model": "x"}, {"messages": []}, {"n": None}])
def test_where_nothing_was_asked_for_there_are_no_parameters(members: dict[str, Any]) -> None:
    assert "params" not in of(exchange(Payload(members)))


class Giving(Plain):
    """Gives up on every value."""

    def tree(self, value: Any) -> Any:
        return "[too deep]"


def test_parameters_that_cannot_be_looked_at_are_left_out() -> None:
    assert "params" not in of(exchange(Payload(PAYLOAD)), words=Giving())


@pytest.mark.parametrize(
    ("header", "known"), [(f"00-{TRACE}-b7ad6b7169203331-00", TRACE), (f"00-{TRACE.upper()}-b7ad6b7169203331-01", "")]
)
def test_the_trace_that_a_client_has_begun_is_recorded(header: str, known: str) -> None:
    assert of(exchange(headers={"traceparent": header})).get("trace_id", "") == known


# Whatever a client sends, there is a record of it

WORDS: Words = Redactor(RedactionSettings(), b"k" * 32)
TEXT = st.text(max_size=20)
SMALL = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(TEXT, TEXT, TEXT, st.dictionaries(st.sampled_from(["messages", "seed", "tools", "n", "tool_choice"]), SMALL))
def test_whatever_a_client_sends_can_be_recorded(path: str, model: str, session: str, members: dict[str, Any]) -> None:
    """What cannot be recorded is refused: nobody may be refused for the form of his words."""
    asked = exchange(ALICE, replace(CHAT, model=model), Payload(members), path=path)
    record = as_record(of(asked, words=WORDS, session=session, prompts=True))
    assert (record.exchange_id, record.decision) == ("e-1", "allow")


# What a client may do with it


@pytest.mark.parametrize("amount", [5_000, 2_000_000])
def test_however_much_a_client_sends_the_record_is_small(amount: int) -> None:
    much = {"model": "m", "max_tokens": 5, "tool_choice": ["1-" * 500] * (amount // 1_000), "service_tier": "1" * amount}
    call = replace(CHAT, model="1-" * amount)
    asked = exchange(call, Payload(much), path="/" + "1-" * amount)
    asked.request = replace(asked.request, method="A" * amount, request_id="1-" * amount)
    made = of(asked, words=REDACTOR)
    assert len(str(made)) < 2_000
    assert made["model"] == f"[too long: {2 * amount} characters]"
    assert made["params"] == {"max_tokens": 5, "tool_choice": "[too long]", "service_tier": "[too long]"}


def test_what_policies_say_may_quote_the_client_and_is_looked_through() -> None:
    path = "/v1/sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGH"
    refused = Reject(404, "unknown_endpoint", "There is none.", why=f"POST {path}")
    made = of(exchange(path=path), refused, Decision("gateway", "reject", refused.code, refused.why), words=REDACTOR)
    assert "sk-proj" not in str(made)
    assert made["why"] == made["decisions"][0]["why"] == f"POST {made['url.path']}"


@pytest.mark.parametrize("before", range(90, 128, 4))
def test_a_session_is_cut_when_its_secrets_are_out(before: int) -> None:
    session = "s" * before + " sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGH"
    made = of(exchange(), session=session, words=REDACTOR)["session_id"]
    assert len(made) <= 128
    assert "sk" not in made


# Who is refused after all

FULL = Reject(503, "audit_unavailable", "Try again later.", why="the disk is full")


def test_who_is_refused_after_all_has_nothing_reserved() -> None:
    said_before = Decision("cache", "failed", "policy_failed", enforced=False)
    passed = of(exchange(ALICE, CHAT, OPENAI, RESERVED), None, said_before)
    found = as_record(refused(passed, FULL, "audit", Plain()))
    assert (found.event, found.decision, found.result, found.level) == ("request.refused", "reject", "refused", "error")
    assert (found.reason, found.policy, found.why, found.status) == (
        *("audit_unavailable", "audit", "the disk is full"),
        503,
    )
    assert [(one.policy, one.outcome) for one in found.decisions] == [("cache", "failed"), ("audit", "reject")]
    assert (found.reservation_id, found.accounts, found.reserved) == ("", (), None)
    assert (found.user_id, found.model, found.upstream) == ("alice", "gpt-4o", "openai")
    # What it was made of is left alone.
    assert passed["decision"] == "allow"


def test_who_was_refused_already_was_refused_for_that() -> None:
    before = of(exchange(ALICE), Reject(403, "no_role", "No."), Decision("access", "reject", "no_role"))
    assert refused(before, FULL, "audit", Plain()) == before
