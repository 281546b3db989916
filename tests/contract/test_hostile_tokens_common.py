"""Where keys are common to all tenants no wrong token passes either. Apart: AI Gateway runs for one gateway at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.contract.hostile import World, hostile_world
from tests.contract.hostile_tokens import WRONG_WITH_COMMON_KEYS, Wrong
from tests.contract.token_bearing import bear, pass_rightly
from tests.entra_tokens import Issuer

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def common(simulator: str) -> AsyncIterator[World]:
    async with hostile_world(simulator, Issuer(), keys="common") as running:
        yield running


@pytest.mark.parametrize("wrong", WRONG_WITH_COMMON_KEYS, ids=lambda wrong: wrong.name)
async def test_a_wrong_token_never_passes_keys_of_every_tenant(common: World, wrong: Wrong) -> None:
    await bear(common, wrong)


@pytest.mark.parametrize("version", ["1.0", "2.0"])
async def test_right_tokens_of_both_versions_pass(common: World, version: str) -> None:
    await pass_rightly(common, version)
