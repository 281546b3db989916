"""What the first message tells at a glance is never more than what it says when it is read."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from extproc.endpoints import CALL_PATHS
from extproc.envoy_requests import RequestReader
from extproc.opening import is_small_call
from extproc.protos import Message
from tests.playbook import JSON, body, headers, response_headers

PRINTABLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=300)
LOOKALIKES = st.sampled_from(
    [
        "\\n\\x05:path\\x1a\\x14/v1/chat/completions",
        "content-length: 70",
        ":method POST",
        "/openai/deployments/d/embeddings?",
    ]
)
FIELDS = st.lists(
    st.tuples(st.sampled_from(["x-a", "path", "method", "content-length2"]), PRINTABLE | LOOKALIKES), max_size=4
)
DEPLOYMENT = "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"
PATHS = st.sampled_from([*CALL_PATHS, DEPLOYMENT, "/v1/models"]) | PRINTABLE.map(lambda text: "/" + text)
LENGTHS = st.integers(0, 200_000).map(str) | PRINTABLE | st.none()


@given(st.sampled_from(["POST", "GET", "PUT", "POSTS"]), PATHS, LENGTHS, FIELDS, st.booleans())
@example("POST", "/v1/chat/completions", "70", [], False)
@example("POST", "/v1/chat/completions", "70", [], True)
@example("POST", DEPLOYMENT, "99999", [], False)
def test_it_is_a_call_with_a_small_body_that_is_still_to_come(
    method: str, path: str, length: str | None, fields: list[tuple[str, str]], ends: bool
) -> None:
    said = [] if length is None else [("content-length", length)]
    message = headers(method, path, JSON, *fields[:2], *said, *fields[2:], end=ends).SerializeToString()
    digits = length if length is not None and length.isascii() and length.isdigit() else "0"
    small = 0 < int(digits) < 100_000 and digits[0] != "0"
    expected = method == "POST" and small and not RequestReader().read(message).last
    if is_small_call(message):
        assert expected
        assert path in CALL_PATHS or path.startswith("/openai/deployments/")
    else:
        assert not (expected and path in (*CALL_PATHS, DEPLOYMENT))


@given(st.binary(max_size=200))
@example(b"")
@example(b"\x12")
@example(b"\x12\xff\xff\xff\xff\xff\xff")
def test_no_bytes_are_too_odd(data: bytes) -> None:
    assert not is_small_call(data)


def test_other_messages_open_no_call() -> None:
    others: list[Message] = [body(b'{"a":1}'), response_headers(200, ("content-length", "70"))]
    assert [is_small_call(one.SerializeToString()) for one in others] == [False, False]
