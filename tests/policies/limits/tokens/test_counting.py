"""A count is never below the true one, however a text is cut, and never above its bytes."""

from __future__ import annotations

from sys import getsizeof
from typing import cast

import msgspec
import pytest
import tiktoken
from hypothesis import assume, example, given
from hypothesis import strategies as st

from policies.limits.tokens import counting
from policies.limits.tokens.counting import CUT, PIECE, Counter, byte_bound, pieces, splits
from policies.limits.tokens.vocabulary import encoding

ENCODINGS = tuple(encoding(name) for name in ("o200k_base", "cl100k_base"))
COUNTERS = tuple(Counter(one) for one in ENCODINGS)
FRAGMENTS = (
    *(
        "a",
        "B",
        "é",
        "ß",
        "Σ",
        "ǅ",
        "的",
        "，",
        "。",
        "١",
        "½",
        "Ⅷ",
        "e\u0301",
        "\u0301",
        "ー",
        "ª",
        "🎉",
        "👩‍👩‍👧",
        "\u200d",
    ),
    *(" ", "  ", "\n", "\r\n", "\t", "\u00a0", "\u3000", "\x1c", "\x85", "\u2028", "'", "’", "'s", "'LL", "'t ", "don't"),
    *(
        "/",
        "//",
        ".",
        "...",
        "=====",
        "+",
        "$",
        "1",
        "12",
        "12345",
        "hello",
        " hello",
        "Hello",
        "camelCase",
        "x_y",
        "\x00",
    ),
    *("<|endoftext|>", "def f(x):\n    return x", "SGVsbG8=", "\ud800", "\ufffd"),
)
TEXTS = st.one_of(st.text(max_size=60), st.lists(st.sampled_from(FRAGMENTS), max_size=30).map("".join))


def true_count(text: str, which: int) -> int:
    """Of the whole text, uncut."""
    return len(ENCODINGS[which].encode_ordinary(text))


@given(st.data(), TEXTS)
def test_a_cut_where_the_patterns_split_changes_nothing(data: st.DataObject, text: str) -> None:
    places = [at for at in range(1, len(text)) if splits(text[at - 1], text[at])]
    assume(places)
    at = data.draw(st.sampled_from(places))
    for which, one in enumerate(ENCODINGS):
        halves = len(one.encode_ordinary(text[:at])) + len(one.encode_ordinary(text[at:]))
        assert halves == true_count(text, which)


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        *((left, " ", True) for left in ("a", "1", ".", "的", "'", "\x00")),
        *((left, " ", False) for left in (" ", "\n", "\t", "\u3000")),
        *(("a", right, True) for right in ("1", ".", "\n", "，", "-")),
        *(("a", right, False) for right in ("b", "'", "\u0301", "的")),
        *(("1", right, True) for right in ("a", ".", "\n")),
        *(("1", right, False) for right in ("2", "½", "'")),
        *((".", right, False) for right in ("a", "1", ".", "\n")),
    ],
)
def test_where_the_patterns_split(left: str, right: str, expected: bool) -> None:
    assert splits(left, right) is expected


@given(TEXTS, st.integers(2, 40), st.integers(1, 20))
@example("abcd" * 40, 7, 3)
def test_in_pieces_a_text_is_not_below_its_count(text: str, piece: int, back: int) -> None:
    # Pieces of a few characters, so that whole texts can be counted for comparison.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counting, "PIECE", piece)
        patch.setattr(counting, "_BACK", min(back, piece - 1))
        patch.setattr(counting, "_SHORT", 0)
        for which, counter in enumerate(COUNTERS):
            assert true_count(text, which) <= counter.count(text) <= max(byte_bound(text), 1)


@given(
    st.lists(st.sampled_from(("a", "的", "hello world. ", "x" * 700, " " * 900, "😀" * 300, "/9jx" * 99)), max_size=60)
)
def test_pieces_are_the_text(fragments: list[str]) -> None:
    text = "".join(fragments) * 4
    found = list(pieces(text))
    assert "".join(piece for piece, _ in found) == text
    assert all(0 < len(piece) <= PIECE for piece, _ in found) or not text
    assert not found[-1][1]


