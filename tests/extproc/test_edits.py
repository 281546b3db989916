"""What is changed on the way up."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.call import Call, Operation, OutputCeiling
from extproc.catalogue import Model, Provider, Target
from extproc.edits import hides_usage, identity_fields, member_changes, removed_headers
from extproc.exchange import Dialect, Headers
from extproc.identity import CallerKind, Identity
from extproc.settings import IdentityHeaders

NAMES = IdentityHeaders()

# Whose it is, that it goes whatever the destination; the rest stay or go by destination.
ALWAYS = [
    "api-key",
    "x-api-key",
    "x-goog-api-key",
    "ocp-apim-subscription-key",
    "proxy-authorization",
    "cookie",
    "x-tenant-id",
    "x-user-id",
    "x-user-roles",
    "x-app-id",
    "x-department",
    "x-sluicegate-upstream",
    "x-sluicegate-stream",
    "x-sluicegate-",
    "x-ai-eg-model",
    "x-ai-eg-original-path",
    "x-aigw-model",
    "x-envoy-original-path",
    "x-envoy-upstream-rq-timeout-ms",
    "x-ms-client-principal",
    "x-ms-client-principal-id",
    "x-auth-request-user",
    "x-auth-request-access-token",
    "x-forwarded-user",
    "x-forwarded-email",
    "x-forwarded-groups",
    "x-forwarded-preferred-username",
    "x-forwarded-access-token",
    "x-remote-user",
    "x-remote-group",
    "remote-user",
    "x-webauth-user",
    "x-consumer-username",
    "x-amzn-oidc-identity",
    "x-goog-authenticated-user-email",
    "x-goog-iap-jwt-assertion",
    "cf-access-authenticated-user-email",
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-original-url",
    "x-original-uri",
    "x-rewrite-url",
]
FROM_PROVIDERS = ["accept-encoding", "openai-organization", "openai-project", "forwarded"]
NEVER = [
    "content-type",
    "content-length",
    "user-agent",
    "accept",
    "anthropic-version",
    "anthropic-beta",
    "traceparent",
    "x-stainless-lang",
    "x-request-id",
    "idempotency-key",
    "x-tenant",
    "x-tenant-id-2",
    "x-api-keys",
    "x-sluicegate",
    "authorization-x",
    "host",
    "last-event-id",
]


def removed(
    *names: str, to_provider: bool, forward_token: bool = False, told: IdentityHeaders = NAMES
) -> tuple[str, ...]:
    headers = Headers((name, "value") for name in names)
    return removed_headers(headers, told, to_provider=to_provider, forward_token=forward_token)


@pytest.mark.parametrize("to_provider", [True, False])
@pytest.mark.parametrize("forward_token", [True, False])
def test_headers_that_never_go_up(to_provider: bool, forward_token: bool) -> None:
    assert removed(*ALWAYS, to_provider=to_provider, forward_token=forward_token) == tuple(sorted(ALWAYS))


@pytest.mark.parametrize("name", FROM_PROVIDERS)
def test_headers_that_are_not_for_providers(name: str) -> None:
    assert removed(name, to_provider=True) == (name,)
    assert removed(name, to_provider=False) == ()


@pytest.mark.parametrize("name", NEVER)
def test_headers_that_stay(name: str) -> None:
    assert removed(name, to_provider=True) == ()


def test_the_token_goes_only_where_it_is_told_to() -> None:
    assert removed("authorization", to_provider=True) == ("authorization",)
    assert removed("authorization", to_provider=False) == ("authorization",)
    assert removed("authorization", to_provider=False, forward_token=True) == ()


def test_repeated_headers_are_named_once() -> None:
    assert removed("api-key", "api-key", "cookie", "api-key", to_provider=True) == ("api-key", "cookie")
    assert removed(to_provider=True) == ()


def test_configured_names_are_the_ones_removed() -> None:
    told = IdentityHeaders(tenant="x-org")
    assert removed("x-org", "x-tenant-id", to_provider=False, told=told) == ("x-org",)


def person(**changes: Any) -> Identity:
    return Identity(**{"tenant": "t1", "user": "u1", "app": "a1", "kind": CallerKind.USER, **changes})


def test_a_comma_in_the_name_of_a_role_does_not_make_two_roles() -> None:
    fields = dict(identity_fields(person(roles=frozenset({"User, not Admin", "50%"})), NAMES))
    assert fields["x-user-roles"] == "50%25,User%2C not Admin"


def test_identity_fields() -> None:
    fields = identity_fields(person(roles=frozenset({"User", "Admin"}), department="R&D"), NAMES)
    assert list(fields) == [
        ("x-tenant-id", "t1"),
        ("x-user-id", "u1"),
        ("x-user-roles", "Admin,User"),
        ("x-app-id", "a1"),
        ("x-department", "R&D"),
    ]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("Sales", "Sales"),
        ("Human Resources", "Human Resources"),
        ("Forschung & Entwürfe", "Forschung & Entw%C3%BCrfe"),
        ("a\r\nx-user-id: root", "a%0D%0Ax-user-id: root"),
        ("a\0b\x7f", "a%00b%7F"),
        ("100%", "100%25"),
        ('"<>\\', "%22%3C%3E%5C"),
        ("日本", "%E6%97%A5%E6%9C%AC"),
    ],
)
def test_values_are_escaped(value: str, written: str) -> None:
    assert dict(identity_fields(person(department=value), NAMES))["x-department"] == written


@given(
    st.builds(
        Identity,
        tenant=st.text(),
        user=st.text(),
        app=st.text(),
        kind=st.sampled_from(CallerKind),
        roles=st.frozensets(st.text(), max_size=4),
        department=st.text(),
    )
)
def test_no_value_breaks_out_of_its_field(identity: Identity) -> None:
    for name, value in identity_fields(identity, NAMES):
        assert name in NAMES.names()
        assert value
        assert all(" " <= character <= "~" for character in value)


@pytest.mark.parametrize(
    ("operation", "stream", "wants_usage", "hides"),
    [
        (Operation.CHAT, True, False, True),
        (Operation.COMPLETIONS, True, False, True),
        (Operation.CHAT, True, True, False),
        (Operation.CHAT, False, False, False),
        (Operation.RESPONSES, True, False, False),
        (Operation.MESSAGES, True, False, False),
        (Operation.EMBEDDINGS, False, False, False),
    ],
)
def test_hides_usage(operation: Operation, stream: bool, wants_usage: bool, hides: bool) -> None:
    assert hides_usage(Call(operation, Dialect.OPENAI, stream=stream, wants_usage=wants_usage)) is hides


OPENAI = Target("openai", "/v1/chat/completions", Provider.OPENAI, "m")
DEPLOYED = Target("azure", "/openai/deployments/m/chat/completions?api-version=x", Provider.AZURE, "m")
RENAMED = Target("openai", "/v1/chat/completions", Provider.OPENAI, "other")


def call(operation: Operation = Operation.CHAT, **more: Any) -> Call:
    return Call(operation, Dialect.OPENAI, model="m", **more)


@pytest.mark.parametrize(
    ("made", "members", "target", "ceiling", "changes"),
    [
        (call(), {"model": "m"}, OPENAI, None, {}),
        (call(), {"model": "m"}, RENAMED, None, {"model": "other"}),
        (call(), {"model": "m"}, Target("kb", "/"), None, {}),
        (call(), {"model": "m"}, DEPLOYED, None, {}),
        (call(), {}, DEPLOYED, None, {}),
        (call(), {"model": None}, DEPLOYED, None, {"model": "m"}),
        (call(), {"model": "forbidden"}, DEPLOYED, None, {"model": "m"}),
        (call(), {}, OPENAI, None, {"model": "m"}),
        (call(stream=True), {"model": "m"}, OPENAI, None, {"stream_options": {"include_usage": True}}),
        (
            call(stream=True),
            {"model": "m", "stream_options": {"include_obfuscation": False, "include_usage": False}},
            OPENAI,
            None,
            {"stream_options": {"include_obfuscation": False, "include_usage": True}},
        ),
        (
            call(stream=True),
            {"model": "m", "stream_options": None},
            OPENAI,
            None,
            {"stream_options": {"include_usage": True}},
        ),
        (
            call(stream=True, wants_usage=True),
            {"model": "m", "stream_options": {"include_usage": True}},
            OPENAI,
            None,
            {},
        ),
        (call(Operation.RESPONSES, stream=True), {"model": "m"}, OPENAI, None, {}),
        (call(), {"model": "m"}, OPENAI, 9, {"max_completion_tokens": 9}),
        (call(Operation.COMPLETIONS), {"model": "m"}, OPENAI, 9, {"max_tokens": 9}),
        (call(Operation.RESPONSES), {"model": "m"}, OPENAI, 9, {"max_output_tokens": 9}),
        (call(Operation.MESSAGES), {"model": "m"}, OPENAI, 9, {"max_tokens": 9}),
        (call(Operation.EMBEDDINGS), {"model": "m"}, OPENAI, 9, {}),
        (call(Operation.COUNT_TOKENS), {"model": "m"}, OPENAI, 9, {}),
        (call(max_output=5), {"model": "m", "max_tokens": 5}, OPENAI, 9, {}),
        (call(max_output=0), {"model": "m", "max_tokens": 0}, OPENAI, 9, {}),
        (call(), {"model": "m", "max_tokens": None}, OPENAI, 9, {"max_completion_tokens": 9}),
        (
            call(stream=True),
            {"model": "m"},
            RENAMED,
            9,
            {"model": "other", "stream_options": {"include_usage": True}, "max_completion_tokens": 9},
        ),
    ],
)
def test_member_changes(
    made: Call, members: dict[str, Any], target: Target, ceiling: int | None, changes: dict[str, Any]
) -> None:
    before = dict(members)
    assert member_changes(made, members, target, OutputCeiling(ceiling) if ceiling else None) == changes
    assert members == before


@pytest.mark.parametrize(
    ("made", "model", "changes"),
    [
        (call(), Model("m"), {"max_completion_tokens": 9}),
        (call(), Model("m", output_field="max_tokens"), {"max_tokens": 9}),
        (call(), Model("m", output_field="max_completion_tokens"), {"max_completion_tokens": 9}),
        (call(Operation.RESPONSES), Model("m", output_field="max_tokens"), {"max_output_tokens": 9}),
        (call(max_output=5), Model("m", output_field="max_tokens"), {}),
    ],
)
def test_a_ceiling_is_written_where_the_models_server_looks(made: Call, model: Model, changes: dict[str, int]) -> None:
    assert member_changes(made, {"model": "m"}, OPENAI, OutputCeiling(9), model) == changes
