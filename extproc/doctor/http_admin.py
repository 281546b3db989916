"""Envoy's admin endpoint, as it is asked over HTTP or a unix socket. Edge."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import httpx

from extproc.doctor.reading import MAX_BYTES
from extproc.doctor.tree import UnreadableError

_PATIENCE: Final = 10.0
"""Seconds without a byte. A dump takes Envoy's main thread some tens of milliseconds."""


def ask(address: str) -> tuple[str, str]:
    """What `/config_dump` (with endpoints) and `/server_info` say.

    Args:
        address: `host:port`, `http://host:port` or `unix:/path`.

    Raises:
        UnreadableError: nobody answers there, or not as Envoy does.
    """
    path = address.removeprefix("unix:")
    if path != address and not Path(path).is_socket():
        raise UnreadableError("no Envoy answers there (no such socket)")
    transport = httpx.HTTPTransport(uds=path) if path != address else None
    base = "http://envoy" if path != address else address if "://" in address else f"http://{address}"
    try:
        # What the environment says of proxies is not about this.
        with httpx.Client(transport=transport, timeout=_PATIENCE, trust_env=False, base_url=base) as client:
            return _get(client, "/config_dump?include_eds"), _get(client, "/server_info")
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        if isinstance(error, UnreadableError):
            raise
        raise UnreadableError(f"no Envoy answers there ({type(error).__name__})") from error


def _get(client: httpx.Client, path: str) -> str:
    read = bytearray()
    with client.stream("GET", path) as response:
        if response.status_code != httpx.codes.OK:
            raise UnreadableError(f"{path} answers {response.status_code}: this is no admin endpoint of Envoy's")
        for chunk in response.iter_bytes():
            read += chunk
            if len(read) > MAX_BYTES:
                raise UnreadableError(f"{path} answers more than {MAX_BYTES // 2**20} MiB")
    return read.decode("utf-8", "replace")
