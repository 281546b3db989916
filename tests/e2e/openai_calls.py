"""openai-python: sync and async, and its client for Azure."""

from __future__ import annotations

from typing import Any, Final

import pytest

from extproc.completion import Usage
from tests.e2e.sdk_calls import (
    DETAILS,
    EMBEDDING,
    MESSAGES,
    MODEL,
    PROMPT,
    SMALL,
    TOOLS,
    Call,
    Person,
    Settled,
    Told,
    chat_usage,
    embeddings_usage,
    responses_usage,
)


def _usage_of_stream(chunks: list[Any], *, asked: bool) -> Told:
    """Of a chat or completions stream: one chunk with usage and no choice at its end if that was asked for, else none."""
    reported = [chunk for chunk in chunks if chunk.usage is not None]
    assert [chunk for chunk in chunks if not chunk.choices] == reported == (chunks[-1:] if asked else [])
    return chat_usage(reported[0].usage) if asked else None


def _text_of(chunks: list[Any]) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices if choice.index == 0)


def chat(person: Person) -> Told:
    with person.openai() as client:
        answer = client.chat.completions.create(model=MODEL, messages=MESSAGES)
    assert answer.choices[0].message.content
    assert answer._request_id
    return chat_usage(answer.usage)


def chat_with_details(person: Person) -> Told:
    with person.openai() as client:
        answer = client.chat.completions.create(
            model=SMALL, messages=MESSAGES, max_completion_tokens=40, extra_headers=DETAILS
        )
    told = chat_usage(answer.usage)
    assert (told.cached_input, told.reasoning) == (3, 5)
    return told


def chat_streamed(person: Person) -> Told:
    with person.openai() as client:
        chunks = list(client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True))
    assert _text_of(chunks)
    return _usage_of_stream(chunks, asked=False)


def chat_streamed_with_usage(person: Person) -> Told:
    with person.openai() as client:
        chunks = list(
            client.chat.completions.create(
                model=MODEL, messages=MESSAGES, stream=True, stream_options={"include_usage": True}
            )
        )
    assert _text_of(chunks)
    return _usage_of_stream(chunks, asked=True)


def chat_streamed_with_usage_declined(person: Person) -> Told:
    with person.openai() as client:
        chunks = list(
            client.chat.completions.create(
                model=MODEL, messages=MESSAGES, stream=True, stream_options={"include_usage": False}
            )
        )
    assert _text_of(chunks)
    return _usage_of_stream(chunks, asked=False)


def chat_two_choices(person: Person) -> Told:
    with person.openai() as client:
        answer = client.chat.completions.create(model=MODEL, messages=MESSAGES, n=2)
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert all(choice.message.content for choice in answer.choices)
    return chat_usage(answer.usage)


def chat_tools(person: Person) -> Told:
    with person.openai() as client:
        answer = client.chat.completions.create(model=MODEL, messages=MESSAGES, tools=TOOLS, tool_choice="required")
    calls = answer.choices[0].message.tool_calls
    assert calls is not None
    assert [call.function.name for call in calls if call.type == "function"] == ["look_up"]
    return chat_usage(answer.usage)


def chat_stream_helper(person: Person) -> Told:
    with person.openai() as client, client.chat.completions.stream(model=MODEL, messages=MESSAGES) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done"} <= kinds
    assert final.choices[0].message.content
    assert final.usage is None
    return None


def chat_stream_helper_with_usage(person: Person) -> Told:
    with (
        person.openai() as client,
        client.chat.completions.stream(model=MODEL, messages=MESSAGES, stream_options={"include_usage": True}) as stream,
    ):
        return chat_usage(stream.get_final_completion().usage)


def completions(person: Person) -> Told:
    with person.openai() as client:
        answer = client.completions.create(model=MODEL, prompt=PROMPT)
    assert answer.choices[0].text
    return chat_usage(answer.usage)


def completions_streamed(person: Person) -> Told:
    with person.openai() as client:
        chunks = list(client.completions.create(model=MODEL, prompt=PROMPT, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks)
    return _usage_of_stream(chunks, asked=False)


def completions_streamed_with_usage(person: Person) -> Told:
    with person.openai() as client:
        options: Any = {"include_usage": True}
        chunks = list(client.completions.create(model=MODEL, prompt=PROMPT, stream=True, stream_options=options))
    return _usage_of_stream(chunks, asked=True)


def responses(person: Person) -> Told:
    with person.openai() as client:
        answer = client.responses.create(model=MODEL, input=PROMPT)
    assert answer.output_text
    return responses_usage(answer.usage)


def responses_streamed(person: Person) -> Told:
    with person.openai() as client:
        events = list(client.responses.create(model=MODEL, input=PROMPT, stream=True, extra_headers=DETAILS))
    last = events[-1]
    assert last.type == "response.completed"
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == (
        last.response.output_text
    )
    return responses_usage(last.response.usage)


def responses_stream_helper(person: Person) -> Told:
    with person.openai() as client, client.responses.stream(model=MODEL, input=PROMPT) as stream:
        final = stream.get_final_response()
    assert final.output_text
    return responses_usage(final.usage)


def embeddings(person: Person) -> Told:
    """By default the SDK asks for base64, and decodes it."""
    with person.openai() as client:
        answer = client.embeddings.create(model=EMBEDDING, input=[PROMPT, "another"])
    assert [len(entry.embedding) for entry in answer.data] == [1536, 1536]
    assert answer.data[0].embedding != answer.data[1].embedding
    return embeddings_usage(answer.usage)


def embeddings_as_numbers(person: Person) -> Told:
    with person.openai() as client:
        answer = client.embeddings.create(model=EMBEDDING, input=PROMPT, encoding_format="float", dimensions=8)
    assert len(answer.data[0].embedding) == 8
    assert sum(number * number for number in answer.data[0].embedding) == pytest.approx(1)
    return embeddings_usage(answer.usage)


def models(person: Person) -> Told:
    with person.openai() as client:
        assert {MODEL, SMALL, EMBEDDING} <= {model.id for model in client.models.list()}
    return None


def model(person: Person) -> Told:
    with person.openai() as client:
        assert client.models.retrieve(MODEL).id == MODEL
    return None


def azure_chat(person: Person) -> Told:
    with person.azure() as client:
        answer = client.chat.completions.create(model=MODEL, messages=MESSAGES)
    assert answer.choices[0].message.content
    return chat_usage(answer.usage)


def azure_chat_streamed(person: Person) -> Told:
    with person.azure_ad() as client:
        chunks = list(client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True))
    assert _text_of(chunks)
    return _usage_of_stream(chunks, asked=False)


