"""Settings of the sinks."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from policies.audit.sinks.settings import (
    FACILITIES,
    LangfuseSettings,
    MetricsSettings,
    OtlpSettings,
    SyslogSettings,
    TracesSettings,
)

SYSLOG: dict[str, Any] = {"kind": "syslog", "name": "siem", "host": "collector.example", "tls": {}}
OTLP: dict[str, Any] = {"kind": "otlp", "name": "otel", "url": "https://collector.example:4318/v1/logs"}
METRICS: dict[str, Any] = {"kind": "metrics", "name": "metrics", "url": "https://collector.example:4318/v1/metrics"}
TRACES: dict[str, Any] = {"kind": "traces", "name": "traces", "url": "https://collector.example:4318/v1/traces"}
LANGFUSE: dict[str, Any] = {
    "kind": "langfuse",
    "name": "langfuse",
    "public_key": {"env": "LANGFUSE_PUBLIC_KEY"},
    "secret_key": {"file": "/run/secrets/langfuse"},
}


def test_defaults() -> None:
    syslog = SyslogSettings.model_validate(SYSLOG)
    assert (syslog.port, syslog.framing, FACILITIES[syslog.facility], syslog.max_bytes) == (6514, "octets", 13, 8192)
    otlp = OtlpSettings.model_validate(OTLP)
    assert (otlp.compression, otlp.max_bytes) == ("gzip", 4 * 1024 * 1024)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_to_this_machine_nothing_need_be_hidden(host: str) -> None:
    assert SyslogSettings.model_validate(SYSLOG | {"host": host, "tls": None}).tls is None
    url = f"http://{f'[{host}]' if ':' in host else host}:4318/v1/logs"
    assert OtlpSettings.model_validate(OTLP | {"url": url}).url == url


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tls": None}, "Say `plain: true`"),
        ({"framing": "lines"}, "`framing: octets` only"),
        ({"facility": "local8"}, "is one of kern, user"),
        ({"max_bytes": 2_047}, "greater than or equal to 2048"),
        ({"host": "a b"}, "should match pattern"),
        ({"hostname": "a b"}, "should match pattern"),
        ({"port": 0}, "greater than or equal to 1"),
        ({"tls": {"certificate": "c.pem"}}, "belong together"),
        ({"kind": "otlp"}, "Input should be 'syslog'"),
        ({"name": ""}, "should match pattern"),
    ],
)
def test_mistakes_with_syslog_are_told(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        SyslogSettings.model_validate(SYSLOG | changes)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"url": "http://collector.example/v1/logs"}, "Say `plain: true`"),
        ({"url": "https://collector.example"}, "with its path"),
        ({"url": "https://user:s3cret@collector.example/v1/logs"}, "use `headers`"),
        ({"url": "https://collector.example/v1/logs#s3cret"}, "without a fragment"),
        ({"url": "https://collector.example:99999/v1/logs"}, "expected https://"),
        ({"url": "grpc://collector.example/v1/logs"}, "expected https://"),
        ({"headers": {"content-type": {"env": "X"}}}, "set by the sink itself"),
        ({"headers": {"a b": {"env": "X"}}}, "is not the name of a header field"),
        ({"headers": {"a": {"env": "X"}, "A": {"env": "X"}}}, "stands there twice"),
        ({"headers": {"authorization": "Bearer s3cret"}}, "headers.authorization"),
        ({"resource": {"a": "x" * 4_096}}, "goes with every request"),
        ({"max_bytes": 1_000}, "greater than or equal to 16384"),
    ],
)
def test_mistakes_with_otlp_are_told_and_no_secret(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        OtlpSettings.model_validate(OTLP | changes)
    assert words in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_langfuse_is_in_the_cloud_unless_it_is_elsewhere() -> None:
    assert LangfuseSettings.model_validate(LANGFUSE).url == "https://cloud.langfuse.com"
    own = LangfuseSettings.model_validate(LANGFUSE | {"url": "https://langfuse.internal/base/", "environment": "eu-1_a"})
    assert (own.url, own.environment) == ("https://langfuse.internal/base", "eu-1_a")
    assert LangfuseSettings.model_validate(LANGFUSE | {"url": "http://127.0.0.1:3000"}).timeout == 10.0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"url": "http://langfuse.example"}, "Say `plain: true`"),
        ({"url": "https://pk:s3cret@langfuse.example"}, "use `public_key` and `secret_key`"),
        ({"url": "https://langfuse.example/api/public/otel/v1/traces"}, "without the path of its API"),
        ({"url": "https://langfuse.example?x=1"}, "without the path of its API"),
        ({"url": "langfuse.example"}, "expected https://cloud.langfuse.com"),
        ({"secret_key": "sk-lf-s3cret"}, "secret_key"),
        ({"environment": "langfuse-x"}, "for itself"),
        ({"environment": "Prod"}, "should match pattern"),
        ({"environment": "x" * 41}, "should match pattern"),
        ({"match": {"events": ["request.closed"]}}, "`match` may have `tenants` alone"),
        ({"release": "x" * 201}, "at most 200 characters"),
        ({"redact": {"drop": ["params", "exchange_id"]}}, "it cannot be dropped"),
    ],
)
def test_mistakes_with_langfuse_are_told_and_no_secret(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        LangfuseSettings.model_validate(LANGFUSE | changes)
    assert words in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"url": "http://collector.example/v1/traces"}, "Say `plain: true`"),
        ({"url": "https://collector.example"}, "expected https://host/v1/traces, with its path"),
        ({"resource": {"a": "x" * 4_096}}, "goes with every request"),
        ({"match": {"events": ["request.*"]}}, "`match` may have `tenants` alone"),
    ],
)
def test_mistakes_with_traces_are_told(changes: dict[str, Any], words: str) -> None:
    assert TracesSettings.model_validate(TRACES | {"match": {"tenants": ["contoso"]}}).max_bytes == 4 << 20
    with pytest.raises(ValidationError) as caught:
        TracesSettings.model_validate(TRACES | changes)
    assert words in str(caught.value)


def test_metrics_are_of_closings_and_bounded() -> None:
    made = MetricsSettings.model_validate(METRICS)
    assert made.match.events == ("request.closed",)
    assert (made.models, made.tenants, made.series) == (100, 0, 2_000)
    assert MetricsSettings.model_validate(METRICS | {"match": {"tenants": ["contoso"]}}).match.events == ("*",)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"url": "http://collector.example/v1/metrics"}, "Say `plain: true`"),
        ({"url": "https://collector.example"}, "expected https://host/v1/metrics, with its path"),
        ({"resource": {"a": "x" * 4_096}}, "goes with every request"),
        ({"match": {"events": ["limit.*"]}}, "lets no request.closed through"),
        ({"tenants": -1}, "greater than or equal to 0"),
        ({"models": 10_001}, "less than or equal to 10000"),
        ({"series": 5}, "greater than or equal to 10"),
    ],
)
def test_mistakes_with_metrics_are_told(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        MetricsSettings.model_validate(METRICS | changes)
    assert words in str(caught.value)
