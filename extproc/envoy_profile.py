"""The plain-Envoy profile: from settings to a bootstrap.

The configuration itself is data, in `envoy/plain.yaml` and `envoy/local-replies.yaml`; this module chooses the pieces and
fills in the values.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import yaml

from extproc.catalogue import Provider
from extproc.dialects import error_body
from extproc.exchange import Dialect
from extproc.secret import Secret
from extproc.settings import AgentEntry, Settings, UpstreamEntry

_SECONDS_BEYOND: Final = 1.0
"""How much longer Envoy waits than the policy server takes to decide: the server's own refusal says more."""
_CA_FILES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)
_OMIT: Final = object()


def data_directory() -> Path:
    """Where Envoy's configuration lies: beside the package in a source tree, inside it when installed."""
    package = Path(__file__).parent
    source = package.parent / "envoy"
    return source if (source / "plain.yaml").exists() else package / "_envoy"


@cache
def _pieces() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((data_directory() / "plain.yaml").read_text("utf-8"))
    return loaded


@cache
def _replies() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((data_directory() / "local-replies.yaml").read_text("utf-8"))
    return loaded


def fill(template: Any, values: Mapping[str, Any]) -> Any:
    """A copy of `template` in which every string `$name` is replaced by its value. A value of None leaves the member out.

    Raises:
        KeyError: a name without a value.
    """
    if isinstance(template, dict):
        filled = {key: fill(value, values) for key, value in template.items()}
        return {key: value for key, value in filled.items() if value is not _OMIT}
    if isinstance(template, list):
        return [value for item in template if (value := fill(item, values)) is not _OMIT]
    if isinstance(template, str) and template.startswith("$"):
        value = values[template[1:]]
        return _OMIT if value is None else value
    return template


def _piece(name: str, **values: Any) -> Any:
    return fill(_pieces()[name], values)


def _duration(seconds: float) -> str:
    return f"{seconds:g}s"


def _address(address: str) -> dict[str, Any]:
    """Envoy's form of `unix:/path` or `host:port`."""
    if address.startswith("unix:"):
        return {"pipe": {"path": address.removeprefix("unix:")}}
    host, _, port = address.rpartition(":")
    return {"socket_address": {"address": host.strip("[]"), "port_value": int(port)}}


def bootstrap(settings: Settings, *, admin: str) -> dict[str, Any]:
    """Envoy's bootstrap for these settings.

    `admin`: `unix:/path` or `host:port` of Envoy's admin endpoint.
    """
    listen = settings.listen
    entries: tuple[UpstreamEntry | AgentEntry, ...] = (*settings.upstreams, *settings.agents)
    manager = _piece(
        "connection_manager",
        total_timeout=_duration(settings.timeouts.total),
        idle_timeout=_duration(settings.timeouts.idle),
        local_replies=local_replies(),
        http_filters=_http_filters(settings),
        per_filter=_per_filter(settings),
        routes=[*(route for entry in entries for route in _routes(entry, settings)), *_unread_routes(settings)],
    )
    listener = _piece(
        "listener",
        listen_address=listen.address,
        listen_port=listen.port,
        max_body_bytes=settings.max_body_bytes,
        downstream_tls=_piece("downstream_tls", certificate_file=listen.tls.certificate, key_file=listen.tls.key)
        if listen.tls
        else None,
        connection_manager=manager,
    )
    policy = _piece(
        "policy_cluster",
        policy_address=_address(settings.server.listen),
        policy_cluster_type="STATIC" if settings.server.listen.startswith("unix:") else "STRICT_DNS",
    )
    return _plain(
        _piece(
            "bootstrap",
            admin_address=_address(admin),
            listener=listener,
            clusters=[policy, *(_cluster(entry, settings) for entry in entries)],
            secrets=[secret for entry in entries if (secret := _secret(entry)) is not None],
        )
    )


def _plain(tree: Any) -> dict[str, Any]:
    """The tree without YAML's shared nodes, so that it is written out without anchors."""
    copy: dict[str, Any] = json.loads(json.dumps(tree))
    return copy