def azure_ad_chat(person: Person) -> Told:
    with person.azure_ad() as client:
        answer = client.chat.completions.create(model=MODEL, messages=MESSAGES)
    return chat_usage(answer.usage)


def azure_embeddings(person: Person) -> Told:
    with person.azure() as client:
        answer = client.embeddings.create(model=EMBEDDING, input=PROMPT)
    assert len(answer.data[0].embedding) == 1536
    return embeddings_usage(answer.usage)


def azure_ad_embeddings(person: Person) -> Told:
    with person.azure_ad() as client:
        return embeddings_usage(client.embeddings.create(model=EMBEDDING, input=PROMPT).usage)


def azure_responses(person: Person) -> Told:
    with person.azure() as client:
        answer = client.responses.create(model=MODEL, input=PROMPT)
    assert answer.output_text
    return responses_usage(answer.usage)


def azure_models(person: Person) -> Told:
    with person.azure() as client:
        assert {MODEL, EMBEDDING} <= {model.id for model in client.models.list()}
    return None


def azure_ad_models(person: Person) -> Told:
    with person.azure_ad() as client:
        assert {MODEL, EMBEDDING} <= {model.id for model in client.models.list()}
    return None


async def async_chat(person: Person) -> Told:
    async with person.openai_async() as client:
        answer = await client.chat.completions.create(model=MODEL, messages=MESSAGES)
    assert answer.choices[0].message.content
    return chat_usage(answer.usage)


async def async_chat_streamed(person: Person) -> Told:
    async with person.openai_async() as client:
        stream = await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
        chunks = [chunk async for chunk in stream]
    assert _text_of(chunks)
    return _usage_of_stream(chunks, asked=False)


async def async_chat_streamed_with_usage(person: Person) -> Told:
    async with person.openai_async() as client:
        stream = await client.chat.completions.create(
            model=MODEL, messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
        return _usage_of_stream([chunk async for chunk in stream], asked=True)


async def async_responses_streamed(person: Person) -> Told:
    async with person.openai_async() as client:
        events = [event async for event in await client.responses.create(model=MODEL, input=PROMPT, stream=True)]
    last = events[-1]
    assert last.type == "response.completed"
    return responses_usage(last.response.usage)


async def async_embeddings(person: Person) -> Told:
    async with person.openai_async() as client:
        return embeddings_usage((await client.embeddings.create(model=EMBEDDING, input=PROMPT)).usage)


async def async_models(person: Person) -> Told:
    async with person.openai_async() as client:
        assert MODEL in {model.id async for model in client.models.list()}
    return None


_HIDDEN_COMPLETION: Final = Usage(input=9, output=16, total=25)
"""What the provider reported of a stream to the gateway alone: of PROMPT, by the simulator's count."""

CALLS: Final[dict[Call, Settled]] = {
    chat: Settled("chat"),
    chat_with_details: Settled("chat"),
    chat_streamed: Settled("chat", stream=True, hidden=_HIDDEN_COMPLETION),
    chat_streamed_with_usage: Settled("chat", stream=True),
    chat_streamed_with_usage_declined: Settled("chat", stream=True, hidden=_HIDDEN_COMPLETION),
    chat_two_choices: Settled("chat"),
    chat_tools: Settled("chat"),
    chat_stream_helper: Settled("chat", stream=True, hidden=_HIDDEN_COMPLETION),
    chat_stream_helper_with_usage: Settled("chat", stream=True),
    completions: Settled("completions"),
    completions_streamed: Settled("completions", stream=True, hidden=_HIDDEN_COMPLETION),
    completions_streamed_with_usage: Settled("completions", stream=True),
    responses: Settled("responses"),
    responses_streamed: Settled("responses", stream=True),
    responses_stream_helper: Settled("responses", stream=True),
    embeddings: Settled("embeddings"),
    embeddings_as_numbers: Settled("embeddings"),
    models: Settled("models"),
    model: Settled("model"),
    azure_chat: Settled("chat"),
    azure_chat_streamed: Settled("chat", stream=True, hidden=_HIDDEN_COMPLETION),
    azure_ad_chat: Settled("chat"),
    azure_embeddings: Settled("embeddings"),
    azure_ad_embeddings: Settled("embeddings"),
    azure_responses: Settled("responses"),
    azure_models: Settled("models"),
    azure_ad_models: Settled("models"),
    async_chat: Settled("chat"),
    async_chat_streamed: Settled("chat", stream=True, hidden=_HIDDEN_COMPLETION),
    async_chat_streamed_with_usage: Settled("chat", stream=True),
    async_responses_streamed: Settled("responses", stream=True),
    async_embeddings: Settled("embeddings"),
    async_models: Settled("models"),
}
