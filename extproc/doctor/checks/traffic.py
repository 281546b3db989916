"""EnvoyProxy, ClientTrafficPolicy and BackendTrafficPolicy: order, access log, what is taken from clients. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from extproc.doctor import traps
from extproc.doctor.checks.extension_policies import BREAKERS
from extproc.doctor.checks.settling import SMALLEST
from extproc.doctor.documents import Document, Resources
from extproc.doctor.expected import TESTED, Expected
from extproc.doctor.findings import Finding, of
from extproc.doctor.quantities import seconds, size
from extproc.doctor.tree import Tree

_BUFFER: Final = "envoy.filters.http.buffer"
_BEFORE_BUFFER: Final = ("envoy.filters.http.ext_proc", "envoy.filters.http.lua")
_DEFAULT_BREAKER: Final = 1024
_DEFAULT_BODY: Final = 32 * 1024


def traffic(resources: Resources, expected: Expected) -> Iterator[Finding]:
    """What is wrong with the resources around the routes."""
    proxies = resources.of("EnvoyProxy")
    for gateway in resources.of("Gateway"):
        if not proxies:
            yield of(traps.ACCESS_LOG_MISSING, gateway.where, "no EnvoyProxy: no access log to the policy server")
            yield of(traps.AI_GATEWAY_FIRST, gateway.where, "no EnvoyProxy with a filterOrder")
        if not any(_is_about(each, gateway) for each in resources.of("ClientTrafficPolicy")):
            yield of(traps.BODY_LIMIT, gateway.where, f"no ClientTrafficPolicy: bodies of {_DEFAULT_BODY} bytes at most")
            yield of(traps.UNDERSCORES_ALLOWED, gateway.where, "no ClientTrafficPolicy")
        buffers = [each for each in resources.of("BackendTrafficPolicy") if each.spec.has("requestBuffer")]
        if not any(_is_about(each, gateway) for each in buffers):
            yield of(traps.AI_GATEWAY_FIRST, gateway.where, "no BackendTrafficPolicy with a requestBuffer on it")
    for each in proxies:
        yield from _proxy(each)
    for each in resources.of("ClientTrafficPolicy"):
        yield from _clients(each, expected)
    for each in resources.of("BackendTrafficPolicy"):
        yield from _backends(each, expected)


def _is_about(policy: Document, gateway: Document) -> bool:
    return any(target.text("name") in {"", gateway.name} for target in policy.targets("Gateway"))


def _proxy(proxy: Document) -> Iterator[Finding]:
    ordered = {each.text("name") for each in proxy.spec.items("filterOrder") if each.text("before") == _BUFFER}
    for name in _BEFORE_BUFFER:
        if name not in ordered:
            yield of(traps.AI_GATEWAY_FIRST, proxy.where, f"filterOrder does not put {name} before the buffer")
    version = proxy.spec.text("provider", "host", "envoyVersion")
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal() and len(part) < 5)
    if version and numbers not in TESTED:
        yield of(traps.VERSION_UNTESTED, proxy.where, f"envoyVersion: {version}")
    log = proxy.spec.at("telemetry", "accessLog")
    sinks = list(_sinks(log))
    of_requests = [sink for settings, sink in sinks if settings.text("type") != "Listener" and _type(sink) == "HTTP"]
    for settings, sink in sinks:
        if _type(sink) != "HTTP":
            yield of(traps.ACCESS_LOG_OF_CONNECTIONS, proxy.where, f"als.type: {_type(sink)}")
        if settings.items("matches"):
            yield of(traps.ACCESS_LOG_FILTERED, proxy.where, "the settings of the access log have matches")
    if log.flag("disable") or (not of_requests and not sinks):
        yield of(traps.ACCESS_LOG_MISSING, proxy.where, "telemetry.accessLog has no sink of type ALS")
    elif len(of_requests) > 1:
        yield of(traps.ACCESS_LOG_TWICE, proxy.where, f"{len(of_requests)} sinks of type ALS")
    for _, sink in sinks:
        yield from _told(sink.at("als", "backendSettings"), proxy.where)


def _told(settings: Tree, where: str) -> Iterator[Finding]:
    low = [name for name in BREAKERS if (settings.number("circuitBreaker", name) or 0) <= _DEFAULT_BREAKER]
    if low:
        yield of(traps.CIRCUIT_BREAKER, where, f"circuitBreaker of the access log: {', '.join(low)} not above 1024")
    held = size(settings, "connection", "bufferLimit")
    if held is None or held < SMALLEST:
        said = "not set" if held is None else f"{held:.0f}"
        yield of(traps.ACCESS_LOG_DROPPED, where, f"bufferLimit of the access log: {said}")


def _sinks(log: Tree) -> Iterator[tuple[Tree, Tree]]:
    """Sinks that are told of exchanges by gRPC, each with the settings that it is in; another's log name is another's."""
    for settings in log.items("settings"):
        for sink in settings.items("sinks"):
            if sink.text("type") == "ALS" and sink.text("als", "logName") in {"", "sluicegate"}:
                yield settings, sink


def _type(sink: Tree) -> str:
    return sink.text("als", "type")


def _clients(policy: Document, expected: Expected) -> Iterator[Finding]:
    spec, where = policy.spec, policy.where
    limit = size(spec, "connection", "bufferLimit")
    if (_DEFAULT_BODY if limit is None else limit) < expected.max_body_bytes:
        said = "not set" if limit is None else f"{limit:.0f}"
        yield of(traps.BODY_LIMIT, where, f"bufferLimit: {said}; the configuration allows {expected.max_body_bytes}")
    action = spec.text("path", "escapedSlashesAction")
    if action != "KeepUnchanged":
        yield of(traps.PATH_REWRITTEN, where, f"escapedSlashesAction: {action or 'not set'}")
    if not spec.flag("path", "disableMergeSlashes"):
        yield of(traps.PATH_REWRITTEN, where, "disableMergeSlashes: false")
    identity = spec.text("headers", "requestID")
    if identity not in {"", "Generate"} or spec.flag("headers", "preserveXRequestID"):
        yield of(traps.REQUEST_ID_TRUSTED, where, f"requestID: {identity or 'preserved'}")
    if spec.text("headers", "withUnderscoresAction") == "Allow":
        yield of(traps.UNDERSCORES_ALLOWED, where, "withUnderscoresAction: Allow")
    if spec.has("clientIPDetection"):
        yield of(traps.CLIENT_FIELDS_TRUSTED, where, "clientIPDetection: addresses are believed that stand in headers")
    silence = seconds(spec, "timeout", "http", "streamIdleTimeout")
    if silence is not None and 0 < silence < expected.idle:
        said = f"streamIdleTimeout: {silence:g}s; the configuration allows {expected.idle:g}s"
        yield of(traps.SILENCE_CUT, where, said)


def _backends(policy: Document, expected: Expected) -> Iterator[Finding]:
    spec, where = policy.spec, policy.where
    if spec.has("retry"):
        yield of(traps.RETRIES, where, "retry")
    for name in ("compression", "compressor"):
        if spec.items(name):
            yield of(traps.COMPRESSED_BEFORE_METERING, where, name)
    limit = size(spec, "requestBuffer", "limit")
    if limit is not None and limit < expected.max_body_bytes:
        said = f"requestBuffer.limit: {limit:.0f}; the configuration allows {expected.max_body_bytes}"
        yield of(traps.BODY_LIMIT, where, said)
    low = [name for name in BREAKERS if (spec.number("circuitBreaker", name) or 0) <= _DEFAULT_BREAKER]
    if low:
        yield of(traps.UPSTREAM_BREAKER, where, f"circuitBreaker: {', '.join(low)} not above 1024")
    for name in ("requestTimeout", "maxStreamDuration"):
        total = seconds(spec, "timeout", "http", name)
        if total is not None and 0 < total < expected.total:
            yield of(traps.ANSWER_CUT, where, f"{name}: {total:g}s; the configuration allows {expected.total:g}s")
    silence = seconds(spec, "timeout", "http", "streamIdleTimeout")
    if silence is not None and 0 < silence < expected.idle:
        said = f"streamIdleTimeout: {silence:g}s; the configuration allows {expected.idle:g}s"
        yield of(traps.SILENCE_CUT, where, said)
