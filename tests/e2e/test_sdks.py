"""`sluicegate up`, and SDKs that were told nothing but base URL and key: they get their answers, and each is settled."""

from __future__ import annotations

from inspect import isawaitable
from typing import Any, Final

import pytest

from extproc.completion import Meter, Usage
from tests.ai_gateway import PROFILE
from tests.e2e import anthropic_calls, openai_calls
from tests.e2e.gateway import Gateway
from tests.e2e.sdk_calls import Call, Person, Settled, Told

CALLS: dict[Call, Settled] = {**openai_calls.CALLS, **anthropic_calls.CALLS}

METER: Final = Meter.LUA if PROFILE == "plain" else Meter.AI_GATEWAY
TIERS: Final = {
    ("chat", "default"), ("responses", "default"), ("messages", "standard"), ("completions", None), ("embeddings", None),
}  # fmt: skip
"""What the simulator says by default, as its models do: OpenAI outside of its usage, where an SDK's usage has none."""


def _counted(told: dict[str, Any]) -> Usage:
    """The usage on record without its tier, and without saying who counted."""
    return Usage(**{name: value for name, value in told.items() if name not in ("tier", "meter")})


def _name(call: Call) -> str:
    return f"{call.__module__.rpartition('.')[2].removesuffix('_calls')}-{call.__name__}"


async def _make(call: Call, person: Person) -> Told:
    told = call(person)
    return await told if isawaitable(told) else told


@pytest.mark.parametrize("call", CALLS, ids=_name)
async def test_an_sdk_gets_its_answer(gateway: Gateway, call: Call) -> None:
    told = await _make(call, Person(gateway.url, gateway.token("alice")))
    assert told is None or told.input > 0


async def test_every_call_is_settled_once_with_the_usage_that_the_sdk_reported(gateway: Gateway) -> None:
    carol = Person(gateway.url, gateway.token("carol"))
    expected = []
    for call, settled in CALLS.items():
        told = await _make(call, carol)
        expected.append((_name(call), settled.operation, settled.stream, settled.hidden or told))
    lines = gateway.completions("carol", len(CALLS))
    assert len(lines) == len(CALLS)
    assert [
        (name, line["operation"], line["stream"], _counted(line["usage"]) if "usage" in line else None)
        for name, line in zip((name for name, *_ in expected), lines, strict=True)
    ] == expected
    assert {(line["status"], line["tenant"], line["caller"]) for line in lines} == {(200, "contoso", "user")}
    assert {line["usage"]["meter"] for line in lines if "usage" in line} == {METER}
    tiers = {(line["operation"], line["usage"].get("tier")) for line in lines if "usage" in line}
    assert tiers == TIERS


async def test_what_a_client_does_not_ask_for_is_what_it_would_have_been_told(gateway: Gateway) -> None:
    """The table's figure of hidden usage is the SDK's own, of the same prompt."""
    alice = Person(gateway.url, gateway.token("alice"))
    hidden = {settled.hidden for settled in CALLS.values() if settled.hidden is not None}
    assert hidden == {await _make(openai_calls.chat, alice)} == {await _make(openai_calls.completions, alice)}
