"""From the list `sinks` of a configuration to what the followers are given."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from extproc.configured import validated
from extproc.mistakes import ConfigurationError
from policies.audit.following import process
from policies.audit.following.following import Following
from policies.audit.settings import AuditSettings
from policies.audit.showing.configured import Configured
from policies.audit.tending import tending

SINKS: Final[Mapping[str, tuple[str, str]]] = {
    "file": ("policies.audit.following.settings:FileSinkSettings", "policies.audit.following.file_sink:FileSink"),
    "langfuse": ("policies.audit.sinks.settings:LangfuseSettings", "policies.audit.sinks.langfuse_sink:LangfuseSink"),
    "ledger": ("policies.audit.ledger.settings:LedgerSettings", "policies.audit.ledger.sql_ledger:Ledger"),
    "metrics": ("policies.audit.sinks.settings:MetricsSettings", "policies.audit.sinks.otlp_metrics:MetricsSink"),
    "otlp": ("policies.audit.sinks.settings:OtlpSettings", "policies.audit.sinks.otlp_sink:OtlpSink"),
    "syslog": ("policies.audit.sinks.settings:SyslogSettings", "policies.audit.sinks.syslog_sink:SyslogSink"),
    "traces": ("policies.audit.sinks.settings:TracesSettings", "policies.audit.sinks.otlp_traces:TracesSink"),
    "webhook": ("policies.audit.following.settings:WebhookSettings", "policies.audit.following.http_webhook:Webhook"),
}
"""Settings and sink of each kind. Imported where they are used: not everybody has a database driver."""
_KEEPING: Final = frozenset({"langfuse", "traces"})
"""Kinds whose sinks keep something in the journals' folder."""


def followings(configured: Configured) -> list[Following]:
    """The sinks of a configuration.

    Raises:
        ConfigurationError: one of them is wrong, two have one name, or what one needs is not installed.
    """
    listed = configured.settings.get("sinks")
    place = f"{configured.place}.sinks"
    if listed is not None and not isinstance(listed, list):
        raise ConfigurationError([f"{place}: expected a list of sinks"])
    found = [_following(entry, f"{place}[{index}]", configured.folder) for index, entry in enumerate(listed or ())]
    names = [one.name for one in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigurationError([f"{place}: two sinks have the name {twice[0]!r}"])
    return found


def run(configured: Configured) -> None:
    """Follow until SIGTERM.

    Raises:
        ConfigurationError: as `followings`.
        OSError: the folder cannot be made or locked.
    """
    found = followings(configured)
    settings = validated(AuditSettings, configured.settings, configured.place)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    process.run(configured.folder, found, lambda: tending(settings))


def _following(entry: Any, place: str, folder: Path) -> Following:
    kind = entry.get("kind") if isinstance(entry, Mapping) else None
    if not isinstance(kind, str) or kind not in SINKS:
        raise ConfigurationError([f"{place}.kind: expected one of {', '.join(SINKS)}"])
    try:
        model, sink = (_named(name) for name in SINKS[kind])
    except ModuleNotFoundError as error:
        raise ConfigurationError([f"{place}: {kind} needs {error.name}, which is not installed"]) from error
    settings = validated(model, entry, place)
    return Following(settings, sink(settings, folder) if kind in _KEEPING else sink(settings))


def _named(name: str) -> Any:
    module, _, member = name.partition(":")
    return getattr(importlib.import_module(module), member)
