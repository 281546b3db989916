"""Bearing tokens to a gateway, by any of the fields that carry them and in any dialect."""

from __future__ import annotations

from tests.contract.hostile import AZURE, CHAT, MESSAGES, Expected, World, check, http
from tests.contract.hostile_tokens import Wrong
from tests.entra_tokens import FABRIKAM

PLACES = (
    (CHAT, "authorization", "openai"),
    (AZURE + "?api-version=2024-10-21", "api-key", "openai"),
    (MESSAGES, "x-api-key", "anthropic"),
)


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


async def pass_rightly(world: World, version: str) -> None:
    """The tables prove nothing if nothing passes."""
    for token in (
        world.issuer.token(version=version, roles=["User"]),
        world.issuer.token(FABRIKAM, version=version, aud="api://gateway/", roles=["User"]),
        world.issuer.token(version=version, app_only=True, roles=["Job"]),
    ):
        [answer] = await world.send(http(CHAT, None, ("authorization", f"bearer  {token}")))
        assert answer.status == 200, answer
    await world.gateway.forget_arrived()
