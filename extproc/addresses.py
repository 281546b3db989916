"""Addresses in the configuration, checked so that whatever passes can be written into Envoy's own. Pure."""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

from extproc.paths import is_normal

_HOST: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")


def upstream_url(value: str) -> str:
    """An upstream's URL without a trailing slash: scheme, host, port and a path in normal form.

    Raises:
        ValueError: says what was expected.
    """
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("expected an http:// or https:// URL with a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a URL holds no credentials: use `credential` with an environment variable or a file")
    if not (_HOST.fullmatch(parts.hostname) or is_ip(parts.hostname)) or parts.port == 0:
        raise ValueError("expected a host name or an IP address, and a port from 1 to 65535 or none")
    if "?" in value or "#" in value:
        raise ValueError("expected a URL without query or fragment")
    path = parts.path.rstrip("/")
    if path and not is_normal(path):
        raise ValueError("expected a path without empty segments, dots or needless escapes")
    return f"{parts.scheme}://{parts.netloc}{path}"


def is_ip(value: str) -> bool:
    """Whether `value` is an IPv4 or IPv6 address, without brackets and without a zone (which may hold anything)."""
    if "%" in value:
        return False
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def is_everywhere(address: str) -> bool:
    """Whether `host:port` means all addresses of the machine, and so says nothing of where to connect."""
    host = address.rpartition(":")[0].strip("[]")
    return is_ip(host) and ipaddress.ip_address(host).is_unspecified


def listening_ip(value: str) -> str:
    """An address to listen on: Envoy takes no names there.

    Raises:
        ValueError: it is no IP address.
    """
    if not is_ip(value):
        raise ValueError("expected an IP address, such as 127.0.0.1, 0.0.0.0 or ::")
    return value


def socket_address(value: str) -> str:
    """`unix:/path` or `host:port`.

    Raises:
        ValueError: the port is out of range.
    """
    if not value.startswith("unix:") and int(value.rpartition(":")[2]) > 65_535:
        raise ValueError("expected a port from 0 to 65535")
    return value
