"""The signature of a request to a webhook, which says who sent it and when. Pure.

`x-sluicegate-signature: t=<unix seconds>,v1=<hex>`: the HMAC-SHA-256, under the shared secret, of `<t>.<body>`. A
receiver compares it in constant time, and refuses a `t` that is minutes old: nobody can repeat a request later.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from typing import Final

from policies.audit.record import Closed

HEADER: Final = "x-sluicegate-signature"
ID_HEADER: Final = "x-sluicegate-id"
_TOLERANCE: Final = 300


def sign(secret: str, now: float, body: bytes) -> str:
    """The value of the header. `now`: seconds since the epoch."""
    moment = int(now)
    return f"t={moment},v1={_digest(secret, str(moment), body)}"


def is_genuine(value: str, secret: str, now: float, body: bytes, tolerance: float = _TOLERANCE) -> bool:
    """Whether a header's value is of who holds `secret`, for `body`, and at most `tolerance` seconds old."""
    moment, separator, digest = value.removeprefix("t=").partition(",v1=")
    if not (separator and value.startswith("t=") and moment.isascii() and moment.isdigit() and len(moment) < 16):
        return False
    right = _digest(secret, moment, body)
    return hmac.compare_digest(right.encode(), digest.encode("utf-8", "replace")) and abs(now - int(moment)) <= tolerance


def batch_id(batch: Iterable[Closed]) -> str:
    """The same for the same records in the same order: 32 hexadecimal digits."""
    ids = hashlib.sha256()
    for closed in batch:
        ids.update(f"{closed.record.journal}\n{closed.record.sequence}\n".encode())
    return ids.hexdigest()[:32]


def _digest(secret: str, moment: str, body: bytes) -> str:
    return hmac.new(secret.encode(), moment.encode() + b"." + body, hashlib.sha256).hexdigest()
