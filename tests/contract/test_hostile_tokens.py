"""No wrong token passes real Envoy, in any dialect, by any of the fields that carry tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.contract.hostile import AZURE, CHAT, MESSAGES, Expected, World, check, hostile_world, http
from tests.contract.hostile_tokens import WRONG_TOKENS, WRONG_WITH_COMMON_KEYS, Wrong
from tests.entra_tokens import FABRIKAM, Issuer

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="module")]
PLACES = (
    (CHAT, "authorization", "openai"),
    (AZURE + "?api-version=2024-10-21", "api-key", "openai"),
    (MESSAGES, "x-api-key", "anthropic"),
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(simulator: str) -> AsyncIterator[World]:
    async with hostile_world(simulator, Issuer()) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def common(simulator: str) -> AsyncIterator[World]:
    async with hostile_world(simulator, Issuer(), keys="common") as running:
        yield running


async def bear(world: World, wrong: Wrong) -> None:
    """Bear it everywhere; nothing passes, and each refusal is settled once."""
    token = wrong.mint(world.issuer)
    before = len(world.gateway.recorder.completions)
    for target, name, dialect in PLACES:
        credential = f"Bearer {token}" if name == "authorization" else token
        [answer] = await world.send(http(target, None, (name, credential), without=["authorization"]))
        check(answer, Expected(wrong.status, wrong.code, dialect))
        [challenge] = answer.all("www-authenticate")
        assert challenge.startswith("Bearer ")
        assert not [part for part in token.split(".") if len(part) > 8 and part in repr(answer)]
    completions, arrived = await world.fence(before)
    assert not arrived, arrived
    assert [completion.status for completion in completions] == [wrong.status] * len(PLACES)
    assert token not in repr(completions)


@pytest.mark.parametrize("wrong", WRONG_TOKENS, ids=lambda wrong: wrong.name)
async def test_a_wrong_token_never_passes(world: World, wrong: Wrong) -> None:
    await bear(world, wrong)


@pytest.mark.parametrize("wrong", WRONG_WITH_COMMON_KEYS, ids=lambda wrong: wrong.name)
async def test_a_wrong_token_never_passes_keys_of_every_tenant(common: World, wrong: Wrong) -> None:
    await bear(common, wrong)


@pytest.mark.parametrize("version", ["1.0", "2.0"])
async def test_right_tokens_of_both_versions_pass(world: World, common: World, version: str) -> None:
    """The tables prove nothing if nothing passes."""
    for running in (world, common):
        for token in (
            running.issuer.token(version=version, roles=["User"]),
            running.issuer.token(FABRIKAM, version=version, aud="api://gateway/", roles=["User"]),
            running.issuer.token(version=version, app_only=True, roles=["Job"]),
        ):
            [answer] = await running.send(http(CHAT, None, ("authorization", f"bearer  {token}")))
            assert answer.status == 200, answer
        await running.gateway.forget_arrived()
