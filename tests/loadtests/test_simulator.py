"""The simulator's shapes: asked by the vendors' own SDKs."""

from __future__ import annotations

import json
import math
from typing import Any, Final

import anthropic
import httpx
import openai
import pytest

from tests.loadtests.asking import CHAT, MESSAGES, PROMPT, fetch
from tests.servers import Simulator

SIZES: Final = {"x-sim-tokens": "9", "x-sim-cached-tokens": "2", "x-sim-reasoning-tokens": "4"}
BILLED: Final = {
    "x-sim-cache-write-tokens": "3",
    "x-sim-cache-write-1h-tokens": "2",
    "x-sim-audio-input-tokens": "4",
    "x-sim-audio-output-tokens": "6",
    "x-sim-tool-calls": "3",
    "x-sim-tier": "flex",
}
PARAMETERS: Final = {"type": "object", "properties": {"words": {"type": "string"}}}


# OpenAI


def test_chat(ai: openai.OpenAI) -> None:
    answer = ai.chat.completions.create(model="m", messages=MESSAGES, extra_headers=SIZES)
    usage = answer.usage
    assert usage is not None
    assert usage.prompt_tokens_details is not None
    assert usage.completion_tokens_details is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (5, 13, 18)
    assert usage.prompt_tokens_details.cached_tokens == 2
    assert usage.completion_tokens_details.reasoning_tokens == 4
    assert len((answer.choices[0].message.content or "").split()) == 9
    assert answer.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("wants_usage", [False, True])
def test_chat_stream(ai: openai.OpenAI, wants_usage: bool) -> None:
    whole = ai.chat.completions.create(model="m", messages=MESSAGES, n=2, extra_headers=SIZES)
    options: Any = {"stream_options": {"include_usage": True}} if wants_usage else {}
    stream = ai.chat.completions.create(model="m", messages=MESSAGES, n=2, stream=True, extra_headers=SIZES, **options)
    chunks = list(stream)
    texts = ["", ""]
    for chunk in chunks:
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == [choice.message.content for choice in whole.choices]
    assert {chunk.id for chunk in chunks} == {whole.id}
    assert len(chunks) == 2 * (1 + 9 + 1) + wants_usage
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].usage == (whole.usage if wants_usage else None)


def test_the_usage_member_is_there_only_when_asked_for(simulator: Simulator) -> None:
    plain = fetch(simulator, "/v1/chat/completions", CHAT | {"stream": True}).text
    options = {"stream": True, "stream_options": {"include_usage": True}}
    asked = fetch(simulator, "/v1/chat/completions", CHAT | options).text
    assert "usage" not in plain
    lines = [line for line in asked.splitlines() if line and "[DONE]" not in line]
    assert all(line.endswith(',"usage":null}') for line in lines[:-1])
    assert '"choices":[],"usage":{' in lines[-1]
    assert plain == asked.replace(lines[-1] + "\n\n", "").replace(',"usage":null', "")
    assert asked.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize("member", ["max_tokens", "max_completion_tokens"])
def test_ceilings_are_honoured(simulator: Simulator, member: str) -> None:
    answer = fetch(simulator, "/v1/chat/completions", CHAT | {member: 3}).json()
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 3
    assert len(answer["choices"][0]["message"]["content"].split()) == 3


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "look_up"}}])
def test_tool_calls(ai: openai.OpenAI, choice: Any) -> None:
    tools: Any = [{"type": "function", "function": {"name": "look_up", "parameters": PARAMETERS}}]
    asked: Any = {"model": "m", "messages": MESSAGES, "tools": tools, "tool_choice": choice}
    calls = ai.chat.completions.create(**asked).choices[0].message.tool_calls
    assert calls[0].function.name == "look_up"
    with ai.chat.completions.stream(**asked) as stream:
        final = stream.get_final_completion().choices[0]
    assert final.finish_reason == "tool_calls"
    assert final.message.tool_calls is not None
    assert final.message.tool_calls[0].function.arguments == calls[0].function.arguments
    assert len(json.loads(calls[0].function.arguments)["words"].split()) == 16


