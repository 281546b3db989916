"""Every call in the other dialects is one that the simulator answers as it is told to."""

from __future__ import annotations

import random
from typing import Any

import httpx
import orjson
import pytest

from loadtests.chaos.dialects import CALLS, SLOW, Call, beyond_budget
from tests.servers import Simulator

_QUICK = sorted(CALLS.keys() - {"messages, upstream cuts", "messages, upstream fails"})


def asked(simulator: Simulator, call: Call) -> httpx.Response:
    fields = {f"x-sim-{name}": str(value) for name, value in call.wishes.items() if name != "chunk-delay-ms"}
    return httpx.post(simulator.url + call.path, json=call.body, headers=fields)


def usage_of(answer: httpx.Response) -> dict[str, Any]:
    """Of the last event that tells one, or of the whole answer."""
    if "event-stream" not in answer.headers["content-type"]:
        told = [orjson.loads(answer.content)]
    else:
        told = [orjson.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
    found = [usage for one in told if (usage := {**one, **one.get("response", {})}.get("usage"))]
    return dict(found[-1])


@pytest.mark.parametrize("kind", _QUICK)
def test_the_simulator_answers(kind: str, simulator: Simulator) -> None:
    make, _ = CALLS[kind]
    call = make(random.Random(1))
    answer = asked(simulator, call)
    assert answer.status_code == 200, answer.text
    assert ("event-stream" in answer.headers["content-type"]) == bool(call.body.get("stream"))


@pytest.mark.parametrize(
    ("kind", "members"),
    [
        ("messages, cache read", {"cache_read_input_tokens"}),
        ("messages, cache written", {"cache_creation_input_tokens"}),
        ("messages, cache written for an hour", {"cache_creation_input_tokens"}),
        ("messages, cache read and written both ways", {"cache_read_input_tokens", "cache_creation_input_tokens"}),
    ],
)
@pytest.mark.parametrize("seed", range(4))
def test_the_cache_is_told_of(kind: str, members: set[str], seed: int, simulator: Simulator) -> None:
    make, _ = CALLS[kind]
    usage = usage_of(asked(simulator, make(random.Random(seed))))
    told = {name for name in ("cache_read_input_tokens", "cache_creation_input_tokens") if usage[name] > 0}
    assert told == members


@pytest.mark.parametrize("seed", range(4))
def test_the_two_ways_of_writing_are_apart(seed: int, simulator: Simulator) -> None:
    make, _ = CALLS["messages, cache read and written both ways"]
    call = make(random.Random(seed))
    answer = asked(simulator, call._replace(body={**call.body, "stream": False}))
    assert all(count > 0 for count in answer.json()["usage"]["cache_creation"].values())


@pytest.mark.parametrize("kind", ["messages, left midway", "responses, left midway"])
def test_what_is_slow_says_so(kind: str) -> None:
    assert CALLS[kind][0](random.Random(2)).wishes is SLOW


@pytest.mark.parametrize("seed", range(12))
def test_more_is_asked_for_than_the_budget_has(seed: int, simulator: Simulator) -> None:
    call = beyond_budget(random.Random(seed))
    usage = usage_of(asked(simulator, call))
    assert usage.get("output_tokens", usage.get("completion_tokens")) == 400
