"""What a decision record says: from an exchange and the verdict on it. Pure.

`decided` gathers all of it. `parted` tells what is alike in many records from what differs, so that only this has to be
said where another record is alike.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import orjson

from extproc import trace_context
from extproc.call import Call, Endpoint, Payload
from extproc.catalogue import Target
from extproc.completion import Decision
from extproc.exchange import Exchange, Request
from extproc.identity import Identity
from extproc.outcome import Reject, Respond
from extproc.reservation import Reservation
from policies.audit import bounded
from policies.audit.form import Values
from policies.audit.record import Kind, Level, Name
from policies.audit.words import Words

_REFUSALS: Final[Mapping[int, Name]] = {
    401: Name.AUTHENTICATION_REFUSED,
    403: Name.ACCESS_REFUSED,
    429: Name.LIMIT_REACHED,
}
_PARAMS: Final = (
    *("best_of", "frequency_penalty", "logprobs", "max_completion_tokens", "max_output_tokens", "max_tokens", "n"),
    *("parallel_tool_calls", "presence_penalty", "previous_response_id", "reasoning_effort", "seed", "service_tier"),
    *("store", "temperature", "thinking", "tool_choice", "top_k", "top_logprobs", "top_p", "verbosity"),
)
"""Members of a call that hold no prompt."""
_PARAM_NAMES: Final = frozenset(_PARAMS)
_SESSION: Final = 128
"""Characters of a session that are recorded."""
_PROMPTS: Final = ("instructions", "input", "messages", "prompt", "suffix", "system", "tools")


BLANKS: Final = ("exchange_id", "request_id", "reservation_id", "reserved", "timings", "trace_id")
"""What differs from one decision to another that is alike, beside what the journal adds and the time."""


def parted(
    exchange: Exchange, decisions: Sequence[Decision], session: str, *, timings: bool = False
) -> tuple[Hashable, Values] | None:
    """What a decision that lets pass has in common with those that differ from it in `BLANKS` alone, and its values of
    those; None where it differs in others too, or one of those needs escaping. It records no prompts.

    Args:
        timings: whether it is recorded how long each policy took: either of all decisions, or of none.
    """
    request = exchange.request
    reservation = exchange.get(Reservation)
    if not are_plain(exchange.id, request.request_id):
        return None
    held: Hashable = None
    if reservation is not None:
        if reservation.id != exchange.id:
            return None
        held = reservation.tenants, reservation.dollars is None
    payload = exchange.get(Payload)
    asked = b""
    if payload is not None and not _PARAM_NAMES.isdisjoint(payload.members):
        members = payload.members
        # As text: 1, 1.0 and true are equal, and not the same.
        try:
            asked = orjson.dumps({name: members[name] for name in _PARAMS if name in members})
        except (TypeError, ValueError):
            return None
    call, trace = exchange.get(Call), _trace(request)
    alike = (
        *(exchange.get(Identity), call, exchange.get(Endpoint) if call is None else None, exchange.get(Target)),
        *(request.method, request.loggable_path, exchange.marks, session, held, asked, tuple(decisions), trace != ""),
    )
    return alike, (
        exchange.id,
        request.request_id,
        exchange.id,
        reserved(reservation) if reservation is not None else "",
        orjson.dumps(took(exchange)).decode() if timings else "",
        trace,
    )


def decided(
    exchange: Exchange,
    outcome: Reject | Respond | None,
    decisions: Sequence[Decision],
    words: Words,
    *,
    session: str,
    prompts: bool,
    timings: bool = False,
) -> dict[str, Any]:
    """The members of the record, but for those of the chain, the time and the configuration.

    Args:
        session: as the client names it.
        prompts: whether prompts may be recorded, redacted.
        timings: whether it is recorded how long each policy took.
    """
    request = exchange.request
    fields: dict[str, Any] = {
        "kind": Kind.DECISION.value,
        "exchange_id": exchange.id,
        "request_id": request_name(request.request_id, words),
        "http.request.method": bounded.name(request.method, words),
        "url.path": bounded.name(request.loggable_path, words),
    }
    if trace := _trace(request):
        fields["trace_id"] = trace
    identity = exchange.get(Identity)
    if identity is not None:
        fields |= who(identity, words)
    call = exchange.get(Call)
    if call is not None:
        fields |= what(call, words)
    elif (endpoint := exchange.get(Endpoint)) is not None:
        fields |= {"operation": endpoint.operation.value, "dialect": endpoint.dialect.value}
    target = exchange.get(Target)
    if target is not None:
        fields["upstream"] = target.upstream
    if session:
        # Cut when it has been looked through: of half a secret nobody could tell that it is one.
        fields["session_id"] = bounded.name(session, words)[:_SESSION]
    if exchange.marks:
        fields["marks"] = exchange.marks
    reservation = exchange.get(Reservation)
    if reservation is not None:
        fields |= held(reservation)
    payload = exchange.get(Payload)
    if payload is not None:
        asked = params(payload.members, words, prompts=prompts)
        if asked:
            fields["params"] = asked
    if decisions:
        fields["decisions"] = said(decisions, words)
    if timings:
        fields["timings"] = took(exchange)
    return fields | _verdict(outcome, decisions, words)


def _trace(request: Request) -> str:
    """The trace that the client has begun, if it has."""
    told = request.headers.get(trace_context.HEADER)
    return trace_context.client_span(told)[0] if told else ""


def _verdict(outcome: Reject | Respond | None, decisions: Sequence[Decision], words: Words) -> dict[str, Any]:
    if outcome is None:
        return _ALLOWED
    if isinstance(outcome, Respond):
        return {"event": Name.RESPONDED.value, "level": "info", "decision": "respond", "result": "success"}
    fields = {
        "event": _REFUSALS.get(outcome.status, Name.REFUSED).value,
        "level": (Level.ERROR if outcome.status >= 500 else Level.WARNING).value,
        "decision": "reject",
        "result": "refused",
        "reason": str(outcome.code),
        "http.response.status_code": outcome.status,
    }
    last = next((one for one in reversed(decisions) if one.enforced), None)
    if last is not None:
        fields["policy"] = last.policy
        if last.why:
            fields["why"] = bounded.name(str(last.why), words)
    return fields


def refused(fields: Mapping[str, Any], refusal: Reject, policy: str, words: Words) -> dict[str, Any]:
    """The same of an exchange that this policy has refused after all. What was reserved for it is given back."""
    if fields["decision"] == "reject":
        return dict(fields)
    kept = {name: value for name, value in fields.items() if name not in _HELD}
    word = (Decision(policy, "reject", refusal.code, refusal.why),)
    return kept | _verdict(refusal, word, words) | {"decisions": [*fields.get("decisions", ()), *said(word, words)]}


_ALLOWED: Final[dict[str, Any]] = {
    "event": Name.ALLOWED.value,
    "level": Level.INFO.value,
    "decision": "allow",
    "result": "success",
}


@lru_cache(4_096)
def who(identity: Identity, words: Words) -> Mapping[str, Any]:
    """Who calls. Remembered: it is the same for all requests with a token."""
    fields = {
        "tenant_id": identity.tenant,
        "tenant": identity.tenant_name,
        "user_id": words.user(identity.tenant_name or identity.tenant, identity.user),
        "app_id": identity.app,
        "caller": identity.kind.value,
        "roles": tuple(sorted(identity.roles)),
        "department": identity.department,
        "cost_centre": identity.cost_centre,
    }
    return {name: value for name, value in fields.items() if value}


def request_name(text: str, words: Words) -> str:
    """The id of a request. Envoy's own are new each time, and hold nothing."""
    return text if is_uuid(text) else bounded.name(text, words)