def test_an_offered_tool_is_not_called(simulator: Simulator) -> None:
    tools = [{"type": "function", "function": {"name": "look_up"}}]
    answer = fetch(simulator, "/v1/chat/completions", CHAT | {"tools": tools}).json()
    assert "tool_calls" not in answer["choices"][0]["message"]


def test_completions(ai: openai.OpenAI) -> None:
    answer = ai.completions.create(model="m", prompt=[PROMPT, PROMPT], extra_headers=SIZES)
    assert [len(choice.text.split()) for choice in answer.choices] == [9, 9]
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (10, 26)
    options: Any = {"include_usage": True}
    chunks = list(ai.completions.create(model="m", prompt=PROMPT, stream=True, stream_options=options))
    assert len("".join(choice.text for chunk in chunks for choice in chunk.choices).split()) == 16
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 21


def test_responses(ai: openai.OpenAI) -> None:
    answer = ai.responses.create(model="m", input=PROMPT, extra_headers=SIZES)
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.total_tokens) == (5, 13, 18)
    assert answer.usage.input_tokens_details.cached_tokens == 2
    assert answer.usage.output_tokens_details.reasoning_tokens == 4
    events = list(ai.responses.create(model="m", input=PROMPT, stream=True, extra_headers=SIZES))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == answer.output_text
    last = events[-1]
    assert last.type == "response.completed"
    assert last.response == answer


def test_responses_accumulate(ai: openai.OpenAI) -> None:
    with ai.responses.stream(model="m", input=PROMPT, max_output_tokens=3) as stream:
        kinds = [event.type for event in stream]
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert kinds.count("response.output_text.delta") == 3
    assert kinds[-1] == "response.incomplete"


def test_responses_tool_call(ai: openai.OpenAI) -> None:
    tools: Any = [{"type": "function", "name": "look_up", "parameters": PARAMETERS, "strict": False}]
    with ai.responses.stream(model="m", input=PROMPT, tools=tools, tool_choice="required") as stream:
        item: Any = stream.get_final_response().output[0]
    assert item.type == "function_call"
    assert len(json.loads(item.arguments)["words"].split()) == 16


def test_embeddings(ai: openai.OpenAI) -> None:
    packed = ai.embeddings.create(model="m", input=[PROMPT, "two words"], dimensions=64)  # the SDK asks for base64
    plain = ai.embeddings.create(model="m", input=[PROMPT, "two words"], dimensions=64, encoding_format="float")
    assert packed.usage.prompt_tokens == 7
    for ours, theirs in zip(packed.data, plain.data, strict=True):
        assert ours.embedding == pytest.approx(theirs.embedding, abs=1e-6)
        assert math.hypot(*theirs.embedding) == pytest.approx(1, abs=1e-4)
    assert ai.embeddings.create(model="m", input=[[1, 2, 3], [4]]).usage.prompt_tokens == 4
    assert len(ai.embeddings.create(model="m", input="x").data[0].embedding) == 1536


def test_models_and_files(ai: openai.OpenAI) -> None:
    assert "sim-small" in [model.id for model in ai.models.list()]
    assert ai.models.retrieve("any").id == "any"
    uploaded = ai.files.create(file=("x.jsonl", b"{}"), purpose="batch")
    assert ai.files.retrieve(uploaded.id).id == uploaded.id
    assert ai.files.delete(uploaded.id).deleted


def test_azure(simulator: Simulator) -> None:
    with openai.AzureOpenAI(azure_endpoint=simulator.url, api_key="k", api_version="2024-10-21") as client:
        assert client.chat.completions.create(model="my dep", messages=MESSAGES).model == "my dep"
        assert client.embeddings.create(model="e", input=PROMPT).usage.total_tokens == 5
        assert client.completions.create(model="c", prompt=PROMPT).object == "text_completion"
    with openai.OpenAI(base_url=f"{simulator.url}/openai/v1", api_key="k") as client:
        assert client.responses.create(model="d", input=PROMPT).model == "d"
    without_version = fetch(simulator, "/openai/deployments/d/chat/completions", CHAT)
    assert (without_version.status_code, without_version.json()["error"]["code"]) == (404, "404")


