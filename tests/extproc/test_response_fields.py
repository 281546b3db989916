"""Fields that policies tell the client: their names, and how they leave with the verdict."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.chain import Chain, Link
from extproc.conversation import Conversation
from extproc.envoy_profile import bootstrap
from extproc.exchange import Exchange
from extproc.gate import Gate
from extproc.identity import CallerKind, Identity
from extproc.outcome import CONTINUE, Reject, RequestOutcome, Respond
from extproc.policy import Policy, RequestAnswer
from extproc.protos import Message, ProcessingResponse
from extproc.response_fields import collected, is_free
from extproc.settings import IdentityHeaders, parse
from extproc.travel import Travel
from tests.extproc.world import CATALOGUE, exchange
from tests.playbook import JSON, body, headers, metadata, set_fields

CHAT = "/v1/chat/completions"
PROMPT: dict[str, Any] = {"model": "gpt-4o", "messages": [], "stream": True}


@pytest.mark.parametrize(
    "name", ["x-ratelimit-limit-requests", "anthropic-ratelimit-tokens-reset", "x-a", "a1-2b", "x-" + "a" * 62]
)
def test_names_that_are_free(name: str) -> None:
    assert is_free(name)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            "x",
            "verdict",
            "facts",
            "hide_usage",
            "X-A",
            "x--a",
            "x-",
            "-x",
            "1-a",
            "x-a\n",
            "x-a b",
            "x-a:b",
            "x-a)%",
        ),
        *("content-length", "transfer-encoding", "set-cookie", "x-request-id", "request-id", "retry-after", ":status"),
        *("www-authenticate", "x-envoy-a", "access-control-allow-origin", "proxy-status", "keep-alive", "x-" + "a" * 63),
    ],
)
def test_names_that_are_not(name: str) -> None:
    assert not is_free(name)
    with pytest.raises(ValueError, match="no policy may add the response field"):
        collected([("x-a",), (name,)])


def test_each_name_once_in_order() -> None:
    assert collected([("x-b", "x-a"), (), ("x-a", "x-c")]) == ("x-b", "x-a", "x-c")


@pytest.mark.parametrize("value", ["0", "a b", "~", "!", "100%", "x" * 256])
def test_what_can_be_told(value: str) -> None:
    asked = exchange()
    asked.tell("x-a", value)
    assert asked.told == {"x-a": value}


@pytest.mark.parametrize(
    "value", ["", " ", " a", "a ", "a\n", "a\r\nset-cookie: b", "a\tb", "\x7f", "ä", "\0", "x" * 257]
)
def test_what_cannot_be_told(value: str) -> None:
    asked = exchange()
    with pytest.raises(ValueError, match="'x-a' cannot have this value"):
        asked.tell("x-a", value)
    assert asked.told is None


@given(st.text(max_size=300))
def test_what_is_told_is_one_line_of_ascii(value: str) -> None:
    asked = exchange()
    try:
        asked.tell("x-a", value)
    except ValueError:
        return
    assert value.isascii()
    assert value.isprintable()
    assert value == value.strip()
    assert 1 <= len(value) <= 256


class Tells(Policy):
    """Tells what it was made with."""

    name = "tells"
    response_fields = ("x-left", "x-warning")

    def __init__(self, told: dict[str, str], outcome: RequestOutcome = CONTINUE) -> None:
        self._told, self._outcome = told, outcome

    def on_request_body(self, exchange: Exchange) -> RequestAnswer:
        if exchange.get(Identity) is None:
            exchange.put(Identity("t", "u", "a", CallerKind.USER))
        for name, value in self._told.items():
            exchange.tell(name, value)
        return self._outcome


def verdict(*policies: Policy) -> Message:
    gate = Gate(Chain(map(Link, policies)), CATALOGUE, IdentityHeaders())
    talk = Conversation(gate, Travel(), lambda: "exchange-1")
    talk.receive(headers("POST", CHAT, JSON).SerializeToString())
    answer = talk.receive(body(PROMPT).SerializeToString())
    assert isinstance(answer, bytes)
    return ProcessingResponse.FromString(answer)


def test_they_leave_with_the_verdict_under_their_own_names() -> None:
    plain, telling = metadata(verdict(Tells({}))), metadata(verdict(Tells({"x-left": "7"}), Tells({"x-left": "5"})))
    assert telling == {**plain, "x-left": "5"}
    assert plain["verdict"] == "allow"
    # The host's own keys cannot be named: each of them lacks what every such name has.
    assert len(plain) > 8
    assert not any(is_free(name) for name in plain)


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Reject(429, "no", "No."), {"x-left": "7"}),
        (Reject(429, "no", "No.", headers=(("X-Left", "0"),)), {"X-Left": "0"}),
        (Respond(b"{}"), {"x-left": "7"}),
        (Respond(b"{}", headers=(("x-left", "0"), ("x-warning", "w"))), {"x-left": "0", "x-warning": "w"}),
    ],
)
def test_an_answer_of_the_gateway_has_them_unless_it_says_otherwise(
    outcome: RequestOutcome, expected: dict[str, str]
) -> None:
    reply = verdict(Tells({"x-left": "7"}, outcome))
    # Not seen by a mapping: a field that stands twice.
    names = [option.header.key.lower() for option in reply.immediate_response.headers.set_headers]
    assert len(names) == len(set(names))
    assert {name: value for name, value in set_fields(reply).items() if name.lower() in Tells.response_fields} == expected
    assert "x-left" not in metadata(reply)


@pytest.mark.parametrize("outcome", [CONTINUE, Reject(429, "no", "No.")])
def test_what_is_not_declared_is_dropped(outcome: RequestOutcome, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "extproc.conversation")
    told = {"x-left": "7", "x-other": "1", "verdict": "allow", "content-length": "9"}
    reply = verdict(Tells(told, outcome))
    found = {**metadata(reply), **set_fields(reply)}
    assert found["x-left"] == "7"
    assert "x-other" not in found
    assert found["verdict"] == ("allow" if outcome is CONTINUE else "reject")
    assert found.get("content-length") != "9"
    assert caplog.messages == ["response fields that no policy declares: content-length, verdict, x-other"]


class Silent(Policy):
    name = "silent"


def test_a_chain_knows_the_fields_of_all() -> None:
    assert Chain([Link(Tells({})), Link(Silent())]).response_fields == {"x-left", "x-warning"}

    class Bold(Tells):
        response_fields = ("x-left", "verdict")

    with pytest.raises(ValueError, match="'verdict'"):
        Chain([Link(Bold({}))])


TREE: dict[str, Any] = {
    "listen": {"cors": {"allow_origins": ["https://chat.example"]}},
    "upstreams": [{"name": "up", "provider": "openai", "url": "http://127.0.0.1:1/v1", "models": ["m"]}],
    "agents": [{"name": "kb", "url": "http://127.0.0.1:2"}],
    "opaque": [{"name": "files", "path": "/v1/files", "upstream": "up"}],
    "policies": [{"policy": "not_installed"}],
}


@pytest.mark.parametrize("names", [None, (), ("x-left", "x-warning")])
def test_envoy_adds_them_where_a_verdict_leads(names: tuple[str, ...] | None) -> None:
    rendered = bootstrap(parse(TREE), admin="127.0.0.1:0", response_fields=names)
    manager = rendered["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    (host,) = manager["route_config"]["virtual_hosts"]
    expected = [
        {
            "header": {"key": name, "value": f"%DYNAMIC_METADATA(sluicegate:{name})%"},
            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
        }
        for name in names or ()
    ]
    leading = [route for route in host["routes"] if "route" in route]
    assert len(leading) == 4
    assert [route.get("response_headers_to_add", []) for route in leading] == [expected] * 4
    assert not any("response_headers_to_add" in route for route in host["routes"] if route not in leading)
    exposed = host["typed_per_filter_config"]["envoy.filters.http.cors"]["expose_headers"]
    assert exposed == ", ".join(["x-request-id", "request-id", "retry-after", "retry-after-ms", *(names or ())])
