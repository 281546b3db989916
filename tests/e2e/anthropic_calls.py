"""The Anthropic SDK: sync and async, with the token as API key and as bearer token."""

from __future__ import annotations

from typing import Any, Final

from tests.e2e.sdk_calls import (
    CLAUDE,
    CLAUDE_MESSAGES,
    DETAILS,
    Call,
    Person,
    Settled,
    Told,
    messages_usage,
)


def _text_of(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def messages(person: Person) -> Told:
    with person.anthropic() as client:
        message = client.messages.create(model=CLAUDE, max_tokens=50, messages=CLAUDE_MESSAGES)
    assert _text_of(message)
    return messages_usage(message.usage)


def messages_by_bearer_token(person: Person) -> Told:
    with person.anthropic_bearer() as client:
        message = client.messages.create(model=CLAUDE, max_tokens=50, messages=CLAUDE_MESSAGES, extra_headers=DETAILS)
    told = messages_usage(message.usage)
    assert (told.cached_input, told.reasoning) == (3, 5)
    return told


def messages_streamed(person: Person) -> Told:
    with person.anthropic() as client:
        events = list(client.messages.create(model=CLAUDE, max_tokens=50, messages=CLAUDE_MESSAGES, stream=True))
    assert [events[0].type, events[-1].type] == ["message_start", "message_stop"]
    deltas = [event.usage for event in events if event.type == "message_delta"]
    assert len(deltas) == 1
    return messages_usage(deltas[0])


def messages_stream_helper(person: Person) -> Told:
    with (
        person.anthropic_bearer() as client,
        client.messages.stream(model=CLAUDE, max_tokens=50, messages=CLAUDE_MESSAGES) as stream,
    ):
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text
    assert text == _text_of(final)
    return messages_usage(final.usage)


def count_tokens(person: Person) -> Told:
    with person.anthropic() as client:
        assert client.messages.count_tokens(model=CLAUDE, messages=CLAUDE_MESSAGES).input_tokens == 9
    return None


def models(person: Person) -> Told:
    with person.anthropic() as client:
        assert CLAUDE in {model.id for model in client.models.list()}
    return None


def model(person: Person) -> Told:
    with person.anthropic_bearer() as client:
        assert client.models.retrieve(CLAUDE).id == CLAUDE
    return None


async def async_messages(person: Person) -> Told:
    async with person.anthropic_async() as client:
        message = await client.messages.create(model=CLAUDE, max_tokens=50, messages=CLAUDE_MESSAGES)
    assert _text_of(message)
    return messages_usage(message.usage)


async def async_messages_stream_helper(person: Person) -> Told:
    async with (
        person.anthropic_async() as client,
        client.messages.stream(model=CLAUDE, max_tokens=50, messages=CLAUDE_MESSAGES) as stream,
    ):
        text = "".join([piece async for piece in stream.text_stream])
        final = await stream.get_final_message()
    assert text == _text_of(final) != ""
    return messages_usage(final.usage)


CALLS: Final[dict[Call, Settled]] = {
    messages: Settled("messages"),
    messages_by_bearer_token: Settled("messages"),
    messages_streamed: Settled("messages", stream=True),
    messages_stream_helper: Settled("messages", stream=True),
    count_tokens: Settled("count_tokens"),
    models: Settled("models"),
    model: Settled("model"),
    async_messages: Settled("messages"),
    async_messages_stream_helper: Settled("messages", stream=True),
}
