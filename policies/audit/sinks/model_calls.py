"""A call of a model as OpenTelemetry measures it: which metrics its closing record is counted in, and by how much. Pure.

Names, units and boundaries are those of the semantic conventions for generative AI, which are in development
(https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/). The gateway measures at its own door: a duration has
in it what the gateway did, and the first token is the first byte of the answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from policies.audit.record import Kind, Record
from policies.audit.sinks.otlp_attributes import OPERATIONS, error, operation


@dataclass(frozen=True, slots=True)
class Instrument:
    """A histogram. Values are whole numbers, of which `scale` are one `unit`: sums of them do not depend on their order.

    Attributes:
        bounds: inclusive upper ends of the buckets but the last, in `unit`, rising.
    """

    name: str
    description: str
    unit: str
    bounds: tuple[float, ...]
    scale: int


_SECOND: Final = 1_000_000
"""Durations are in microseconds."""
TOKENS: Final = Instrument(
    "gen_ai.client.token.usage",
    "Number of input and output tokens used.",
    "{token}",
    tuple(float(4**power) for power in range(14)),
    1,
)
DURATION: Final = Instrument(
    "gen_ai.server.request.duration",
    "Generative AI server request duration such as time-to-last byte or last output token.",
    "s",
    (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92),
    _SECOND,
)
FIRST_TOKEN: Final = Instrument(
    "gen_ai.server.time_to_first_token",
    "Time to generate first token for successful responses.",
    "s",
    (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
    _SECOND,
)
PER_TOKEN: Final = Instrument(
    "gen_ai.server.time_per_output_token",
    "Time per output token generated after the first token for successful responses.",
    "s",
    (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5),
    _SECOND,
)
INSTRUMENTS: Final = (TOKENS, DURATION, FIRST_TOKEN, PER_TOKEN)


@dataclass(frozen=True, slots=True)
class Measured:
    """One value. `attributes`: those beside `attributes_of`. `value`: in parts of the unit, as the instrument has it."""

    instrument: Instrument
    value: int
    attributes: tuple[tuple[str, str], ...] = ()


def is_model_call(record: Record) -> bool:
    """Whether it tells the end of a call that went up to a model or an agent. What was refused did not."""
    return (
        record.kind == Kind.CLOSING
        and record.decision == "allow"
        and not record.tool
        and record.operation in OPERATIONS
        and record.requests > 0
    )


def attributes_of(record: Record) -> Iterator[tuple[str, str]]:
    """What all values of the call have, but for the names of models and tenants, which have no end."""
    return operation(record)


def measured(record: Record) -> Iterator[Measured]:
    """All that is known of a call. Of one whose end nobody heard only tokens are known, if those."""
    tokens, ended = record.tokens, not record.recovered and record.latency_us > 0
    if tokens is not None:
        for kind, count in (("input", tokens.taken), ("output", tokens.made)):
            if count > 0:
                yield Measured(TOKENS, count, (("gen_ai.token.type", kind),))
    if ended:
        yield Measured(DURATION, record.latency_us, tuple(error(record)))
    if not ended or not record.stream or record.result != "success" or record.first_byte_us <= 0:
        return
    yield Measured(FIRST_TOKEN, record.first_byte_us)
    made = tokens.made if tokens is not None else 0
    if made > 1:
        # What follows the first token, and how many do.
        yield Measured(PER_TOKEN, max(0, record.latency_us - record.first_byte_us) // (made - 1))