async def test_openai_async(simulator: Simulator) -> None:
    async with openai.AsyncOpenAI(base_url=f"{simulator.url}/v1", api_key="k", max_retries=0) as client:
        whole = await client.chat.completions.create(model="m", messages=MESSAGES)
        stream = await client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
        assert text == whole.choices[0].message.content
        assert (await client.responses.create(model="m", input=PROMPT)).status == "completed"
        assert (await client.embeddings.create(model="m", input=PROMPT)).usage.total_tokens == 5


def test_what_openai_bills_apart(simulator: Simulator) -> None:
    wishes = {name.removeprefix("x-sim-"): value for name, value in BILLED.items()}
    for path, body in (("chat/completions", CHAT), ("completions", {"model": "m", "prompt": PROMPT})):
        answer = fetch(simulator, f"/v1/{path}", body, **wishes).json()
        assert answer["service_tier"] == "flex"
        usage = answer["usage"]
        assert usage["prompt_tokens_details"] == {"cached_tokens": 0, "cache_write_tokens": 3, "audio_tokens": 4}
        assert usage["completion_tokens_details"]["audio_tokens"] == 6
        assert usage["server_tool_use"]["web_search_requests"] == 3
    answer = fetch(simulator, "/v1/responses", {"model": "m", "input": PROMPT}, **wishes).json()
    assert answer["service_tier"] == "flex"
    assert answer["usage"]["input_tokens_details"] == {"cached_tokens": 0, "cache_write_tokens": 3, "audio_tokens": 4}
    assert answer["usage"]["output_tokens_details"] == {"reasoning_tokens": 0, "audio_tokens": 6}
    assert answer["tool_usage"] == {"web_search": {"num_requests": 3}}


def test_the_tier_of_a_response_is_known_at_its_end(ai: openai.OpenAI) -> None:
    events = list(ai.responses.create(model="m", input=PROMPT, stream=True, extra_headers=BILLED))
    tiers = [event.response.service_tier for event in events if hasattr(event, "response")]
    assert tiers == ["auto", "auto", "flex"]


# Anthropic


def test_messages(claude: anthropic.Anthropic) -> None:
    answer = claude.messages.create(model="m", max_tokens=100, system="be brief", messages=MESSAGES, extra_headers=SIZES)
    assert answer.usage.input_tokens == 7 - 2
    assert answer.usage.cache_read_input_tokens == 2
    assert answer.usage.output_tokens == 13
    assert answer.usage.output_tokens_details is not None
    assert answer.usage.output_tokens_details.thinking_tokens == 4
    assert answer.stop_reason == "end_turn"


def test_messages_stream(claude: anthropic.Anthropic) -> None:
    asked: Any = {"model": "m", "max_tokens": 5, "messages": MESSAGES}
    whole = claude.messages.create(**asked)
    with claude.messages.stream(**asked) as stream:
        final = stream.get_final_message()
    assert final.model_dump(exclude_none=True) == whole.model_dump(exclude_none=True)
    assert (final.stop_reason, final.usage.output_tokens) == ("max_tokens", 5)
    kinds = [event.type for event in claude.messages.create(**asked, stream=True)]
    assert kinds == [
        "message_start", "content_block_start", *["content_block_delta"] * 5, "content_block_stop", "message_delta",
        "message_stop",
    ]  # fmt: skip


