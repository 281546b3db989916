"""An exchange: facts are put once, header values are never shown."""

from __future__ import annotations

import pytest

from extproc.call import OutputCeiling
from extproc.exchange import Exchange, Headers, MissingFactError, Request, ResponseBody

HEADERS = Headers([("a", "1"), ("authorization", "hunter2"), ("a", "2")])
REQUEST = Request("GET", "/a" * 1000, "key=hunter2", "host", "https", HEADERS, "req-1")


def test_headers() -> None:
    assert HEADERS.get("a") == "1"
    assert HEADERS.get("A") is None
    assert HEADERS.all("a") == ("1", "2")
    assert HEADERS.all("b") == ()
    assert ("a" in HEADERS, "b" in HEADERS, len(HEADERS)) == (True, False, 3)
    assert list(HEADERS) == [("a", "1"), ("authorization", "hunter2"), ("a", "2")]


def test_headers_show_names_only() -> None:
    assert repr(HEADERS) == "Headers(a, authorization, a)"
    assert "hunter2" not in repr(Request("GET", "/", "", "", "", HEADERS, ""))


def test_what_is_logged_of_a_path() -> None:
    assert REQUEST.loggable_path == "/a" * 256


def test_facts_are_put_once() -> None:
    exchange = Exchange("ex-1", REQUEST)
    assert exchange.get(OutputCeiling) is None
    with pytest.raises(MissingFactError, match="no OutputCeiling on this exchange"):
        exchange.need(OutputCeiling)
    exchange.put(OutputCeiling(1))
    exchange.put("a fact of type str")
    assert exchange.need(OutputCeiling) is exchange.get(OutputCeiling)
    assert list(exchange.facts()) == [OutputCeiling(1), "a fact of type str"]
    with pytest.raises(ValueError, match="fact OutputCeiling is already known"):
        exchange.put(OutputCeiling(2))
    assert exchange.need(OutputCeiling) == OutputCeiling(1)


def test_a_fact_is_known_by_its_own_type_only() -> None:
    class Base:
        pass

    class Special(Base):
        pass

    exchange = Exchange("ex-1", REQUEST)
    exchange.put(Special())
    assert exchange.get(Base) is None


@pytest.mark.parametrize(
    ("wishes", "granted"),
    [
        ([], ResponseBody.NONE),
        ([ResponseBody.STREAMED, ResponseBody.NONE], ResponseBody.STREAMED),
        ([ResponseBody.BUFFERED, ResponseBody.STREAMED], ResponseBody.BUFFERED),
        ([ResponseBody.STREAMED, ResponseBody.BUFFERED], ResponseBody.BUFFERED),
    ],
)
def test_the_largest_wish_wins(wishes: list[ResponseBody], granted: ResponseBody) -> None:
    exchange = Exchange("ex-1", REQUEST)
    for wish in wishes:
        exchange.want_response(wish)
    assert exchange.response_wanted is granted


def test_notes_are_for_who_asks() -> None:
    class Loud:
        def __str__(self) -> str:
            raise AssertionError("written though nobody listens")

    Exchange("ex-1", REQUEST).note("%s", Loud())
    assert Exchange("ex-1", REQUEST).take_notes() == []
    asked = Exchange("ex-1", REQUEST, explaining=True)
    asked.note("role %s of %d", "User", 2)
    asked.note("100%")
    assert asked.take_notes() == ["role User of 2", "100%"]
    assert asked.take_notes() == []


def test_marks_stand_once_in_order() -> None:
    assert Exchange("ex-1", REQUEST).marks == ()
    exchange = Exchange("ex-1", REQUEST)
    for name in ("soft_limit", "b", "soft_limit", "a1_2", "x" * 64):
        exchange.flag(name)
    assert exchange.marks == ("soft_limit", "b", "a1_2", "x" * 64)


@pytest.mark.parametrize("name", ["", "Soft", "soft-limit", "soft limit", "_a", "a_", "a__b", "1a", "a\n", "ä", "x" * 65])
def test_what_is_no_mark(name: str) -> None:
    exchange = Exchange("ex-1", REQUEST)
    with pytest.raises(ValueError, match="snake_case"):
        exchange.flag(name)
    assert exchange.marks == ()
