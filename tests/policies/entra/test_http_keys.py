"""Keys over real HTTP: what is fetched from where, and what is not believed."""

from __future__ import annotations

import gzip
import inspect
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from extproc.catalogue import Catalogue
from extproc.identity import Identity
from extproc.outcome import CONTINUE
from extproc.policy import Surroundings
from policies.entra import EntraPolicy
from policies.entra.http_keys import MAX_DOCUMENT_BYTES, HttpKeySource, same_origin
from policies.entra.issuer import Authority, KeyPlace
from policies.entra.keys import KeysUnavailableError
from tests.entra_tokens import API, CONTOSO, FABRIKAM, Issuer
from tests.policies.entra.http_server import Answer, Server, serving
from tests.policies.entra.world import NOW, bearing, rejected, settings, until

ISSUER = Issuer()
AUTHORITY = Authority(ISSUER.authority, ISSUER.v1_issuer)
HOME = KeyPlace(CONTOSO, "2.0")
METADATA = f"/{CONTOSO}/v2.0/.well-known/openid-configuration"
KEYS = f"/{CONTOSO}/discovery/v2.0/keys"


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with serving() as running:
        for version, infix in (("1.0", ""), ("2.0", "/v2.0")):
            for tenant in (CONTOSO, "common"):
                metadata = ISSUER.metadata(tenant, version, base=running.url)
                running.answers[f"/{tenant}{infix}/.well-known/openid-configuration"] = Answer(metadata)
                running.answers[f"/{tenant}/discovery{infix}/keys"] = Answer(ISSUER.jwks(tenant, version))
        yield running


async def _fetch(server: Server, place: KeyPlace = HOME, timeout: float = 5.0, app: str | None = None) -> list[str]:
    source = HttpKeySource(server.url, AUTHORITY, timeout=timeout, app=app)
    try:
        return list(await source.fetch(place))
    finally:
        await source.close()


@pytest.mark.parametrize(
    ("place", "targets"),
    [
        (HOME, [METADATA, KEYS]),
        (KeyPlace(CONTOSO, "1.0"), [f"/{CONTOSO}/.well-known/openid-configuration", f"/{CONTOSO}/discovery/keys"]),
        (KeyPlace("common", "2.0"), ["/common/v2.0/.well-known/openid-configuration", "/common/discovery/v2.0/keys"]),
    ],
)
async def test_metadata_then_keys(server: Server, place: KeyPlace, targets: list[str]) -> None:
    assert await _fetch(server, place) == ["key-1"]
    assert server.targets() == targets
    assert all(received.headers["accept-encoding"] == "identity" for received in server.received)


async def test_keys_of_an_app(server: Server) -> None:
    server.answers[f"{METADATA}?appid={API}"] = Answer(
        {**ISSUER.metadata(base=server.url), "jwks_uri": f"{server.url}{KEYS}?appid={API}"}
    )
    server.answers[f"{KEYS}?appid={API}"] = Answer(Issuer(keys=["key-2"]).jwks())
    assert await _fetch(server, app=API) == ["key-2"]


def _metadata(**changes: Any) -> dict[str, Any]:
    return {**ISSUER.metadata(CONTOSO), **changes}


