"""What is billed apart from plain tokens, out of access log entries: only our own meter reads it."""

from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.access_log import read_entry
from extproc.completion import Meter, Usage
from extproc.protos import Message
from extproc.travel import Travel
from tests.extproc.test_access_log import with_metadata

PARTS: Final[dict[str, Any]] = {
    "cache_write_1h": 3.0,
    "audio_input": 4.0,
    "audio_output": 5.0,
    "tool_calls": 6.0,
    "tier": "priority",
}
COUNTS: Final = [name for name in PARTS if name != "tier"]


def usage_of(made: Message) -> Usage | None:
    read = read_entry(made, Travel())
    assert read is not None
    return read.usage


def of_lua(**values: Any) -> Usage | None:
    return usage_of(with_metadata(sluicegate__usage={"input": 10.0, "output": 20.0, **values}))


def test_all_of_them() -> None:
    assert of_lua(cache_write=7.0, **PARTS) == Usage(
        10, 20, 30, cache_write=7, cache_write_1h=3, audio_input=4, audio_output=5, tool_calls=6, tier="priority"
    )


@pytest.mark.parametrize("name", PARTS)
def test_each_alone(name: str) -> None:
    value = PARTS[name]
    expected: dict[str, Any] = {name: value if name == "tier" else int(value)}
    assert of_lua(**{name: value}) == Usage(10, 20, 30, **expected)


@pytest.mark.parametrize("value", [0.0, None, [1.0], {"a": 1.0}], ids=str)
@pytest.mark.parametrize("name", COUNTS)
def test_what_is_not_there_is_none(name: str, value: Any) -> None:
    others = {other: PARTS[other] for other in PARTS if other != name}
    expected: dict[str, Any] = {other: count if other == "tier" else int(count) for other, count in others.items()}
    assert of_lua(**others, **{name: value}) == Usage(10, 20, 30, **expected)


@pytest.mark.parametrize("value", [-1.0, 1e9 + 1, 1e300, "12", "", True], ids=str)
@pytest.mark.parametrize("name", COUNTS)
def test_a_part_that_is_no_count_spoils_all(name: str, value: Any) -> None:
    assert of_lua(**{**PARTS, name: value}) is None


def test_a_tier_that_is_a_number_is_none() -> None:
    assert of_lua(tier=-1.0) == Usage(10, 20, 30)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", COUNTS)
def test_numbers_that_are_none(name: str, number: float) -> None:
    made = with_metadata(sluicegate__usage={"input": 10.0, name: 0.0})
    made.common_properties.metadata.filter_metadata["sluicegate.usage"].fields[name].number_value = number
    assert usage_of(made) is None


@pytest.mark.parametrize(
    "tier",
    ["auto", "batch", "default", "flex", "priority", "standard", "scale", "a-b_c9", "x" * 32],
)
def test_tiers(tier: str) -> None:
    assert of_lua(tier=tier) == Usage(10, 20, 30, tier=tier)


@pytest.mark.parametrize(
    "tier",
    ["", "x" * 33, "x" * 10_240, "Flex", "flex ", "flex\n", "a.b", "\u0661", "prioritét", 1.0, True, None, ["flex"], {}],
    ids=lambda tier: repr(tier)[:20],
)
def test_what_is_no_tier_is_none(tier: Any) -> None:
    assert of_lua(tier=tier) == Usage(10, 20, 30)


def test_what_ai_gateway_does_not_count_is_ours() -> None:
    gateway = {
        "llm_input_token": 70.0,
        "llm_output_token": 50.0,
        "llm_cache_creation_input_token": 9.0,
        "llm_reasoning_token": 8.0,
    }
    ours = {"input": 1.0, "output": 2.0, "cache_write": 7.0, **PARTS}
    assert usage_of(with_metadata(sluicegate__usage=ours, io__envoy__ai_gateway=gateway)) == Usage(
        70, 50, 120, 0, 9, 8, Meter.AI_GATEWAY, 3, 4, 5, 6, "priority"
    )


def test_parts_alone_are_no_usage() -> None:
    assert usage_of(with_metadata(sluicegate__usage={**PARTS, "model": "m", "chunks": 3.0})) is None


def is_count(value: object) -> bool:
    return isinstance(value, float) and 0 <= value <= 1e9


@given(
    st.dictionaries(st.sampled_from(list(PARTS)), st.floats() | st.text(max_size=40) | st.booleans()),
    st.sampled_from(["sluicegate.usage", "io.envoy.ai_gateway"]),
)
def test_whatever_stands_there_is_read(values: dict[str, Any], namespace: str) -> None:
    made = with_metadata(sluicegate__usage={"input": 10.0}, io__envoy__ai_gateway={"llm_input_token": 10.0})
    made.common_properties.metadata.filter_metadata[namespace].update(values)
    usage = usage_of(made)
    if namespace == "sluicegate.usage" and not all(is_count(value) for name, value in values.items() if name in COUNTS):
        assert usage is None
        return
    assert usage is not None
    assert (usage.input, usage.total, usage.meter) == (10, 10, Meter.AI_GATEWAY)
    for name in COUNTS:
        count = getattr(usage, name)
        assert isinstance(count, int)
        assert 0 <= count <= 10**9
        if count:
            assert namespace == "sluicegate.usage"
            assert count == int(values[name])
    assert usage.tier in ("", values.get("tier"))
    assert len(usage.tier) <= 32


def test_the_tier_is_known_also_where_there_is_no_usage() -> None:
    read = read_entry(with_metadata(sluicegate__usage={"tier": "priority", "chunks": 3.0}), Travel())
    assert read is not None
    assert (read.usage, read.tier, read.output_floor) == (None, "priority", 3)
    whole = read_entry(with_metadata(sluicegate__usage={"input": 1.0, "tier": "flex"}), Travel())
    assert whole is not None
    assert whole.tier == "flex"
