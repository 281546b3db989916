"""What Envoy AI Gateway tells the access log: counts in the meaning of the caller's dialect, its backend and route."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.access_log import read_entry
from extproc.call import Operation
from extproc.completion import Completion, Meter, Usage
from extproc.exchange import Dialect
from extproc.price import portions
from extproc.travel import Travel
from tests.extproc.test_access_log import CALL, with_metadata

COUNTS = st.integers(0, 2**28).map(float)


def read(dialect: Dialect, operation: Operation = Operation.CHAT, **values: Any) -> Completion:
    """What is read of an exchange in this dialect of which AI Gateway tells this."""
    call = msgspec.structs.replace(CALL, dialect=dialect, operation=operation)
    facts = {"id": "ex-1", "facts": {"Call": call}}
    ours = {"verdict": "allow", "facts": msgspec.json.encode(facts).decode()}
    found = read_entry(with_metadata(sluicegate=ours, io__envoy__ai_gateway=values), Travel())
    assert found is not None
    assert found.call is not None
    return found


CACHED: dict[str, Any] = {
    "llm_input_token": 100.0,
    "llm_output_token": 20.0,
    "llm_total_token": 120.0,
    "llm_cached_input_token": 60.0,
    "llm_cache_creation_input_token": 10.0,
}


def test_cached_input_is_inside_the_input_for_openai_and_beside_it_for_anthropic() -> None:
    assert read(Dialect.OPENAI, **CACHED).usage == Usage(100, 20, 120, 60, 10, meter=Meter.AI_GATEWAY)
    assert read(Dialect.ANTHROPIC, **CACHED).usage == Usage(30, 20, 120, 60, 10, meter=Meter.AI_GATEWAY)


@given(plain=COUNTS, cached=COUNTS, written=COUNTS, output=COUNTS.filter(bool))
def test_an_exchange_costs_the_same_in_either_dialect(plain: float, cached: float, written: float, output: float) -> None:
    told: dict[str, Any] = {
        "llm_input_token": plain + cached + written,
        "llm_output_token": output,
        "llm_cached_input_token": cached,
        "llm_cache_creation_input_token": written,
    }
    billed = []
    for dialect in (Dialect.OPENAI, Dialect.ANTHROPIC):
        usage = read(dialect, **told).usage
        assert usage is not None
        billed.append(portions(usage, dialect))
    assert billed[0] == billed[1]
    assert (billed[0].input, billed[0].cached_input, billed[0].cache_write) == (plain, cached, written)


def test_more_cached_than_there_was_input_is_no_negative_input() -> None:
    usage = read(Dialect.ANTHROPIC, **CACHED | {"llm_input_token": 5.0}).usage
    assert usage is not None
    assert usage.input == 0


def test_where_it_says_nothing_of_tokens_ours_count() -> None:
    """It says 0 of an answer without usage."""
    nothing: dict[str, Any] = {"llm_input_token": 0.0, "llm_output_token": 0.0, "llm_total_token": 0.0}
    assert read(Dialect.OPENAI, **nothing).usage is None
    lua = {"input": 3.0, "output": 4.0}
    both = read_entry(with_metadata(sluicegate__usage=lua, io__envoy__ai_gateway=nothing), Travel())
    assert both is not None
    assert both.usage == Usage(3, 4, 7)


def test_a_part_that_it_leaves_out_is_ours() -> None:
    """It knows no thinking of Anthropic's, and no writes to OpenAI's cache."""
    lua = {"input": 50.0, "output": 20.0, "cached_input": 9.0, "cache_write": 4.0, "reasoning": 15.0}
    gateway = {"llm_input_token": 50.0, "llm_output_token": 20.0, "llm_total_token": 70.0, "llm_cached_input_token": 8.0}
    found = read_entry(with_metadata(sluicegate__usage=lua, io__envoy__ai_gateway=gateway), Travel())
    assert found is not None
    assert found.usage == Usage(50, 20, 70, 8, 4, 15, meter=Meter.AI_GATEWAY)


def test_to_count_tokens_uses_none() -> None:
    assert read(Dialect.ANTHROPIC, Operation.COUNT_TOKENS, llm_input_token=9.0, llm_output_token=0.0).usage is None


def test_input_alone_is_a_count() -> None:
    assert read(Dialect.OPENAI, llm_input_token=9.0, llm_output_token=0.0).usage == Usage(9, 0, 9, meter=Meter.AI_GATEWAY)


@pytest.mark.parametrize(
    ("told", "backend", "route"),
    [
        ({"backend_name": "ns/up/route/llm/rule/0/ref/1"}, "ns/up", "ns/llm"),
        (
            {"ai_service_backend_name": "ns/up", "route_name": "ns/llm", "backend_name": "a/b/route/c/rule/0/ref/0"},
            *("ns/up", "ns/llm"),
        ),
        ({"backend_name": "up"}, None, None),
        ({"backend_name": "ns/up/route/llm"}, None, None),
        ({"backend_name": 7.0}, None, None),
        ({}, None, None),
    ],
    ids=["before the answer", "with the answer", "of another form", "a part", "no name", "nothing"],
)
def test_backend_and_route(told: dict[str, Any], backend: str | None, route: str | None) -> None:
    found = read(Dialect.OPENAI, **told)
    assert (found.backend, found.route) == (backend, route)


@pytest.mark.parametrize(
    ("verdict", "details", "sent", "unsent"),
    [
        # It refuses a body that it cannot read, or has no translation: no provider was asked.
        ("allow", "", None, True),
        ("allow", "ext_proc_error_gRPC_error_2{cannot_set_backend}", None, True),
        # Its filter may fail when the provider has long begun.
        ("allow", "ext_proc_error_gRPC_error_14", 5_000_000, False),
        ("none", "", None, False),
        ("reject", "sluicegate_no", None, False),
        ("allow", "via_upstream", 5_000_000, False),
        # Of other ends it is not asked: they say by themselves what may have been used.
        ("allow", "via_upstream", None, False),
        ("allow", "downstream_remote_disconnect", None, False),
    ],
)
def test_what_it_refuses_may_never_have_gone_up(verdict: str, details: str, sent: int | None, unsent: bool) -> None:
    entry = with_metadata(sluicegate={"verdict": verdict, "facts": "{}"})
    entry.response.response_code_details = details
    common = entry.common_properties
    for field in ("upstream_cluster", "time_to_first_upstream_tx_byte"):
        common.ClearField(field)
    if sent is not None:
        common.time_to_first_upstream_tx_byte.FromNanoseconds(sent)
    found = read_entry(entry, Travel())
    assert found is not None
    assert found.unsent is unsent