def test_what_anthropic_bills_apart(claude: anthropic.Anthropic) -> None:
    asked: Any = {"model": "m", "max_tokens": 9, "messages": MESSAGES, "extra_headers": BILLED}
    usage = claude.messages.create(**asked).usage
    assert (usage.input_tokens, usage.cache_creation_input_tokens, usage.service_tier) == (5 - 3, 3, "flex")
    assert usage.cache_creation is not None
    assert usage.cache_creation.ephemeral_1h_input_tokens == 2
    assert usage.cache_creation.ephemeral_5m_input_tokens == 1
    assert usage.server_tool_use is not None
    assert usage.server_tool_use.web_search_requests == 3
    with claude.messages.stream(**asked) as stream:
        assert stream.get_final_message().usage == usage


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "look_up"}])
def test_messages_tool_use(claude: anthropic.Anthropic, choice: Any) -> None:
    tools: Any = [{"name": "look_up", "input_schema": PARAMETERS}]
    asked: Any = {"model": "m", "max_tokens": 100, "messages": MESSAGES, "tools": tools, "tool_choice": choice}
    whole = claude.messages.create(**asked)
    with claude.messages.stream(**asked) as stream:
        assert stream.get_final_message().content == whole.content
    assert whole.stop_reason == "tool_use"


def test_count_tokens_and_models(claude: anthropic.Anthropic) -> None:
    assert claude.messages.count_tokens(model="m", system="be brief", messages=MESSAGES).input_tokens == 7
    assert next(model.id for model in claude.models.list()) == "sim-large"


async def test_anthropic_async(simulator: Simulator) -> None:
    async with anthropic.AsyncAnthropic(base_url=simulator.url, api_key="k", max_retries=0) as client:
        whole = await client.messages.create(model="m", max_tokens=9, messages=MESSAGES)
        async with client.messages.stream(model="m", max_tokens=9, messages=MESSAGES) as stream:
            final = await stream.get_final_message()
        assert final.model_dump(exclude_none=True) == whole.model_dump(exclude_none=True)


# Errors


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
def test_status_on_request(ai: openai.OpenAI, status: int, error: type[openai.APIStatusError]) -> None:
    with pytest.raises(error) as raised:
        ai.chat.completions.create(model="m", messages=MESSAGES, extra_headers={"x-sim-status": str(status)})
    assert raised.value.status_code == status
    assert raised.value.type is not None


def test_status_on_request_anthropic(claude: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.OverloadedError) as raised:
        claude.messages.create(model="m", max_tokens=9, messages=MESSAGES, extra_headers={"x-sim-status": "529"})
    assert raised.value.type == "overloaded_error"


@pytest.mark.parametrize(
    ("path", "body", "status", "param"),
    [
        ("/v1/chat/completions", {"model": "m"}, 400, "messages"),
        ("/v1/chat/completions", {"messages": MESSAGES}, 400, "model"),
        ("/v1/chat/completions", CHAT | {"n": 0}, 400, "n"),
        ("/v1/chat/completions", CHAT | {"max_tokens": -1}, 400, "max_tokens"),
        ("/v1/chat/completions", CHAT | {"tool_choice": "required"}, 400, "tool_choice"),
        ("/v1/completions", {"model": "m"}, 400, "prompt"),
        ("/v1/responses", {"model": "m"}, 400, "input"),
        ("/v1/embeddings", {"model": "m", "input": []}, 400, "input"),
        ("/v1/embeddings", {"model": "m", "input": "x", "dimensions": -1}, 400, "dimensions"),
        ("/v1/chat/completions", [], 400, None),
        ("/v1/nothing", {}, 404, None),
        ("/openai/nothing", {}, 404, None),
    ],
)
def test_bad_requests(simulator: Simulator, path: str, body: object, status: int, param: str | None) -> None:
    answer = fetch(simulator, path, body)
    assert answer.status_code == status
    assert answer.json()["error"]["param"] == param


def test_bad_requests_anthropic(simulator: Simulator) -> None:
    answer = fetch(simulator, "/v1/messages", {"model": "m", "messages": MESSAGES})
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("wish", "value"),
    [("tokens", "-1"), ("tokens", "x"), ("tokens", "٣"), ("status", "200"), ("split", "0"), ("newline", "x"),
     ("latency_ms", "nan"), ("chunk_delay_ms", "1e9")],
)  # fmt: skip
def test_wishes_that_make_no_sense(simulator: Simulator, wish: str, value: str) -> None:
    headers = {f"x-sim-{wish.replace('_', '-')}".encode(): value.encode()}
    assert httpx.post(f"{simulator.url}/v1/chat/completions", json=CHAT, headers=headers).status_code == 400
