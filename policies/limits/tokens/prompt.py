"""What of a request's body the model reads: its texts, and what costs tokens without being text. Pure.

The rules are OpenAI's ("How to count tokens with tiktoken", openai-cookbook: 3 tokens around each message and 3 for the
answer to begin, 1 more for a name) and Anthropic's ("Tool use": up to 810 tokens for the system prompt that tools bring),
rounded up. Tools and schemas are counted as the JSON that they are, which is longer than what providers make of it. What
has an unknown shape is counted as its JSON as well: nothing that a model may read is free.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from extproc.call import Operation
from policies.limits.tokens import images

_MESSAGE: Final = 5
"""Around a message: 3 for its frame, 1 for its role, 1 for a name."""
_ANSWER: Final = 3
_TOOL: Final = 12
_TOOLS: Final = 810
_TEXT_PARTS: Final = frozenset({"text", "input_text", "output_text", "refusal", "summary_text", "reasoning_text"})
_HIDDEN: Final = ("previous_response_id", "conversation", "prompt")
"""Members by which the provider adds input that it has stored."""


class Prompt:
    """The texts of a prompt, and the tokens of all that is no text."""

    __slots__ = ("small", "texts", "tokens", "visible")

    def __init__(self, *, small: bool = False) -> None:
        """`small`: the model is one of those that count an image many times over."""
        self.texts: list[str] = []
        self.tokens = 0
        self.visible = True
        self.small = small

    def text(self, value: object) -> None:
        """A text; anything else as its JSON."""
        if isinstance(value, str):
            self.texts.append(value)
        elif value is not None:
            self.texts.append(json.dumps(value, ensure_ascii=False, separators=(",", ":")))

    def content(self, value: object) -> None:
        """The content of a message: a text, or parts."""
        if isinstance(value, list):
            for part in value:
                self.part(part)
        else:
            self.text(value)

    def part(self, part: object) -> None:
        """One part of a content, of whichever API."""
        if not isinstance(part, dict):
            self.text(part)
            return
        kind = part.get("type")
        if kind in _TEXT_PARTS:
            self.text(part.get("text", part.get("refusal")))
        elif kind in ("image_url", "input_image"):
            inner = part.get("image_url")
            detail = inner.get("detail") if isinstance(inner, dict) else part.get("detail")
            self.tokens += images.openai_image(detail, small=self.small)
        elif kind == "image":
            self.tokens += images.ANTHROPIC
        elif kind == "input_audio":
            inner = part.get("input_audio")
            self.tokens += images.sound(inner.get("data") if isinstance(inner, dict) else None)
        elif kind in ("file", "input_file"):
            inner = part.get("file") if isinstance(part.get("file"), dict) else part
            self.tokens += images.file(inner.get("file_data") if isinstance(inner, dict) else None)
        elif kind == "document":
            self._document(part)
        elif kind == "tool_result":
            self.tokens += _TOOL
            self.content(part.get("content"))
        else:
            self.text(part)

    def _document(self, part: Mapping[str, Any]) -> None:
        source = part.get("source")
        source = source if isinstance(source, dict) else {}
        if source.get("type") == "text":
            self.text(source.get("data"))
        elif source.get("type") == "content":
            self.content(source.get("content"))
        else:
            self.tokens += images.file(source.get("data"))
        self.text(part.get("title"))
        self.text(part.get("context"))

    def messages(self, value: object) -> None:
        """An array of messages, or of the items of the Responses API."""
        if not isinstance(value, list):
            self.text(value)
            return
        for message in value:
            self.tokens += _MESSAGE
            if not isinstance(message, dict):
                self.text(message)
                continue
            for name, held in message.items():
                if name in ("content", "output", "summary"):
                    self.content(held)
                elif name not in ("role", "type", "id", "status"):
                    self.text(held)

    def tools(self, value: object) -> None:
        """Definitions of tools."""
        if value:
            self.tokens += _TOOL * (len(value) if isinstance(value, list) else 1)
            self.text(value)

    def plain(self, value: object) -> None:
        """The input of completions and embeddings: a text, tokens, or an array of either."""
        if isinstance(value, list):
            for one in value:
                if isinstance(one, int):
                    self.tokens += 1
                elif isinstance(one, list):
                    self.plain(one)
                else:
                    self.text(one)
        else:
            self.text(value)


def _chat(prompt: Prompt, members: Mapping[str, Any]) -> None:
    prompt.tokens += _ANSWER
    prompt.messages(members.get("messages"))
    prompt.tools(members.get("tools"))
    prompt.tools(members.get("functions"))
    prompt.text(members.get("response_format"))
    # A prediction that is not met is billed, though as output.
    prompt.text(members.get("prediction"))


def _completions(prompt: Prompt, members: Mapping[str, Any]) -> None:
    prompt.plain(members.get("prompt"))
    prompt.text(members.get("suffix"))


def _embeddings(prompt: Prompt, members: Mapping[str, Any]) -> None:
    prompt.plain(members.get("input"))


def _responses(prompt: Prompt, members: Mapping[str, Any]) -> None:
    prompt.tokens += _ANSWER + _MESSAGE
    prompt.visible = not any(members.get(name) for name in _HIDDEN)
    prompt.messages(members.get("input"))
    prompt.text(members.get("instructions"))
    prompt.tools(members.get("tools"))
    prompt.text(members.get("text"))
    prompt.text(members.get("prompt"))


def _messages(prompt: Prompt, members: Mapping[str, Any]) -> None:
    prompt.tokens += _ANSWER + _MESSAGE
    prompt.content(members.get("system"))
    prompt.messages(members.get("messages"))
    if members.get("tools") or members.get("mcp_servers"):
        prompt.tokens += _TOOLS
    prompt.tools(members.get("tools"))
    prompt.text(members.get("mcp_servers"))


_READERS: Final[Mapping[Operation, Callable[[Prompt, Mapping[str, Any]], None]]] = {
    Operation.CHAT: _chat,
    Operation.COMPLETIONS: _completions,
    Operation.EMBEDDINGS: _embeddings,
    Operation.RESPONSES: _responses,
    Operation.MESSAGES: _messages,
    Operation.COUNT_TOKENS: _messages,
}


def read_prompt(operation: Operation, members: Mapping[str, Any]) -> Prompt:
    """The prompt in a body. An operation without one has an empty one."""
    model = members.get("model")
    prompt = Prompt(small=isinstance(model, str) and "-mini" in model)
    reader = _READERS.get(operation)
    if reader is not None:
        reader(prompt, members)
    return prompt
