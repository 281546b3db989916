"""What of a request's body the model reads: its texts, and what costs tokens without being text. Pure.

The rules are OpenAI's ("How to count tokens with tiktoken", openai-cookbook: 3 tokens around each message and 3 for the
answer to begin, 1 more for a name) and Anthropic's ("Tool use": up to 804 tokens for the system prompt that tools bring),
rounded up. Tools and schemas are counted as the JSON that they are, which is longer than what providers make of it. What
has an unknown shape is counted as its JSON as well: nothing that a model may read is free.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from extproc.call import Operation
from policies.limits.tokens import images
from policies.limits.tokens.compact import compact
from policies.limits.tokens.models import Vocabulary

_MESSAGE: Final = 5
"""Around a message: 3 for its frame, 1 for its role, 1 for a name."""
_ANSWER: Final = 3
_TOOL: Final = 12
"""Around the definition of a tool, and around a result."""
_TOOLS: Final = 810
_BUILT_IN: Final = 1_500
"""The definition of a tool that the provider knows by its type (Anthropic's `computer_...`: 735 tokens and a system
prompt of 499; OpenAI publishes none)."""
_MEASURED: Final = 500
"""Images whose size is read from their header."""
_DEEPEST: Final = 64
"""Levels of content in content: as deep as a body may be."""
_SHORT: Final = 128
"""Characters of a role, a type or an id. Longer ones are none, and are counted."""
_UNREAD: Final = frozenset({"role", "type", "id", "status"})
"""Members of a message that are no text: roles are in `_MESSAGE`, the others are not given to the model."""
_TEXTS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("text", "input_text", "output_text", "summary_text", "reasoning_text"), "text"),
    "refusal": "refusal",
}
"""The parts that are text, and the member that holds it."""
_HIDDEN: Final[Mapping[Operation, tuple[str, ...]]] = {
    Operation.CHAT: ("web_search_options", "data_sources"),
    Operation.RESPONSES: ("previous_response_id", "conversation", "prompt"),
    Operation.MESSAGES: ("mcp_servers", "container"),
    Operation.COUNT_TOKENS: ("mcp_servers", "container"),
}
"""Members by which the provider adds input: what it has stored, or finds."""
_AT_CLIENT: Final = re.compile(r"(?:function|custom|(?:bash|text_editor|computer|memory)_[0-9]{8})")
"""Types of tools that bring no input but their definition and what the client answers. All others run at the provider."""


class Prompt:
    """The texts of a prompt, and the tokens of all that is no text."""

    __slots__ = ("_images", "_seen", "texts", "tokens", "visible")

    def __init__(self, model: str, vocabulary: Vocabulary) -> None:
        """`model`: by its own name, if that is known."""
        self.texts: list[str] = []
        self.tokens = 0
        self.visible = True
        self._seen = 0
        self._images = images.rule_of(model, vocabulary)

    def text(self, value: object) -> None:
        """A text; anything else as its JSON."""
        if isinstance(value, str):
            if value:
                self.texts.append(value)
        elif value is not None:
            self.texts.append(compact(value))

    def image(self, source: object, detail: object) -> None:
        """An image: its data URL or base64, if it is in the request."""
        self._seen += 1
        # No provider takes so many: their headers are not worth the time.
        self.tokens += images.image(source if self._seen <= _MEASURED else None, detail, self._images)

    def content(self, value: object, depth: int = 0) -> None:
        """The content of a message: a text, a part, or parts."""
        if isinstance(value, str):
            self.texts.append(value)
        elif depth > _DEEPEST:
            self.text(value)
        elif isinstance(value, list):
            for part in value:
                self.part(part, depth)
        else:
            self.part(value, depth)

    def part(self, part: object, depth: int = 0) -> None:
        """One part of a content, of whichever API."""
        if not isinstance(part, dict):
            self.text(part)
            return
        kind = part.get("type")
        name = _TEXTS.get(kind) if isinstance(kind, str) else None
        if name is not None:
            text = part.get(name)
            self.text(text if isinstance(text, str) else part)
            return
        reader = _PARTS.get(kind) if isinstance(kind, str) else None
        if reader is not None:
            reader(self, part, depth)
        else:
            self.text(part)

    def messages(self, value: object) -> None:
        """An array of messages, or of the items of the Responses API."""
        if not isinstance(value, list):
            self.text(value)
            return
        self.tokens += _MESSAGE * len(value)
        for message in value:
            if isinstance(message, dict):
                self._message(message)
            else:
                self.text(message)

    def _message(self, message: Mapping[str, Any]) -> None:
        kind = message.get("type")
        if kind is not None and isinstance(kind, str):
            if kind == "item_reference":
                self.visible = False
            elif kind in _PARTS and "content" not in message:
                self.part(message)
                return
        for name, held in message.items():
            if name in ("content", "output", "summary"):
                self.content(held)
            elif name not in _UNREAD or not isinstance(held, str) or len(held) > _SHORT:
                self.text(held)
                if name == "audio" and held:
                    # An answer that was spoken, by its id.
                    self.visible = False

    def tools(self, value: object) -> None:
        """Definitions of tools."""
        if not value:
            return
        self.text(value)
        for tool in value if isinstance(value, list) else (value,):
            self.tokens += _TOOL
            kind = tool.get("type") if isinstance(tool, dict) else None
            if isinstance(kind, str) and not _AT_CLIENT.fullmatch(kind):
                self.tokens += _BUILT_IN
                self.visible = False
            elif isinstance(kind, str) and kind not in ("function", "custom"):
                self.tokens += _BUILT_IN

    def plain(self, value: object, depth: int = 0) -> None:
        """The input of completions and embeddings: a text, tokens, or an array of either."""
        if not isinstance(value, list) or depth > 2:
            self.text(value)
        elif value and set(map(type, value)) == {int}:
            self.tokens += len(value)
        else:
            for one in value:
                if isinstance(one, int):
                    self.tokens += 1
                else:
                    self.plain(one, depth + 1)


def _image_url(prompt: Prompt, part: Mapping[str, Any], _: int) -> None:
    """OpenAI's, in chat and in responses; a screenshot is the same."""
    held = part.get("image_url")
    if isinstance(held, dict):
        prompt.image(held.get("url"), held.get("detail"))
    else:
        prompt.image(held, part.get("detail"))


