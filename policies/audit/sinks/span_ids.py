"""Ids of traces and spans: the same whenever an exchange is told again, so that what receives it twice has it once. Pure.

A trace is the client's, where it has begun one; else it has the id of the exchange. The gateway's own span is the one
that stands in the `traceparent` that goes up, so that spans of the upstream are below it.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Final

from extproc.trace_context import own_span
from policies.audit.record import Record

_TRACE: Final = re.compile(r"(?!0{32})[0-9a-f]{32}")
_SPAN: Final = re.compile(r"(?!0{16})[0-9a-f]{16}")


def trace_id(record: Record) -> str:
    """32 hexadecimal digits. `record` has what both halves say."""
    for told in (record.trace_id, record.exchange_id):
        if _TRACE.fullmatch(told):
            return told
    # An exchange that Envoy knows by a name of its own.
    return sha256(record.exchange_id.encode()).hexdigest()[:32]


def span_id(exchange_id: str) -> str:
    """16 hexadecimal digits: the gateway's span of the exchange."""
    own = own_span(exchange_id) if _TRACE.fullmatch(exchange_id) else ""
    return own if _SPAN.fullmatch(own) else sha256(exchange_id.encode()).hexdigest()[:16]


def child_id(exchange_id: str, name: str) -> str:
    """16 hexadecimal digits: a span of this name below it."""
    return sha256(f"{exchange_id}/{name}".encode()).hexdigest()[:16]
