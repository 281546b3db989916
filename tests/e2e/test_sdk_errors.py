"""Refusals reach people as the exceptions that their SDK always raises, with a code and an id to ask about."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import anthropic
import httpx
import openai
import pytest

from tests.e2e.gateway import Gateway
from tests.e2e.sdk_calls import CLAUDE, CLAUDE_MESSAGES, MESSAGES, MODEL, PROMPT, Person

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Refused:
    """A call that fails: by whom, with which exception, and which code. `policy` is "" where the host refuses."""

    call: Callable[[Person], object]
    error: type[openai.APIStatusError | anthropic.APIStatusError]
    code: str
    policy: str = ""
    role: str = "User"


def _openai(use: Callable[[openai.OpenAI], object], **options: Any) -> Callable[[Person], object]:
    def call(person: Person) -> object:
        with person.openai() as client:
            return use(client.with_options(**options) if options else client)

    return call


def _azure(use: Callable[[openai.AzureOpenAI], object]) -> Callable[[Person], object]:
    def call(person: Person) -> object:
        with person.azure() as client:
            return use(client)

    return call


def _anthropic(use: Callable[[anthropic.Anthropic], object], **options: Any) -> Callable[[Person], object]:
    def call(person: Person) -> object:
        with person.anthropic() as client:
            return use(client.with_options(**options) if options else client)

    return call


def _chat(client: openai.OpenAI) -> object:
    return client.chat.completions.create(model=MODEL, messages=MESSAGES)


def _chat_streamed(client: openai.OpenAI) -> object:
    return list(client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True))


def _messages(client: anthropic.Anthropic) -> object:
    return client.messages.create(model=CLAUDE, max_tokens=50, messages=CLAUDE_MESSAGES)


def _messages_helper(client: anthropic.Anthropic) -> object:
    with client.messages.stream(model=CLAUDE, max_tokens=50, messages=CLAUDE_MESSAGES) as stream:
        return stream.get_final_message()


def _keyless(client: openai.OpenAI) -> object:
    return client.chat.completions.create(model=MODEL, messages=MESSAGES, extra_headers={"Authorization": openai.Omit()})


def _keyless_models(client: openai.OpenAI) -> object:
    return client.models.list(extra_headers={"Authorization": openai.Omit()})


def _keyless_messages(client: anthropic.Anthropic) -> object:
    # The SDK sends an API key in both.
    neither = {"X-Api-Key": anthropic.Omit(), "Authorization": anthropic.Omit()}
    return client.messages.create(model=CLAUDE, max_tokens=50, messages=CLAUDE_MESSAGES, extra_headers=neither)


_NOT_A_TOKEN: dict[str, Any] = {"api_key": "sk-not-a-token"}
_ID, _ACCESS = "entra", "access"

TABLE = {
    "no key": Refused(_openai(_keyless), openai.AuthenticationError, "missing_credentials", _ID),
    "a provider's key": Refused(_openai(_chat, **_NOT_A_TOKEN), openai.AuthenticationError, "invalid_token", _ID),
    "no key, models": Refused(_openai(_keyless_models), openai.AuthenticationError, "missing_credentials", _ID),
    "a model not granted": Refused(
        _openai(_chat), openai.PermissionDeniedError, "model_not_allowed", _ACCESS, role="ReadOnly"
    ),
    "a model not granted, streamed": Refused(
        _openai(_chat_streamed), openai.PermissionDeniedError, "model_not_allowed", _ACCESS, role="ReadOnly"
    ),
    "a role that is nothing": Refused(
        _openai(_chat), openai.PermissionDeniedError, "operation_not_allowed", _ACCESS, role="Passerby"
    ),
    "responses not granted": Refused(
        _openai(lambda client: client.responses.create(model=MODEL, input=PROMPT)),
        openai.PermissionDeniedError,
        "model_not_allowed",
        _ACCESS,
        role="ReadOnly",
    ),
    "a model that there is not": Refused(
        _openai(lambda client: client.chat.completions.create(model="llama", messages=MESSAGES)),
        openai.NotFoundError,
        "model_not_found",
    ),
    "a model to look at": Refused(
        _openai(lambda client: client.models.retrieve("llama")), openai.NotFoundError, "model_not_found", _ACCESS
    ),
    "an API that there is not": Refused(
        _openai(lambda client: client.images.generate(prompt=PROMPT)), openai.NotFoundError, "unknown_endpoint"
    ),
    "azure: a deployment not granted": Refused(
        _azure(_chat), openai.PermissionDeniedError, "model_not_allowed", _ACCESS, role="ReadOnly"
    ),
    "azure: a deployment that there is not": Refused(
        _azure(lambda client: client.embeddings.create(model="llama", input=PROMPT)),
        openai.NotFoundError,
        "model_not_found",
    ),
    "anthropic: no key": Refused(
        _anthropic(_keyless_messages), anthropic.AuthenticationError, "missing_credentials", _ID
    ),
    "anthropic: a provider's key": Refused(
        _anthropic(_messages, **_NOT_A_TOKEN), anthropic.AuthenticationError, "invalid_token", _ID
    ),
    "anthropic: a model not granted": Refused(
        _anthropic(_messages), anthropic.PermissionDeniedError, "model_not_allowed", _ACCESS, role="ReadOnly"
    ),
    "anthropic: a model not granted, streamed": Refused(
        _anthropic(_messages_helper), anthropic.PermissionDeniedError, "model_not_allowed", _ACCESS, role="ReadOnly"
    ),
    "anthropic: a model that there is not": Refused(
        _anthropic(lambda client: client.messages.count_tokens(model="llama", messages=CLAUDE_MESSAGES)),
        anthropic.NotFoundError,
        "model_not_found",
    ),
    "anthropic: an API that there is not": Refused(
        _anthropic(lambda client: client.messages.batches.retrieve("msgbatch_1")),
        anthropic.NotFoundError,
        "unknown_endpoint",
    ),
}


def _raised(gateway: Gateway, refused: Refused) -> openai.APIStatusError | anthropic.APIStatusError:
    with pytest.raises(refused.error) as caught:
        refused.call(Person(gateway.url, gateway.token("erin", refused.role)))
    error = caught.value
    assert isinstance(error, openai.APIStatusError | anthropic.APIStatusError)
    return error


def _code(error: openai.APIStatusError | anthropic.APIStatusError) -> object:
    if isinstance(error, openai.APIStatusError):
        return error.code
    # Anthropic's exceptions have a type; the code stands in the body.
    assert isinstance(error.body, dict)
    assert error.body["request_id"] == error.request_id
    return error.body["error"]["code"]


@pytest.mark.parametrize("refused", TABLE.values(), ids=TABLE)
def test_an_sdk_raises_what_it_always_raises(gateway: Gateway, refused: Refused) -> None:
    error = _raised(gateway, refused)
    assert _code(error) == refused.code
    assert error.request_id is not None
    assert UUID.fullmatch(error.request_id)
    assert error.request_id == error.response.headers["x-request-id"]
    assert error.type == {401: "authentication_error", 403: "permission_error", 404: "not_found_error"}[error.status_code]


@pytest.mark.parametrize(("role", "code"), [("User", "model_not_found"), ("Passerby", "operation_not_allowed")])
async def test_the_async_clients_raise_the_same(gateway: Gateway, role: str, code: str) -> None:
    person = Person(gateway.url, gateway.token("erin", role))
    async with person.openai_async() as client, person.anthropic_async() as other:
        with pytest.raises(openai.APIStatusError) as first:
            await client.chat.completions.create(model="llama", messages=MESSAGES)
        with pytest.raises(anthropic.APIStatusError) as second:
            await other.messages.create(model="llama", max_tokens=9, messages=CLAUDE_MESSAGES)
    assert [_code(first.value), _code(second.value)] == [code, code]


def test_every_refusal_is_settled_once_under_the_id_that_was_told(gateway: Gateway) -> None:
    told = {}
    for name, refused in TABLE.items():
        error = _raised(gateway, refused)
        assert error.request_id is not None
        told[error.request_id] = (name, error.status_code, refused)
    lines = gateway.completions_of(set(told))
    for request_id, (name, status, refused) in told.items():
        line = lines[request_id]
        assert (line["status"], line["ending"], "usage" in line) == (status, "rejected", False), name
        # Where the host refuses, no policy is to blame.
        decided = [
            (item["policy"], item["code"]) for item in line.get("decisions", []) if item["policy"] in (_ID, _ACCESS)
        ]
        assert decided == ([(refused.policy, refused.code)] if refused.policy else []), name


def test_nothing_that_was_refused_has_reached_the_provider(gateway: Gateway) -> None:
    httpx.delete(f"{gateway.simulator}/sim/requests")
    for refused in TABLE.values():
        _raised(gateway, refused)
    assert httpx.get(f"{gateway.simulator}/sim/requests").json()["total"] == 0
