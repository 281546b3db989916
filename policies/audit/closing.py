"""What a closing record says: from the completion of an exchange. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from extproc.actuals import Charged
from extproc.catalogue import Target
from extproc.completion import Completion, Ending, Verdict
from extproc.reservation import Reservation
from policies.audit import bounded
from policies.audit.deciding import held, request_name, said, what, who
from policies.audit.moments import dollars, moment
from policies.audit.record import Kind, Level, Name
from policies.audit.words import Words

_RESULTS: Final[Mapping[Ending, str]] = {
    Ending.ANSWERED: "success",
    Ending.RESPONDED: "success",
    Ending.REJECTED: "refused",
    Ending.REFUSED: "refused",
    Ending.UPSTREAM_UNAVAILABLE: "failure",
    Ending.UPSTREAM_CUT: "failure",
    Ending.TIMED_OUT: "failure",
    Ending.CLIENT_GONE: "aborted",
}


def closed(completion: Completion, charge: Charged, words: Words) -> dict[str, Any]:
    """The members of the record, but for those of the chain, the time and the configuration. `charge`: what it used."""
    micros = round(completion.duration * 1_000_000)
    result = _result(completion)
    fields: dict[str, Any] = {
        "kind": Kind.CLOSING.value,
        "event": Name.CLOSED.value,
        "level": (Level.WARNING if result == "failure" else Level.INFO).value,
        "exchange_id": completion.id,
        "request_id": request_name(completion.request_id, words),
        "http.request.method": bounded.name(completion.method, words),
        "url.path": bounded.name(completion.path, words),
        "http.response.status_code": completion.status,
        "decision": completion.verdict.value,
        "ending": completion.ending.value,
        "ended_by": completion.ended_by.value,
        "result": result,
        "latency_us": micros,
        "latency_ms": round(micros / 1000),
        "bytes_in": completion.bytes_in,
        "bytes_out": completion.bytes_out,
        "started": moment(completion.started.timestamp()),
    }
    if completion.first_byte is not None:
        fields["first_byte_us"] = round(completion.first_byte * 1_000_000)
    identity, call = completion.identity, completion.call
    if identity is not None:
        fields |= who(identity, words)
    if call is not None:
        fields |= what(call, words)
    target = completion.get(Target)
    if completion.upstream is not None:
        fields["upstream"] = completion.upstream
    elif target is not None:
        fields["upstream"] = target.upstream
    if completion.backend is not None:
        fields["backend"] = bounded.name(completion.backend, words)
    if completion.response_model is not None:
        fields["response_model"] = bounded.name(completion.response_model, words)
    if completion.marks:
        fields["marks"] = completion.marks
    if completion.flags:
        fields["flags"] = completion.flags
    if completion.details:
        fields["details"] = bounded.name(completion.details, words)
    if completion.decisions:
        fields["decisions"] = said(completion.decisions, words)
    return fields | _used(completion, charge)


def _used(completion: Completion, charge: Charged) -> dict[str, Any]:
    fields: dict[str, Any] = {"basis": charge.basis.value, "requests": charge.requests}
    reservation = completion.get(Reservation)
    if reservation is not None:
        fields |= held(reservation)
    spent = charge.tokens
    total = spent.input + spent.cached_input + spent.cache_write + spent.output
    if total or charge.weighted:
        fields["tokens"] = {
            "cache_write": spent.cache_write,
            "cached_input": spent.cached_input,
            "input": spent.input,
            "output": spent.output,
            "reasoning": spent.reasoning,
            "total": total,
            "weighted": charge.weighted,
        }
    if charge.dollars is not None and completion.verdict is Verdict.ALLOW and charge.requests:
        fields["cost"] = dollars(charge.dollars)
    return fields


def _result(completion: Completion) -> str:
    """An upstream's error is a failure, although its answer was delivered whole."""
    if completion.ending is Ending.ANSWERED and completion.status >= 400:
        return "failure"
    return _RESULTS[completion.ending]
