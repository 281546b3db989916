"""The canonical form: one for each record, as another writer would have it, and no byte of it can be changed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import NODEFAULT

from policies.audit.canonical import DEEPEST, FIRST, LARGEST, LineError, read, seal, seal_members
from policies.audit.record import Record, Reserved, Said, Timing, Tokens
from tests.policies.audit.world import record

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
# RFC 8785 orders names by UTF-16 units: up to U+FFFF that is the order of code points.
NAMES = st.text(st.characters(exclude_categories=["Cs"], max_codepoint=0xFFFF), max_size=8)
WHOLE = st.integers(-LARGEST, LARGEST)
JSON = st.recursive(
    st.none() | st.booleans() | WHOLE | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)
HASHES = st.text("0123456789abcdef", min_size=64, max_size=64)
STAMPS = st.datetimes().map(lambda at: f"{at.year:04d}{at:-%m-%dT%H:%M:%S.%f}Z")
SAID = st.builds(Said, code=TEXT, enforced=st.booleans(), outcome=TEXT, policy=TEXT, why=TEXT)
OF_TYPE: dict[str, st.SearchStrategy[Any]] = {
    "previous": HASHES,
    "timestamp": STAMPS,
    "params": st.dictionaries(NAMES, JSON, max_size=3),
    "decisions": st.lists(SAID, max_size=2).map(tuple),
    "timings": st.lists(st.builds(Timing, microseconds=WHOLE, policy=TEXT), max_size=3).map(tuple),
    "reserved": st.none() | st.builds(Reserved, dollars=st.none() | WHOLE, input=WHOLE, output=WHOLE, tokens=WHOLE),
    "tokens": st.none() | st.builds(Tokens, **dict.fromkeys(Tokens.__struct_fields__, WHOLE)),
    **dict.fromkeys(("accounts", "flags", "marks", "roles"), st.lists(TEXT, max_size=3).map(tuple)),
}


def values(field: msgspec.structs.FieldInfo) -> st.SearchStrategy[Any]:
    by_default = {str: TEXT, int: WHOLE, bool: st.booleans()}
    return OF_TYPE[field.name] if field.name in OF_TYPE else by_default[field.type]


FIELDS = msgspec.structs.fields(Record)
RECORDS: st.SearchStrategy[Record] = st.fixed_dictionaries(
    {field.name: values(field) for field in FIELDS if field.required},
    optional={field.name: values(field) for field in FIELDS if not field.required},
).map(lambda members: Record(**members))


# Another writer of RFC 8785, from its text: sections 3.2.2 and 3.2.3

_SHORT = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}


def _escaped(character: str) -> str:
    return _SHORT.get(character) or (f"\\u{ord(character):04x}" if ord(character) < 32 else character)


def another(value: Any) -> str:
    match value:
        case None | True | False:
            return {None: "null", True: "true", False: "false"}[value]
        case int():
            return str(value)
        case str():
            return f'"{"".join(map(_escaped, value))}"'
        case dict():
            ordered = sorted(value.items(), key=lambda item: item[0].encode("utf-16-be"))
            return f"{{{','.join(f'{another(name)}:{another(member)}' for name, member in ordered)}}}"
        case _:
            return f"[{','.join(map(another, value))}]"


def members(of: Record | Said | Reserved | Timing | Tokens) -> dict[str, Any]:
    """What stands in a record: what differs from what is meant by nothing."""
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(of):
        value = getattr(of, field.name)
        default = {} if field.name == "params" else field.default
        if default is NODEFAULT or value != default:
            found[field.encode_name] = _plain(value)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, Said | Reserved | Timing | Tokens):
        return members(value)
    return [_plain(one) for one in value] if isinstance(value, tuple) else value


@given(RECORDS)
def test_another_writer_comes_to_the_same_bytes(of: Record) -> None:
    line, digest = seal(of)
    content = another(members(of)).encode()
    assert digest == hashlib.sha256(content).hexdigest()
    assert line == content[:-1] + b',"hash":"' + digest.encode() + b'"}'
    assert b"\n" not in line


@given(RECORDS)
def test_members_are_sealed_as_the_record_that_they_make(of: Record) -> None:
    assert seal_members(members(of)) == seal(of)


@pytest.mark.parametrize("name", ["hash", "status", "unheard_of"])
def test_a_member_that_no_record_has_is_not_sealed(name: str) -> None:
    """It would be read by nobody; and the hash is the line's last."""
    with pytest.raises(TypeError):
        seal_members({**members(record()), name: 1})


