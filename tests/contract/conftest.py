"""What contract tests share: one simulator for all, and policies that do what a request's headers tell them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers import running_simulator


@pytest.fixture(scope="session")
def simulator() -> Iterator[str]:
    """The base URL of the upstream simulator."""
    with running_simulator() as server:
        yield server.url
