"""`POST /v1/embeddings`. Shapes: OpenAI's API reference, "Embeddings". Pure."""

from __future__ import annotations

import base64
import hashlib
import math
import struct
from typing import Any, Final

from loadtests.simulator.replies import Ask, RefusedError, Whole, dumps, missing
from loadtests.simulator.tokens import words_in

_DIMENSIONS: Final = 1536
_MOST_INPUTS: Final = 2048


def answer(ask: Ask) -> Whole:
    """Answer with one unit vector for each input, as numbers or as base64 of little-endian float32.

    Raises:
        RefusedError: the real API would refuse it.
    """
    inputs = _inputs(ask.body.get("input"))
    dimensions = ask.body.get("dimensions") or _DIMENSIONS
    if not isinstance(dimensions, int) or not 1 <= dimensions <= 4096:
        raise RefusedError(400, "Invalid 'dimensions'.", param="dimensions", code="invalid_value")
    packed = ask.body.get("encoding_format") == "base64"
    entries = []
    for index, text in enumerate(inputs):
        vector = _vector(ask.model, text, dimensions)
        embedding: object = base64.b64encode(struct.pack(f"<{dimensions}f", *vector)).decode() if packed else vector
        entries.append({"object": "embedding", "index": index, "embedding": embedding})
    body: dict[str, Any] = {"object": "list", "data": entries, "model": ask.model}
    if ask.wishes.usage:
        tokens = max(1, words_in(inputs))
        body["usage"] = {"prompt_tokens": tokens, "total_tokens": tokens}
    return Whole(dumps(body))


def _inputs(value: object) -> list[Any]:
    """The inputs as a list: texts, or lists of token ids."""
    if isinstance(value, str) and value:
        return [value]
    if isinstance(value, list) and value:
        inputs = [value] if isinstance(value[0], int) else value
        if len(inputs) > _MOST_INPUTS:
            raise RefusedError(400, f"'input' has more than {_MOST_INPUTS} items.", param="input")
        return inputs
    raise missing("input")


def _vector(model: str, text: object, dimensions: int) -> list[float]:
    noise = hashlib.shake_128(dumps([model, text])).digest(dimensions * 2)
    raw = struct.unpack(f"<{dimensions}h", noise)
    norm = math.sqrt(sum(number * number for number in raw)) or 1.0
    return [round(number / norm, 8) for number in raw]
