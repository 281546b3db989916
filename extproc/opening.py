"""What the first message of a conversation tells at a glance. Pure.

Whether Envoy may send the body is to be said before anything else is done, and so before the message is read. Two looks
into its bytes are enough: 1 us. They may overlook a request that could have been answered ahead, and take none for one
that could not: header values hold no control characters, so nothing in them looks like the fields that are sought.

Field numbers: envoy/service/ext_proc/v3/external_processor.proto and envoy/config/core/v3/base.proto.
"""

from __future__ import annotations

import re
from typing import Final

from extproc.endpoints import CALL_PATHS

_DEPLOYMENTS: Final = rb"[\x20-\xff]\x01?/openai/deployments/[A-Za-z0-9._-]+(?:/chat)?/(?:completions|embeddings)\?"


def _field(name: str, value: bytes) -> bytes:
    """The pattern of a field: its name, and a pattern of its value with the length in front."""
    return b"\\n" + re.escape(bytes([len(name)]) + name.encode() + b"\x1a") + value


_CALLS: Final = b"|".join(re.escape(bytes([len(path)]) + path.encode()) for path in CALL_PATHS)
_CALL: Final = re.compile(_field(":path", b"(?:%b|%b)" % (_CALLS, _DEPLOYMENTS)))
_DIGITS: Final = 5
"""Of the length of a body that is small: below 100 kB, hardly more than Envoy reads of a connection unasked."""
_LENGTHS: Final = b"|".join(bytes([digits]) + b"[1-9]" + b"[0-9]" * (digits - 1) for digits in range(1, _DIGITS + 1))
_SMALL: Final = re.compile(_field("content-length", b"(?:%b)" % _LENGTHS))
_POST: Final = b"\x07:method\x1a\x04POST"
_LAST: Final = b"\x18\x01"


def is_small_call(message: bytes) -> bool:
    """Whether a `ProcessingRequest` opens a call whose body is said to be small, and is still to come."""
    return (
        message[:1] == b"\x12"
        and _SMALL.search(message) is not None
        and _CALL.search(message) is not None
        and _POST in message
        and not _is_last(message)
    )


def _is_last(message: bytes) -> bool:
    """Whether the headers say that nothing follows them. They stand first, and say so at their end."""
    length = shift = 0
    for index in range(1, 6):
        octet = message[index]
        length |= (octet & 0x7F) << shift
        shift += 7
        if octet < 0x80:
            return message[index + 1 + length - 2 : index + 1 + length] == _LAST
    return True
