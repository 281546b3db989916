from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from extproc.embedded.demo_keys import signing_key
from extproc.embedded.faults import StackError
from extproc.embedded.identity_provider import application, is_loopback, server

TENANT = "16223b5e-7f36-5850-bda3-09553ced0b0e"
ISSUER = "https://login.sluicegate.test"


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("state")
    signing_key(path)
    return path


def client(state: Path, origin: str = "http://127.0.0.1:9001") -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(application(signing_key(state))), base_url=origin)


@pytest.mark.parametrize(
    ("path", "issuer", "keys"),
    [
        (f"/{TENANT}/v2.0", f"{ISSUER}/{TENANT}/v2.0", f"/{TENANT}/discovery/v2.0/keys"),
        (f"/{TENANT}", f"{ISSUER}/{TENANT}/", f"/{TENANT}/discovery/keys"),
        (f"/{TENANT.upper()}/v2.0", f"{ISSUER}/{TENANT}/v2.0", f"/{TENANT.upper()}/discovery/v2.0/keys"),
        ("/common/v2.0", f"{ISSUER}/{{tenantid}}/v2.0", "/common/discovery/v2.0/keys"),
        ("/organizations/v2.0", f"{ISSUER}/{{tenantid}}/v2.0", "/organizations/discovery/v2.0/keys"),
    ],
)
@pytest.mark.parametrize("origin", ["http://127.0.0.1:9001", "http://localhost:80", "http://[::1]:9001"])
async def test_metadata(state: Path, path: str, issuer: str, keys: str, origin: str) -> None:
    async with client(state, origin) as http:
        metadata = (await http.get(f"{path}/.well-known/openid-configuration")).json()
        assert metadata["issuer"] == issuer
        assert httpx.URL(metadata["jwks_uri"]) == httpx.URL(origin + keys)
        assert (await http.get(metadata["jwks_uri"])).status_code == 200


@pytest.mark.parametrize("version", ["", "/v2.0"])
@pytest.mark.parametrize(
    ("name", "issuer"), [(TENANT, f"{ISSUER}/{TENANT}/v2.0"), ("common", f"{ISSUER}/{{tenantid}}/v2.0")]
)
async def test_keys_say_for_whom_they_sign(state: Path, version: str, name: str, issuer: str) -> None:
    async with client(state) as http:
        keys = (await http.get(f"/{name}/discovery{version}/keys")).json()["keys"]
    assert [key["issuer"] for key in keys] == [issuer]
    assert keys[0]["kid"] == signing_key(state).kid
    assert not {"d", "p", "q", "alg"} & set(keys[0])


@pytest.mark.parametrize("name", ["consumers", "contoso.onmicrosoft.com", "x", "%7Btenantid%7D", TENANT + "0", "..%2fx"])
@pytest.mark.parametrize("rest", ["/v2.0/.well-known/openid-configuration", "/discovery/v2.0/keys"])
async def test_what_is_no_tenant(state: Path, name: str, rest: str) -> None:
    async with client(state) as http:
        answer = await http.get(f"/{name}{rest}")
    assert answer.status_code in (400, 404)


async def test_it_cannot_be_reached_under_another_name(state: Path) -> None:
    """A page in a browser that makes its own name resolve to 127.0.0.1 must get nothing that looks like an authority."""
    async with client(state, "http://evil.example:9001") as http:
        answer = await http.get(f"/{TENANT}/v2.0/.well-known/openid-configuration")
    assert answer.status_code == 421
    assert "evil.example" not in answer.text


@pytest.mark.parametrize("path", ["/", "/common/oauth2/v2.0/token", f"/{TENANT}/oauth2/v2.0/token", "/sim/requests"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_there_is_nothing_else(state: Path, path: str, method: str) -> None:
    async with client(state) as http:
        assert (await http.request(method, path)).status_code == 404


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example", False),
        ("", False),
        ("127.0.0.1.example", False),
    ],
)
def test_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.1", ""])
def test_it_refuses_other_addresses(state: Path, address: str) -> None:
    with pytest.raises(StackError, match="loopback only"):
        server(state, address=address, port=0)


def test_as_a_program_it_says_so_in_one_line(state: Path) -> None:
    program = (sys.executable, "-m", "extproc.embedded.identity_provider", "--state", str(state), "--port", "0")
    ended = subprocess.run((*program, "--address", "0.0.0.0"), capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 1
    assert ended.stderr == "the demo identity provider vouches for anybody: it listens on loopback only, not on 0.0.0.0\n"
