"""Paths that are matched by rules have one reading only."""

from __future__ import annotations

import posixpath
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.paths import MAX_PATH, is_normal, is_query

NORMAL = [
    "/",
    "/a",
    "/a/",
    "/v1/files/file-abc123/content",
    "/a.b/..c/c../...",
    "/.well-known/agent.json",
    "/a~b/a_b/a-b",
    "/a:b@c/!$&'()*+,=",
    "/a%20b",
    "/%C3%A4",
    "/%E2%82%AC",
    "/%F0%9F%98%80",
    "/a%3Bb%3Fc%23d",
    "/" + "a" * (MAX_PATH - 1),
]

NOT_NORMAL = [
    "",
    "a",
    "*",
    "http://host/a",
    "//",
    "//v1",
    "/v1//chat",
    "/v1/chat//",
    "/.",
    "/..",
    "/a/.",
    "/a/./b",
    "/a/..",
    "/a/../b",
    "/../../etc/passwd",
    "/a/%2e/b",
    "/a/%2E%2E/b",
    "/a/%2e%2e%2fb",
    "/a/.%2E/b",
    "/a/..%2Fb",
    "/a%2Fb",
    "/a%2fb",
    "/a%5Cb",
    "/a%5cb",
    "/a\\b",
    "/a/..\\b",
    "/a/..;/b",
    "/a;x=1/b",
    "/a/;/b",
    "/a%252Fb",
    "/a%25%32%46b",
    "/a%2",
    "/a%",
    "/a%zz",
    "/a%u002e",
    "/%61dmin",
    "/adm%69n",
    "/%41",
    "/a%7Eb",
    "/a%2Db",
    "/a%5Fb",
    "/a%30b",
    "/a%00",
    "/a%0a",
    "/a%0D%0Ab",
    "/a%1F",
    "/a%7F",
    "/%C0%AF",
    "/%C0%AE%C0%AE/b",
    "/%E0%80%AF",
    "/%F0%80%80%AF",
    "/%C1%9C",
    "/%FF",
    "/%ED%A0%80",
    "/%C3",
    "/%c3%a4",
    "/a b",
    "/a\tb",
    "/a\nb",
    "/a\n",
    "/a\0b",
    "/a?b",
    "/a#b",
    "/ä",
    "/\uff0e\uff0e/b",
    "/a\u2215b",
    '/a"b',
    "/a<b>",
    "/a|b",
    "/a^b",
    "/a`b",
    "/a{b}",
    "/a[b]",
    "/" + "a" * MAX_PATH,
]


@pytest.mark.parametrize("path", NORMAL)
def test_normal(path: str) -> None:
    assert is_normal(path)


@pytest.mark.parametrize("path", NOT_NORMAL)
def test_not_normal(path: str) -> None:
    assert not is_normal(path)


@pytest.mark.parametrize("byte", range(256))
def test_a_single_escape_is_never_a_second_spelling(byte: int) -> None:
    """Only characters that must be escaped in a path may be: no unreserved one, no slash, dot, percent or control."""
    accepted = is_normal(f"/a%{byte:02X}b")
    assert accepted == (chr(byte) in " !\"#$&'()*+,:;<=>?@[]^`{|}")


tokens = ["a", "b", ".", "~", ":", "@", "%20", "%3F", "%3B", "%C3%A4", "%E2%82%AC"]
tricks = ["..", "%2E", "%2e", "%2F", "%5C", "\\", ";", "%25", "%C0%AE", "%C0%AF", "%61", "%", "/", "?", "#", "ä"]
segments = st.lists(st.sampled_from(tokens), max_size=4).map("".join)
tricky = st.lists(st.sampled_from([*tokens, *tricks]), max_size=4).map("".join)
paths = st.lists(segments, max_size=4).map(lambda parts: "/" + "/".join(parts))


@given(paths | st.tuples(paths, tricky, paths).map("".join))
def test_a_normal_path_has_the_same_segments_for_every_server(path: str) -> None:
    if not is_normal(path):
        return
    segments = path.split("/")
    assert posixpath.normpath(path).split("/") == (segments[:-1] if path != "/" and path.endswith("/") else segments)
    assert urlsplit(urljoin("http://host/", path)).path == path
    decoded = unquote(path, errors="strict")
    assert len(decoded.split("/")) == len(segments)
    assert not {".", ".."} & set(decoded.split("/"))
    assert "\\" not in decoded
    assert unquote(decoded, errors="strict") == decoded


QUERIES = ["", "api-version=2024-10-21", "beta=true", "a=b&a=c", "a", "q=%20%C3%a4", "expand[]=x|y", "x=/?@:", "a=;b"]
NO_QUERIES = [
    "a b",
    "a#b",
    "a\nb",
    "a\n",
    "ä",
    "%",
    "%2",
    "%zz",
    '"',
    "<",
    "{",
    "\\",
    "^",
    "`",
    "\0",
    "a" * (MAX_PATH + 1),
]


@pytest.mark.parametrize("query", QUERIES)
def test_query(query: str) -> None:
    assert is_query(query)


@pytest.mark.parametrize("query", NO_QUERIES)
def test_no_query(query: str) -> None:
    assert not is_query(query)
