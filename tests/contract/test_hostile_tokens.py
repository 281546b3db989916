"""No wrong token passes real Envoy, in any dialect, by any of the fields that carry tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.contract.hostile import World, hostile_world
from tests.contract.hostile_tokens import WRONG_TOKENS, Wrong
from tests.contract.token_bearing import bear, pass_rightly
from tests.entra_tokens import Issuer

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(simulator: str) -> AsyncIterator[World]:
    async with hostile_world(simulator, Issuer()) as running:
        yield running


@pytest.mark.parametrize("wrong", WRONG_TOKENS, ids=lambda wrong: wrong.name)
async def test_a_wrong_token_never_passes(world: World, wrong: Wrong) -> None:
    await bear(world, wrong)


@pytest.mark.parametrize("version", ["1.0", "2.0"])
async def test_right_tokens_of_both_versions_pass(world: World, version: str) -> None:
    await pass_rightly(world, version)
