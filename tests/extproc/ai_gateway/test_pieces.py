"""Names and durations as Kubernetes takes them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.ai_gateway.pieces import Options, duration, kubernetes_name, piece
from extproc.settings import _NAME, AgentEntry, UpstreamEntry

DURATION = re.compile(r"([0-9]{1,5}(h|m|s|ms)){1,4}")
LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
UNITS = {"h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(1, "1s"), (0.001, "1ms"), (1.5, "1s500ms"), (86_400, "86400s"), (60.0, "60s"), (6.25, "6s250ms")],
)
def test_durations(seconds: float, written: str) -> None:
    assert duration(seconds) == written


@given(st.floats(min_value=0.001, max_value=86_401))
def test_every_duration_is_one_of_the_gateway_api(seconds: float) -> None:
    written = duration(seconds)
    assert DURATION.fullmatch(written)
    read = sum(int(number) * UNITS[unit] for number, unit in re.findall(r"([0-9]+)(h|ms|m|s)", written))
    assert abs(read - seconds * 1000) <= 0.5


@given(st.from_regex(_NAME, fullmatch=True))
def test_every_configured_name_is_one_in_kubernetes(name: str) -> None:
    assert LABEL.fullmatch(kubernetes_name(name))


def test_what_upstreams_and_agents_are_called() -> None:
    upstream = UpstreamEntry.model_validate(
        {"name": "azure_east", "provider": "openai", "url": "https://a.example", "models": ["m"]}
    )
    agent = AgentEntry.model_validate({"name": "kb_", "url": "https://a.example"})
    options = Options(name="gw")
    assert options.upstream(upstream) == "gw-azure-east"
    assert options.agent(agent, standalone=False) == "gw-agent-kb"
    # Not those of AI Gateway's own routes for MCP, which it treats in ways of its own.
    assert options.agent(agent, standalone=True) == "ai-eg-mcp-agent-kb"


def test_metadata() -> None:
    assert Options(namespace="llm").metadata("a", labels={"x": "y"}) == {
        "name": "a",
        "namespace": "llm",
        "labels": {"x": "y"},
    }


def test_a_value_that_is_missing_is_a_fault() -> None:
    with pytest.raises(KeyError):
        piece("gateway_class")
