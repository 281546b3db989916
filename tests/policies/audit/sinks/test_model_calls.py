"""From a record to what is measured of it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given

from policies.audit.record import Closed, Kind, Tokens
from policies.audit.sinks.model_calls import (
    DURATION,
    FIRST_TOKEN,
    INSTRUMENTS,
    PER_TOKEN,
    TOKENS,
    attributes_of,
    is_model_call,
    measured,
)
from tests.policies.audit.sinks.made import records
from tests.policies.audit.sinks.metric_receiver import stream
from tests.policies.audit.sinks.trace_receiver import closing, decision, refused

INPUT, OUTPUT = (("gen_ai.token.type", "input"),), (("gen_ai.token.type", "output"),)
USED = [(TOKENS, 14, INPUT), (TOKENS, 20, OUTPUT)]
WHOLE = (DURATION, 1_200_000, ())
FIRST = (FIRST_TOKEN, 250_000, ())


def failed(word: str) -> tuple[tuple[str, str], ...]:
    return (("error.type", word),)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, [*USED, WHOLE, FIRST, (PER_TOKEN, 50_000, ())]),
        ({"stream": False}, [*USED, WHOLE]),
        ({"tokens": None}, [WHOLE, FIRST]),
        ({"tokens": Tokens(input=3, output=1, total=4)}, [(TOKENS, 3, INPUT), (TOKENS, 1, OUTPUT), WHOLE, FIRST]),
        (
            {"tokens": Tokens(cache_write=1, cache_write_1h=2, audio_input=4, audio_output=8)},
            [(TOKENS, 7, INPUT), (TOKENS, 8, OUTPUT), WHOLE, FIRST, (PER_TOKEN, 135_714, ())],
        ),
        ({"first_byte_us": 0}, [*USED, WHOLE]),
        ({"first_byte_us": 1_300_000}, [*USED, WHOLE, (FIRST_TOKEN, 1_300_000, ()), (PER_TOKEN, 0, ())]),
        ({"result": "failure", "status": 502}, [*USED, (DURATION, 1_200_000, failed("502"))]),
        (
            {"result": "failure", "ending": "timed_out", "status": 504},
            [*USED, (DURATION, 1_200_000, failed("timed_out"))],
        ),
        ({"result": "aborted", "ending": "client_gone"}, [*USED, (DURATION, 1_200_000, failed("client_gone"))]),
        ({"recovered": "closing", "result": "failure", "ending": "lost", "latency_us": 0}, USED),
        ({"recovered": "closing", "result": "failure", "ending": "lost"}, USED),
        ({"latency_us": 0, "tokens": None}, []),
    ],
)
def test_what_is_measured(fields: dict[str, Any], expected: list[Any]) -> None:
    record = stream(1, **fields).record
    assert is_model_call(record)
    assert [(one.instrument, one.value, one.attributes) for one in measured(record)] == expected


@pytest.mark.parametrize(
    "closed",
    [
        decision(1),
        refused(1)[1],
        closing(1, decision="respond"),
        closing(1, decision="none"),
        closing(1, requests=0),
        closing(1, operation="models"),
        closing(1, operation=""),
        closing(1, tool="search"),
        closing(1, kind=Kind.EVENT),
    ],
)
def test_what_is_no_call_of_a_model(closed: Closed) -> None:
    assert not is_model_call(closed.record)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai"}),
        (
            {"operation": "messages", "dialect": "anthropic"},
            {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "anthropic"},
        ),
        ({"operation": "embeddings"}, {"gen_ai.operation.name": "embeddings", "gen_ai.provider.name": "openai"}),
        ({"operation": "agent", "dialect": ""}, {"gen_ai.operation.name": "invoke_agent"}),
    ],
)
def test_what_all_values_have(fields: dict[str, Any], expected: dict[str, str]) -> None:
    assert dict(attributes_of(closing(1, **fields).record)) == expected


def test_boundaries_are_those_of_the_conventions() -> None:
    """https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/."""
    powers = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
    assert list(TOKENS.bounds) == list(map(float, powers))
    assert tuple(0.01 * 2**power for power in range(14)) == DURATION.bounds
    assert [(one.unit, len(one.bounds)) for one in INSTRUMENTS] == [("{token}", 14), ("s", 14), ("s", 16), ("s", 13)]
    for one in INSTRUMENTS:
        assert all(below < above for below, above in pairwise(one.bounds))


@given(records)
def test_any_record_can_be_measured(closed: Closed) -> None:
    for one in measured(closed.record):
        assert one.value >= 0
        assert one.instrument in INSTRUMENTS