def test_names_beyond_the_basic_plane_stand_in_the_order_of_their_code_points() -> None:
    line, _ = seal(record(params={"\U0001f600": 1, "\uffee": 2}))
    assert line.index("\uffee".encode()) < line.index("\U0001f600".encode())
    assert read(line).record.params == {"\uffee": 2, "\U0001f600": 1}


@given(RECORDS)
def test_every_record_is_read_back_as_it_was(of: Record) -> None:
    line, digest = seal(of)
    closed = read(line)
    assert (closed.record, closed.hash, closed.line) == (of, digest, line)
    assert seal(closed.record) == (line, digest)


@given(RECORDS, RECORDS)
def test_different_records_have_different_hashes(one: Record, other: Record) -> None:
    assert (seal(one)[1] == seal(other)[1]) == (one == other)


# What is noticed


@given(RECORDS, st.data())
def test_any_edit_of_a_byte_is_noticed(of: Record, data: st.DataObject) -> None:
    line, _ = seal(of)
    place = data.draw(st.integers(0, len(line) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != line[place]))
    edits = [
        line[:place] + bytes([byte]) + line[place + 1 :],
        line[:place] + line[place + 1 :],
        line[:place] + bytes([byte]) + line[place:],
        line[:place],
    ]
    for edit in edits:
        if edit != line:
            with pytest.raises(LineError):
                read(edit)


@given(st.binary(max_size=300))
def test_nonsense_is_no_record(data: bytes) -> None:
    with pytest.raises(LineError):
        read(data)
    with pytest.raises(LineError):
        read(forged(data or b"}"))


def forged(content: bytes) -> bytes:
    """A line whose hash is that of its content, whatever that is."""
    return content[:-1] + b',"hash":"' + hashlib.sha256(content).hexdigest().encode() + b'"}'


def edited(old: str, new: str) -> bytes:
    """A record in which something was changed, with the hash that goes with it."""
    content = another(members(record(bytes_in=5, params={"n": 1, "top_k": 2}, why="x"))).encode()
    assert old.encode() in content
    return content.replace(old.encode(), new.encode("utf-8", "surrogateescape"))


def test_a_line_that_is_forged_well_is_read() -> None:
    """The chain tells: the next record is bound to another hash."""
    assert read(forged(edited('"why":"x"', '"why":"y"'))).record.why == "y"


