"""All that is known of one exchange, in sentences for people. Pure.

Nothing is concluded that is not on record: what is missing is said to be missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from policies.audit.record import Closed, Kind, Name, Record, Said
from policies.audit.showing import times, words

_DECIDED: Final = {
    "allow": "It was allowed",
    "reject": "It was refused",
    "respond": "The gateway answered it by itself",
    "none": "There was no verdict: it ended before the policies had spoken",
}
_ENDINGS: Final = {
    "answered": "The answer was delivered whole",
    "responded": "The gateway answered by itself",
    "rejected": "A refusal ended it",
    "refused": "Envoy refused it before there was a verdict",
    "upstream_unavailable": "The upstream could not be reached",
    "upstream_cut": "The upstream broke off in the middle of its answer",
    "timed_out": "It took longer than the gateway waits",
    "client_gone": "The client went away before the answer was whole",
    "lost": "Nothing was heard of its end",
}
_BASIS: Final = {
    "metered": "as the provider counted them",
    "chunks": "at least: counted from the pieces of the answer, since the provider stated none",
    "estimate": "as they were estimated, since nothing was counted",
    "nothing": "since nothing reached the provider",
}
_OWN: Final = {"gateway": " by the gateway itself", "envoy": " by Envoy"}
"""Who refuses beside the policies."""
_ALONE: Final = "app"
_RECOVERED: Final = {
    Kind.DECISION: "The decision itself is not on record; this is what the end of the exchange tells of it.",
    Kind.CLOSING: "No end was ever reported; this was written later, from the decision.",
}


def exchanges(records: Iterable[Closed]) -> list[list[Closed]]:
    """The records of each exchange together, in the order in which exchanges begin; what belongs to none stands alone.

    A client may send one request id twice: that is two exchanges. What knows only a reservation goes to its exchange.
    """
    groups: dict[str, list[Closed]] = {}
    owner: dict[str, str] = {}
    for closed in records:
        record = closed.record
        known = record.exchange_id or owner.get(record.reservation_id, "")
        name = known or f"{record.journal}\n{record.sequence}"
        if record.reservation_id and record.exchange_id:
            owner[record.reservation_id] = record.exchange_id
        groups.setdefault(name, []).append(closed)
    return list(groups.values())


def tell(records: Sequence[Closed]) -> list[str]:
    """The story of one exchange: a heading, then sentences, each on a line of its own."""
    every = [closed.record for closed in records]
    decision = next((one for one in every if one.kind == Kind.DECISION), None)
    closing = _closing(every)
    first = decision or closing
    if first is None:
        return [sentence for one in every for sentence in _event(one)]
    name = first.exchange_id or first.request_id or "without an id"
    lines = [f"Exchange {name}" + (f", request {first.request_id}" if first.request_id not in ("", name) else "")]
    lines += [f"  {one}" for one in _who(decision, closing)]
    lines += [f"  {one}" for one in _asked(first)]
    lines += [f"  {one}" for one in _decided(decision, closing)]
    lines += [f"  {one}" for one in _ended(closing)]
    lines += [f"  {one}" for record in every if record.kind == Kind.EVENT for one in _event(record)]
    if any(one.redacted for one in every):
        lines.append("  Some of it was replaced before it was written: it was a secret, or of a person.")
    places = ", ".join(f"{one.journal} #{one.sequence}" for one in every)
    lines.append(f"  On record: {places}.")
    return lines


def _closing(records: Sequence[Record]) -> Record | None:
    """The closing; one that was really heard of before one that was made up because none came."""
    found = [one for one in records if one.kind == Kind.CLOSING]
    return next((one for one in found if not one.recovered), found[0] if found else None)


def _who(decision: Record | None, closing: Record | None) -> Iterator[str]:
    record = decision or closing
    assert record is not None  # noqa: S101
    yield _when(decision, closing)
    user = f"user {record.user_id}" if record.user_id else ""
    app = f"application {record.app_id}" if record.app_id else ""
    if record.caller == _ALONE and app:
        caller = f"{app} on its own" + (f" (as {record.user_id})" if record.user_id else "")
    else:
        caller = f"{user} through {app}" if user and app else user or app
    tenant = record.tenant or record.tenant_id
    if record.tenant and record.tenant_id and record.tenant != record.tenant_id:
        tenant = f"{record.tenant} ({record.tenant_id})"
    of = f" of {tenant}" if tenant else ""
    early = record.policy in _OWN or record.decision == "none"
    unknown = (
        "Who sent it is not on record: it ended before that was looked at."
        if early
        else "Nobody is known to have sent it: it was not authenticated."
    )
    yield f"Sent by {caller}{of}." if caller or of else unknown
    more = [
        f"department {record.department}" if record.department else "",
        f"cost centre {record.cost_centre}" if record.cost_centre else "",
        f"roles {', '.join(record.roles)}" if record.roles else "",
        f"session {record.session_id}" if record.session_id else "",
    ]
    if any(more):
        yield f"With {', '.join(part for part in more if part)}."


def _when(decision: Record | None, closing: Record | None) -> str:
    """What was written later tells when it was written, not when it was decided."""
    if decision is not None and not decision.recovered:
        return f"Decided {words.clock(decision.timestamp)} UTC."
    if closing is not None and closing.started and decision is not None:
        return f"Begun {words.clock(closing.started)} UTC."
    record = closing or decision
    assert record is not None  # noqa: S101
    return f"{'Ended' if closing is not None else 'Written down'} {words.clock(record.timestamp)} UTC."


def _asked(record: Record) -> Iterator[str]:
    what = [
        record.operation and f"operation {record.operation}",
        record.model and f"model {record.model}",
        record.tool and f"tool {record.tool}",
    ]
    asked = ", ".join(part for part in what if part)
    where = " ".join(part for part in (record.method, record.path) if part)
    stream = " as a stream" if record.stream else ""
    if asked or where:
        yield f"It asked for {asked or 'what is'}{stream}" + (f" at {where}." if where else ".")
    if record.params:
        yield "Parameters: " + ", ".join(f"{key} {value}" for key, value in sorted(record.params.items())) + "."


def _decided(decision: Record | None, closing: Record | None) -> Iterator[str]:
    record = decision or closing
    assert record is not None  # noqa: S101
    if decision is None:
        yield "Its decision is not on record."
    elif decision.recovered:
        yield _RECOVERED[Kind.DECISION]
    said = _DECIDED.get(record.decision, f"Decision: {record.decision}" if record.decision else "")
    if said:
        by = _OWN.get(record.policy, f" by the policy {record.policy}") if record.policy else ""
        by = by if record.decision in ("reject", "respond") else ""
        reason = f" ({record.reason})" if record.reason else ""
        yield f"{said}{by}{reason}" + (f": {record.why}" if record.why else ".")
    for one in record.decisions:
        if (one.policy, one.code) != (record.policy, record.reason) or not one.enforced:
            yield _policy(one)
    if record.cache:
        yield f"Cache: {record.cache}."
    reserved = record.reserved
    if reserved is not None:
        parts = f" ({reserved.input:,} for input, {reserved.output:,} for output)" if reserved.input else ""
        money = f" and {words.micro_dollars(reserved.dollars)}" if reserved.dollars else ""
        yield f"Reserved before it went up: {words.several(reserved.tokens, 'token')}{parts}{money}."
    if record.upstream:
        went = "It went to" if record.decision == "allow" else "It would have gone to"
        yield f"{went} {record.upstream}" + (f" ({record.backend})." if record.backend else ".")


def _policy(said: Said) -> str:
    what = " ".join(part for part in (said.outcome, said.code and f"({said.code})") if part)
    shadow = "" if said.enforced else ", which was not enforced"
    return f"The policy {said.policy} said {what or 'something'}{shadow}" + (f": {said.why}" if said.why else ".")


def _ended(closing: Record | None) -> Iterator[str]:
    if closing is None:
        yield "Its end is not on record: it may still be under way, or be in a journal that is elsewhere."
        return
    if closing.recovered:
        yield _RECOVERED[Kind.CLOSING]
    ending = _ENDINGS.get(closing.ending, f"It ended: {closing.ending or 'how is not known'}")
    status = f", with status {closing.status}" if closing.status else ""
    took = closing.latency_us or closing.latency_ms * 1000
    after = f" after {times.duration(took / 1_000_000)}" if took else ""
    first = closing.first_byte_us
    begun = f" (first byte after {times.duration(first / 1_000_000)})" if first else ""
    by = f" It was ended by the {closing.ended_by}." if closing.ended_by else ""
    yield f"{ending}{status}{after}{begun}.{by}"
    if closing.details or closing.flags:
        yield f"Envoy says: {', '.join(part for part in (closing.details, *closing.flags) if part)}."
    yield from _used(closing)


def _used(closing: Record) -> Iterator[str]:
    used = closing.tokens
    if used is not None:
        kinds = (
            ("input", used.input),
            ("cached input", used.cached_input),
            ("cache write", used.cache_write),
            ("cache write for an hour", used.cache_write_1h),
            ("audio input", used.audio_input),
            ("output", used.output),
            ("audio output", used.audio_output),
            ("of it reasoning", used.reasoning),
        )
        parts = ", ".join(f"{name} {count:,}" for name, count in kinds if count)
        how = _BASIS.get(closing.basis, closing.basis)
        yield (
            f"Used: {words.several(used.total, 'token')}"
            + (f" ({parts})" if parts else "")
            + (f", {how}." if how else ".")
        )
        if used.weighted and used.weighted != used.total:
            yield f"Counted against limits: {words.several(used.weighted, 'token')}."
    elif closing.basis in _BASIS:
        yield f"Used: no tokens, {_BASIS[closing.basis]}." if closing.basis == "nothing" else f"Used: {closing.basis}."
    if closing.cost:
        yield f"It cost {words.dollars(closing.cost)}."
    elif used is not None and used.total:
        yield "What it cost is not known: its model has no price."


def _event(record: Record) -> Iterator[str]:
    when = words.clock(record.timestamp)
    what = words.verdict(record)
    why = f": {record.why}" if record.why else ""
    if record.event == Name.LEASE_EXPIRED:
        yield f"{when} UTC: its reservation was never settled, and was charged as it was made{why or '.'}"
        return
    by = f", by {record.by}" if record.by else ""
    yield f"{when} UTC: {record.event}" + (f", {what}" if what != "-" else "") + by + (why or ".")
