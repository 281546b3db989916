"""The answers to `GET /v1/models` and `GET /v1/models/{model}`, in the shape of either API.

Release dates are not known here. Both APIs require one: it is the epoch, as Anthropic's API reference has it for an
unknown date. Anthropic's list comes as one page, whatever `limit` asks for.
Sources: OpenAI's and Anthropic's API reference, "List models" and "Retrieve model".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from extproc.exchange import Dialect


def one_model(dialect: Dialect, name: str) -> bytes:
    """The body that describes one model."""
    return orjson.dumps(_described(dialect, name))


def model_list(dialect: Dialect, names: Sequence[str]) -> bytes:
    """The body that lists these models."""
    data = [_described(dialect, name) for name in names]
    if dialect is Dialect.ANTHROPIC:
        ends = {"first_id": names[0], "last_id": names[-1]} if names else {"first_id": None, "last_id": None}
        return orjson.dumps({"data": data, "has_more": False, **ends})
    return orjson.dumps({"object": "list", "data": data})


def _described(dialect: Dialect, name: str) -> dict[str, Any]:
    if dialect is Dialect.ANTHROPIC:
        return {
            "type": "model",
            "id": name,
            "display_name": name,
            "created_at": "1970-01-01T00:00:00Z",
            "lifecycle": "active",
        }
    return {"id": name, "object": "model", "created": 0, "owned_by": "system"}
