"""The gate in front of Envoy AI Gateway: what it does in another way than in front of providers."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final

from msgspec.structs import replace

from extproc.ai_gateway.behind import OWN, Standing, is_named
from extproc.ai_gateway.paths import PATHS
from extproc.call import Call, Endpoint, Operation, Payload
from extproc.catalogue import Agent, Catalogue, Target, Upstream
from extproc.chain import Chain, Course
from extproc.exchange import Request
from extproc.gate import Gate, Judgement, Passage
from extproc.mistakes import ConfigurationError
from extproc.outcome import Reject
from extproc.settings import IdentityHeaders, Settings

_OF_THE_METER: Final = frozenset({"stream_options"})
"""Members that AI Gateway sets by itself, for its own count."""


def gate_of(settings: Settings, chain: Chain) -> Gate:
    """The gate of the configured profile.

    Raises:
        ConfigurationError: a policy reads answers, which cannot be had of Envoy where AI Gateway's filter sends them on
            piece by piece: a filter that waits at the headers, as ours would, cuts some of them short.
    """
    if settings.server.profile == "plain":
        return Gate(chain, settings.catalogue(), settings.identity_headers)
    reading = [link.policy.name for link in chain.links if link.policy.overrides("on_response_body")]
    if reading:
        raise ConfigurationError(
            [f"policies: {name} reads answers, and the profile ai-gateway cannot show it any" for name in reading]
        )
    return AIGatewayGate(chain, settings.catalogue(), settings.identity_headers)


class AIGatewayGate(Gate):
    """Asks AI Gateway for a call, which asks the provider; and sees whether AI Gateway has seen the request already."""

    def __init__(self, chain: Chain, catalogue: Catalogue, identity_headers: IdentityHeaders) -> None:
        super().__init__(chain, catalogue, identity_headers)
        self._standing = Standing()

    def headers(self, course: Course) -> Judgement | Awaitable[Judgement | None] | None:
        if is_named(course.exchange.request):
            self._standing.saw_behind()
        return super().headers(course)

    def lacking(self) -> str | None:
        return self._standing.lacking()

    def _choose(self, endpoint: Endpoint, call: Call, request: Request) -> Target | None:
        target = super()._choose(endpoint, call, request)
        if target is None or endpoint.operation not in PATHS:
            return target
        if endpoint.operation is Operation.COMPLETIONS and self._is_dated(target):
            # AI Gateway translates no such pair (1.1): it would answer 502 to what is reserved by then.
            return None
        return replace(target, path=PATHS[endpoint.operation])

    def _is_dated(self, target: Target) -> bool:
        """Whether it is Azure's API of deployments, which has a date for a version."""
        upstream = self._catalogue.upstream(target.upstream)
        return upstream is not None and upstream.api_version is not None

    def _tells_identity(self, upstream: Upstream | None, agent: Agent | None) -> bool:
        # AI Gateway counts by them. A route takes them away again where the provider is not to be told.
        return upstream is not None or super()._tells_identity(upstream, agent)

    def _passage(self, call: Call, target: Target, course: Course) -> Judgement:
        passage = super()._passage(call, target, course)
        if isinstance(passage, Passage) and is_named(course.exchange.request):
            return self._behind(passage, call, target, course)
        return passage

    def _behind(self, passage: Passage, call: Call, target: Target, course: Course) -> Judgement:
        """AI Gateway sends the body of which it has a copy: a change of ours would be lost. What cannot do without is
        refused, for a ceiling that nobody is told is none."""
        payload = course.exchange.get(Payload)
        changes = self._changes(call, target, payload, course).keys() if payload is not None else set()
        if course.body_changed or changes - _OF_THE_METER:
            return self._refused(
                Reject(503, "gateway_misplaced", "This gateway is not set up correctly. Tell its operator."), course
            )
        kept = tuple(name for name in passage.remove_headers if not name.startswith(OWN))
        return replace(passage, body=None, remove_headers=kept)
