"""Settings of sinks."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from policies.audit.following.settings import FileSinkSettings, OwnSink, SinkSettings, WebhookSettings, is_loopback

SINKS: TypeAdapter[FileSinkSettings | WebhookSettings] = TypeAdapter(OwnSink)
WEBHOOK = {"kind": "webhook", "name": "siem", "url": "https://siem.example/in?x=1"}


def test_kind_says_which_it_is() -> None:
    file = SINKS.validate_python({"kind": "file", "name": "copy", "path": "-"})
    webhook = SINKS.validate_python(WEBHOOK)
    assert isinstance(file, FileSinkSettings)
    assert isinstance(webhook, WebhookSettings)
    assert file.match.events == ("*",)
    with pytest.raises(ValidationError, match="kind"):
        SINKS.validate_python({"kind": "pigeon", "name": "x"})


@pytest.mark.parametrize("name", ["", "UPPER", "a/b", "../x", "a.b", "-a", "a" * 64, "a\n"])
def test_a_name_is_fit_for_a_file(name: str) -> None:
    with pytest.raises(ValidationError):
        SinkSettings(name=name)


@pytest.mark.parametrize(
    "fields",
    [
        {"match": {"events": []}},
        {"match": {"tenants": [" a"]}},
        {"match": {"events": ["a\x00"]}},
        {"batch": {"records": 0}},
        {"batch": {"bytes": 10}},
        {"retry": {"first": 0}},
        {"retry": {"failures": 0}},
        {"dead_letters": 10},
        {"unknown": 1},
    ],
)
def test_what_cannot_work_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SinkSettings.model_validate({"name": "a", **fields})


@pytest.mark.parametrize(
    "fields",
    [
        {"url": "ftp://siem.example/"},
        {"url": "siem.example"},
        {"url": "https://"},
        {"url": "https://user:hunter2@siem.example/"},
        {"url": "https://siem.example/#part"},
        {"url": "https://siem.example/a b"},
        {"url": "https://siem.example:0/"},
        {"url": "https://siem.example:99999/"},
        {"url": "https://[siem/"},
        {"url": "http://siem.example/"},
        {"tls": {"certificate": "a.pem"}},
        {"headers": {"content-length": {"env": "X"}}},
        {"headers": {"X-Sluicegate-Signature": {"env": "X"}}},
        {"headers": {"a b": {"env": "X"}}},
        {"headers": {"a": {"env": "X"}, "A": {"env": "Y"}}},
        {"headers": {"authorization": "hunter2"}},
        {"retried": [500]},
        {"timeout": 0},
    ],
)
def test_webhooks_that_cannot_work_are_refused_and_no_secret_is_told(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        WebhookSettings.model_validate(WEBHOOK | fields)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"url": "http://127.0.0.1:9/"},
        {"url": "http://[::1]:9/x"},
        {"url": "http://localhost/"},
        {"url": "http://siem.example/", "plain": True},
        {"headers": {"authorization": {"env": "TOKEN"}}},
        {"tls": {"ca": "ca.pem", "certificate": "a.pem", "key": "b.pem"}},
        {"retried": []},
    ],
)
def test_webhooks_that_work(fields: dict[str, Any]) -> None:
    assert isinstance(SINKS.validate_python(WEBHOOK | fields), WebhookSettings)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("localhost", True), ("127.8.0.1", True), ("::1", True), ("10.0.0.1", False), ("localhost.example", False)],
)
def test_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
