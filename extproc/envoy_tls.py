"""Envoy's side of TLS to the policy server: its cluster names two secrets, and here they are.

In the bootstrap Envoy reads them once. In files of their own (file-based SDS) it watches the certificates' directories
and takes new ones when files are moved into their place, as Kubernetes and cert-manager do it; Envoy's documentation,
"Certificate Management", says so. One file for each secret: Envoy refuses a file that holds two.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import Any, Final

from extproc.envoy_data import piece
from extproc.settings import EnvoyTls, Settings

_TYPE: Final = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
_SECRETS: Final = ("policy_certificate", "policy_authority")


def policy_socket(settings: Settings, directory: PurePath | None) -> Any | None:
    """The policy cluster's transport socket; None without TLS. `directory`: where the files of `secret_files` are."""
    tls = settings.server.tls
    if tls is None:
        return None
    sources = {
        f"{name}_source": None if directory is None else piece("secret_source", file=str(directory / _file(name)))
        for name in _SECRETS
    }
    return piece("policy_tls", policy_server_name=tls.envoy.server_name, **sources)


def secrets(settings: Settings) -> list[Any]:
    """The secrets that the cluster names, for the bootstrap."""
    tls = settings.server.tls
    return [] if tls is None else [_secret(name, tls.envoy) for name in _SECRETS]


def secret_files(settings: Settings) -> dict[str, Any]:
    """The same, as files by name: what each holds."""
    tls = settings.server.tls
    if tls is None:
        return {}
    return {
        _file(name): piece("secret_file", typed_secret={"@type": _TYPE, **_secret(name, tls.envoy)}) for name in _SECRETS
    }


def _file(name: str) -> str:
    return f"{name}.yaml"


def _secret(name: str, files: EnvoyTls) -> Any:
    return piece(name, envoy_certificate=files.certificate, envoy_key=files.key, policy_ca=files.ca)
