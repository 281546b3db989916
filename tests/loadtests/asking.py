"""Requests to the simulator, by hand."""

from __future__ import annotations

from typing import Any, Final

import httpx

from tests.servers import Simulator

PROMPT: Final = "how many words are these"
MESSAGES: Final[Any] = [{"role": "user", "content": PROMPT}]
CHAT: Final = {"model": "m", "messages": MESSAGES}


def fetch(simulator: Simulator, path: str, body: object, **wishes: object) -> httpx.Response:
    """POST `body`, with wishes named without their `x-sim-`."""
    headers = {f"x-sim-{name.replace('_', '-')}": str(value) for name, value in wishes.items()}
    return httpx.post(simulator.url + path, json=body, headers=headers)
