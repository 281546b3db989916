"""What must be there beside the documents, or is otherwise than the configuration says: for who applies them. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from extproc.ai_gateway.pieces import API_KEY, Options
from extproc.secret import Secret
from extproc.settings import Settings


def notes(settings: Settings, options: Options, *, standalone: bool) -> list[str]:
    """Lines for a person, to stand before the documents."""
    told = (
        [] if settings.server.profile == "ai-gateway" else ["The policy server must serve `server.profile: ai-gateway`."]
    )
    return [*(_standalone(settings, options) if standalone else _cluster(settings, options)), *told]


def _standalone(settings: Settings, options: Options) -> Iterator[str]:
    yield f"For `aigw run` beside `sluicegate serve`. Envoy listens on port {settings.listen.port} of every address of"
    yield f"this machine: Envoy Gateway knows no `listen.address` ({settings.listen.address})."
    yield f"Envoy {options.envoy_version} is taken from AIGW_DATA_HOME/envoy-versions/{options.envoy_version}/bin/envoy."
    sources = [_source(entry.credential) for entry in settings.upstreams if entry.credential is not None]
    if sources:
        yield "Keys are read by `aigw` when it starts: " + ", ".join(sources)


def _cluster(settings: Settings, options: Options) -> Iterator[str]:
    yield "For Envoy Gateway 1.8 with AI Gateway 1.1: `extensionApis.enableBackend`, and AI Gateway as its extension."
    secrets = [*_secrets(settings, options)]
    if secrets:
        yield f"Secrets that must be there, in the namespace {options.namespace}:"
        yield from (f"  {line}" for line in secrets)
    placed = settings.server.placement()
    addresses = dict.fromkeys((*placed.deciding, placed.settling))
    if settings.server.listen.startswith("unix:"):
        yield "The policy server is a sidecar of Envoy. Both see, in a volume that they share:"
        yield from (f"  {address.removeprefix('unix:')}" for address in addresses)
    else:
        ports = ", ".join(address.rpartition(":")[2] for address in addresses)
        yield f"The policy server is the Service {options.policy_service}, ports {ports}."


def _secrets(settings: Settings, options: Options) -> Iterator[str]:
    for upstream in settings.upstreams:
        if upstream.credential is not None:
            yield f"{options.upstream(upstream)}: {API_KEY} = what is in {_source(upstream.credential)}"
    for agent in settings.agents:
        if agent.credential is not None:
            name = options.agent(agent, standalone=False)
            yield f"{name}: credential = `Bearer`, a space, and what is in {_source(agent.credential)}"
    if settings.server.tls is not None and not settings.server.listen.startswith("unix:"):
        yield f"{options.policy_secret}: tls.crt, tls.key, ca.crt = `server.tls.envoy`"
    if settings.listen.tls is not None:
        yield f"{options.listen_secret}: tls.crt, tls.key = `listen.tls`"


def _source(secret: Secret) -> str:
    return f"the variable {secret.env}" if secret.env is not None else f"the file {secret.file}"
