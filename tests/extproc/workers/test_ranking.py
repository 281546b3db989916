"""Who has series of its own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from extproc.workers.ranking import MOST, Ranking


def owners(ranking: Ranking, values: str) -> str:
    return "".join(value for value in values if ranking.owns(value))


def test_everybody_while_there_is_room() -> None:
    ranking = Ranking()
    assert ranking.hear(3, (), [("a", 1), ("b", 1), ("c", 100), ("d", 2)]) == []
    assert owners(ranking, "abcd") == "abc"


def test_a_newcomer_must_have_more_than_twice_what_the_lightest_has() -> None:
    ranking = Ranking()
    ranking.hear(2, (), [("a", 10), ("b", 5)])
    assert ranking.hear(2, (), [("c", 10)]) == []
    assert ranking.hear(2, (), [("c", 1)]) == ["b"]
    assert owners(ranking, "abc") == "ac"
    # And what the one that lost it had counts for it.
    assert ranking.hear(2, (), [("b", 15)]) == []
    assert ranking.hear(2, (), [("b", 1)]) == ["a"]
    assert owners(ranking, "abc") == "bc"


def test_who_grows_slowly_is_seen_too() -> None:
    ranking = Ranking()
    ranking.hear(1, (), [("a", 100)])
    moves = [ranking.hear(1, (), [("b", 1)]) for _ in range(201)]
    assert moves[:200] == [[]] * 200
    assert moves[200] == ["a"]


def test_pinned_values_have_theirs_and_take_nobodys() -> None:
    ranking = Ranking()
    ranking.hear(1, ["p", "q"], [("a", 1), ("p", 5)])
    assert owners(ranking, "apq") == "apq"
    assert ranking.hear(1, ["b"], [("b", 100), ("c", 3)]) == ["a"]
    assert owners(ranking, "abcpq") == "bcpq"


def test_nobody_where_there_is_to_be_nobody() -> None:
    ranking = Ranking()
    assert ranking.hear(0, (), [("a", 100)]) == []
    assert not ranking.owns("a")


def test_more_than_anybody_needs_is_not_given() -> None:
    ranking = Ranking()
    ranking.hear(10**9, [f"p{index}" for index in range(2 * MOST)], [(f"v{index}", 1) for index in range(2 * MOST)])
    assert sum(ranking.owns(f"v{index}") for index in range(2 * MOST)) == MOST
    assert sum(ranking.owns(f"p{index}") for index in range(2 * MOST)) == MOST


def test_who_is_heavy_is_found_among_ever_new_ones_and_they_are_forgotten() -> None:
    """100,000 values that come once, in front of them a hundred that take all places, and one that keeps coming."""
    ranking = Ranking()
    ranking.hear(100, (), [(f"first{index}", 5) for index in range(100)])
    for batch in range(1_000):
        ranking.hear(100, (), [*((f"junk{batch}-{index}", 1) for index in range(100)), ("heavy", 30)])
    assert ranking.owns("heavy")
    assert not any(ranking.owns(f"junk{batch}-1") for batch in range(1_000))
    assert len(ranking._others) <= 2_000


@given(st.lists(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 50)), max_size=8), max_size=30))
def test_at_most_so_many_and_the_lightest_goes(batches: list[list[tuple[str, int]]]) -> None:
    ranking, weights = Ranking(), dict.fromkeys("abcdefgh", 0)
    for batch in batches:
        before = owners(ranking, "abcdefgh")
        moved = ranking.hear(3, (), batch)
        for value, weight in batch:
            weights[value] += weight
        now = owners(ranking, "abcdefgh")
        assert len(now) <= 3
        assert set(before) - set(now) <= set(moved)
        # Whoever asked now and is out has at most twice what the lightest that is in has; unless there were many moves.
        if len(now) == 3:
            lightest = min(weights[value] for value in now)
            assert all(weights[value] <= 2 * lightest for value, _ in batch if value not in now)
