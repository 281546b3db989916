"""The AI Gateway profile: from settings to the Kubernetes documents of Envoy Gateway and Envoy AI Gateway. Pure.

The documents themselves are data, in `envoy/ai-gateway.yaml`. What there is in the plain profile and why it is here
otherwise, or not at all, stands in docs/reference/ai-gateway.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

from extproc import assembly
from extproc.ai_gateway.backends import upstream_documents
from extproc.ai_gateway.fitting import misfits
from extproc.ai_gateway.gateway import gateway_documents
from extproc.ai_gateway.pieces import Options
from extproc.ai_gateway.policy_server import PolicyServer, extension_policy
from extproc.ai_gateway.routes import agent_refs, agent_routes, provider_routes, traffic_policies
from extproc.mistakes import ConfigurationError
from extproc.settings import Settings

__all__ = ["Options", "resources"]

_DEFAULT: Final = Options()


def resources(
    settings: Settings,
    *,
    standalone: bool,
    options: Options = _DEFAULT,
    response_fields: Iterable[str] | None = None,
) -> list[dict[str, Any]]:
    """The documents, in the order in which they may be applied.

    `standalone`: for `aigw run` on this machine; otherwise for a cluster with Envoy Gateway and Envoy AI Gateway.
    `response_fields`: what policies may add to answers; without it, what the configured policies say they do.

    Raises:
        ConfigurationError: the profile cannot serve this configuration; with all that stands against it.
    """
    told = tuple(assembly.response_fields(settings) if response_fields is None else response_fields)
    if mistakes := misfits(settings, options, standalone=standalone, told=told):
        raise ConfigurationError(mistakes)
    server = PolicyServer(settings, options, standalone=standalone)
    documents = [
        *gateway_documents(settings, options, server, standalone=standalone, told=told),
        *server.documents(),
        extension_policy(settings, options, server, name=options.name, body=True, target_refs=[options.gateway_ref()]),
        *traffic_policies(settings, options, standalone=standalone),
        *upstream_documents(settings, options, standalone=standalone),
        *provider_routes(settings, options),
        *agent_routes(settings, options, standalone=standalone),
    ]
    if settings.agents:
        documents.append(
            extension_policy(
                settings,
                options,
                server,
                name=f"{options.name}-agents",
                body=False,
                target_refs=agent_refs(settings, options, standalone=standalone),
            )
        )
    return _plain(documents)


def _plain(tree: Any) -> list[dict[str, Any]]:
    """The documents without YAML's shared nodes, so that they are written out without anchors."""
    copy: list[dict[str, Any]] = json.loads(json.dumps(tree))
    return copy
