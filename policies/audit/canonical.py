"""The one way in which a record can be written, and the hash that binds it to the one before. Pure.

Canonical form: JSON as RFC 8785 has it, for values that have no fractions: members ordered by name, no white space,
nothing escaped that need not be. The hash of a record is the SHA-256 of that form; it holds the hash of the record
before (`previous`), so none can be changed, taken out or moved without every later hash being another. A line is the
canonical form with the hash as its last member: whoever cuts that off has the bytes that were hashed.
"""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec
import orjson

from policies.audit.record import Closed, Record

FIRST: Final = "0" * 64
"""In place of the hash of a record before the first."""
_MARK: Final = b',"hash":"'
_TAIL: Final = len(_MARK) + 64 + len(b'"}')
_encoder: Final = msgspec.json.Encoder(order="sorted")
_decoder: Final = msgspec.json.Decoder(Record)


class LineError(ValueError):
    """A line that is no record: cut off, edited, or no canonical JSON. The message says which."""


def seal(record: Record) -> tuple[bytes, str]:
    """The line of a record, without its newline, and its hash."""
    content = _encoder.encode(record)
    digest = hashlib.sha256(content).hexdigest()
    return b"".join((content[:-1], _MARK, digest.encode(), b'"}')), digest


def read(line: bytes) -> Closed:
    """The record in a line (without its newline), and its hash, which is right.

    Raises:
        LineError: it is none, or its hash is not that of its content.
    """
    if len(line) <= _TAIL or line[-_TAIL : -_TAIL + len(_MARK)] != _MARK or line[-2:] != b'"}':
        raise LineError("the line does not end with a hash")
    content, stated = line[:-_TAIL] + b"}", line[-66:-2]
    if hashlib.sha256(content).hexdigest().encode() != stated:
        raise LineError("its hash is not that of its content")
    try:
        whole = orjson.loads(content)
        record = _decoder.decode(content)
    except (orjson.JSONDecodeError, msgspec.MsgspecError, RecursionError) as error:
        raise LineError(f"it is no record: {type(error).__name__}") from None
    # A name that stands twice, or a space, would let two readers read two things from one hash.
    if orjson.dumps(whole, option=orjson.OPT_SORT_KEYS) != content:
        raise LineError("it is not in canonical form")
    return Closed(record, stated.decode(), line)