@pytest.mark.parametrize(
    ("target", "answer", "says"),
    [
        (METADATA, Answer(status=302, headers={"location": "https://evil.example/"}), "status 302"),
        (METADATA, Answer(status=307, headers={"location": METADATA}), "status 307"),
        (METADATA, Answer(status=500), "status 500"),
        (METADATA, Answer(status=204), "status 204"),
        (METADATA, Answer(b"<html>captive portal</html>", headers={"content-type": "text/html"}), "is not valid JSON"),
        (METADATA, Answer(b"[]"), "is not a JSON object"),
        (METADATA, Answer(b'{"issuer":"a","issuer":"b"}'), "stands twice"),
        (METADATA, Answer(b" " * (MAX_DOCUMENT_BYTES + 1)), "larger than"),
        (METADATA, Answer(gzip.compress(b"{}"), headers={"content-encoding": "gzip"}), "compressed"),
        (METADATA, Answer(raw=b"SSH-2.0-OpenSSH_9\r\n"), "RemoteProtocolError"),
        (METADATA, Answer(raw=b""), "RemoteProtocolError"),
        (METADATA, Answer(raw=b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"), "RemoteProtocolError"),
        (METADATA, Answer(_metadata(issuer=ISSUER.issuer(FABRIKAM))), "states the issuer"),
        (METADATA, Answer(_metadata(issuer="https://evil.example/v2.0")), "states the issuer"),
        (METADATA, Answer(_metadata()), "is not at http"),
        (METADATA, Answer(_metadata(jwks_uri="https://evil.example/keys")), "is not at http"),
        (METADATA, Answer(_metadata(jwks_uri="file:///etc/passwd")), "is not at http"),
        (METADATA, Answer(_metadata(jwks_uri="http://169.254.169.254/keys")), "is not at http"),
        (METADATA, Answer(_metadata(jwks_uri=KEYS)), "is not at http"),
        (METADATA, Answer(_metadata(jwks_uri="http://[")), "is not at http"),
        (METADATA, Answer(_metadata(jwks_uri="http://127.0.0.1:port/")), "is not a URL"),
        (METADATA, Answer(_metadata(jwks_uri="http://127.0.0.1\n.evil.example/")), "is not a URL"),
        (METADATA, Answer(_metadata(jwks_uri="http://127.0.0.1/\ud800")), "surrogate pair"),
        (METADATA, Answer(_metadata(jwks_uri="http://" + "a" * 70_000)), "is not a URL"),
        (METADATA, Answer(_metadata(jwks_uri="")), "is not at http"),
        (KEYS, Answer(status=404), "status 404"),
        (KEYS, Answer(status=301, headers={"location": "https://evil.example/"}), "status 301"),
        (KEYS, Answer({"keys": []}), "not one usable key"),
        (KEYS, Answer(b" " * (MAX_DOCUMENT_BYTES + 1)), "larger than"),
    ],
)
async def test_what_is_not_believed(server: Server, target: str, answer: Answer, says: str) -> None:
    server.answers[target] = answer
    with pytest.raises(KeysUnavailableError, match=says):
        await _fetch(server)
    assert set(server.targets()) <= {METADATA, KEYS}


@pytest.mark.parametrize("answer", [Answer({}, delay=30), Answer(_metadata(), drip=0.05)], ids=["silent", "dripping"])
async def test_a_slow_provider_is_given_up(server: Server, answer: Answer) -> None:
    server.answers[METADATA] = answer
    with pytest.raises(KeysUnavailableError, match=r"no keys within 0\.2 s"):
        await _fetch(server, timeout=0.2)


async def test_nobody_listens() -> None:
    source = HttpKeySource("http://127.0.0.1:1", AUTHORITY, timeout=5)
    with pytest.raises(KeysUnavailableError, match="ConnectError"):
        await source.fetch(HOME)
    await source.close()


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("https://login.example/keys", True),
        ("https://login.example:443/keys", True),
        ("https://LOGIN.example/keys", True),
        ("https://login.example:8443/keys", False),
        ("http://login.example/keys", False),
        ("https://login.example.evil/keys", False),
        ("https://evil/login.example", False),
        ("https://login.example@evil/keys", False),
        ("https://user:pass@login.example/keys", False),
        ("//login.example/keys", False),
    ],
)
def test_same_origin(url: str, same: bool) -> None:
    assert same_origin(httpx.URL(url), httpx.URL("https://login.example")) is same


async def test_the_policy_as_it_is_configured(server: Server) -> None:
    """Built from settings, over real HTTP: keys arrive in the background, then nothing is awaited."""
    configured = settings(tenants=[{"id": CONTOSO, "name": "contoso"}], fetch_from=server.url)
    policy = EntraPolicy.build(configured, Surroundings(Catalogue(), lambda: NOW))
    await policy.start()
    try:
        await until(lambda: policy.readiness() is None and len(server.received) == 4)
        await until(lambda: all(state.keys for state in policy._keys._places.values()))
        for version in ("1.0", "2.0"):
            exchange = bearing(ISSUER.token(CONTOSO, version=version, now=NOW))
            assert policy.on_request_headers(exchange) is CONTINUE
            assert exchange.need(Identity).tenant_name == "contoso"
    finally:
        await policy.stop()


async def test_the_policy_before_it_was_started(server: Server) -> None:
    """The first request fetches what it needs by itself."""
    server.answers[KEYS] = Answer(status=500)
    configured = settings(tenants=[{"id": CONTOSO}], fetch_from=server.url, versions=["2.0"])
    now = [NOW]
    policy = EntraPolicy.build(configured, Surroundings(Catalogue(), lambda: now[0]))
    token = ISSUER.token(CONTOSO, now=NOW)
    answer = policy.on_request_headers(bearing(token))
    assert inspect.isawaitable(answer)
    reject = rejected(await answer)
    assert (reject.status, reject.code) == (503, "identity_provider_unavailable")
    assert "status 500" in reject.why
    server.answers[KEYS] = Answer(json.dumps(ISSUER.jwks()).encode())
    now[0] += 2
    answer = policy.on_request_headers(bearing(token))
    assert inspect.isawaitable(answer)
    assert await answer is CONTINUE
    await policy.stop()
