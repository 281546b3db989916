"""From the list of sinks to what the followers are given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from extproc.mistakes import ConfigurationError
from policies.audit.showing.assembled import SINKS, followings
from policies.audit.showing.configured import Configured

FILE = {"kind": "file", "name": "copy", "path": "-"}


def configured(sinks: Any) -> Configured:
    return Configured(Path("journal"), {"sinks": sinks}, "gateway.yaml: policies[0].settings")


SETTINGS: dict[str, dict[str, Any]] = {
    "file": FILE,
    "langfuse": {
        "kind": "langfuse",
        "name": "langfuse",
        "public_key": {"env": "LANGFUSE_PUBLIC_KEY"},
        "secret_key": {"env": "LANGFUSE_SECRET_KEY"},
    },
    "ledger": {"kind": "ledger", "name": "ledger", "url": "sqlite:///ledger.db"},
    "metrics": {"kind": "metrics", "name": "metrics", "url": "https://collector.internal/v1/metrics"},
    "otlp": {"kind": "otlp", "name": "otlp", "url": "https://collector.internal/v1/logs"},
    "syslog": {"kind": "syslog", "name": "siem", "host": "siem.internal", "port": 6514, "tls": {}},
    "traces": {"kind": "traces", "name": "traces", "url": "https://collector.internal/v1/traces"},
    "webhook": {"kind": "webhook", "name": "hook", "url": "https://hook.internal/records"},
}


@pytest.mark.parametrize("kind", SINKS)
def test_each_kind(kind: str) -> None:
    settings = SETTINGS[kind]
    [one] = followings(configured([settings]))
    assert one.name == settings["name"] == one.sink.name
    assert type(one.sink).__name__ == SINKS[kind][1].rpartition(":")[2]
    assert type(one.settings).__name__ == SINKS[kind][0].rpartition(":")[2]


def test_none() -> None:
    assert followings(configured(None)) == followings(configured([])) == []


@pytest.mark.parametrize(
    ("sinks", "mistake"),
    [
        ({}, "settings.sinks: expected a list of sinks"),
        ([7], "settings.sinks[0].kind: expected one of"),
        ([{"kind": ["file"]}], "settings.sinks[0].kind: expected one of"),
        ([FILE, {**FILE, "path": 7}], "settings.sinks[1].path: Input should be a valid string"),
        ([FILE, FILE], "settings.sinks: two sinks have the name 'copy'"),
    ],
)
def test_what_is_wrong(sinks: Any, mistake: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        followings(configured(sinks))
    assert mistake in str(caught.value)
    assert "7" not in str(caught.value).replace("settings.sinks", "")


def test_what_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SINKS, "file", ("no_such_driver:Settings", "no_such_driver:Sink"))
    with pytest.raises(ConfigurationError, match="file needs no_such_driver, which is not installed"):
        followings(configured([FILE]))
