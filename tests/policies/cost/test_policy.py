"""What is counted of an exchange when it is over."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from extproc.actuals import Basis, Charged
from extproc.call import Call, Operation
from extproc.catalogue import Target
from extproc.completion import Completion, Ending, Usage, Verdict
from extproc.exchange import Dialect, Exchange, Headers, Request
from extproc.identity import Identity
from extproc.outcome import CONTINUE
from extproc.price import Portions
from policies.cost.policy import CostPolicy
from policies.cost.tags import Attribution
from tests.policies.cost.world import ALICE, CHAT, ID, OPENAI, Counted, completion

STREAM = replace(CHAT, stream=True)
TAGS = {"tags": [{"name": "project", "header": "x-project", "values": ["apollo", "gemini"]}]}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def test_tokens_and_cost_of_an_answer() -> None:
    counted = Counted().settle(completion(usage=Usage(100, 20, 120, cached_input=40, reasoning=5)))
    assert counted.count("ai_tokens_total") == {
        ("t-1", "gpt-4o", "input"): 60,
        ("t-1", "gpt-4o", "cached_input"): 40,
        ("t-1", "gpt-4o", "output"): 15,
        ("t-1", "gpt-4o", "reasoning"): 5,
    }
    # 60 x 2.5 + 40 x 1.25 + 20 x 10 micro-dollars.
    assert counted.count("ai_cost_usd_total") == {("t-1", "gpt-4o"): 400}
    assert counted.count("ai_requests_total") == {("t-1", "gpt-4o", "answered"): 1}
    assert counted.count("ai_unpriced_total") == {("no_price",): 0, ("fallback",): 0}


def test_each_token_is_of_one_type() -> None:
    tokens = Portions(1, 2, 4, 8 + 16, 16, 32, 64, 128, 256)
    counted = Counted().settle(completion(ALICE, CHAT, OPENAI, Charged(tokens, Basis.METERED, 1, 0, 7)))
    assert {labels[2]: count for labels, count in counted.count("ai_tokens_total").items()} == {
        "input": 1,
        "cached_input": 2,
        "cache_write": 4,
        "output": 8,
        "reasoning": 16,
        "cache_write_1h": 32,
        "audio_input": 64,
        "audio_output": 128,
    }


def test_what_the_limits_have_charged_is_what_counts() -> None:
    charge = Charged(Portions(7), Basis.ESTIMATE, 1, 7, 1_234, "contract:acme")
    counted = Counted().settle(completion(ALICE, CHAT, OPENAI, charge))
    assert counted.count("ai_cost_usd_total") == {("t-1", "gpt-4o"): 1_234}
    assert counted.count("ai_tokens_total") == {("t-1", "gpt-4o", "input"): 7}


ENDINGS = [
    ({"status": 200}, "answered"),
    ({"status": 429}, "upstream_error"),
    ({"status": 503}, "upstream_error"),
    ({"ending": Ending.UPSTREAM_CUT}, "upstream_cut"),
    ({"ending": Ending.CLIENT_GONE}, "client_gone"),
    ({"ending": Ending.TIMED_OUT}, "timed_out"),
    ({"ending": Ending.UPSTREAM_UNAVAILABLE, "status": 503, "usage": None}, "upstream_unavailable"),
    ({"verdict": Verdict.REJECT, "ending": Ending.REJECTED, "status": 429, "usage": None}, "rejected"),
    ({"verdict": Verdict.RESPOND, "ending": Ending.RESPONDED, "usage": None}, "responded"),
    ({"verdict": Verdict.NONE, "ending": Ending.REFUSED, "status": 413, "usage": None}, "refused"),
]


@pytest.mark.parametrize(("changes", "result"), ENDINGS)
def test_every_exchange_counts_once_by_how_it_ended(changes: dict[str, Any], result: str) -> None:
    counted = Counted().settle(completion(**changes))
    assert counted.count("ai_requests_total") == {("t-1", "gpt-4o", result): 1}
    passed = changes.get("verdict", Verdict.ALLOW) is Verdict.ALLOW
    assert counted.count("ai_request_seconds") == ({("t-1", "gpt-4o"): 1} if passed else {})


@pytest.mark.parametrize(
    ("charge", "reason"),
    [
        (Charged(Portions(5), Basis.METERED, 1, 5, None), "no_price"),
        (Charged(Portions(5), Basis.METERED, 1, 5, 9, "fallback"), "fallback"),
        (Charged(Portions(5), Basis.METERED, 1, 5, 9, "configured"), None),
        (Charged(Portions(), Basis.NOTHING, 1, 0, None), None),
    ],
)
def test_what_has_no_price_of_its_own(charge: Charged, reason: str | None) -> None:
    counted = Counted().settle(completion(ALICE, CHAT, OPENAI, charge))
    expected = {("no_price",): 0, ("fallback",): 0} | ({(reason,): 1} if reason else {})
    assert counted.count("ai_unpriced_total") == expected


@pytest.mark.parametrize(
    ("call", "target", "label"),
    [
        (CHAT, OPENAI, "gpt-4o"),
        (replace(CHAT, model="mini"), OPENAI, "mini"),
        (replace(CHAT, model="gpt-5-of-mine"), OPENAI, "gpt-*"),
        (replace(CHAT, model="made-up"), None, "other"),
        (Call(Operation.AGENT, Dialect.OPENAI, route="kb"), Target("kb", "/x"), "none"),
        (None, None, "none"),
    ],
)
def test_models_are_those_of_the_configuration(call: Call | None, target: Target | None, label: str) -> None:
    facts = [fact for fact in (ALICE, call, target) if fact is not None]
    counted = Counted().settle(completion(*facts, usage=None))
    assert counted.count("ai_requests_total") == {("t-1", label, "answered"): 1}


def test_nobody_is_none() -> None:
    refused = completion(CHAT, verdict=Verdict.REJECT, ending=Ending.REJECTED, status=401)
    assert Counted().settle(refused).count("ai_requests_total") == {("none", "gpt-4o", "rejected"): 1}


def test_no_user_is_in_any_label() -> None:
    counted = Counted(TAGS).settle(completion(replace(ALICE, user="u-s3cret", department="d-s3cret"), CHAT, OPENAI))
    counted.tell()
    assert "s3cret" not in repr(counted.merged.read())


STREAMS = [
    (completion(ALICE, STREAM, OPENAI), 1, 1),
    (completion(ALICE, STREAM, OPENAI, usage=None, output_floor=3), 1, 1),
    (completion(ALICE, STREAM, OPENAI, usage=Usage(100, 1, 101)), 1, 0),
    (completion(ALICE, STREAM, OPENAI, first_byte=None), 0, 0),
    (completion(ALICE, STREAM, OPENAI, status=500), 0, 0),
    (completion(ALICE, STREAM, OPENAI, ending=Ending.CLIENT_GONE), 0, 0),
    (completion(), 0, 0),
]


@pytest.mark.parametrize(("ended", "first", "between"), STREAMS)
def test_the_pace_of_whole_streamed_answers(ended: Completion, first: int, between: int) -> None:
    counted = Counted().settle(ended)
    assert sum(counted.count("ai_time_to_first_token_seconds").values()) == first
    assert sum(counted.count("ai_time_between_tokens_seconds").values()) == between


def test_how_long_it_took_in_microseconds() -> None:
    counted = Counted().settle(completion(ALICE, STREAM, OPENAI, duration=2.15, first_byte=0.25))
    sums = {name: counted.rows(name) for name in ("ai_request_seconds", "ai_time_to_first_token_seconds")}
    assert sums["ai_request_seconds"]["t-1", "gpt-4o"][-1] == 2_150_000
    assert sums["ai_time_to_first_token_seconds"]["gpt-4o",][-1] == 250_000
    assert counted.rows("ai_time_between_tokens_seconds")["gpt-4o",][-1] == 100_000


@pytest.mark.parametrize(
    ("facts", "id", "trace"),
    [((), ID, ID), ((Attribution(TRACE),), ID, TRACE), ((), "stream-id-of-envoy", None)],
)
def test_exemplars_name_the_trace(facts: tuple[object, ...], id: str, trace: str | None) -> None:
    counted = Counted().settle(completion(ALICE, STREAM, OPENAI, *facts, id=id))
    counted.tell()
    found = {one.definition.name: [e.trace for e in one.exemplars.values()] for one in counted.merged.read()}
    expected = [trace] if trace else []
    assert found["ai_request_seconds"] == found["ai_time_to_first_token_seconds"] == expected


@pytest.mark.parametrize(
    ("said", "value"),
    [
        (Attribution(tags=("apollo",)), "apollo"),
        (Attribution(tags=("other",)), "other"),
        (Attribution(TRACE), "none"),
        (Attribution(tags=("a", "b")), "none"),
        (None, "none"),
    ],
)
def test_cost_by_tag(said: Attribution | None, value: str) -> None:
    counted = Counted(TAGS).settle(completion(ALICE, CHAT, OPENAI, *([said] if said is not None else [])))
    assert counted.count("ai_cost_by_tag_usd_total") == {("project", value): 450}


def test_pinned_by_id_or_by_name() -> None:
    counted = Counted({"tenants": 0, "pinned": ["t-2", "contoso"]})
    for tenant, name in (("t-1", "contoso"), ("t-2", "fabrikam"), ("t-3", "acme")):
        counted.settle(completion(replace(ALICE, tenant=tenant, tenant_name=name), CHAT, OPENAI))
    assert {labels[0] for labels in counted.count("ai_cost_usd_total")} == {"t-1", "t-2", "other"}


def test_what_a_request_says_is_remembered_and_nothing_is_decided() -> None:
    counted = Counted(TAGS)
    for fields, said in (
        ((), None),
        ((("x-project", "gemini"), ("traceparent", f"00-{TRACE}-00f067aa0ba902b7-01")), Attribution(TRACE, ("gemini",))),
    ):
        exchange = Exchange("e-1", Request("POST", "/", "", "g", "https", Headers(fields), "q-1"))
        assert counted.policy.on_request_headers(exchange) is CONTINUE
        assert exchange.get(Attribution) == said
    plain = Exchange("e-1", Request("POST", "/", "", "g", "https", Headers(()), "q-1"))
    Counted().policy.on_request_headers(plain)
    assert plain.get(Attribution) is None


def test_it_stands_once_in_a_chain() -> None:
    counted = Counted()
    with pytest.raises(ValueError, match="ranked already"):
        CostPolicy.build(CostPolicy.Settings(), counted.around)


def test_an_identity_without_a_name_is_told_apart_by_its_id() -> None:
    strange = Identity("T" * 200, "u", "a", ALICE.kind)
    assert Counted().settle(completion(strange, CHAT, OPENAI)).count("ai_cost_usd_total") == {("other", "gpt-4o"): 450}
