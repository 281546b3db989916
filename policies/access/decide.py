"""The decision: what was granted, who asks, what for; allowed and by what, or refused and why.

One permission must allow the whole of a call: operation, model, upstream and every hosted tool. Several may; then the
most generous output ceiling among them holds.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec

from extproc.call import Call, Endpoint, Operation
from extproc.exchange import Dialect
from extproc.identity import CallerKind, Identity
from policies.access import refusals
from policies.access.globs import is_plain_name
from policies.access.grants import Grants, Held, Holdings
from policies.access.refusals import Refused

ROUTED: Final = frozenset({Operation.AGENT, Operation.OPAQUE})
"""Operations on what is no model: they are decided by their paths."""
_GENERATES: Final = frozenset({Operation.CHAT, Operation.COMPLETIONS, Operation.RESPONSES, Operation.MESSAGES})
_USES: Final = {
    Dialect.OPENAI: (Operation.CHAT, Operation.COMPLETIONS, Operation.RESPONSES, Operation.EMBEDDINGS),
    Dialect.ANTHROPIC: (Operation.MESSAGES, Operation.COUNT_TOKENS),
    Dialect.JSONRPC: (),
}


class Allowed(msgspec.Struct, frozen=True):
    """Allowed, and by which permission. `ceiling` bounds the output tokens of one answer, if any."""

    by: Held
    ceiling: int | None = None


Decision: TypeAlias = Allowed | Refused


def decide_endpoint(grants: Grants, identity: Identity, endpoint: Endpoint, method: str, path: str) -> Decision:
    """Whether the caller may use this endpoint at all; for agents and opaque routes this is the whole decision.

    `path` is the path of the request without its query, and counts for opaque routes; agents have `endpoint.rest`.
    """
    if grants.scopes and identity.kind is CallerKind.USER and grants.scopes.isdisjoint(identity.scopes):
        return refusals.scope_missing(grants)
    decision = _endpoint(grants.holdings(identity), identity, endpoint, method, path)
    if isinstance(decision, Allowed) or identity.groups_known:
        return decision
    at_best = _endpoint(grants.best_case(identity), identity, endpoint, method, path)
    return refusals.groups_unknown(decision) if isinstance(at_best, Allowed) else decision


def decide_call(grants: Grants, identity: Identity, call: Call) -> Decision:
    """Whether the caller may make this call to a model, which `decide_endpoint` let pass."""
    decision = _call(grants, grants.holdings(identity), identity, call)
    if isinstance(decision, Allowed) or identity.groups_known:
        return decision
    at_best = _call(grants, grants.best_case(identity), identity, call)
    return refusals.groups_unknown(decision) if isinstance(at_best, Allowed) else decision


def usable_models(grants: Grants, identity: Identity, dialect: Dialect) -> list[str]:
    """The named models of this dialect that the caller may use for at least one operation, in order of configuration."""
    holdings = grants.holdings(identity)
    return [name for name, _ in grants.catalogue.named_models(dialect) if _usable(grants, holdings, dialect, name)]


def decide_model(grants: Grants, identity: Identity, dialect: Dialect, model: str | None) -> str | Refused:
    """The name of one listed model, or the same refusal for one that does not exist and one that is not the caller's."""
    if model is None or all(model != name for name, _ in grants.catalogue.named_models(dialect)):
        return refusals.model_not_found()
    if _usable(grants, grants.holdings(identity), dialect, model):
        return model
    if not identity.groups_known and _usable(grants, grants.best_case(identity), dialect, model):
        return refusals.groups_unknown(refusals.model_not_found())
    return refusals.model_not_found()


def _endpoint(holdings: Holdings, identity: Identity, endpoint: Endpoint, method: str, path: str) -> Decision:
    operation = endpoint.operation
    if operation in ROUTED:
        return _route(holdings, identity, endpoint, method, path)
    held = holdings.operations.get(operation)
    return Allowed(held[0]) if held else refusals.operation_not_allowed(operation, identity, holdings)


def _route(holdings: Holdings, identity: Identity, endpoint: Endpoint, method: str, path: str) -> Decision:
    agent = endpoint.operation is Operation.AGENT
    route = endpoint.route or ""
    ways = (holdings.agents if agent else holdings.opaque).get(route, ())
    if not ways:
        return refusals.route_not_allowed(endpoint.operation, route, identity, holdings)
    below = (endpoint.rest or "") if agent else path
    for way, held in ways:
        if way.covers(method, below):
            return Allowed(held)
    return refusals.path_not_allowed(endpoint.operation, route, method, holdings)


def _call(grants: Grants, holdings: Holdings, identity: Identity, call: Call) -> Decision:
    held = holdings.operations.get(call.operation, ())
    if not held:
        return refusals.operation_not_allowed(call.operation, identity, holdings)
    if call.model is None or not is_plain_name(call.model):
        return refusals.odd_model()
    covering = _covering(grants, held, call.dialect, call.model)
    if not covering:
        return refusals.model_not_allowed(call, holdings)
    allowing = covering
    if call.hosted_tools:
        allowing = [one for one in covering if all(tool in one.grant.hosted_tools for tool in call.hosted_tools)]
    if not allowing:
        return _tool_refusal(covering, call, holdings)
    return _bounded(allowing, call) if call.operation in _GENERATES else Allowed(allowing[0])


def _bounded(allowing: list[Held], call: Call) -> Decision:
    """The most generous ceiling among the permissions that allow the call."""
    most, ceiling = allowing[0], 0
    for one in allowing:
        if one.grant.ceiling is None:
            return Allowed(one)
        if one.grant.ceiling > ceiling:
            most, ceiling = one, one.grant.ceiling
    if call.max_output is not None and call.max_output > ceiling:
        return refusals.output_ceiling_exceeded(call, ceiling)
    return Allowed(most, ceiling)


def _covering(grants: Grants, held: tuple[Held, ...], dialect: Dialect, model: str) -> list[Held]:
    """The permissions among these that cover the model, at the upstream that would serve it."""
    covering = []
    for one in held:
        grant = one.grant
        if model not in grant.models:
            continue
        if grant.upstreams is None or grants.upstream_of(dialect, model) in grant.upstreams:
            covering.append(one)
    return covering


def _tool_refusal(covering: list[Held], call: Call, holdings: Holdings) -> Refused:
    for tool in call.hosted_tools:
        if not any(tool in one.grant.hosted_tools for one in covering):
            return refusals.tool_not_allowed(tool, is_plain_name(tool), together=False, holdings=holdings)
    missing = next(tool for tool in call.hosted_tools if tool not in covering[0].grant.hosted_tools)
    return refusals.tool_not_allowed(missing, is_plain_name(missing), together=True, holdings=holdings)


def _usable(grants: Grants, holdings: Holdings, dialect: Dialect, model: str) -> bool:
    return any(
        any(_covering(grants, holdings.operations.get(operation, ()), dialect, model)) for operation in _USES[dialect]
    )
