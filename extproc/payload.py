"""Reading JSON bodies strictly.

Parsers disagree about duplicate keys, NaN, encodings and depth; a gateway that reads a body one way while the upstream
reads it another decides about a request that nobody sends. So whatever is ambiguous is refused, and the bytes that were
judged are the bytes that go up.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any, Final, NoReturn

import msgspec
import orjson

MAX_DEPTH: Final = 64
MAX_VALUES: Final = 500_000
"""Objects, arrays and scalars in one body. Bytes alone bound neither time nor memory: 50 MiB of nested arrays are 26
million objects, 18 s of an event loop that serves everybody, and 2.4 GB. See docs/decisions/0007."""
_BOM: Final = b"\xef\xbb\xbf"
_MAX_DIGITS: Final = 300


class PayloadError(ValueError):
    """The body is not one unambiguous JSON object. `code` is stable, the message is for the caller."""

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise PayloadError("duplicate_key", "holds a JSON object in which a key stands twice")
    return members


def _constant(_: str) -> NoReturn:
    raise PayloadError("invalid_json", "is not valid JSON: NaN and Infinity are no JSON numbers")


def _number(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise PayloadError("invalid_json", "holds a number out of range")
    return value


def _integer(text: str) -> int:
    """An integer that every parser can hold, if only as a double: beyond its range readers see Infinity, or nothing."""
    if len(text) > _MAX_DIGITS:
        raise PayloadError("invalid_json", "holds a number out of range")
    return int(text)


_decoder: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_constant, parse_float=_number, parse_int=_integer
)

_encode: Final = msgspec.json.Encoder().encode
_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


def read_object(body: bytes, *, what: str = "The request body") -> dict[str, Any]:
    """`body` as one JSON object (RFC 8259, UTF-8 without a byte-order mark, no duplicate keys, bounded depth).

    `what` is what messages call it: policies read other JSON that comes from outside.

    Raises:
        PayloadError: `empty_body`, `not_utf8`, `invalid_json`, `duplicate_key`, `too_deep`, `too_many_values` or
            `not_an_object`.
    """
    try:
        return _read(body)
    except PayloadError as error:
        raise PayloadError(error.code, f"{what} {error.message}.") from None


def _read(body: bytes) -> dict[str, Any]:
    """Raises PayloadError with half a sentence: what is wrong, said of the thing that was read."""
    if not body:
        raise PayloadError("empty_body", "is empty; a JSON object was expected")
    if body.startswith(_BOM):
        raise PayloadError("not_utf8", "begins with a byte-order mark; plain UTF-8 was expected")
    if _has_too_many_values(body):
        raise PayloadError("too_many_values", f"holds more than {MAX_VALUES} JSON values")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise PayloadError("not_utf8", "is not valid UTF-8") from None
    try:
        value = _decoder.decode(text)
    except RecursionError:
        raise PayloadError("too_deep", "is nested too deeply") from None
    except PayloadError:
        raise
    except json.JSONDecodeError as error:
        # Where, but not what: the body is not repeated.
        where = f"line {error.lineno}, column {error.colno}"
        raise PayloadError("invalid_json", f"is not valid JSON: {where}") from None
    except ValueError:
        raise PayloadError("invalid_json", "is not valid JSON") from None
    if not isinstance(value, dict):
        raise PayloadError("not_an_object", "is not a JSON object")
    _check_depth(value)
    # One character is found at memory's speed, two are not: saves 0.6 us for each KB.
    if "\\" in text and "\\u" in text:
        _check_surrogates(body)
    return value


def _has_too_many_values(body: bytes) -> bool:
    """Whether the parser would make more than `MAX_VALUES` values of it, up to where it stops.

    Told from the punctuation, before anything is made. Only where there is much of it are strings, which may be full of
    commas, taken out; and only where there are not too many of those.
    """
    if len(body) <= MAX_VALUES or _values(body) <= MAX_VALUES:
        return False
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Four quotes are at most a key and its value.
    if plain.count(b'"') > 4 * MAX_VALUES:
        return True
    return _values(b"".join(plain.split(b'"')[::2])) > MAX_VALUES


def _values(punctuation: bytes) -> int:
    """At least as many as there are values: each but the first follows a comma or an opening bracket, if with its key."""
    return punctuation.count(b",") + punctuation.count(b"[") + punctuation.count(b"{") + 1


def _check_depth(value: dict[str, Any]) -> None:
    """Walk the containers. To count brackets first would be to read the text twice more, and that is longer."""
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for container in level
            for child in (container.values() if isinstance(container, dict) else container)
            if isinstance(child, dict | list)
        ]
        if not level:
            return
    raise PayloadError("too_deep", f"is nested more than {MAX_DEPTH} levels deep")


def _check_surrogates(body: bytes) -> None:
    """Python's parser lets an escaped lone surrogate pass, and then cannot encode it; orjson refuses it."""
    try:
        orjson.loads(body)
    except ValueError:
        raise PayloadError("not_utf8", "holds an escaped half of a surrogate pair") from None


def with_members(body: bytes, changes: dict[str, Any], present: Collection[str]) -> bytes:
    """The object in `body` with these members set; the value of every other member keeps its very bytes and its place.

    `body` has been read by `read_object`, and `present` holds the names of its members. New members come first, so that
    they stand where a person would look. Where one is replaced, white space between members goes, and an escape in a key
    is written out.
    """
    if changes and present and changes.keys().isdisjoint(present):
        # All are new. Taking the body apart and putting it together again would cost 3 us, and more for a long one.
        return b"".join((_encode(changes)[:-1], b",", memoryview(body)[body.index(b"{") + 1 :]))
    raw = _members.decode(body)
    new = {name: value for name, value in changes.items() if name not in raw}
    for name in changes.keys() - new.keys():
        raw[name] = msgspec.Raw(_encode(changes[name]))
    return _encode({**new, **raw})
