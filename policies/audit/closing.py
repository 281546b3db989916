"""What a closing record says: from the completion of an exchange. Pure.

`closed` gathers all of it. `parted` tells what is alike in many records from what differs, so that only this has to be
said where another record is alike.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, Final

from extproc.actuals import Charged, price_mark
from extproc.call import Call
from extproc.catalogue import Target
from extproc.completion import Completion, Ending, Verdict
from extproc.identity import Identity
from extproc.reservation import Reservation
from policies.audit import bounded
from policies.audit.canonical import written
from policies.audit.deciding import are_plain, held, request_name, reserved, said, what, who
from policies.audit.form import Values
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


_USUAL: Final = ("cache_write", "cached_input", "input", "output", "reasoning")
_RARE: Final = ("audio_input", "audio_output", "cache_write_1h", "tool_calls")
BLANKS: Final = (
    *("bytes_in", "bytes_out", "cost", "exchange_id", "first_byte_us", "latency_ms", "latency_us"),
    *("request_id", "reservation_id", "reserved", "started", "tokens"),
)
"""What differs from one closing to another that is alike, beside what the journal adds and the time."""


def parted(completion: Completion, charge: Charged) -> tuple[Hashable, Values] | None:
    """What a closing has in common with those that differ from it in `BLANKS` alone, and its values of those; None where
    it differs in others too, or one of those needs escaping."""
    facts = completion.facts
    reservation: Reservation | None = facts.get(Reservation)
    if not are_plain(completion.id, completion.request_id):
        return None
    held: Hashable = None
    if reservation is not None:
        if reservation.id != completion.id:
            return None
        held = reservation.tenants, reservation.dollars is None
    spent, first = charge.tokens, completion.first_byte
    total = spent.total
    alike = (
        *(facts.get(Identity), facts.get(Call), facts.get(Target)),
        *(completion.method, completion.path, completion.status, completion.verdict, completion.ending),
        *(completion.ended_by, completion.upstream, completion.backend, completion.route, completion.response_model),
        *(completion.marks, completion.flags, completion.details, completion.decisions),
        *(first is None, held, charge.basis, charge.requests, charge.price, charge.dollars is None),
        # With the price they tell also what is marked, and whether there are tokens to be told.
        *(total != 0, spent.tool_calls != 0, charge.weighted != 0),
    )
    micros = round(completion.duration * 1_000_000)
    return alike, (
        str(completion.bytes_in),
        str(completion.bytes_out),
        dollars(charge.dollars) if charge.dollars is not None else "",
        completion.id,
        str(round(first * 1_000_000)) if first is not None else "",
        str(round(micros / 1000)),
        str(micros),
        completion.request_id,
        completion.id,
        reserved(reservation) if reservation is not None else "",
        moment(completion.started.timestamp()),
        _tokens_text(charge, total),
    )


def _tokens_text(charge: Charged, total: int) -> str:
    spent = charge.tokens
    if spent.cache_write_1h or spent.audio_input or spent.audio_output or spent.tool_calls:
        return written(_tokens(charge))
    # Of nearly all exchanges: a quarter of the time.
    return (
        f'{{"cache_write":{spent.cache_write},"cached_input":{spent.cached_input},"input":{spent.input},'
        f'"output":{spent.output},"reasoning":{spent.reasoning},"total":{total},"weighted":{charge.weighted}}}'
    )


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
    if completion.route is not None:
        fields["route"] = bounded.name(completion.route, words)
    if completion.response_model is not None:
        fields["response_model"] = bounded.name(completion.response_model, words)
    if marks := _marks(completion, charge):
        fields["marks"] = marks
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
    if _has_tokens(charge):
        fields["tokens"] = _tokens(charge)
    if charge.dollars is not None and completion.verdict is Verdict.ALLOW and charge.requests:
        fields["cost"] = dollars(charge.dollars)
        if charge.price:
            fields["price"] = charge.price
    return fields


def _tokens(charge: Charged) -> dict[str, int]:
    """What most exchanges do not have is left out where it is nothing."""
    spent = charge.tokens
    rare = {name: count for name in _RARE if (count := getattr(spent, name))}
    usual = {name: getattr(spent, name) for name in _USUAL}
    return {**usual, **rare, "total": spent.total, "weighted": charge.weighted}


def _marks(completion: Completion, charge: Charged) -> tuple[str, ...]:
    mark = price_mark(charge)
    return completion.marks if mark is None else (*completion.marks, mark)


def _has_tokens(charge: Charged) -> bool:
    return bool(charge.tokens.total or charge.weighted or charge.tokens.tool_calls)


def _result(completion: Completion) -> str:
    """An upstream's error is a failure, although its answer was delivered whole."""
    if completion.ending is Ending.ANSWERED and completion.status >= 400:
        return "failure"
    return _RESULTS[completion.ending]
