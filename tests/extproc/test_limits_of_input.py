"""What one body may cost: bytes bound neither time nor memory, so the number of values in it is bounded as well."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc import payload
from extproc.chain import Chain, Course
from extproc.exchange import Exchange
from extproc.gate import Gate
from extproc.outcome import Reject
from extproc.payload import MAX_VALUES, PayloadError, read_object
from extproc.settings import IdentityHeaders
from tests.extproc.world import CATALOGUE, request

TOO_MANY: Final = MAX_VALUES + 10


def holding(items: bytes) -> bytes:
    return b'{"model":"gpt-4o","messages":[],"x":' + items + b"}"


def listed(item: bytes, count: int) -> bytes:
    return holding(b"[" + b",".join([item] * count) + b"]")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(listed(b"1", TOO_MANY), id="integers"),
        pytest.param(listed(b"null", TOO_MANY), id="literals"),
        pytest.param(listed(b'""', TOO_MANY), id="empty strings"),
        pytest.param(listed(b'""', 5 * TOO_MANY), id="more strings than are looked at"),
        pytest.param(listed(b'"\\\\\\""', TOO_MANY), id="strings that end in escapes"),
        pytest.param(listed(b"{}", TOO_MANY), id="empty objects"),
        pytest.param(listed(b"[" * 60 + b"]" * 60, TOO_MANY // 60), id="nested arrays"),
        pytest.param(listed(b'{"a":' * 60 + b"{}" + b"}" * 60, TOO_MANY // 60), id="nested objects"),
        pytest.param(holding(b"{" + b",".join(b'"%d":0' % i for i in range(TOO_MANY)) + b"}"), id="members"),
        pytest.param(listed(b"1", TOO_MANY)[:-1] + b',"y":"', id="a string that does not end"),
        pytest.param(listed(b"1", TOO_MANY)[:-1] + b'\\"' * 10, id="garbage behind"),
    ],
)
def test_a_body_of_too_many_values_is_refused_before_it_is_read(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(payload, "_decoder")
    with pytest.raises(PayloadError) as caught:
        read_object(body)
    assert caught.value.code == "too_many_values"


@pytest.mark.parametrize(
    "text",
    ["a, b, [c], {d: e}, " * MAX_VALUES, '\\",' * TOO_MANY, "\\\\," * TOO_MANY, "\\" * 4 * TOO_MANY + ",[{" * TOO_MANY],
    ids=["prose", "escaped quotes", "escaped backslashes", "backslashes"],
)
def test_what_stands_in_a_string_is_one_value(text: str) -> None:
    assert read_object(json.dumps({"a": text, "b": ['"', text]}).encode()) == {"a": text, "b": ['"', text]}


def test_token_arrays_of_the_largest_embedding_are_read() -> None:
    assert len(read_object(listed(b"100257", 300_000))["x"]) == 300_000


def test_the_caller_is_told() -> None:
    gate = Gate(Chain([]), CATALOGUE, IdentityHeaders())
    course = Course(Exchange("ex-1", request()))
    assert gate.headers(course) is None
    refusal = gate.body(course, listed(b"1", TOO_MANY))
    assert isinstance(refusal, Reject)
    assert (refusal.status, refusal.code) == (400, "too_many_values")


def _count(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + sum(map(_count, value.values()))
    return 1 + sum(map(_count, value)) if isinstance(value, list) else 1


_values = st.recursive(
    st.none() | st.integers() | st.text(alphabet='a",[{}\\:\u00e9', max_size=8),
    lambda inner: (
        st.lists(inner, max_size=6) | st.dictionaries(st.text(alphabet='a",[{\\', max_size=3), inner, max_size=4)
    ),
    max_leaves=40,
)


@given(st.dictionaries(st.text(max_size=3), _values, max_size=6), st.integers(1, 60), st.booleans())
def test_never_more_than_the_limit_and_never_fewer_refused_than_need_be(value: Any, limit: int, ascii_only: bool) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(payload, "MAX_VALUES", limit)
        refused = payload._has_too_many_values(body)
    values = _count(value)
    if values > limit:
        assert refused
    # An empty container counts twice, for what might have been in it.
    if 2 * values <= limit:
        assert not refused
