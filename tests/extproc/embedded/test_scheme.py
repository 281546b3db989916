from __future__ import annotations

from typing import Any

import pytest

from extproc.embedded.demo_tokens import AUTHORITY
from extproc.embedded.scheme import embedded_names, resolve_embedded
from extproc.mistakes import ConfigurationError

ADDRESSES = {"simulator": "http://127.0.0.1:1", "identity": "http://127.0.0.1:2"}


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ("embedded://simulator", "http://127.0.0.1:1"),
        ("embedded://simulator/", "http://127.0.0.1:1/"),
        ("embedded://identity/a/b", "http://127.0.0.1:2/a/b"),
        ({"a": ["embedded://simulator/v1", 1, None]}, {"a": ["http://127.0.0.1:1/v1", 1, None]}),
        ("x embedded://simulator", "x embedded://simulator"),
        ("http://host", "http://host"),
        ({"embedded://simulator": 1}, {"embedded://simulator": 1}),
        ({}, {}),
        (True, True),
    ],
)
def test_embedded_addresses(tree: Any, expected: Any) -> None:
    assert resolve_embedded(tree, ADDRESSES) == expected


@pytest.mark.parametrize("tree", ["embedded://", "embedded://llama", "embedded://simulator:80", ["embedded://Simulator"]])
def test_embedded_servers_that_there_are_not(tree: Any) -> None:
    with pytest.raises(ConfigurationError, match="starts only identity, simulator"):
        resolve_embedded(tree, ADDRESSES)


def test_embedded_names() -> None:
    tree = {"a": ["embedded://simulator/v1", {"b": "embedded://identity"}], "c": "http://host", "d": {}, "e": []}
    assert embedded_names(tree) == {"simulator", "identity"}
    assert embedded_names({}) == set()


def test_the_demo_identity_provider_brings_its_issuers_along() -> None:
    given = {"settings": {"fetch_from": "embedded://identity", "tenants": []}}
    issuers = {"authority": AUTHORITY, "v1_issuer": AUTHORITY}
    resolved = resolve_embedded(given, ADDRESSES)["settings"]
    assert resolved == {"fetch_from": "http://127.0.0.1:2", "tenants": [], **issuers}
    named = {"fetch_from": "embedded://identity/", **issuers}
    assert resolve_embedded(named, ADDRESSES) == {**named, "fetch_from": "http://127.0.0.1:2/"}
    assert resolve_embedded({"fetch_from": "https://host"}, ADDRESSES) == {"fetch_from": "https://host"}


def test_every_mistake_has_its_path() -> None:
    tree = {
        "upstreams": [{"url": "embedded://llama/v1"}],
        "policies": [
            {"settings": {"fetch_from": "embedded://identity", "authority": "https://login.microsoftonline.com"}}
        ],
    }
    with pytest.raises(ConfigurationError) as caught:
        resolve_embedded(tree, ADDRESSES)
    assert caught.value.mistakes == [
        "upstreams[0].url: embedded://llama/v1: `sluicegate up` starts only identity, simulator",
        f"policies[0].settings.authority: the tokens of embedded://identity are issued by {AUTHORITY}: "
        "leave out authority and v1_issuer",
    ]