def _http_filters(settings: Settings) -> list[Any]:
    policy = _piece(
        "policy_filter",
        message_timeout=_duration(settings.server.decision_timeout + _SECONDS_BEYOND),
        processing_mode=processing_mode(),
    )
    lua = (data_directory() / "usage.lua").read_text("utf-8")
    cors = [_piece("cors_filter")] if settings.listen.cors else []
    return [*cors, policy, _piece("guard_filter"), _piece("meter_filter", usage_lua=lua), _piece("router_filter")]


def processing_mode(*, body: bool = True) -> dict[str, str]:
    """What Envoy sends before the policy server says otherwise: the request, and nothing of the response.

    Whether a policy wants the response of an exchange is not known here: the conversation overrides the mode then.
    """
    return {
        "request_header_mode": "SEND",
        "request_body_mode": "BUFFERED" if body else "NONE",
        "request_trailer_mode": "SKIP",
        "response_header_mode": "SKIP",
        "response_body_mode": "NONE",
        "response_trailer_mode": "SKIP",
    }


def _unread_routes(settings: Settings) -> Iterable[Any]:
    """Routes of the bodies that are not read, as they are before the verdict."""
    matches = [{"prefix": f"/agents/{agent.name}/"} for agent in settings.agents]
    matches += [
        {"prefix": route.path.removesuffix("*")} if route.path.endswith("/*") else {"path": route.path}
        for route in settings.opaque
    ]
    for match in matches:
        yield _piece("unread_route", path_match=match, unread_mode=processing_mode(body=False))


def _per_filter(settings: Settings) -> dict[str, Any] | None:
    cors = settings.listen.cors
    if cors is None:
        return None
    policy = _piece(
        "cors_policy",
        allow_origins=[{"exact": origin} for origin in cors.allow_origins],
        allow_headers=", ".join(cors.allow_headers),
        cors_max_age=str(cors.max_age),
    )
    return {"envoy.filters.http.cors": policy}


def _cluster_name(entry: UpstreamEntry | AgentEntry) -> str:
    return f"{'agent' if isinstance(entry, AgentEntry) else 'upstream'}_{entry.name}"


def _routes(entry: UpstreamEntry | AgentEntry, settings: Settings) -> Iterable[Any]:
    """Two routes: a streamed answer may be silent for longer than a plain one."""
    timeouts = settings.timeouts
    # Agents may stream whenever they like, so they get the longer silence.
    removes = _piece("internal_fields") + ([] if isinstance(entry, AgentEntry) else _piece("forwarding_fields"))
    plain_idle = timeouts.stream_idle if isinstance(entry, AgentEntry) else timeouts.idle
    for flag, idle in (("1", timeouts.stream_idle), ("0", plain_idle)):
        yield _piece(
            "route",
            upstream_name=entry.name,
            stream_flag=flag,
            cluster_name=_cluster_name(entry),
            host=urlsplit(entry.url).netloc,
            total_timeout=_duration(timeouts.total),
            route_idle_timeout=_duration(idle),
            route_removes=removes,
        )


def _cluster(entry: UpstreamEntry | AgentEntry, settings: Settings) -> Any:
    parts = urlsplit(entry.url)
    host = parts.hostname or ""
    secure = parts.scheme == "https"
    numeric = _is_ip(host)
    return _piece(
        "upstream_cluster",
        cluster_name=_cluster_name(entry),
        cluster_type="STATIC" if numeric else "STRICT_DNS",
        connect_timeout=_duration(settings.timeouts.connect),
        upstream_address=host,
        upstream_port=parts.port or (443 if secure else 80),
        upstream_tls=_piece(
            "upstream_tls", host_name=host, ca_file=_ca_file(), san_type="IP_ADDRESS" if numeric else "DNS"
        )
        if secure
        else None,
        # Over TLS the provider chooses HTTP/2 or 1.1 by ALPN.
        auto_config={} if secure else None,
        explicit_config=None if secure else {"http_protocol_options": {}},
        upstream_filters=_upstream_filters(entry),
    )


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _ca_file() -> str:
    return next((name for name in _CA_FILES if Path(name).exists()), _CA_FILES[0])


