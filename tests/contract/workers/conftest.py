"""Two workers that serve, and clients that have not begun yet."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.workers.place import Load, Place, place_in


@pytest.fixture
async def place(simulator: str) -> AsyncIterator[Place]:
    with tempfile.TemporaryDirectory(prefix="sg-", dir="/tmp") as folder:
        made = place_in(Path(folder), simulator)
        with made.identity_provider(), made.policy_server():
            yield made


@pytest.fixture
async def load(place: Place) -> AsyncIterator[Load]:
    async with place.envoy() as client:
        async with asyncio.timeout(30):
            while not all(worker["ready"] for worker in (await place.workers()).values()):
                await asyncio.sleep(0.05)
        yield Load(client)
