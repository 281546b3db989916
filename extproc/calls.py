"""From a parsed body to a `Call`: the members that decisions, routing and metering stand on, checked for their types.

Whatever else the body holds is between the client and its provider.
Sources: OpenAI's API reference (chat, completions, responses, embeddings), Anthropic's Messages API reference.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from extproc.call import OUTPUT_FIELDS, Call, Endpoint, Operation
from extproc.exchange import Dialect, Request
from extproc.payload import PayloadError

_MAX_MODEL: Final = 256
_MAX_CHOICES: Final = 128
_MAX_TOKENS: Final = 10_000_000
_CHOICE_FIELDS: Final[Mapping[Operation, tuple[str, ...]]] = {
    Operation.CHAT: ("n",),
    Operation.COMPLETIONS: ("n", "best_of"),
}
_INPUT_FIELD: Final[Mapping[Operation, tuple[str, tuple[type, ...]]]] = {
    Operation.CHAT: ("messages", (list,)),
    Operation.MESSAGES: ("messages", (list,)),
    Operation.COUNT_TOKENS: ("messages", (list,)),
    Operation.EMBEDDINGS: ("input", (str, list)),
}
_JUDGED: Final = frozenset(
    {
        *("model", "messages", "input", "prompt", "stream", "stream_options", "n", "best_of", "tools", "background"),
        *("max_tokens", "max_completion_tokens", "max_output_tokens"),
        *("mcp_servers", "web_search_options", "data_sources"),
    }
)
"""The members that a decision may stand on."""
_TOOL_MEMBERS: Final = frozenset({"tools", "prompt", "mcp_servers", "data_sources", "web_search_options"})
"""A body without any of these brings no tools."""
_TOOL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_MAX_HOSTED: Final = 32
# Tools of these types run at the client; every other type runs at the provider.
_CLIENT_TOOLS: Final = frozenset({"function", "custom"})
# Anthropic's own tools that run at the client are versioned: `bash_20250124`.
_ANTHROPIC_CLIENT_TOOLS: Final = re.compile(r"(?:bash|text_editor|computer|memory)_[0-9]{8}")


def without_payload(endpoint: Endpoint, request: Request) -> Call:
    """The call of an endpoint whose body is not read."""
    return Call(
        endpoint.operation,
        endpoint.dialect,
        model=endpoint.model,
        route=endpoint.route,
        method=request.method,
        path=endpoint.rest or request.loggable_path,
    )


def read_call(endpoint: Endpoint, members: dict[str, Any]) -> Call:
    """The call that this body makes at this endpoint.

    Raises:
        PayloadError: `invalid_request` or `unsupported_parameter`, naming the member.
    """
    operation = endpoint.operation
    _check_spelling(members)
    field = _INPUT_FIELD.get(operation)
    if field is not None and not isinstance(members.get(field[0]), field[1]):
        raise _wrong(field[0], " or ".join("an array" if kind is list else "a string" for kind in field[1]))
    if _boolean(members, "background"):
        raise PayloadError(
            "unsupported_parameter",
            "Background responses cannot be metered: their usage arrives on a later request. Leave `background` out.",
            "background",
        )
    stream = _boolean(members, "stream")
    return Call(
        operation,
        endpoint.dialect,
        model=_model(endpoint, members),
        stream=stream,
        wants_usage=stream and _wants_usage(members),
        max_output=_max_output(operation, members),
        choices=_choices(operation, members),
        hosted_tools=() if _TOOL_MEMBERS.isdisjoint(members) else _distinct(_hosted_tools(endpoint, members)),
    )


def _check_spelling(members: dict[str, Any]) -> None:
    """Refuse `Model` beside, or instead of, `model`: servers written in Go read both as the same member
    (encoding/json prefers an exact match but accepts any case, and takes the last)."""
    for name in members:
        if name not in _JUDGED and (meant := name.casefold()) in _JUDGED:
            raise PayloadError("invalid_request", f"A member is spelt like `{meant}` but for its case.", meant)


def _wrong(name: str, expected: str) -> PayloadError:
    return PayloadError("invalid_request", f"`{name}` is missing or of the wrong type: expected {expected}.", name)


def _model(endpoint: Endpoint, members: dict[str, Any]) -> str:
    if endpoint.deployment is not None:
        # Azure decides by the path; SDKs repeat the model in the body.
        if not isinstance(members.get("model", ""), str | None):
            raise _wrong("model", "a string")
        return endpoint.deployment
    model = members.get("model")
    if not isinstance(model, str) or not 0 < len(model) <= _MAX_MODEL or not model.isprintable():
        raise _wrong("model", "the name of a model")
    return model


def _boolean(members: dict[str, Any], name: str) -> bool:
    value = members.get(name)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise _wrong(name, "true or false")
    return value


def _integer(members: dict[str, Any], name: str, limit: int) -> int | None:
    value = members.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= limit:
        raise _wrong(name, f"an integer from 0 to {limit}")
    return value


def _wants_usage(members: dict[str, Any]) -> bool:
    options = members.get("stream_options")
    if options is None:
        return False
    if not isinstance(options, dict):
        raise _wrong("stream_options", "an object")
    return _boolean(options, "include_usage")


def _max_output(operation: Operation, members: dict[str, Any]) -> int | None:
    """The largest of the ceilings set: providers differ in which of two counts."""
    largest: int | None = None
    for name in OUTPUT_FIELDS.get(operation, ()):
        value = _integer(members, name, _MAX_TOKENS)
        if value is not None and (largest is None or value > largest):
            largest = value
    return largest


def _choices(operation: Operation, members: dict[str, Any]) -> int:
    each = 1
    for name in _CHOICE_FIELDS.get(operation, ()):
        each = max(each, _integer(members, name, _MAX_CHOICES) or 1)
    return each * _prompts(members) if operation is Operation.COMPLETIONS else each


def _prompts(members: dict[str, Any]) -> int:
    """How many prompts one request to `/completions` holds: a text, tokens, or an array of either."""
    prompt = members.get("prompt")
    if prompt is None or isinstance(prompt, str):
        return 1
    if not isinstance(prompt, list):
        raise _wrong("prompt", "a string or an array")
    tokens = all(isinstance(item, int) for item in prompt)
    return 1 if tokens else len(prompt)


def _distinct(tools: Iterable[str]) -> tuple[str, ...]:
    """Each once and not too many: they travel with the verdict."""
    distinct = tuple(dict.fromkeys(tools))
    if len(distinct) > _MAX_HOSTED:
        raise _wrong("tools", f"at most {_MAX_HOSTED} types of tools")
    return distinct


def _hosted_tools(endpoint: Endpoint, members: dict[str, Any]) -> Iterator[str]:
    dialect = endpoint.dialect
    tools = members.get("tools")
    if tools is not None and not isinstance(tools, list):
        raise _wrong("tools", "an array")
    for tool in tools or ():
        kind = tool.get("type", "custom" if dialect is Dialect.ANTHROPIC else None) if isinstance(tool, dict) else None
        if kind is None and isinstance(tool, dict) and "type" in tool and dialect is Dialect.ANTHROPIC:
            kind = "custom"
        if not isinstance(kind, str) or not _TOOL.fullmatch(kind):
            raise _wrong("tools", "an array of objects with a `type`")
        at_client = dialect is Dialect.ANTHROPIC and _ANTHROPIC_CLIENT_TOOLS.fullmatch(kind)
        if kind not in _CLIENT_TOOLS and not at_client:
            yield kind
    if endpoint.operation is Operation.RESPONSES and members.get("prompt") is not None:
        # A prompt that is stored at the provider brings tools of its own, which nobody here sees.
        yield "stored_prompt"
    if members.get("mcp_servers"):
        yield "mcp"
    if members.get("data_sources"):
        # Azure's "on your data": the provider retrieves.
        yield "data_sources"
    if members.get("web_search_options") is not None:
        yield "web_search"
