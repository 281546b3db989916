"""Addresses: what passes can be written into Envoy's configuration as it stands."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.addresses import is_everywhere, listening_ip, socket_address, upstream_url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://api.openai.com/v1", "https://api.openai.com/v1"),
        ("https://api.openai.com/v1/", "https://api.openai.com/v1"),
        ("https://name.openai.azure.com", "https://name.openai.azure.com"),
        ("https://name.openai.azure.com/", "https://name.openai.azure.com"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
        ("http://vllm:8000/v1", "http://vllm:8000/v1"),
        ("http://my_service.ns.svc.cluster.local", "http://my_service.ns.svc.cluster.local"),
        ("HTTP://host/v1", "http://host/v1"),
    ],
)
def test_upstream_urls(url: str, expected: str) -> None:
    assert upstream_url(url) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("", "http:// or https://"),
        ("host", "http:// or https://"),
        ("host:8000", "http:// or https://"),
        ("//host", "http:// or https://"),
        ("ftp://host", "http:// or https://"),
        ("file:///etc/passwd", "http:// or https://"),
        ("unix:/run/x.sock", "http:// or https://"),
        ("http://", "http:// or https://"),
        ("http://:80", "http:// or https://"),
        ("http://user:pass@host", "no credentials"),
        ("http://user@host", "no credentials"),
        ("http://:@host", "no credentials"),
        ("http://host?x=1", "without query or fragment"),
        ("http://host?", "without query or fragment"),
        ("http://host/#x", "without query or fragment"),
        ("http://a b/", "a host name"),
        ("http://ho%73t/", "a host name"),
        ("http://höst/", "a host name"),
        ("http://-host/", "a host name"),
        ("http://*.host/", "a host name"),
        ("http://host:0", "a port from 1"),
        ("http://host:99999", "ort"),
        ("http://host:x", "ort"),
        ("http://[::1", "Invalid IPv6 URL"),
        ("http://[zz]/", "IPv4 or IPv6"),
        ("http://[::1%25eth0]/", "a host name"),
        ("http://host//v1", "a path without"),
        ("http://host/a/../b", "a path without"),
        ("http://host/a%2Fb", "a path without"),
        ("http://host/a b", "a path without"),
        ("http://host/$x%zz", "a path without"),
    ],
)
def test_no_upstream_urls(url: str, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        upstream_url(url)


@given(st.text(max_size=20), st.text(max_size=20))
def test_whatever_passes_is_one_host_and_one_normal_path(host: str, path: str) -> None:
    try:
        url = upstream_url(f"http://{host}/{path}")
    except ValueError:
        return
    parts = urlsplit(url)
    assert url.isascii()
    assert url.isprintable()
    assert " " not in url
    assert parts.username is None
    assert ".." not in parts.path.split("/")


@pytest.mark.parametrize("value", ["127.0.0.1", "0.0.0.0", "::", "::1", "10.1.2.3"])
def test_listening(value: str) -> None:
    assert listening_ip(value) == value


@pytest.mark.parametrize(
    "value", ["", "localhost", "*", "127.0.0.1:80", "[::1]", "127.1", "0177.0.0.1", "1", "::1%eth0\n"]
)
def test_not_listening(value: str) -> None:
    with pytest.raises(ValueError, match="expected an IP address"):
        listening_ip(value)


@pytest.mark.parametrize("value", ["unix:/run/x.sock", "127.0.0.1:0", "[::1]:65535", "policy:9002"])
def test_sockets(value: str) -> None:
    assert socket_address(value) == value


def test_no_socket() -> None:
    with pytest.raises(ValueError, match="65535"):
        socket_address("policy:65536")


@pytest.mark.parametrize(
    ("address", "everywhere"),
    [
        ("0.0.0.0:1", True),
        ("[::]:1", True),
        ("[0:0::0]:1", True),
        ("127.0.0.1:1", False),
        ("[::1]:1", False),
        ("policy:1", False),
        ("unix:/0.0.0.0:1", False),
    ],
)
def test_everywhere_is_nowhere_to_connect_to(address: str, everywhere: bool) -> None:
    assert is_everywhere(address) is everywhere
