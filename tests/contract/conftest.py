"""What contract tests share: one simulator for all, and policies that do what a request's headers tell them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.ai_gateway import PROFILE
from tests.servers import running_simulator
from tests.transports import TRANSPORTS


@pytest.fixture(scope="session")
def simulator() -> Iterator[str]:
    """The base URL of the upstream simulator."""
    with running_simulator() as server:
        yield server.url


# AI Gateway's Envoy is no other peer.
@pytest.fixture(scope="module", params=TRANSPORTS if PROFILE == "plain" else TRANSPORTS[:1])
def transport(request: pytest.FixtureRequest) -> str:
    """A value of `server.transport`. Asked for by what a transport could break, and by nothing else: hostile requests end
    at Envoy or at the conversation, and reach both in the same bytes whatever carries them."""
    return str(request.param)
