"""Facts that travel arrive as they left; garbage is no luggage."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from extproc.call import Call, Endpoint, Operation, OutputCeiling, Payload
from extproc.catalogue import Provider, Target
from extproc.completion import Decision, Verdict
from extproc.exchange import Dialect, Exchange
from extproc.identity import CallerKind, Identity
from extproc.travel import Luggage, Travel, scalars
from tests.extproc.world import exchange

IDENTITY = Identity(
    "t1",
    "u1",
    "a1",
    CallerKind.USER,
    roles=frozenset({"User", "Admin"}),
    scopes=frozenset({"read"}),
    groups=frozenset({"g1", "g2"}),
    groups_known=False,
    tenant_name="Contoso ä",
    department="R&D",
    cost_centre="4711",
    token_id="uti",
)
CALL = Call(
    Operation.CHAT,
    Dialect.OPENAI,
    "gpt-4o",
    stream=True,
    wants_usage=True,
    max_output=5,
    choices=2,
    hosted_tools=("mcp", "x"),
)
TARGET = Target("azure", "/openai/x?api-version=1", Provider.AZURE, "dep")
DECISIONS = (Decision("access", "reject", "model_not_allowed", 'why "ä"\n', enforced=False), Decision("entra", "failed"))


@dataclass(frozen=True, slots=True)
class Price:
    """A fact of a third party."""

    amount: Decimal
    at: datetime
    levels: tuple[tuple[str, int], ...] = ()
    tags: frozenset[str] = frozenset()
    parent: Price | None = None


@dataclass(frozen=True, slots=True)
class Stranger:
    name: str


class Opaque:
    """Nothing that can be written down."""


@dataclass(frozen=True, slots=True)
class Handle:
    """A fact that can be declared, and not written down."""

    thing: Opaque


@dataclass(frozen=True, slots=True)
class Either:
    """A fact that cannot be read back: two dataclasses look the same on the wire."""

    one: Identity | Call


PRICE = Price(Decimal("0.00287500"), datetime(2026, 11, 20, 12, 30, 1, 5, UTC), (("a", 1), ("b", 2)), frozenset({"x"}))


def journey(travel: Travel, *facts: object, decisions: tuple[Decision, ...] = ()) -> Luggage:
    luggage = travel.unpack(travel.pack(with_facts(*facts), decisions))
    assert luggage is not None
    return luggage


def with_facts(*facts: object) -> Exchange:
    made = exchange()
    for fact in facts:
        made.put(fact)
    return made


@pytest.mark.parametrize(
    "fact",
    [
        replace(IDENTITY, groups=frozenset()),
        Identity("t", "u", "a", CallerKind.APP),
        CALL,
        Call(Operation.AGENT, Dialect.OPENAI, route="kb", method="GET", path="/x"),
        TARGET,
        Target("kb", "/"),
        OutputCeiling(7),
    ],
    ids=lambda fact: type(fact).__name__,
)
def test_facts_of_the_host(fact: object) -> None:
    assert journey(Travel(), fact) == Luggage("ex-1", "/v1/chat/completions", (), {type(fact): fact})


def test_all_at_once_with_the_decisions() -> None:
    luggage = journey(Travel([Price]), IDENTITY, CALL, TARGET, OutputCeiling(1), PRICE, decisions=DECISIONS)
    assert luggage.decisions == DECISIONS
    assert list(luggage.facts) == [Identity, Call, Target, OutputCeiling, Price]


def test_marks_ride_along() -> None:
    marked = with_facts(CALL)
    assert "marks" not in Travel().pack(marked, ())
    marked.flag("soft_limit")
    marked.flag("output_clamped")
    # With the facts, without them, and where one of them must be left behind.
    for travel, fact in ((Travel(), None), (Travel([Handle]), Handle(Opaque()))):
        if fact is not None:
            marked.put(fact)
        text = travel.pack(marked, DECISIONS)
        expected = Luggage("ex-1", "/v1/chat/completions", DECISIONS, {Call: CALL}, ("soft_limit", "output_clamped"))
        assert travel.unpack(text) == expected
    unreadable = '{"id":"x","marks":["a","b"],"facts":{"Call":null}}'
    assert Travel().unpack(unreadable) == Luggage("x", "", (), {}, ("a", "b"))


def test_groups_stay_at_home() -> None:
    packed = Travel().pack(with_facts(IDENTITY), ())
    assert "g1" not in packed
    arrived = journey(Travel(), IDENTITY).facts[Identity]
    assert arrived == replace(IDENTITY, groups=frozenset())
    assert arrived.groups_known is False


@pytest.mark.parametrize("fact", [PRICE, Price(Decimal("1E-10"), PRICE.at, parent=PRICE), Price(Decimal(0), PRICE.at)])
def test_facts_of_a_third_party(fact: Price) -> None:
    arrived = journey(Travel([Price]), fact).facts[Price]
    assert arrived == fact
    assert str(arrived.amount) == str(fact.amount)


def test_prompts_and_endpoints_do_not_travel() -> None:
    facts = (Payload({"messages": ["hunter2"]}), Endpoint(Operation.CHAT, Dialect.OPENAI), Stranger("x"))
    assert "hunter2" not in Travel().pack(with_facts(*facts), ())
    assert journey(Travel(), *facts).facts == {}


def test_facts_of_unknown_types_are_left_out() -> None:
    packed = Travel([Price, Stranger]).pack(with_facts(CALL, PRICE, Stranger("x")), ())
    assert Travel().unpack(packed) == Luggage("ex-1", "/v1/chat/completions", (), {Call: CALL})


def test_two_kinds_with_one_name_are_refused() -> None:
    @dataclass(frozen=True)
    class Identity:
        x: int

    with pytest.raises(ValueError, match="two kinds of fact are called Identity"):
        Travel([Identity])


def test_one_kind_twice_is_no_clash() -> None:
    assert journey(Travel([Price, Price, Call]), PRICE).facts == {Price: PRICE}


@pytest.mark.parametrize("fact", [Handle(Opaque()), Opaque(), Either(CALL), Stranger("\ud800")])
def test_a_fact_that_cannot_be_written_down_keeps_no_other_back(fact: object) -> None:
    travel = Travel([Handle, Opaque, Either, Stranger])
    luggage = journey(travel, CALL, fact, OutputCeiling(1), decisions=DECISIONS)
    assert luggage == Luggage("ex-1", "/v1/chat/completions", DECISIONS, {Call: CALL, OutputCeiling: OutputCeiling(1)})


GARBAGE = [
    "",
    " ",
    "null",
    "[]",
    "{}",
    '"x"',
    "1",
    "{",
    '{"id":1}',
    '{"id":null}',
    '{"id":"x","facts":[]}',
    '{"id":"x","facts":null}',
    '{"id":"x","decisions":{}}',
    '{"id":"x","decisions":[{"policy":1}]}',
    '{"id":"x"} trailing',
    '{"id":"x","marks":"soft"}',
    '{"id":"x","marks":[1]}',
    '{"id":"x","facts":{"q":' + "[" * 100_000,
    '{"id":"x","facts":{"q":' + "[" * 100_000 + "]" * 100_000 + "}}",
    "NaN",
    "\0",
]


@pytest.mark.parametrize("text", GARBAGE, ids=lambda text: repr(text[:60]))
def test_garbage_is_no_luggage(text: str) -> None:
    assert Travel([Price]).unpack(text) is None


UNREADABLE = [
    ("Call", "null"),
    ("Call", "{}"),
    ("Call", '{"operation":"fly","dialect":"openai"}'),
    ("Call", '{"operation":"chat","dialect":"openai","choices":"2"}'),
    ("Identity", '{"tenant":"t","user":"u","app":"a","kind":"god"}'),
    ("Identity", '{"tenant":"t","user":"u","app":"a","kind":"user","roles":"Admin"}'),
    ("Target", '{"upstream":1}'),
    ("Price", '{"amount":"x","at":"2026-11-20T00:00:00Z"}'),
    ("Price", '{"amount":"1","at":"yesterday"}'),
    ("Picky", '{"amount":-1}'),
]


@dataclass(frozen=True)
class Picky:
    """A fact with checks of its own."""

    amount: int

    def __post_init__(self) -> None:
        if self.amount < 0:
            raise RuntimeError("s3cret")


@pytest.mark.parametrize(("name", "raw"), UNREADABLE)
def test_a_fact_that_cannot_be_read_keeps_no_other_back(name: str, raw: str, caplog: pytest.LogCaptureFixture) -> None:
    text = f'{{"id":"x","path":"/p","facts":{{"{name}":{raw},"OutputCeiling":{{"tokens":1}}}}}}'
    assert Travel([Price, Picky]).unpack(text) == Luggage("x", "/p", (), {OutputCeiling: OutputCeiling(1)})
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        f"a fact of type {name} cannot be read"
    ]
    assert "s3cret" not in caplog.text


def test_what_a_later_version_adds_is_ignored() -> None:
    text = json.dumps({"id": "x", "new": 1, "facts": {"OutputCeiling": {"tokens": 1, "new": 2}, "New": {"a": 1}}})
    assert Travel().unpack(text) == Luggage("x", "", (), {OutputCeiling: OutputCeiling(1)})


@given(st.text(max_size=60))
def test_any_text_is_luggage_or_none(text: str) -> None:
    Travel().unpack(text)


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
identities = st.builds(
    Identity,
    tenant=words,
    user=words,
    app=words,
    kind=st.sampled_from(CallerKind),
    roles=st.frozensets(words, max_size=3),
    scopes=st.frozensets(words, max_size=3),
    groups_known=st.booleans(),
    department=words,
)
calls = st.builds(
    Call,
    operation=st.sampled_from(Operation),
    dialect=st.sampled_from(Dialect),
    model=st.none() | words,
    stream=st.booleans(),
    max_output=st.none() | st.integers(0, 10_000_000),
    hosted_tools=st.lists(words, max_size=3).map(tuple),
)
prices = st.builds(
    Price,
    amount=st.decimals(allow_nan=False, allow_infinity=False),
    at=st.datetimes(timezones=st.just(UTC)),
    levels=st.lists(st.tuples(words, st.integers(-(2**63), 2**63)), max_size=3).map(tuple),
)


@given(identities, calls, prices)
def test_whatever_the_facts(identity: Identity, call: Call, price: Price) -> None:
    assert journey(Travel([Price]), identity, call, price).facts == {Identity: identity, Call: call, Price: price}


CHAT = Call(Operation.CHAT, Dialect.OPENAI, "m", stream=True)


def told(entries: bytes) -> dict[str, Any]:
    fields = Struct.FromString(entries).fields
    return {name: getattr(value, str(value.WhichOneof("kind"))) for name, value in fields.items()}


@pytest.mark.parametrize(
    ("facts", "verdict", "expected"),
    [
        ((), Verdict.REJECT, {"verdict": "reject"}),
        ((IDENTITY,), Verdict.REJECT, {"verdict": "reject", "tenant": "t1", "user": "u1"}),
        ((CHAT,), Verdict.REJECT, {"verdict": "reject", "operation": "chat", "model": "m"}),
        ((CHAT,), Verdict.RESPOND, {"verdict": "respond", "operation": "chat", "model": "m"}),
        (
            (IDENTITY, CHAT, TARGET),
            Verdict.ALLOW,
            {
                "verdict": "allow",
                "tenant": "t1",
                "user": "u1",
                "operation": "chat",
                "model": "m",
                "meter": "openai_chat",
                "stream": True,
                "hide_usage": True,
                "upstream": "azure",
            },
        ),
        (
            (replace(CHAT, wants_usage=True),),
            Verdict.ALLOW,
            {
                "verdict": "allow",
                "operation": "chat",
                "model": "m",
                "meter": "openai_chat",
                "stream": True,
                "hide_usage": False,
            },
        ),
        (
            (Call(Operation.AGENT, Dialect.OPENAI, route="kb"), Target("kb", "/")),
            Verdict.ALLOW,
            {"verdict": "allow", "operation": "agent", "upstream": "kb"},
        ),
    ],
)
def test_scalars(facts: tuple[object, ...], verdict: Verdict, expected: dict[str, Any]) -> None:
    assert told(scalars(with_facts(*facts), verdict)) == expected


@pytest.mark.parametrize(
    ("operation", "meter"),
    [
        (Operation.CHAT, "openai_chat"),
        (Operation.COMPLETIONS, "openai_completions"),
        (Operation.RESPONSES, "openai_responses"),
        (Operation.EMBEDDINGS, "openai_embeddings"),
        (Operation.MESSAGES, "anthropic_messages"),
        (Operation.COUNT_TOKENS, None),
        (Operation.OPAQUE, None),
        (Operation.AGENT, None),
        (Operation.MODELS, None),
    ],
)
def test_meters(operation: Operation, meter: str | None) -> None:
    assert told(scalars(with_facts(Call(operation, Dialect.OPENAI)), Verdict.ALLOW)).get("meter") == meter
