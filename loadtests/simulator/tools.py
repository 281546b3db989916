"""Whether the answer is a tool call, and which. Pure.

A request forces a call by `tool_choice`: `"required"` or a named function (OpenAI), `any` or `tool` (Anthropic). A tool
that is merely offered is not called.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from loadtests.simulator.replies import RefusedError


def forced_tool(body: Mapping[str, Any]) -> tuple[str, str] | None:
    """The name of the tool that must be called and the member of its arguments that takes the text, or None.

    Raises:
        RefusedError: a tool is forced that is not offered.
    """
    choice = body.get("tool_choice")
    if choice == "required" or (isinstance(choice, dict) and choice.get("type") == "any"):
        wanted = None
    elif isinstance(choice, dict) and choice.get("type") in {"function", "tool"}:
        wanted = choice.get("name") or choice.get("function", {}).get("name")
    else:
        return None
    for tool in body.get("tools") or []:
        function = tool.get("function") or tool
        if wanted is None or function.get("name") == wanted:
            return str(function.get("name")), _first_property(function)
    raise RefusedError(400, "tool_choice forces a tool that 'tools' does not offer.", param="tool_choice")


def _first_property(function: Mapping[str, Any]) -> str:
    schema = function.get("parameters") or function.get("input_schema") or {}
    return next(iter(schema.get("properties") or {}), "input")


def arguments(member: str, tokens: Iterator[str]) -> Iterator[str]:
    """The arguments as JSON text, in as many pieces as there are tokens: `{"input":"the gateway …"}`."""
    opening = '{"' + member + '":"'
    previous: str | None = None
    for token in tokens:
        if previous is not None:
            yield previous
        previous = opening + token
        opening = ""
    if previous is not None:
        yield previous + '"}'
