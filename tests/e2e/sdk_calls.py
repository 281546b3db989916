"""What people do with the SDKs of OpenAI and Anthropic, as they would write it: a table of calls.

Each call is given nothing but base URL and key, checks what it is answered, and tells what usage the SDK reported.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from anthropic import Anthropic, AsyncAnthropic
from anthropic.types import MessageParam
from openai import AsyncOpenAI, AzureOpenAI, OpenAI
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam

from extproc.completion import Usage

MODEL: Final = "gpt-4o"
SMALL: Final = "gpt-4o-mini"
EMBEDDING: Final = "text-embedding-3-small"
CLAUDE: Final = "claude-sonnet-5-5"
PROMPT: Final = "What is a sluice gate, and who opens it?"
MESSAGES: Final[list[ChatCompletionMessageParam]] = [{"role": "user", "content": PROMPT}]
CLAUDE_MESSAGES: Final[list[MessageParam]] = [{"role": "user", "content": PROMPT}]
TOOLS: Final[list[ChatCompletionToolParam]] = [
    {
        "type": "function",
        "function": {
            "name": "look_up",
            "parameters": {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]},
        },
    }
]
DETAILS: Final = {"x-sim-cached-tokens": "3", "x-sim-reasoning-tokens": "5"}
"""Wishes of the simulator: usage with details."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with the gateway's address and a token."""

    url: str
    token: str

    def openai(self) -> OpenAI:
        return OpenAI(base_url=f"{self.url}/v1", api_key=self.token)

    def openai_async(self) -> AsyncOpenAI:
        return AsyncOpenAI(base_url=f"{self.url}/v1", api_key=self.token)

    def azure(self) -> AzureOpenAI:
        return AzureOpenAI(azure_endpoint=self.url, api_key=self.token, api_version="2024-10-21")

    def azure_ad(self) -> AzureOpenAI:
        return AzureOpenAI(azure_endpoint=self.url, azure_ad_token=self.token, api_version="2024-10-21")

    def anthropic(self) -> Anthropic:
        return Anthropic(base_url=self.url, api_key=self.token)

    def anthropic_bearer(self) -> Anthropic:
        return Anthropic(base_url=self.url, auth_token=self.token)

    def anthropic_async(self) -> AsyncAnthropic:
        return AsyncAnthropic(base_url=self.url, api_key=self.token)


@dataclass(frozen=True, slots=True)
class Settled:
    """What a call's completion must say, beside the usage that the SDK reported.

    `hidden` is the usage of a stream whose client had not asked for it: the SDK reports none, and it counts all the same.
    """

    operation: str
    stream: bool = False
    hidden: Usage | None = None


Told: TypeAlias = Usage | None
Call: TypeAlias = Callable[[Person], Told | Awaitable[Told]]


def chat_usage(reported: Any) -> Usage:
    """Usage as OpenAI's chat and completions report it."""
    return Usage(
        input=reported.prompt_tokens,
        output=reported.completion_tokens,
        total=reported.total_tokens,
        cached_input=reported.prompt_tokens_details.cached_tokens,
        reasoning=reported.completion_tokens_details.reasoning_tokens,
    )


def responses_usage(reported: Any) -> Usage:
    """Usage as OpenAI's responses report it."""
    return Usage(
        input=reported.input_tokens,
        output=reported.output_tokens,
        total=reported.total_tokens,
        cached_input=reported.input_tokens_details.cached_tokens,
        reasoning=reported.output_tokens_details.reasoning_tokens,
    )


def embeddings_usage(reported: Any) -> Usage:
    """Usage as OpenAI's embeddings report it."""
    return Usage(input=reported.prompt_tokens, total=reported.total_tokens)


def messages_usage(reported: Any) -> Usage:
    """Usage as Anthropic's messages report it, with the total that they leave out: cached input is beside the input."""
    read, written = reported.cache_read_input_tokens or 0, reported.cache_creation_input_tokens or 0
    return Usage(
        input=reported.input_tokens,
        output=reported.output_tokens,
        total=reported.input_tokens + reported.output_tokens + read + written,
        cached_input=read,
        cache_write=written,
        reasoning=reported.output_tokens_details.thinking_tokens,
    )
