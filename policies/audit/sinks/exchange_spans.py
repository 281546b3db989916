"""An exchange as spans: the request as the gateway served it, below it the decision with each policy, and the call. Pure.

Names and attributes are those of OpenTelemetry's semantic conventions for HTTP and for generative AI where they have any.
Prompts are on no span.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from policies.audit.record import Record, Said
from policies.audit.sinks.exchanges import Exchange, merged
from policies.audit.sinks.nanoseconds import began
from policies.audit.sinks.otlp_attributes import Attribute, error, of_record, operation, parameters, usage
from policies.audit.sinks.otlp_spans import Happened, Outcome, Span, SpanKind
from policies.audit.sinks.span_ids import child_id, span_id, trace_id

_LONGEST: Final = 128
"""Characters of a name."""
_LATE: Final = 60 * 1_000_000_000
"""Nanoseconds for which a decision is believed to be of its exchange, after what the closing knows of its end."""


def spans(exchange: Exchange) -> list[Span]:
    """The server's span first, then those below it."""
    record = merged(exchange)
    start = began(record)
    end = start + max(record.latency_us, 0) * 1_000
    decided = _decided(exchange.decision, start, end)
    found = [_server(record, start, end, decided)]
    if decided is not None:
        found += _decision(record, start, decided)
    if record.decision == "allow" and record.upstream:
        found.append(_call(record, start if decided is None else decided, end))
    return found


def _decided(decision: Record | None, start: int, end: int) -> int | None:
    """When the decision was made; None where it was written afterwards, from the closing."""
    if decision is None or decision.recovered:
        return None
    moment = began(decision)
    # Two clocks have been asked, Envoy's and ours.
    return min(max(moment, start), max(end, start)) if start - _LATE <= moment <= end + _LATE else None


def _server(record: Record, start: int, end: int, decided: int | None) -> Span:
    # Paths that nobody serves are as many as clients like: they are no name.
    known = record.operation and record.path
    failed = record.result == "failure" or record.status >= 500
    attributes = of_record(record)
    attributes.update((f"sluicegate.timings.{name}", micros) for name, micros in timings(record).items())
    return Span(
        trace=trace_id(record),
        span=span_id(record.exchange_id),
        name=f"{record.method or 'HTTP'} {record.path}"[:_LONGEST] if known else record.method or "HTTP",
        kind=SpanKind.SERVER,
        start=start,
        end=end,
        attributes=attributes,
        events=tuple(_refusals(record, end if decided is None else decided)),
        outcome=Outcome.ERROR if failed else Outcome.UNSET,
        message=(record.reason or record.ending)[:_LONGEST] if failed else "",
    )


def _refusals(record: Record, when: int) -> Iterator[Happened]:
    """What was refused, and what would have been by a policy that only watches."""
    for said in record.decisions:
        if said.outcome == "reject":
            name = "sluicegate.refused" if said.enforced else "sluicegate.would_refuse"
            yield Happened(name, when, dict(_of_policy(said)))


def _decision(record: Record, start: int, decided: int) -> Iterator[Span]:
    """The decision, and the policies one after the other. How long each took is measured; when it began is not."""
    trace, own = trace_id(record), child_id(record.exchange_id, "decision")
    yield Span(
        trace=trace,
        span=own,
        parent=span_id(record.exchange_id),
        name="decide",
        start=start,
        end=decided,
        attributes={"sluicegate.decision": record.decision} if record.decision else {},
    )
    words = {said.policy: said for said in record.decisions}
    took = timings(record)
    at = max(start, decided - sum(took.values()) * 1_000)
    for policy, micros in took.items():
        said = words.get(policy)
        refused = said is not None and said.outcome == "reject" and said.enforced
        yield Span(
            trace=trace,
            span=child_id(record.exchange_id, f"policy/{policy}"),
            parent=own,
            name=f"policy {policy}"[:_LONGEST],
            start=at,
            end=at + micros * 1_000,
            attributes=dict(_of_policy(said)) if said is not None else {"sluicegate.policy": policy},
            events=(Happened("sluicegate.refused", at + micros * 1_000),) if refused else (),
        )
        at += micros * 1_000


def timings(record: Record) -> Mapping[str, int]:
    """Microseconds by policy, in the order of the chain; empty where the record says nothing of it."""
    return {one.policy: one.microseconds for one in record.timings if one.microseconds >= 0}


def _of_policy(said: Said) -> Iterator[tuple[str, Attribute]]:
    yield "sluicegate.policy", said.policy
    yield "sluicegate.outcome", said.outcome
    yield "sluicegate.enforced", said.enforced
    if said.code:
        yield "error.type", said.code
    if said.why:
        yield "sluicegate.why", said.why


def _call(record: Record, start: int, end: int) -> Span:
    """What went up. Named as the conventions have it: `chat gpt-4o`."""
    named = dict(operation(record))
    kind = named.get("gen_ai.operation.name", "")
    of = record.tool if kind == "execute_tool" else record.model
    attributes: dict[str, Attribute] = {**named, **dict(usage(record.tokens)), **dict(parameters(record.params))}
    attributes.update(dict(error(record)))
    for name, value in (
        ("gen_ai.request.model", record.model),
        ("gen_ai.response.model", record.response_model),
        ("gen_ai.tool.name", record.tool),
        ("gen_ai.conversation.id", record.session_id),
        ("sluicegate.upstream", record.upstream),
        ("sluicegate.backend", record.backend),
    ):
        if value:
            attributes[name] = value
    if record.status:
        attributes["http.response.status_code"] = record.status
    first = start if not record.first_byte_us else began(record)
    arrived = first + record.first_byte_us * 1_000
    return Span(
        trace=trace_id(record),
        span=child_id(record.exchange_id, "upstream"),
        parent=span_id(record.exchange_id),
        name=" ".join(filter(None, (kind, of)))[:_LONGEST] or record.upstream[:_LONGEST],
        kind=SpanKind.CLIENT,
        start=start,
        end=max(start, end),
        attributes=attributes,
        events=(Happened("first_byte", arrived),) if record.first_byte_us else (),
        outcome=Outcome.ERROR if record.result == "failure" else Outcome.UNSET,
    )
