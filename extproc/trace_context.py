"""The trace that an exchange belongs to: the client's, or one that begins here (W3C Trace Context, level 1). Pure.

The gateway is a span of its own in it, between the client's and the upstream's. Its flag says "sampled" whatever the
client's says: who calls can neither switch our traces off nor make more of them.
"""

from __future__ import annotations

import re
from typing import Final

HEADER: Final = "traceparent"
_KNOWN: Final = re.compile("([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")
_NO_TRACE: Final = "0" * 32
_NO_SPAN: Final = "0" * 16


def client_span(traceparent: str) -> tuple[str, str]:
    """The trace that a client has begun, and its own span in it (section 3.2); two empty texts if that is none."""
    found = _KNOWN.fullmatch(traceparent)
    if found is None:
        return "", ""
    version, trace, span, more = found.groups()
    # A later version may say more, this one may not.
    if version == "ff" or (version == "00" and more) or trace == _NO_TRACE or span == _NO_SPAN:
        return "", ""
    return trace, span


def own_span(exchange_id: str) -> str:
    """The gateway's span of an exchange: the last half of its id, which is random."""
    return exchange_id[-16:]


def onward(traceparent: str, exchange_id: str) -> str:
    """The field that goes up. A trace that begins here has the id of its exchange."""
    trace = client_span(traceparent)[0] if traceparent else ""
    return f"00-{trace or exchange_id}-{own_span(exchange_id)}-01"