def test_prose_is_cut_without_a_loss_and_a_word_with_an_allowance() -> None:
    prose = "Nobody upstream needs to know how much of it was spent. " * 1_000
    assert [is_word_cut for _, is_word_cut in pieces(prose)] == [False] * 6
    assert COUNTERS[0].count(prose) == true_count(prose, 0)
    word = "ab" * 7_500
    assert [is_word_cut for _, is_word_cut in pieces(word)] == [True, False]
    assert COUNTERS[0].count(word) == true_count(word[:PIECE], 0) + true_count(word[PIECE:], 0) + CUT


@pytest.mark.parametrize("text", ["a" * 30_000, "😀" * 15_000, "的" * 30_000, "-" * 30_000, " " * 30_000, "aB" * 15_000])
def test_long_runs_are_not_below_their_count(text: str) -> None:
    for which, counter in enumerate(COUNTERS):
        true = true_count(text, which)
        assert true <= counter.count(text) <= true + 4 * CUT


def test_what_makes_tiktoken_panic_is_counted() -> None:
    spaces = " " * 1_000_000
    # A token of o200k_base holds 128 spaces at most.
    assert 1_000_000 / 128 <= COUNTERS[0].count(spaces) <= 12_000


class Failing:
    """An encoding that fails as it is told."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def encode_ordinary(self, text: str) -> list[int]:
        raise self._error


class Panic(BaseException):
    """What a panic of Rust is in Python: no Exception."""


@pytest.mark.parametrize("error", [Panic("stack"), ValueError("no"), MemoryError()])
def test_what_cannot_be_counted_is_bounded(error: BaseException) -> None:
    counter = Counter(cast("tiktoken.Encoding", Failing(error)))
    assert counter.count("naïve") == 6
    assert counter.count("naïve" * 5_000) == 30_000


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), GeneratorExit()])
def test_who_stops_the_process_is_heard(error: BaseException) -> None:
    counter = Counter(cast("tiktoken.Encoding", Failing(error)))
    with pytest.raises(type(error)):
        counter.count("hello")


class Counting:
    """An encoding that counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def encode_ordinary(self, text: str) -> list[int]:
        self.asked += 1
        return [0] * len(text)


def test_short_texts_are_remembered_and_others_are_not() -> None:
    asked = Counting()
    counter = Counter(cast("tiktoken.Encoding", asked))
    for text in ("system", "x" * 2_048):
        assert [counter.count(text), counter.count(text)] == [len(text)] * 2
    assert asked.asked == 2
    counter.count("x" * 2_049)
    counter.count("x" * 2_049)
    assert asked.asked == 4


def test_what_is_remembered_is_bounded() -> None:
    asked = Counting()
    counter = Counter(cast("tiktoken.Encoding", asked))
    for number in range(2_000):
        counter.count(f"text {number}")
        counter.count("system prompt")
    assert asked.asked == 2_001
    counter.count("text 0")
    assert asked.asked == 2_002


@given(TEXTS)
def test_no_token_has_less_than_a_byte(text: str) -> None:
    assert byte_bound(text) == len(text.encode("utf-8", "surrogatepass"))
    assert all(true_count(text, which) <= byte_bound(text) for which in range(2))


@given(st.sampled_from(("a", "é", "的", "😀", "\ud800")), st.sampled_from(("", "é", "的", "😀")))
def test_the_bound_of_a_long_text_holds_and_is_not_far_off(fill: str, other: str) -> None:
    text = fill * 100_001 + other
    size = len(text.encode("utf-8", "surrogatepass"))
    widest = max(len(one.encode("utf-8", "surrogatepass")) for one in {fill, other or fill})
    assert size <= byte_bound(text) <= len(text) * max(widest, 1)


def test_the_bound_holds_after_python_has_kept_the_text_as_utf_8() -> None:
    for fill in ("aé", "a的", "a😀"):
        text = fill * 60_000
        plain = getsizeof(text)
        # What asks for its UTF-8 in C leaves it with the text, where it counts as part of its size.
        msgspec.json.encode(text)
        assert getsizeof(text) > plain
        assert len(text.encode()) <= byte_bound(text) <= 4 * len(text)
