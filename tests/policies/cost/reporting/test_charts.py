from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.cost.reporting.charts import OTHER, Slice, bars, columns, scale, top

SLICES = st.lists(st.tuples(st.text(max_size=50), st.integers(0, 10**15)), max_size=40)


def drawn(picture: str) -> list[dict[str, int]]:
    """The rectangles of a picture, which must be well-formed."""
    root = ElementTree.fromstring(picture)  # noqa: S314  (our own)
    return [
        {name: int(one.attrib[name]) for name in ("x", "y", "width", "height")}
        for one in root.iter()
        if one.tag == "rect"
    ]


@given(SLICES, st.integers(2, 10))
def test_the_sum_of_the_top_is_the_sum_of_all(slices: list[Slice], most: int) -> None:
    found = top(slices, most)
    assert len(found) <= most
    assert sum(amount for _, amount in found) == sum(amount for _, amount in slices)


def test_the_top() -> None:
    assert top([("a", 1), ("b", 3), ("c", 3), ("d", 2)], 3) == [("b", 3), ("c", 3), (f"{OTHER} (2)", 3)]
    assert top([("a", 1), ("b", 3)], 3) == [("b", 3), ("a", 1)]


@given(st.integers(0, 10**18))
def test_an_axis_reaches_the_highest_and_not_much_more(most: int) -> None:
    step = scale(most)
    assert 4 * step >= most
    # 5 and 10, or 2 and 2.5, lie next to each other.
    assert most < 4 or 4 * step <= 5 * most // 2 + 4
    assert re.fullmatch(r"(?:1|2|25|5)0*", str(step))


def test_days_are_columns() -> None:
    found = drawn(columns([("2026-11-01", 2_000_000), ("2026-11-02", 0), ("2026-11-03", 4_000_000)], "Spend by day"))
    assert len(found) == 2
    assert found[1]["height"] == 2 * found[0]["height"]
    assert found[0]["y"] + found[0]["height"] == found[1]["y"] + found[1]["height"]
    assert found[0]["x"] < found[1]["x"]


def test_names_are_bars() -> None:
    found = drawn(bars([("a", 4_000_000), ("b", 1_000_000), ("c", 0)], "By tenant"))
    assert [one["width"] // found[1]["width"] for one in found] == [4, 1]
    assert len({one["x"] for one in found}) == 1


@pytest.mark.parametrize("wide", [False, True])
def test_long_names_are_cut_and_told_whole(wide: bool) -> None:
    name = "n" * 60
    picture = bars([(name, 1)], "Top users", wide=wide)
    assert f"<title>{name}: $0.000001</title>" in picture
    assert f">{name}<" not in picture
    assert "…<" in picture


def test_what_others_cost_looks_otherwise() -> None:
    assert 'class="rest"' in bars([(f"{OTHER} (3)", 5)], "x")
    assert 'class="rest"' not in bars([("a", 5)], "x")


@given(SLICES)
def test_every_bar_lies_in_the_picture(slices: list[Slice]) -> None:
    clean = [("".join(c for c in name if c.isprintable()), amount) for name, amount in slices]
    for picture in (bars(clean, "a"), bars(clean, "a", wide=True), columns(clean, "b")):
        _, _, width, height = map(int, re.findall(r'viewBox="(.*?)"', picture)[0].split())
        for one in drawn(picture):
            assert one["x"] >= 0
            assert one["x"] + one["width"] <= width
            assert one["y"] >= 0
            assert one["y"] + one["height"] <= height


def test_names_are_escaped() -> None:
    picture = bars([('<script>"&', 1)], "x") + columns([('<script>"&', 1)], '"x"')
    assert "<script" not in picture
    assert "&lt;script&gt;&quot;&amp;" in picture
    assert 'aria-label="&quot;x&quot;"' in picture
