"""The providers: where each is, which API it speaks, what it is shown. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from extproc.addresses import is_ip
from extproc.ai_gateway.pieces import API_KEY, Options, piece
from extproc.catalogue import Provider
from extproc.secret import Secret
from extproc.settings import AgentEntry, Settings, UpstreamEntry


def upstream_documents(settings: Settings, options: Options, *, standalone: bool) -> Iterator[Any]:
    """Backend, AIServiceBackend and BackendSecurityPolicy of each upstream; standalone also the Secret."""
    for entry in settings.upstreams:
        name = options.upstream(entry)
        yield from location(entry, name, options)
        yield piece(
            "service_backend",
            metadata=options.metadata(name),
            schema=schema(entry),
            target_name=name,
            removed_fields=_removed_fields(entry, settings),
        )
        if entry.credential is not None:
            yield _security(entry, name, options)
            if standalone:
                yield _secret(entry.credential, name, options)


def _removed_fields(entry: UpstreamEntry, settings: Settings) -> list[str]:
    """What a provider must not get. AI Gateway is always told who calls."""
    told = () if entry.identity_headers else settings.identity_headers.names()
    return [*piece("internal_fields"), *piece("forwarding_fields"), *told]


def location(entry: UpstreamEntry | AgentEntry, name: str, options: Options) -> Iterator[Any]:
    """The Backend of an upstream or agent, and with https how its certificate is judged."""
    parts = urlsplit(entry.url)
    host = parts.hostname or ""
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    endpoint = {"ip": {"address": host, "port": port}} if is_ip(host) else {"fqdn": {"hostname": host, "port": port}}
    yield piece("backend", metadata=options.metadata(name), endpoints=[endpoint])
    if secure:
        yield piece(
            "backend_tls_policy",
            metadata=options.metadata(name),
            target_name=name,
            host_name=host,
        )


def schema(entry: UpstreamEntry) -> dict[str, str]:
    """The API that an upstream speaks, and the path before its own: what an SDK's base URL says."""
    base = urlsplit(entry.url).path.rstrip("/")
    match entry.provider:
        case Provider.AZURE if entry.api_version is not None:
            return {"name": "AzureOpenAI", "version": entry.api_version}
        case Provider.AZURE:
            return {"name": "OpenAI", "prefix": base or "/openai/v1"}
        case Provider.ANTHROPIC:
            return {"name": "Anthropic", "prefix": f"{base}/v1"}
        case Provider.OPENAI:
            # Nothing at all would mean /v1.
            return {"name": "OpenAI", "prefix": base or "/"}


def _security(entry: UpstreamEntry, name: str, options: Options) -> Any:
    reference = piece("secret_ref", secret_name=name)
    kinds = {Provider.AZURE: "AzureAPIKey", Provider.ANTHROPIC: "AnthropicAPIKey", Provider.OPENAI: "APIKey"}
    kind = kinds[entry.provider]
    return piece(
        "backend_security_policy",
        metadata=options.metadata(name),
        target_name=name,
        credential_type=kind,
        api_key=reference if kind == "APIKey" else None,
        azure_api_key=reference if kind == "AzureAPIKey" else None,
        anthropic_api_key=reference if kind == "AnthropicAPIKey" else None,
    )


def _secret(credential: Secret, name: str, options: Options) -> Any:
    """The Secret without the secret: `aigw` reads it from where this says when it starts."""
    kind, source = ("env", credential.env) if credential.env is not None else ("file", credential.file)
    annotation = {f"substitution.aigw.run/{kind}/{API_KEY}": source}
    return piece("secret", metadata=options.metadata(name, annotations=annotation))
