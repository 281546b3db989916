"""Bodies are read strictly: every evasion that one JSON parser accepts and another reads differently is refused."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.payload import MAX_DEPTH, PayloadError, read_object, with_members

TEXT = '{"model":"m"}'

REFUSED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "empty_body"),
    "white space": (b" \r\n\t", "invalid_json"),
    "nul": (b"\0", "invalid_json"),
    "duplicate": (b'{"a":1,"a":2}', "duplicate_key"),
    "duplicate with the same value": (b'{"a":1,"a":1}', "duplicate_key"),
    "duplicate after others": (b'{"a":1,"b":2,"c":3,"a":1}', "duplicate_key"),
    "duplicate, escaped": (b'{"a":1,"\\u0061":2}', "duplicate_key"),
    "duplicate, escaped first": (b'{"\\u0061":1,"a":2}', "duplicate_key"),
    "duplicate, two escapes": (b'{"\\u0041":1,"\\u0041":2}', "duplicate_key"),
    "duplicate, escaped slash": (b'{"a/b":1,"a\\/b":2}', "duplicate_key"),
    "duplicate, surrogate pair and character": ('{"😀":1,"\\ud83d\\ude00":2}'.encode(), "duplicate_key"),
    "duplicate, empty key": (b'{"":1,"":2}', "duplicate_key"),
    "duplicate in an object": (b'{"x":{"a":1,"a":2}}', "duplicate_key"),
    "duplicate in an array": (b'{"x":[1,[{"y":{"a":1,"\\u0061":2}}]]}', "duplicate_key"),
    "nan": (b'{"a":NaN}', "invalid_json"),
    "nan below": (b'{"a":[{"b":NaN}]}', "invalid_json"),
    "infinity": (b'{"a":Infinity}', "invalid_json"),
    "minus infinity": (b'{"a":-Infinity}', "invalid_json"),
    "float out of range": (b'{"a":1e999}', "invalid_json"),
    "float out of range, negative": (b'{"a":-1e999}', "invalid_json"),
    "float out of range, long": (b'{"a":' + b"9" * 400 + b".0}", "invalid_json"),
    "integer out of range": (b'{"a":' + b"9" * 400 + b"}", "invalid_json"),
    "integer of 4301 digits": (b'{"a":' + b"9" * 4301 + b"}", "invalid_json"),
    "integer of a million digits": (b'{"a":' + b"9" * 1_000_000 + b"}", "invalid_json"),
    "integer out of range beside an escape": (b'{"a":"\\u0041","b":' + b"9" * 400 + b"}", "invalid_json"),
    "leading zero": (b'{"a":01}', "invalid_json"),
    "plus": (b'{"a":+1}', "invalid_json"),
    "point without digits": (b'{"a":1.}', "invalid_json"),
    "digits without whole": (b'{"a":.5}', "invalid_json"),
    "hexadecimal": (b'{"a":0x10}', "invalid_json"),
    "underscore": (b'{"a":1_000}', "invalid_json"),
    "arabic digits": ('{"a":١}'.encode(), "invalid_json"),
    "python's constants": (b'{"a":True}', "invalid_json"),
    "undefined": (b'{"a":undefined}', "invalid_json"),
    "byte-order mark": (b"\xef\xbb\xbf" + TEXT.encode(), "not_utf8"),
    "byte-order mark after a space": (b" \xef\xbb\xbf" + TEXT.encode(), "invalid_json"),
    "utf-16 with mark": (TEXT.encode("utf-16"), "not_utf8"),
    "utf-16-le": (TEXT.encode("utf-16-le"), "invalid_json"),
    "utf-16-be": (TEXT.encode("utf-16-be"), "invalid_json"),
    "utf-32 with mark": (TEXT.encode("utf-32"), "not_utf8"),
    "utf-32-le": (TEXT.encode("utf-32-le"), "invalid_json"),
    "utf-32-be": (TEXT.encode("utf-32-be"), "invalid_json"),
    "latin-1": ('{"a":"ä"}'.encode("latin-1"), "not_utf8"),
    "overlong quote": (b'{"a\xc0\xa2:1}', "not_utf8"),
    "surrogate in bytes": (b'{"a":"\xed\xa0\x80"}', "not_utf8"),
    "cut-off character": ('{"a":"ä"}'.encode()[:-3], "not_utf8"),
    "high half": (b'{"a":"\\ud800"}', "not_utf8"),
    "low half": (b'{"a":"\\udc00"}', "not_utf8"),
    "halves in the wrong order": (b'{"a":"\\udc00\\ud800"}', "not_utf8"),
    "half in a key": (b'{"\\ud83d":1}', "not_utf8"),
    "half in a key below": (b'{"a":[{"\\ud83d":1}]}', "not_utf8"),
    "newline in a string": (b'{"a":"\n"}', "invalid_json"),
    "tab in a key": (b'{"\t":1}', "invalid_json"),
    "nul in a string": (b'{"a":"\0"}', "invalid_json"),
    "unit separator in a string": (b'{"a":"\x1f"}', "invalid_json"),
    "form feed between": (b'{\x0c"a":1}', "invalid_json"),
    "no-break space between": ('{\u00a0"a":1}'.encode(), "invalid_json"),
    "bad escape": (b'{"a":"\\x41"}', "invalid_json"),
    "short escape": (b'{"a":"\\u41"}', "invalid_json"),
    "trailing comma": (b'{"a":1,}', "invalid_json"),
    "comment": (b'{"a":1/*,"b":2*/}', "invalid_json"),
    "single quotes": (b"{'a':1}", "invalid_json"),
    "bare key": (b"{a:1}", "invalid_json"),
    "cut off": (b'{"a":1', "invalid_json"),
    "trailing data": (b'{"a":1}x', "invalid_json"),
    "trailing nul": (b'{"a":1}\0', "invalid_json"),
    "two objects": (b'{"a":1}{"a":2}', "invalid_json"),
    "two lines": (b'{"a":1}\n{"a":2}', "invalid_json"),
    "array": (b'[{"a":1}]', "not_an_object"),
    "string": (b'"a"', "not_an_object"),
    "number": (b"1", "not_an_object"),
    "null": (b"null", "not_an_object"),
    "true": (b"true", "not_an_object"),
    "gzip": (b"\x1f\x8b\x08\x00", "not_utf8"),
    "form": (b"model=m", "invalid_json"),
}


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_refused(case: str) -> None:
    body, code = REFUSED[case]
    with pytest.raises(PayloadError) as caught:
        read_object(body)
    assert caught.value.code == code
    assert caught.value.message == str(caught.value)
    assert caught.value.__cause__ is None


def nested(depth: int, *, inner: str = "", kind: str = "[") -> bytes:
    """An object that is `depth` containers deep, itself included."""
    opening, closing = ("[", "]") if kind == "[" else ('{"a":', "}")
    core = inner or "[]"
    levels = depth - 1 - (1 if core == "[]" else 0)
    return ('{"a":' + opening * levels + core + closing * levels + "}").encode()


@pytest.mark.parametrize("kind", ["[", "{"])
@pytest.mark.parametrize("inner", ["", "1"])
@pytest.mark.parametrize("depth", [2, 3, MAX_DEPTH - 1, MAX_DEPTH])
def test_depth_within_the_limit(depth: int, inner: str, kind: str) -> None:
    assert read_object(nested(depth, inner=inner, kind=kind))


@pytest.mark.parametrize("kind", ["[", "{"])
@pytest.mark.parametrize("inner", ["", "1"])
@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, MAX_DEPTH + 2, 500, 1000, 3000, 100_000])
def test_depth_beyond_the_limit(depth: int, inner: str, kind: str) -> None:
    with pytest.raises(PayloadError) as caught:
        read_object(nested(depth, inner=inner, kind=kind))
    assert caught.value.code == "too_deep"


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_depth_that_is_never_closed(opening: bytes) -> None:
    with pytest.raises(PayloadError) as caught:
        read_object(b'{"a":' + opening * 100_000)
    assert caught.value.code in {"too_deep", "invalid_json"}


def test_many_brackets_are_not_depth() -> None:
    body = b'{"a":[' + b",".join([b"{}"] * 10_000) + b'],"b":"' + b"[{" * 10_000 + b'"}'
    assert len(read_object(body)["a"]) == 10_000


ACCEPTED: list[tuple[bytes, dict[str, Any]]] = [
    (b"{}", {}),
    (b" \r\n\t{ } \n", {}),
    (b'{"a":1,"A":2}', {"a": 1, "A": 2}),
    (b'{"a":{"a":{"a":1}}}', {"a": {"a": {"a": 1}}}),
    (b'{"a":-0}', {"a": 0}),
    (b'{"a":-0.0}', {"a": 0.0}),
    (b'{"a":1E2,"b":1e-999}', {"a": 100.0, "b": 0.0}),
    (b'{"a":123456789012345678901234567890}', {"a": 123456789012345678901234567890}),
    (b'{"a":"\\ud83d\\ude00"}', {"a": "😀"}),
    (b'{"\\u0061":"\\u0000"}', {"a": "\0"}),
    ('{"ä":"\u2028\x7f"}'.encode(), {"ä": "\u2028\x7f"}),
    (b'{"a":"NaN","b":"\\\\ud800"}', {"a": "NaN", "b": "\\ud800"}),
    (b'{"__proto__":1,"constructor":2}', {"__proto__": 1, "constructor": 2}),
    (b'{"a":' + b"9" * 300 + b"}", {"a": int("9" * 300)}),
]


@pytest.mark.parametrize(("body", "expected"), ACCEPTED)
def test_accepted(body: bytes, expected: dict[str, Any]) -> None:
    assert read_object(body) == expected


def test_a_long_string() -> None:
    text = "ä" * (1 << 20)
    assert read_object(json.dumps({"a": text}).encode()) == {"a": text}
    assert read_object(json.dumps({"a": text}, ensure_ascii=False).encode()) == {"a": text}


@pytest.mark.parametrize(
    "body",
    [
        b'{"hunter2":1,"hunter2":2}',
        b'{"a":hunter2}',
        b'{"a":"hunter2}',
        b'"hunter2"',
        b'{"hunter2":"\\ud800"}',
        b'{"hunter2":"\xff"}',
    ],
)
def test_messages_quote_nothing(body: bytes) -> None:
    with pytest.raises(PayloadError) as caught:
        read_object(body)
    assert "hunter2" not in caught.value.message
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)
objects = st.dictionaries(texts, values, max_size=6)


@given(objects, st.booleans())
def test_what_json_writes_is_read(value: dict[str, Any], ascii_only: bool) -> None:
    assert read_object(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@given(st.binary(max_size=200))
def test_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        value = read_object(body)
    except PayloadError:
        return
    assert value == json.loads(body)


# Pieces of JSON get further into the parser than bytes do.
pieces = st.sampled_from(
    ["{", "}", "[", "]", ",", ":", '"a"', '"\\u0061"', '"\\ud800"', "1", "-", "1e9", "NaN", "null", " ", "\n", '"', "\\"]
)


@given(st.lists(pieces, max_size=25))
def test_pieces_of_json_are_read_or_refused(parts: list[str]) -> None:
    body = "".join(parts).encode()
    try:
        value = read_object(body)
    except PayloadError:
        return
    assert value == json.loads(body)


def raw_members(body: bytes) -> dict[str, bytes]:
    return {key: bytes(raw) for key, raw in msgspec.json.decode(body, type=dict[str, msgspec.Raw]).items()}


KEPT = (
    b'{"model": "m", "\\u0061":1.0,"b" : 1e2, "c":123456789012345678901234567890,"d":-0,"e":[1 , {"x" : "\\/\\u0041"}],'
    b'"f":"\xc3\xa4\\u00e4","g":{"h":  null},"i":1E+05,"j":0.10}'
)


def test_members_keep_their_bytes_and_their_order() -> None:
    edited = with_members(KEPT, {"z": [1], "b": {"new": "ä"}}, read_object(KEPT))
    assert edited == (
        b'{"z":[1],"model":"m","a":1.0,"b":{"new":"\xc3\xa4"},"c":123456789012345678901234567890,"d":-0,'
        b'"e":[1 , {"x" : "\\/\\u0041"}],"f":"\xc3\xa4\\u00e4","g":{"h":  null},"i":1E+05,"j":0.10}'
    )


@pytest.mark.parametrize(
    ("body", "changes", "expected"),
    [
        (b"{}", {"a": 1}, b'{"a":1}'),
        (b"{}", {}, b"{}"),
        (b'{"a":1}', {"a": None}, b'{"a":null}'),
        (b'{"b":1,"a":2}', {"a": 3}, b'{"b":1,"a":3}'),
        (b'{"\\u0061":1}', {"a": 2}, b'{"a":2}'),
        (b'{"a/b":1,"c":2}', {"c": True}, b'{"a/b":1,"c":true}'),
        ('{"ä":1}'.encode(), {"ä": 2, "ö": 3}, '{"ö":3,"ä":2}'.encode()),
        (b'{"a":1}', {"y": 1, "x": 2}, b'{"y":1,"x":2,"a":1}'),
        (b' {"a" : 1, "\\u0062":[ ]} ', {"x": 2}, b'{"x":2,"a" : 1, "\\u0062":[ ]} '),
        (b" { } ", {"x": 2}, b'{"x":2}'),
        (b'{"a\\"b\\n":1}', {"c": '\n"'}, b'{"c":"\\n\\"","a\\"b\\n":1}'),
    ],
)
def test_members_are_set(body: bytes, changes: dict[str, Any], expected: bytes) -> None:
    assert with_members(body, changes, read_object(body)) == expected


@given(objects, objects, st.booleans())
def test_setting_members_sets_those_and_no_others(
    value: dict[str, Any], changes: dict[str, Any], ascii_only: bool
) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only, indent=1).encode()
    edited = with_members(body, changes, read_object(body))
    assert read_object(edited) == {**value, **changes}
    before, after = raw_members(body), raw_members(edited)
    kept = [key for key in before if key not in changes]
    assert {key: after[key] for key in kept} == {key: before[key] for key in kept}
    assert [key for key in after if key in before] == list(before)
