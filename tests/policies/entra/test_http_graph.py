"""Microsoft Graph over real HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from extproc.identity import CallerKind
from policies.entra.groups import Caller, GroupsUnavailableError
from policies.entra.http_graph import MAX_ANSWER_BYTES, HttpGraph
from policies.entra.settings import Graph
from tests.entra_tokens import ALICE, API, CONTOSO, FABRIKAM, ROBOT, guid
from tests.policies.entra.http_server import Answer, Server, serving
from tests.policies.entra.world import Clock

SECRET = "s3cret-of-the-gateway"
TOKEN = f"/{CONTOSO}/oauth2/v2.0/token"
USERS = f"/v1.0/users/{ALICE}/getMemberObjects"
APPS = f"/v1.0/servicePrincipals/{ROBOT}/getMemberObjects"
GROUPS = [guid("staff"), guid("research")]
ALICE_AT_CONTOSO = Caller(CONTOSO, ALICE, CallerKind.USER)


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    monkeypatch.setenv("GRAPH_SECRET", SECRET)
    async with serving() as running:
        running.answers[TOKEN] = Answer({"access_token": "graph-token", "expires_in": 3599, "token_type": "Bearer"})
        running.answers[USERS] = running.answers[APPS] = Answer({"value": GROUPS})
        yield running


def _graph(server: Server, clock: Clock | None = None, **changes: Any) -> HttpGraph:
    settings = {"client_id": API, "secret": {"env": "GRAPH_SECRET"}, "base_url": server.url, **changes}
    return HttpGraph(Graph.model_validate(settings), server.url, clock or Clock())


@pytest.mark.parametrize(
    ("caller", "target"), [(ALICE_AT_CONTOSO, USERS), (Caller(CONTOSO, ROBOT, CallerKind.APP), APPS)]
)
async def test_groups(server: Server, caller: Caller, target: str) -> None:
    graph = _graph(server)
    assert await graph.groups(caller) == frozenset(GROUPS)
    await graph.close()
    assert server.targets() == [TOKEN, target]
    assert parse_qs(server.received[0].body.decode()) == {
        "grant_type": ["client_credentials"],
        "client_id": [API],
        "client_secret": [SECRET],
        "scope": [f"{server.url}/.default"],
    }
    assert server.received[1].headers["authorization"] == "Bearer graph-token"
    assert json.loads(server.received[1].body) == {"securityEnabledOnly": True}


async def test_the_token_is_used_until_shortly_before_it_ends(server: Server) -> None:
    clock = Clock()
    graph = _graph(server, clock, secret={"env": "GRAPH_SECRET"}, security_groups_only=False)
    for _ in range(2):
        await graph.groups(ALICE_AT_CONTOSO)
    assert server.targets().count(TOKEN) == 1
    assert json.loads(server.received[-1].body) == {"securityEnabledOnly": False}
    clock.now += 3_500
    await graph.groups(ALICE_AT_CONTOSO)
    assert server.targets().count(TOKEN) == 2
    await graph.close()


async def test_a_refused_token_is_not_used_again(server: Server) -> None:
    graph = _graph(server)
    server.answers[USERS] = Answer(status=401)
    with pytest.raises(GroupsUnavailableError):
        await graph.groups(ALICE_AT_CONTOSO)
    server.answers[USERS] = Answer({"value": []})
    assert await graph.groups(ALICE_AT_CONTOSO) == frozenset()
    assert server.targets().count(TOKEN) == 2
    await graph.close()


@pytest.mark.parametrize(
    ("target", "answer", "pause"),
    [
        (TOKEN, Answer({"error": "invalid_client", "error_description": "AADSTS7000215"}, status=401), 10),
        (TOKEN, Answer({"access_token": 1, "expires_in": 1}), 10),
        (TOKEN, Answer({"access_token": "a\r\nb: c", "expires_in": 1}), 10),
        (TOKEN, Answer({"access_token": "t", "expires_in": "3599"}), 10),
        (TOKEN, Answer(status=302, headers={"location": "https://evil.example/"}), 10),
        (USERS, Answer(status=403), 10),
        (USERS, Answer(status=429, headers={"retry-after": "42"}), 42),
        (USERS, Answer(status=503, headers={"retry-after": "99999"}), 300),
        (USERS, Answer(status=429, headers={"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}), 10),
        (USERS, Answer(status=404), None),
        (USERS, Answer(status=400), None),
        (USERS, Answer({"value": None}), 10),
        (USERS, Answer({"value": ["staff"]}), 10),
        (USERS, Answer({"value": GROUPS, "@odata.nextLink": "https://graph/next"}), 10),
        (USERS, Answer(b"<html>"), 10),
        (USERS, Answer(b" " * (MAX_ANSWER_BYTES + 1)), 10),
        (USERS, Answer({}, delay=30), 10),
    ],
)
async def test_what_is_not_believed(server: Server, target: str, answer: Answer, pause: float | None) -> None:
    server.answers[target] = answer
    graph = _graph(server, timeout=0.3)
    with pytest.raises(GroupsUnavailableError) as caught:
        await graph.groups(ALICE_AT_CONTOSO)
    await graph.close()
    assert caught.value.pause == pause
    assert SECRET not in str(caught.value)
    assert "graph-token" not in str(caught.value)


async def test_only_the_configured_tenant_is_asked_about(server: Server) -> None:
    graph = _graph(server, tenant=FABRIKAM)
    with pytest.raises(GroupsUnavailableError, match="not configured") as caught:
        await graph.groups(ALICE_AT_CONTOSO)
    assert caught.value.pause is None
    assert server.received == []


@pytest.mark.parametrize("content", [b"", b"  \n", b"\xff\xfe", None])
async def test_a_secret_that_is_not_there(server: Server, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    graph = _graph(server, secret={"file": str(path)})
    with pytest.raises(GroupsUnavailableError, match="file"):
        await graph.groups(ALICE_AT_CONTOSO)
    path.write_text(SECRET + "\n")
    assert await graph.groups(ALICE_AT_CONTOSO) == frozenset(GROUPS), "read anew: secrets are rotated"
    await graph.close()