def _generated_image(prompt: Prompt, part: Mapping[str, Any], _: int) -> None:
    prompt.image(part.get("result"), None)


def _image(prompt: Prompt, part: Mapping[str, Any], _: int) -> None:
    """Anthropic's."""
    source = part.get("source")
    prompt.image(source.get("data") if isinstance(source, dict) else None, None)


def _sound(prompt: Prompt, part: Mapping[str, Any], _: int) -> None:
    inner = part.get("input_audio")
    prompt.tokens += images.sound(inner.get("data") if isinstance(inner, dict) else None)


def _file(prompt: Prompt, part: Mapping[str, Any], _: int) -> None:
    """OpenAI's."""
    inner = part.get("file")
    held = inner if isinstance(inner, dict) else part
    prompt.tokens += images.file(held.get("file_data"))
    prompt.text(held.get("filename"))


def _document(prompt: Prompt, part: Mapping[str, Any], depth: int) -> None:
    """Anthropic's."""
    held = part.get("source")
    source = held if isinstance(held, dict) else {}
    if source.get("type") == "text":
        prompt.text(source.get("data"))
    elif source.get("type") == "content":
        prompt.content(source.get("content"), depth + 1)
    else:
        prompt.tokens += images.file(source.get("data"))
    prompt.text(part.get("title"))
    prompt.text(part.get("context"))


def _tool_result(prompt: Prompt, part: Mapping[str, Any], depth: int) -> None:
    prompt.tokens += _TOOL
    prompt.text(part.get("tool_use_id"))
    prompt.content(part.get("content"), depth + 1)


_PARTS: Final[Mapping[str, Callable[[Prompt, Mapping[str, Any], int], None]]] = {
    **dict.fromkeys(("image_url", "input_image", "computer_screenshot"), _image_url),
    "image_generation_call": _generated_image,
    "image": _image,
    "input_audio": _sound,
    **dict.fromkeys(("file", "input_file"), _file),
    "document": _document,
    "tool_result": _tool_result,
}
"""The parts that are no text alone."""


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
    prompt.messages(members.get("input"))
    # A stored prompt may have instructions of several items.
    prompt.content(members.get("instructions"))
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
    prompt.text(members.get("output_format"))
    prompt.text(members.get("output_config"))


_READERS: Final[Mapping[Operation, Callable[[Prompt, Mapping[str, Any]], None]]] = {
    Operation.CHAT: _chat,
    Operation.COMPLETIONS: _completions,
    Operation.EMBEDDINGS: _embeddings,
    Operation.RESPONSES: _responses,
    Operation.MESSAGES: _messages,
    Operation.COUNT_TOKENS: _messages,
}


def read_prompt(
    operation: Operation,
    members: Mapping[str, Any],
    vocabulary: Vocabulary = Vocabulary.UNKNOWN,
    model: str | None = None,
) -> Prompt:
    """The prompt in a body. An operation without one has an empty one. Never raises, whatever the members are.

    `model`: by its own name; left out, as the body names it. Images cost what the model makes of them.
    """
    named = members.get("model") if model is None else model
    prompt = Prompt(named if isinstance(named, str) else "", vocabulary)
    reader = _READERS.get(operation)
    if reader is not None:
        reader(prompt, members)
        prompt.visible = prompt.visible and not any(members.get(name) for name in _HIDDEN.get(operation, ()))
    return prompt
