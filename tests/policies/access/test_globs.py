from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.access.globs import Names, Paths, check_name_glob, check_path_glob


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("gpt-4o", "gpt-4o", True),
        ("gpt-4o", "gpt-4o-mini", False),
        ("gpt-4o*", "gpt-4o-mini", True),
        ("gpt-4o*", "gpt-4o", True),
        ("gpt-4o*", "GPT-4o", False),
        ("gpt-4o*", "my-gpt-4o", False),
        ("gpt-4o*", " gpt-4o", False),
        ("*", "anything at all", True),
        ("gpt-?", "gpt-5", True),
        ("gpt-?", "gpt-55", False),
        ("gpt-[45]", "gpt-5", True),
        ("gpt-[!45]", "gpt-5", False),
        ("a.b", "axb", False),
        ("a.b*", "axb", False),
        ("gpt-4o", "gpt-4o\n", False),
        ("gpt-4o?", "gpt-4o\n", True),  # as fnmatch; the decision refuses such names before it matches
    ],
)
def test_names(pattern: str, name: str, matches: bool) -> None:
    assert (name in Names([pattern])) is matches


def _accepted(pattern: str) -> bool:
    try:
        check_name_glob(pattern)
    except ValueError:
        return False
    return True


@given(
    st.lists(st.text(alphabet="ab*?[]!-.", min_size=1, max_size=6).filter(_accepted), max_size=4),
    st.text(alphabet="ab-.", max_size=6),
)
def test_names_match_as_fnmatch_does(patterns: list[str], name: str) -> None:
    assert (name in Names(patterns)) is any(fnmatchcase(name, pattern) for pattern in patterns)


@pytest.mark.parametrize(
    "pattern", ["", " ", "gpt ", " gpt", "gpt-[45", "[", "[]", "[!]", "[z-a]", "[a-cz-x]", "a\nb", "a\x00", "x" * 257]
)
def test_malformed_name_globs(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"expected a name|malformed glob"):
        check_name_glob(pattern)


@pytest.mark.parametrize("pattern", ["[]]", "[!]]", "[a-z]*", "meta/llama-3:70b", "[-a]", "a]"])
def test_well_formed_name_globs(pattern: str) -> None:
    assert check_name_glob(pattern) == pattern


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("/ask", "/ask", True),
        ("/ask", "/ask/", False),
        ("/ask", "/Ask", False),
        ("/ask", "/ask/more", False),
        ("/docs/*", "/docs/1", True),
        ("/docs/*", "/docs/", False),
        ("/docs/*", "/docs", False),
        ("/docs/*", "/docs/1/2", False),
        ("/docs/*/text", "/docs/1/text", True),
        ("/docs/*/text", "/docs/1/2/text", False),
        ("/docs/*.pdf", "/docs/a.pdf", True),
        ("/docs/*.pdf", "/docs/a.pdf.exe", False),
        ("/docs/*.pdf", "/docs/aXpdf", False),
        ("/docs/v*-x", "/docs/v-x", True),
        ("/docs/**", "/docs/", True),
        ("/docs/**", "/docs/1/2/3", True),
        ("/docs/**", "/docs", False),
        ("/docs/**", "/docsecret", False),
        ("/**", "/", True),
        ("/**", "/a/b", True),
        ("/a/**/z", "/a/z", True),
        ("/a/**/z", "/a/b/c/z", True),
        ("/a/**/z", "/a/b/c/y", False),
        ("/a/**/z", "/abz", False),
        ("/a/**/*.md", "/a/b/c.md", True),
        # What the host refuses anyway is not let in by a wildcard either.
        ("/docs/**", "/docs/../admin", False),
        ("/docs/**", "/docs/..", False),
        ("/docs/**", "/docs/./x", False),
        ("/docs/**", "/docs/..;/admin", False),
        ("/docs/**", "/docs//admin", False),
        ("/docs/**", "/docs/%2e%2e/admin", False),
        ("/docs/*", "/docs/a%2Fb", False),
        ("/docs/*", "/docs/a%5cb", False),
        ("/docs/*", "/docs/a\\b", False),
        ("/docs/**", "/docs/a\n", False),
        ("/docs/**", "/docs/a b", False),
        ("/docs/**", "/docs/%00", False),
        ("/**", "", False),
        ("/**", "docs", False),
    ],
)
def test_paths(pattern: str, path: str, matches: bool) -> None:
    assert check_path_glob(pattern) == pattern
    assert (path in Paths([pattern])) is matches


@pytest.mark.parametrize(
    "pattern",
    [
        *("", "docs", "//", "/a//b", "/a/../b", "/a/.", "/a?x=1", "/a#b", "/a b", "/a\\b", "/a%2Fb", "/a%zz", "/a[b]"),
        *("/a**", "/**a", "/***", "/**/a/**", "/a*b*c", "/é", "/" + "x" * 256),
    ],
)
def test_malformed_paths(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"expected a path|malformed path"):
        check_path_glob(pattern)


@given(st.lists(st.sampled_from(["a", "b", "..", ".", "", "%2e", "a;", "**"]), max_size=6))
def test_a_wildcard_never_passes_a_path_with_two_readings(segments: list[str]) -> None:
    path = "/" + "/".join(segments)
    inner = segments[:-1] if segments else []
    odd = any(segment in ("", "..", ".", "%2e") for segment in inner) or (
        bool(segments) and segments[-1] in ("..", ".", "%2e")
    )
    assert (path in Paths(["/**"])) is not odd