def is_uuid(text: str) -> bool:
    """Whether it is an id as Envoy makes them."""
    return _uuid(text) is not None


def are_plain(own: str, request_id: str) -> bool:
    """Whether an exchange's id is as the gateway makes them, and that of its request as Envoy does: neither needs
    escaping."""
    return _plain(f"{own} {request_id}") is not None


def what(call: Call, words: Words) -> dict[str, Any]:
    """What is called."""
    fields: dict[str, Any] = {"operation": call.operation.value, "dialect": call.dialect.value}
    if call.model is not None:
        fields["model"] = bounded.name(call.model, words)
    if call.stream:
        fields["stream"] = True
    if call.route is not None:
        fields["route"] = call.route
    return fields


def held(reservation: Reservation) -> dict[str, Any]:
    """What is reserved."""
    output = reservation.output * reservation.choices
    reserved = {"input": reservation.input, "output": output, "tokens": reservation.tokens}
    if reservation.dollars is not None:
        reserved["dollars"] = reservation.dollars
    return {
        "reservation_id": reservation.id,
        "accounts": reservation.tenants,
        "reserved": reserved,
    }


def reserved(reservation: Reservation) -> str:
    """`reserved` of what `held` says, as JSON."""
    output = reservation.output * reservation.choices
    dollars = f'"dollars":{reservation.dollars},' if reservation.dollars is not None else ""
    return f'{{{dollars}"input":{reservation.input},"output":{output},"tokens":{reservation.tokens}}}'


def took(exchange: Exchange) -> list[dict[str, Any]]:
    """How long each policy took, members in the order of their names."""
    return [{"microseconds": spent // 1_000, "policy": name} for name, spent in exchange.timings.items()]


def said(decisions: Sequence[Decision], words: Words) -> list[dict[str, Any]]:
    """What policies said: it may quote the client, as a path that is none."""
    return [
        {
            "code": str(one.code),
            "enforced": one.enforced,
            "outcome": one.outcome,
            "policy": one.policy,
            "why": bounded.name(str(one.why), words) if one.why else "",
        }
        for one in decisions
    ]


def params(members: Mapping[str, Any], words: Words, *, prompts: bool) -> dict[str, Any]:
    """What was asked for beside the model: without prompts, unless they may be recorded. Of what is not a prompt, no more
    than can be looked through at once."""
    allowance = bounded.Allowance()
    found = {name: allowance.bounded(members[name]) for name in _PARAMS if members.get(name) is not None}
    if prompts:
        found |= {name: members[name] for name in _PROMPTS if members.get(name) is not None}
    if not found:
        return found
    told = words.tree(found)
    return told if isinstance(told, dict) else {}


_HELD: Final = frozenset({"accounts", "reservation_id", "reserved"})
# Written out: a group that is repeated takes longer.
_ENVOYS: Final = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_uuid: Final = re.compile(_ENVOYS).fullmatch
_plain: Final = re.compile(f"[0-9a-f]{{32}} {_ENVOYS}").fullmatch