def _upstream_filters(entry: UpstreamEntry | AgentEntry) -> list[Any]:
    filters = [_piece("codec_filter")]
    if entry.credential is not None:
        header, prefix = _credential_field(entry)
        filters.insert(
            0,
            _piece(
                "credential_filter",
                secret_name=_cluster_name(entry),
                credential_header=header,
                credential_prefix=prefix,
            ),
        )
    return filters


def _credential_field(entry: UpstreamEntry | AgentEntry) -> tuple[str, str | None]:
    """The header field in which a provider takes its key, and what stands before the key."""
    provider = entry.provider if isinstance(entry, UpstreamEntry) else None
    match provider:
        case Provider.AZURE:
            return "api-key", None
        case Provider.ANTHROPIC:
            return "x-api-key", None
        case _:
            return "authorization", "Bearer "


def _secret(entry: UpstreamEntry | AgentEntry) -> Any | None:
    if entry.credential is None:
        return None
    return _piece("secret", secret_name=_cluster_name(entry), secret_source=_source(entry.credential))


def _source(secret: Secret) -> dict[str, str]:
    if secret.env is not None:
        return {"environment_variable": secret.env}
    return {"filename": str(secret.file)}


def local_replies() -> list[Any]:
    """The mappers that put Envoy's own failures into the caller's dialect: every cause in every dialect."""
    table = _replies()
    return [_mapper(cause, entry) for cause in table["causes"] for entry in table["dialects"]]


def _mapper(cause: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    dialect = Dialect(entry["dialect"])
    name = "" if cause.get("unnamed") else "%REQ(X-REQUEST-ID)%"
    body = error_body(dialect, cause["answer"], cause["code"], cause["message"], request_id=name)
    mapper: dict[str, Any] = {
        "filter": _all([*_cause_filters(cause), *_dialect_filters(entry)]),
        "status_code": cause["answer"],
        "body_format_override": {
            "text_format_source": {"inline_string": json.dumps(body, separators=(",", ":"))},
            "content_type": "application/json",
        },
    }
    headers = {"x-request-id": name} if name else {}
    if "retry_after" in cause:
        headers |= {"retry-after": str(cause["retry_after"]), "retry-after-ms": str(cause["retry_after"] * 1000)}
    mapper["headers_to_add"] = [
        {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
        for key, value in headers.items()
    ]
    return mapper


def _cause_filters(cause: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    verdict = cause.get("verdict")
    if verdict == "allow":
        yield _verdict_filter({"exact": "allow"}, missing=False)
    elif verdict == "none":
        # Matches only where the key is missing: no verdict is called this.
        yield _verdict_filter({"exact": "none"}, missing=True)
    else:
        yield _verdict_filter({"exact": "allow"}, missing=True)
    if "status" in cause:
        comparison = {"op": "EQ", "value": {"default_value": cause["status"], "runtime_key": "sluicegate.unused"}}
        yield {"status_code_filter": {"comparison": comparison}}
    if "flags" in cause:
        yield {"response_flag_filter": {"flags": cause["flags"]}}
    if "details" in cause:
        yield {
            "extension_filter": {
                "name": "cel",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
                    "expression": " || ".join(f"response.code_details.startsWith('{one}')" for one in cause["details"]),
                },
            }
        }


def _verdict_filter(match: Mapping[str, str], *, missing: bool) -> dict[str, Any]:
    matcher = {"filter": "sluicegate", "path": [{"key": "verdict"}], "value": {"string_match": dict(match)}}
    return {"metadata_filter": {"matcher": matcher, "match_if_key_not_found": missing}}


def _dialect_filters(entry: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    """The dialect that has no prefixes takes what is left, also requests so broken that they have no path."""
    if "header" in entry:
        yield {"header_filter": {"header": {"name": entry["header"], "present_match": True}}}
    matches = [{"name": ":path", "string_match": {"prefix": prefix}} for prefix in entry["prefixes"]]
    if matches:
        filters = [{"header_filter": {"header": match}} for match in matches]
        yield filters[0] if len(filters) == 1 else {"or_filter": {"filters": filters}}


def _all(filters: list[dict[str, Any]]) -> dict[str, Any]:
    return filters[0] if len(filters) == 1 else {"and_filter": {"filters": filters}}
