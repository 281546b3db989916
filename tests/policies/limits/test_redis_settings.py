"""Settings of the connection to Redis."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from policies.limits.redis_settings import RedisSettings


@pytest.mark.parametrize(
    ("url", "addresses"),
    [
        ("redis://cache.example:7000", (("cache.example", 7000),)),
        ("redis://cache.example", (("cache.example", 6379),)),
        ("rediss://[2001:db8::1]:6380/", (("2001:db8::1", 6380),)),
        ("unix:///run/redis.sock", ("/run/redis.sock",)),
    ],
)
def test_where_it_is(url: str, addresses: tuple[Any, ...]) -> None:
    assert RedisSettings(url=url).addresses() == addresses


def test_nodes_and_sentinels() -> None:
    cluster = RedisSettings.model_validate({"mode": "cluster", "nodes": ["a:1", "[::1]:2"]})
    assert cluster.addresses() == (("a", 1), ("::1", 2))
    sentinel = RedisSettings.model_validate({"mode": "sentinel", "sentinels": ["s:26379"], "master_name": "m"})
    assert sentinel.sentinel_addresses() == (("s", 26379),)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "needs `url`"),
        ({"url": "redis://user:secret@host"}, "use `username` and `password`"),
        ({"url": "redis://host/1"}, "expected redis://"),
        ({"url": "redis://host:99999"}, "expected redis://"),
        ({"url": "redis://host?db=1"}, "settings of their own"),
        ({"url": "http://host"}, "expected redis://"),
        ({"url": "unix://relative/path"}, "expected redis://"),
        ({"url": "redis://host", "nodes": ["a:1"]}, "neither"),
        ({"mode": "cluster", "nodes": ["a:1"], "database": 1}, "no `database`"),
        ({"mode": "cluster", "nodes": ["a"]}, "host:port"),
        ({"mode": "cluster", "nodes": ["a:0"]}, "host:port"),
        ({"mode": "sentinel", "sentinels": ["a:1"]}, "`master_name`"),
        ({"url": "redis://host", "username": "u"}, "needs `password`"),
        ({"url": "redis://host", "tls": {}}, "rediss://"),
        ({"url": "rediss://host", "tls": {"certificate": "c.pem"}}, "belong together"),
        ({"url": "redis://host", "timeout": 0}, "greater than or equal"),
    ],
)
def test_mistakes_are_told(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        RedisSettings.model_validate(settings)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"url": "redis://user:s3cret@host"},
        {"url": "redis://host?password=s3cret"},
        {"url": "redis://host", "password": "s3cret"},
        {"mode": "cluster", "nodes": ["user:s3cret@host:x"]},
    ],
)
def test_a_password_in_the_wrong_place_is_not_repeated(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        RedisSettings.model_validate(settings)
    assert "s3cret" not in str(caught.value)


def test_settings_show_where_the_password_is_and_not_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMITS_PASSWORD", "s3cret")
    settings = RedisSettings.model_validate({"url": "redis://host", "password": {"env": "LIMITS_PASSWORD"}})
    for shown in (repr(settings), str(settings), settings.model_dump_json()):
        assert "LIMITS_PASSWORD" in shown
        assert "s3cret" not in shown


def test_tls_is_for_rediss() -> None:
    assert RedisSettings(url="redis://host").tls_context() is None
    assert RedisSettings(url="rediss://host").tls_context() is not None


def test_a_file_that_is_not_there_is_named_by_its_setting() -> None:
    settings = RedisSettings.model_validate({"url": "rediss://host", "tls": {"ca": "/nowhere/ca.pem"}})
    with pytest.raises(ValueError, match=r"redis\.tls: a file cannot be used"):
        settings.tls_context()
