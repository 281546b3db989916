"""The demo identity provider: metadata and signing keys shaped like those of Microsoft Entra ID.

    python -m extproc.embedded.identity_provider --state .sluicegate --port 9001

It listens on loopback only and has no token endpoint: tokens are made by `sluicegate token`, by whoever may read the
key. Issuers are fixed (`https://login.sluicegate.test/…`); the keys are found at the origin that was asked, as with a
configuration that fetches metadata from elsewhere than the issuer.
"""

from __future__ import annotations

import argparse
import ipaddress
import sys
from pathlib import Path
from typing import Final
from uuid import UUID

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from extproc.embedded.demo_keys import SigningKey, signing_key
from extproc.embedded.demo_tokens import AUTHORITY, issuer
from extproc.embedded.faults import StackError

_SHARED: Final = ("common", "organizations")
_PLACEHOLDER: Final = "{tenantid}"


def application(key: SigningKey) -> Starlette:
    """The provider as an ASGI application."""

    async def metadata(request: Request) -> Response:
        tenant = _tenant(request)
        if tenant is None:
            return _unknown_tenant()
        if not is_loopback(request.url.hostname or ""):
            return _refusal(421, "misdirected_request", "The demo identity provider answers on loopback names only.")
        version = "/v2.0" if request.url.path.endswith("/v2.0/.well-known/openid-configuration") else ""
        base = f"{request.url.scheme}://{request.url.netloc}"
        name = request.path_params["tenant"]
        return JSONResponse(
            {
                "issuer": issuer(tenant) if version else v1_issuer(tenant),
                "jwks_uri": f"{base}/{name}/discovery{version}/keys",
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "tenant_region_scope": None,
            }
        )

    async def keys(request: Request) -> Response:
        tenant = _tenant(request)
        if tenant is None:
            return _unknown_tenant()
        return JSONResponse({"keys": [key.public_jwk(issuer(tenant))]})

    return Starlette(
        routes=[
            Route("/{tenant}/.well-known/openid-configuration", metadata),
            Route("/{tenant}/v2.0/.well-known/openid-configuration", metadata),
            Route("/{tenant}/discovery/keys", keys),
            Route("/{tenant}/discovery/v2.0/keys", keys),
        ]
    )


def v1_issuer(tenant: str) -> str:
    """The issuer of a tenant's v1.0 tokens: with a slash at its end."""
    return f"{AUTHORITY}/{tenant}/"


def server(state: Path, *, address: str, port: int) -> uvicorn.Server:
    """The provider, ready to be run.

    Raises:
        StackError: another address than a loopback one, or no key.
    """
    if not is_loopback(address):
        raise StackError(f"the demo identity provider vouches for anybody: it listens on loopback only, not on {address}")
    config = uvicorn.Config(
        application(signing_key(state)),
        host=address,
        port=port,
        log_level="warning",
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    return uvicorn.Server(config)


def is_loopback(host: str) -> bool:
    """Whether `host` is a loopback address, or the name for them."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _tenant(request: Request) -> str | None:
    """The tenant's GUID, the placeholder for what all tenants share, or None."""
    name: str = request.path_params["tenant"]
    if name in _SHARED:
        return _PLACEHOLDER
    try:
        return str(UUID(name)) if len(name) == 36 else None
    except ValueError:
        return None


def _unknown_tenant() -> Response:
    return _refusal(400, "invalid_tenant", "A tenant is a GUID, `common` or `organizations`.")


def _refusal(status: int, error: str, description: str) -> Response:
    return JSONResponse({"error": error, "error_description": description}, status)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m extproc.embedded.identity_provider")
    parser.add_argument("--state", type=Path, required=True, help="state directory; the key is made there")
    parser.add_argument("--address", default="127.0.0.1", help="a loopback address")
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    try:
        server(arguments.state, address=arguments.address, port=arguments.port).run()
    except StackError as error:
        sys.exit(f"{error}")


if __name__ == "__main__":
    main()
