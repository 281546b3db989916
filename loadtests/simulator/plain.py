"""The answers that cost no tokens: models, files, and the agent backend that tells what reached it. Pure."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from loadtests.simulator.replies import RefusedError, Whole, dumps
from loadtests.simulator.witness import Arrival

_CREATED: Final = 1_735_689_600
_CREATED_AT: Final = "2025-01-01T00:00:00Z"
_MODELS: Final = ("sim-large", "sim-small", "sim-embedding")


def models(name: str, *, anthropic: bool) -> Whole:
    """`GET /v1/models` and `/v1/models/{name}`, in the form of either API. Every name has a model."""
    form = _anthropic_model if anthropic else _openai_model
    if name:
        return Whole(dumps(form(name)))
    entries = [form(model) for model in _MODELS]
    if anthropic:
        ends = {"has_more": False, "first_id": _MODELS[0], "last_id": _MODELS[-1]}
        return Whole(dumps({"data": entries} | ends))
    return Whole(dumps({"object": "list", "data": entries}))


def _openai_model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": _CREATED, "owned_by": "simulator"}


def _anthropic_model(name: str) -> dict[str, Any]:
    return {"type": "model", "id": name, "display_name": name, "created_at": _CREATED_AT}


def files(method: str, rest: str, body: bytes) -> Whole:
    """`/v1/files`: takes anything, keeps nothing.

    Raises:
        RefusedError: a method that the API does not have here.
    """
    match method, rest:
        case "POST", "":
            return Whole(dumps(_file("file-" + hashlib.sha256(body).hexdigest()[:24], len(body))))
        case "GET", "":
            return Whole(dumps({"object": "list", "data": [], "has_more": False}))
        case "GET", _:
            return Whole(dumps(_file(rest.partition("/")[0], 0)))
        case "DELETE", _ if rest:
            return Whole(dumps({"id": rest, "object": "file", "deleted": True}))
        case _:
            raise RefusedError(405, f"Not allowed to {method} on files.", code="method_not_supported")


def _file(identifier: str, size: int) -> dict[str, Any]:
    return {
        "id": identifier,
        "object": "file",
        "bytes": size,
        "created_at": _CREATED,
        "filename": "upload",
        "purpose": "assistants",
        "status": "processed",
    }


def echo(arrival: Arrival) -> Whole:
    """An agent backend: tells what reached it (method, path, header fields, digest of the body)."""
    return Whole(dumps(arrival.told()))
