"""The access policy: what this caller may use. Everything else is refused."""

from __future__ import annotations

from typing import Any, Final

from extproc.call import Call, Endpoint, Operation, OutputCeiling
from extproc.exchange import Exchange
from extproc.identity import Identity
from extproc.outcome import CONTINUE, Reject, RequestOutcome, Respond
from extproc.policy import Policy, Surroundings
from policies.access.decide import ROUTED, decide_call, decide_endpoint, decide_model, usable_models
from policies.access.grants import Grants, compile_grants
from policies.access.models_list import model_list, one_model
from policies.access.refusals import Refused
from policies.access.settings import AccessSettings

_QUESTIONS: Final = frozenset({Operation.MODELS, Operation.MODEL})


class AccessPolicy(Policy):
    """Roles and groups to permissions, default deny.

    Endpoints, agents and opaque routes are decided on the request headers, so that a refused body is never read; models,
    tools and output ceilings on the body.
    """

    __slots__ = ("_grants",)

    name = "access"
    Settings = AccessSettings
    requires = (Identity,)
    provides = (OutputCeiling,)
    may_fail_open = False

    def __init__(self, grants: Grants) -> None:
        self._grants = grants

    @classmethod
    def build(cls, settings: Any, surroundings: Surroundings) -> AccessPolicy:
        """Raises ValueError if the settings name what is not in the catalogue."""
        return cls(compile_grants(settings, surroundings.catalogue))

    def on_request_headers(self, exchange: Exchange) -> RequestOutcome:
        """Refuse an endpoint that is not granted at all."""
        request = exchange.request
        decision = decide_endpoint(
            self._grants, exchange.need(Identity), exchange.need(Endpoint), request.method, request.path
        )
        if isinstance(decision, Refused):
            return _reject(exchange, decision)
        exchange.note("endpoint allowed by %s", decision.by)
        return CONTINUE

    def on_request_body(self, exchange: Exchange) -> RequestOutcome:
        """Refuse a call that is not granted; answer questions for models.

        They are answered here and not on the headers, so that a policy further down that counts requests sees them.
        """
        endpoint = exchange.need(Endpoint)
        if endpoint.operation in ROUTED:
            return CONTINUE
        if endpoint.operation in _QUESTIONS:
            return self._models(exchange, endpoint)
        decision = decide_call(self._grants, exchange.need(Identity), exchange.need(Call))
        if isinstance(decision, Refused):
            return _reject(exchange, decision)
        exchange.note("call allowed by %s", decision.by)
        if decision.ceiling is not None:
            exchange.note("output ceiling: %d tokens", decision.ceiling)
            exchange.put(OutputCeiling(decision.ceiling))
        return CONTINUE

    def _models(self, exchange: Exchange, endpoint: Endpoint) -> RequestOutcome:
        identity = exchange.need(Identity)
        if endpoint.operation is Operation.MODELS:
            names = usable_models(self._grants, identity, endpoint.dialect)
            exchange.note("%d models to list", len(names))
            if not identity.groups_known:
                exchange.note("group overage: only models that roles allow are listed")
            return Respond(model_list(endpoint.dialect, names))
        found = decide_model(self._grants, identity, endpoint.dialect, endpoint.model)
        if isinstance(found, Refused):
            return _reject(exchange, found)
        return Respond(one_model(endpoint.dialect, found))


def _reject(exchange: Exchange, refused: Refused) -> Reject:
    exchange.note("%s", refused.why)
    headers: tuple[tuple[str, str], ...] = ()
    if refused.status == 403:
        # RFC 6750 section 3.1. Scopes are the operator's own words, checked when they were configured.
        challenge = 'Bearer error="insufficient_scope"'
        if refused.scopes:
            challenge += f', scope="{" ".join(refused.scopes)}"'
        headers = (("www-authenticate", challenge),)
    return Reject(refused.status, refused.code, refused.message, param=refused.param, headers=headers, why=refused.why)
