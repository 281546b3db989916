"""What the request means: its endpoint from the request line, its call from the body, parsed once and strictly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import msgspec

from extproc.exchange import Dialect

if TYPE_CHECKING:
    # A model has a price, a price is of a usage, and a usage is of a call.
    from extproc.catalogue import Model


class Operation(StrEnum):
    """What the client wants done."""

    CHAT = "chat"
    COMPLETIONS = "completions"
    RESPONSES = "responses"
    EMBEDDINGS = "embeddings"
    MESSAGES = "messages"
    COUNT_TOKENS = "count_tokens"
    MODELS = "models"
    MODEL = "model"
    OPAQUE = "opaque"
    AGENT = "agent"


METERS: Final[Mapping[Operation, str]] = {
    Operation.CHAT: "openai_chat",
    Operation.COMPLETIONS: "openai_completions",
    Operation.RESPONSES: "openai_responses",
    Operation.EMBEDDINGS: "openai_embeddings",
    Operation.MESSAGES: "anthropic_messages",
}
"""The operations that use tokens, and the names by which `envoy/usage.lua` knows how their answers count them."""

OUTPUT_FIELDS: Final[Mapping[Operation, tuple[str, ...]]] = {
    Operation.CHAT: ("max_completion_tokens", "max_tokens"),
    Operation.COMPLETIONS: ("max_tokens",),
    Operation.RESPONSES: ("max_output_tokens",),
    Operation.MESSAGES: ("max_tokens",),
}
"""The members in which a client may set a ceiling of output tokens. Of two, servers differ in which counts."""


def output_field(operation: Operation, model: Model | None = None) -> str | None:
    """The member in which the gateway writes a ceiling of output tokens; None for an operation that has no output.

    `model`: the entry that serves the call. Of the two members of a chat, it says which one its server takes.
    """
    if model is not None and model.output_field is not None and operation is Operation.CHAT:
        return model.output_field
    fields = OUTPUT_FIELDS.get(operation)
    return fields[0] if fields else None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The request line, understood. Put before `on_request_headers`.

    Attributes:
        deployment: the model in an Azure-style path (`/openai/deployments/{deployment}/…`).
        api_version: Azure's `api-version` query parameter.
        model: the model in `GET /v1/models/{model}`.
        route: the name of the configured opaque route or agent.
        rest: the path after `/agents/{name}`, starting with a slash, normal form.
        has_payload: the body is JSON that the gateway reads; otherwise it streams by unseen.
    """

    operation: Operation
    dialect: Dialect
    has_payload: bool = False
    deployment: str | None = None
    api_version: str | None = None
    model: str | None = None
    route: str | None = None
    rest: str | None = None


class Call(msgspec.Struct, frozen=True):
    """What the body asks for. Put before `on_request_body`; travels to settlement.

    Attributes:
        model: as the client named it (for Azure-style paths: the deployment); None where there is none.
        stream: the client asked for server-sent events.
        wants_usage: the client asked for the usage chunk of a chat stream itself.
        max_output: the output ceiling the client set, in tokens, for one choice; None if it set none.
        choices: how many answers are to be generated (`n`, `best_of`, times the prompts in an array), at least 1.
        hosted_tools: types of the tools that the provider would run itself (`web_search`, `mcp`, …).
        route: the name of the opaque route or agent.
        method, path: the request line of agents and opaque routes, for the record: the path may be cut off, decide on the
            request's own.
    """

    operation: Operation
    dialect: Dialect
    model: str | None = None
    stream: bool = False
    wants_usage: bool = False
    max_output: int | None = None
    choices: int = 1
    hosted_tools: tuple[str, ...] = ()
    route: str | None = None
    method: str = "POST"
    path: str = ""


class Payload(msgspec.Struct, frozen=True):
    """The parsed body, read-only by convention, until the verdict. Does not travel: prompts stay in memory."""

    members: dict[str, Any]

    def __repr__(self) -> str:
        return f"Payload({len(self.members)} members)"


class OutputCeiling(msgspec.Struct, frozen=True):
    """The most output tokens this caller may ask for. Where the client set no ceiling, the host inserts this one in the
    field that the dialect takes."""

    tokens: int
