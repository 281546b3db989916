"""What a sink is given of a record: the record, or a copy from which its redaction took something. Pure."""

from __future__ import annotations

import msgspec

from policies.audit import canonical
from policies.audit.following.sink import Redacts
from policies.audit.record import Closed


def copy_for(closed: Closed, redact: Redacts | None) -> Closed:
    """What to deliver. Without redaction it is the line of the journal, to the byte.

    A redacted copy is no link of the journal's chain: its hash is its own, and `previous` is 64 zeros. With the hash of
    the whole record, whoever reads the copy could try out what had been taken from it. `(journal, sequence)` still says
    which record it is.
    """
    if redact is None:
        return closed
    record = msgspec.structs.replace(redact.record(closed.record), previous=canonical.FIRST)
    line, digest = canonical.seal(record)
    return Closed(record, digest, line)
