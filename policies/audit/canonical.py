"""The one way in which a record can be written, and the hash that binds it to the one before. Pure.

Canonical form: JSON as RFC 8785 has it, for values that have no fractions: members ordered by name, no white space,
nothing escaped that need not be. (Names are ordered by code points. RFC 8785 orders by UTF-16 units, which is another
order only between a character beyond U+FFFF and one from U+E000 on: of all members, only those in `params` can have
such names.) The hash of a record is the SHA-256 of that form; it holds the hash of the record
before (`previous`), so none can be changed, taken out or moved without every later hash being another. A line is the
canonical form with the hash as its last member: whoever cuts that off has the bytes that were hashed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import orjson

from policies.audit.record import Closed, Record

FIRST: Final = "0" * 64
"""In place of the hash of a record before the first."""
_MARK: Final = b',"hash":"'
_TAIL: Final = len(_MARK) + 64 + len(b'"}')
LARGEST: Final = (1 << 53) - 1
"""The largest whole number that every reader of JSON takes for the same (RFC 7493)."""
DEEPEST: Final = 128
"""Levels of `params`. Readers of JSON have bounds of their own."""
UNWRITABLE: Final = (TypeError, ValueError, KeyError, OverflowError, RecursionError, msgspec.MsgspecError)
"""What is raised for a record that has no canonical form, or is none."""
_NAMES: Final = frozenset(field.encode_name for field in msgspec.structs.fields(Record))
_decoder: Final = msgspec.json.Decoder(Record)


class LineError(ValueError):
    """A line that is no record: cut off, edited, or no canonical JSON. The message says which."""


def seal(record: Record) -> tuple[bytes, str]:
    """The line of a record, without its newline, and its hash.

    Raises:
        TypeError: something in `params` is neither text nor a whole number, nor made of them.
        ValueError: a number in `params` is too large, or a text is no Unicode.
        RecursionError: `params` are too deep.
    """
    # As they are: what is no JSON would else become some.
    _check(record.params, DEEPEST)
    return seal_members(msgspec.to_builtins(record))


def seal_members(members: Mapping[str, Any]) -> tuple[bytes, str]:
    """The same of the members of a record, by the names that they have in JSON: to make no record of them saves 2 us.

    Raises: as `seal`, and TypeError for a member that a record does not have, or not of that type: a line that no reader
    takes for a record would stop all who follow the journal, and nobody could go on with it.
    """
    if not _NAMES.issuperset(members):
        raise TypeError("a record has no such member")
    if params := members.get("params"):
        _check(params, DEEPEST)
    try:
        # A quarter of what it takes to read the line back.
        msgspec.convert(members, Record)
    except msgspec.ValidationError as error:
        raise TypeError(str(error)) from None
    return seal_content(orjson.dumps(members, option=orjson.OPT_SORT_KEYS))


def written(value: Any) -> str:
    """A value in canonical form."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def seal_content(content: bytes) -> tuple[bytes, str]:
    """The same of a record that is in canonical form already."""
    return _NOTHING.seal(content)


class Beginning:
    """Where canonical forms begin alike: hashed once for all of them."""

    __slots__ = ("_content", "_hashed")

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._hashed = hashlib.sha256(content)

    def seal(self, rest: bytes) -> tuple[bytes, str]:
        """As `seal_content`, of the record that begins so and goes on with the rest, of which there is some."""
        hashed = self._hashed.copy()
        hashed.update(rest)
        digest = hashed.hexdigest()
        return b"".join((self._content, rest[:-1], _MARK, digest.encode(), b'"}')), digest


_NOTHING: Final = Beginning(b"")


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
        if record.params:
            _check(record.params, DEEPEST)
        # A name that stands twice, or a space, would let two readers read two things from one hash.
        canonical = orjson.dumps(whole, option=orjson.OPT_SORT_KEYS)
    except (ValueError, TypeError, msgspec.MsgspecError, RecursionError) as error:
        raise LineError(f"it is no record: {type(error).__name__}") from None
    if canonical != content:
        raise LineError("it is not in canonical form")
    return Closed(record, stated.decode(), line)


def _check(value: Any, levels: int) -> None:
    """Raises ValueError, TypeError or RecursionError for what is not read everywhere as it is written."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return
    if kind is int:
        if not -LARGEST <= value <= LARGEST:
            raise ValueError("a number is too large")
    elif not levels:
        raise RecursionError("too deep")
    elif kind is dict:
        for name, member in value.items():
            if type(name) is not str:
                raise TypeError("a name is no text")
            _check(member, levels - 1)
    elif kind is list or kind is tuple:
        for item in value:
            _check(item, levels - 1)
    else:
        # A number that is not whole, for one.
        raise TypeError(f"{kind.__name__} has no canonical form")