FORGERIES: list[tuple[str, str, str]] = [
    ("a name stands twice", '"bytes_in":5', '"bytes_in":5,"bytes_in":5'),
    ("a name stands twice, further in", '"n":1', '"n":1,"n":1'),
    ("a space", '"bytes_in":5', '"bytes_in": 5'),
    ("a space at the beginning", '{"bytes_in"', ' {"bytes_in"'),
    ("a newline", ',"event"', ',\n"event"'),
    ("another order", '"n":1,"top_k":2', '"top_k":2,"n":1'),
    ("another order of members", '{"bytes_in":5,"event":"configuration.loaded"', '{"event":"a","bytes_in":5'),
    ("a fraction", '"n":1', '"n":1.5'),
    ("a whole number written as a fraction", '"n":1', '"n":1.0'),
    ("an exponent", '"n":1', '"n":1e2'),
    ("a fraction where the schema has a number", '"bytes_in":5', '"bytes_in":5.0'),
    ("a number that is not the same everywhere", '"n":1', '"n":9007199254740993'),
    ("a number of more than 64 bits", '"n":1', '"n":18446744073709551616'),
    ("minus nothing", '"n":1', '"n":-0'),
    ("a zero in front", '"n":1', '"n":01'),
    ("not a number", '"n":1', '"n":NaN'),
    ("an escape that need not be", '"why":"x"', '"why":"\\u0078"'),
    ("an escaped solidus", '"why":"x"', '"why":"\\/"'),
    ("an escape in capitals", '"why":"x"', '"why":"\\u001F"'),
    ("half a surrogate pair", '"why":"x"', '"why":"\\ud800"'),
    ("no UTF-8", '"why":"x"', '"why":"\udcff"'),
    ("a text where the schema has a number", '"bytes_in":5', '"bytes_in":"5"'),
    ("nothing where the schema has a text", '"why":"x"', '"why":null'),
    ("no kind", ',"kind":"event"', ""),
    ("a time without microseconds", "00.000000Z", "00Z"),
    ("a hash that is none", f'"previous":"{FIRST}"', '"previous":"0"'),
    ("a byte-order mark", '{"bytes_in"', '\ufeff{"bytes_in"'),
    ("levels without end", '"n":1', f'"n":{"[" * 300}{"]" * 300}'),
    ("levels beyond any stack", '"n":1', f'"n":{"[" * 200_000}{"]" * 200_000}'),
    ("two values", ',"why":"x"}', ',"why":"x"}{}'),
]


@pytest.mark.parametrize(("old", "new"), [case[1:] for case in FORGERIES], ids=[case[0] for case in FORGERIES])
def test_what_has_another_form_is_no_record_although_its_hash_is_right(old: str, new: str) -> None:
    with pytest.raises(LineError):
        read(forged(edited(old, new)))


@pytest.mark.parametrize("content", [b"[]", b"{}", b'"x"', b"1", b"null", b""])
def test_what_is_no_record_at_all(content: bytes) -> None:
    with pytest.raises(LineError):
        read(forged(content))
    with pytest.raises(LineError):
        read(content)


@pytest.mark.parametrize(
    "turn", [bytes.upper, lambda line: line + b"\n", lambda line: b"\n" + line, lambda line: line * 2]
)
def test_the_line_itself_has_one_form(turn: Callable[[bytes], bytes]) -> None:
    line, _ = seal(record(why="x"))
    with pytest.raises(LineError):
        read(turn(line))


# What cannot be written


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        *(0.5, 1.0, float("nan"), float("inf"), LARGEST + 1, -LARGEST - 1, 2**64, b"x", {1: 2}, {"a"}, object()),
        *("\ud800", {"\ud800": 1}, nested(DEEPEST), [[0.5]], {"a": {"b": 0.5}}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_could_not_be_read_back_is_not_written(value: Any) -> None:
    with pytest.raises((TypeError, ValueError, RecursionError)):
        seal(record(params={"n": value}))
    with pytest.raises((TypeError, ValueError, RecursionError)):
        seal_members({**members(record()), "params": {"n": value}})


@pytest.mark.parametrize("value", [LARGEST, -LARGEST, 0, True, None, "", [], {}, nested(DEEPEST - 1)])
def test_what_is_just_within_the_bounds(value: Any) -> None:
    made = record(params={"n": value})
    assert read(seal(made)[0]).record == made


@pytest.mark.parametrize(
    "members",
    [
        *({"reason": 5}, {"reason": None}, {"roles": "admin"}, {"roles": [5]}, {"latency_us": 1.5}, {"stream": 1}),
        *({"requests": True}, {"reserved": {"tokens": 0.5}}, {"decisions": [{"policy": 5}]}, {"timestamp": "yesterday"}),
        *({"previous": "0"}, {"event": None}, {"sequence": "1"}, {"accounts": [["t-1"]]}, {"params": []}),
    ],
)
def test_no_line_is_written_that_no_reader_takes_for_a_record(members: dict[str, Any]) -> None:
    """Whoever follows the journal would stop there for ever, and no process could go on behind it."""
    whole = msgspec.to_builtins(record())
    assert read(seal_members(whole)[0]).record == record()
    with pytest.raises(TypeError):
        seal_members(whole | members)
