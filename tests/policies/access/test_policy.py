from __future__ import annotations

import orjson
import pytest

from extproc.call import Call, Endpoint, OutputCeiling
from extproc.exchange import Dialect, Exchange, Headers, MissingFactError, Request
from extproc.identity import Identity
from extproc.outcome import CONTINUE, Reject, RequestOutcome, Respond
from extproc.policy import Surroundings
from policies.access import AccessPolicy
from tests.policies.access.world import CATALOGUE, SETTINGS, call, endpoint, person


def build(settings: dict[str, object] = SETTINGS) -> AccessPolicy:
    return AccessPolicy.build(AccessPolicy.Settings.model_validate(settings), Surroundings(CATALOGUE, lambda: 0.0))


POLICY = build()


def exchange(identity: Identity, asked: Endpoint, asked_call: Call | None = None, *, method: str = "POST") -> Exchange:
    request = Request(method, "/v1/any", "", "gateway.test", "http", Headers([]), "r-1")
    made = Exchange("x-1", request, explaining=True)
    made.put(identity)
    made.put(asked)
    if asked_call is not None:
        made.put(asked_call)
    return made


def rejected(outcome: RequestOutcome) -> Reject:
    assert isinstance(outcome, Reject)
    return outcome


def test_what_the_policy_declares() -> None:
    assert POLICY.name == "access"
    assert AccessPolicy.requires == (Identity,)
    assert AccessPolicy.provides == (OutputCeiling,)
    assert AccessPolicy.may_fail_open is False
    assert not AccessPolicy.overrides("on_response_body")


def test_an_operation_that_is_not_granted_is_refused_before_the_body_is_read() -> None:
    made = exchange(person("Embedder"), endpoint("chat"))
    outcome = rejected(POLICY.on_request_headers(made))
    assert (outcome.status, outcome.code) == (403, "operation_not_allowed")
    assert outcome.headers == (("www-authenticate", 'Bearer error="insufficient_scope"'),)
    assert made.take_notes() == [outcome.why]
    assert outcome.why == "role Embedder: no permission with the operation chat"


def test_an_allowed_call_says_by_what_and_how_much() -> None:
    made = exchange(person("Writer"), endpoint("chat"), call("chat", "gpt-4o"))
    assert POLICY.on_request_headers(made) is CONTINUE
    assert POLICY.on_request_body(made) is CONTINUE
    assert made.get(OutputCeiling) == OutputCeiling(4000)
    assert made.take_notes() == [
        "endpoint allowed by permission ask through role Writer",
        "call allowed by permission ask_at_length through role Writer",
        "output ceiling: 4000 tokens",
    ]


def test_no_ceiling_no_fact() -> None:
    made = exchange(person("Novelist"), endpoint("chat"), call("chat", "gpt-4o-mini"))
    assert POLICY.on_request_body(made) is CONTINUE
    assert made.get(OutputCeiling) is None


@pytest.mark.parametrize(
    ("asked_call", "code", "param"),
    [
        (call("chat", "o3"), "model_not_allowed", "model"),
        (call("chat", 'x"\r\nset-cookie: a=b'), "model_not_allowed", "model"),
        (call("responses", "gpt-4o", tools=("mcp",)), "tool_not_allowed", "tools"),
        (call("messages", "claude-haiku", max_output=2000), "output_ceiling_exceeded", "max_tokens"),
    ],
)
def test_refused_calls_carry_a_challenge_that_reflects_nothing(asked_call: Call, code: str, param: str) -> None:
    made = exchange(person("Asker"), endpoint(asked_call.operation.value), asked_call)
    outcome = rejected(POLICY.on_request_body(made))
    assert (outcome.status, outcome.code, outcome.param) == (403, code, param)
    assert outcome.headers == (("www-authenticate", 'Bearer error="insufficient_scope"'),)
    assert (outcome.message + outcome.why).isprintable()
    assert made.get(OutputCeiling) is None


def test_a_missing_delegated_permission_is_named_in_the_challenge() -> None:
    policy = build({**SETTINGS, "scopes": ["gateway.use", "gateway.admin"]})
    outcome = rejected(policy.on_request_headers(exchange(person("Asker"), endpoint("chat"))))
    assert outcome.code == "scope_missing"
    challenge = 'Bearer error="insufficient_scope", scope="gateway.admin gateway.use"'
    assert outcome.headers == (("www-authenticate", challenge),)


def test_agents_are_decided_on_the_headers_alone() -> None:
    asked = endpoint("agent", route="kb", rest="/search")
    allowed = exchange(person("Reader"), asked, call("agent", None), method="GET")
    assert POLICY.on_request_headers(allowed) is CONTINUE
    assert POLICY.on_request_body(allowed) is CONTINUE
    refused = rejected(POLICY.on_request_headers(exchange(person("Reader"), asked, method="POST")))
    assert (refused.status, refused.code) == (403, "path_not_allowed")


@pytest.mark.parametrize("dialect", [Dialect.OPENAI, Dialect.ANTHROPIC])
def test_the_list_of_models_is_answered_by_the_gateway(dialect: Dialect) -> None:
    asked = Endpoint(endpoint("models").operation, dialect)
    made = exchange(person("Asker"), asked, method="GET")
    assert POLICY.on_request_headers(made) is CONTINUE
    outcome = POLICY.on_request_body(made)
    assert isinstance(outcome, Respond)
    assert (outcome.status, outcome.content_type) == (200, "application/json")
    listed = [model["id"] for model in orjson.loads(outcome.body)["data"]]
    assert listed == (["gpt-4o", "gpt-4o-mini"] if dialect is Dialect.OPENAI else ["claude-sonnet", "claude-haiku"])
    assert "2 models to list" in made.take_notes()


def test_one_model() -> None:
    found = POLICY.on_request_body(exchange(person("Asker"), endpoint("model", model="gpt-4o"), method="GET"))
    assert isinstance(found, Respond)
    assert orjson.loads(found.body)["id"] == "gpt-4o"


def test_no_difference_between_a_foreign_model_and_none() -> None:
    outcomes = [
        rejected(POLICY.on_request_body(exchange(person("Asker"), endpoint("model", model=name), method="GET")))
        for name in ("o3", "no-such-model")
    ]
    assert outcomes[0] == outcomes[1]
    assert (outcomes[0].status, outcomes[0].code, outcomes[0].headers) == (404, "model_not_found", ())


def test_unknown_groups_are_noted_where_they_shorten_a_list() -> None:
    made = exchange(person("Asker", groups_known=False), endpoint("models"), method="GET")
    assert isinstance(POLICY.on_request_body(made), Respond)
    assert "group overage: only models that roles allow are listed" in made.take_notes()


def test_without_an_identity_there_is_no_decision() -> None:
    made = Exchange("x", Request("POST", "/", "", "", "http", Headers([]), "r"))
    made.put(endpoint("chat"))
    made.put(call("chat", "gpt-4o"))
    for hook in (POLICY.on_request_headers, POLICY.on_request_body):
        with pytest.raises(MissingFactError):
            hook(made)


def test_settings_that_do_not_fit_the_catalogue_stop_the_build() -> None:
    with pytest.raises(ValueError, match="no agent is called 'nobody'"):
        build({"permissions": {"p": {"agents": ["nobody"]}}})
