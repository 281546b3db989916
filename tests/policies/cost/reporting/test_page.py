from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from datetime import UTC, datetime
from html.parser import HTMLParser

from hypothesis import given, settings
from hypothesis import strategies as st

from extproc.spending import Question, Spent
from policies.cost.reporting.bills import bill, grouped
from policies.cost.reporting.page import MOST_ROWS, PLOTS, page
from tests.policies.cost.reporting.spendings import END, START, row

MADE = datetime(2026, 11, 30, 23, tzinfo=UTC)
VOID = frozenset({"meta"})
NAMES = ("tenant", "model", "day", "user")


class Read(HTMLParser):
    """A page, read strictly: every element is closed where it must be, no attribute stands twice, every id once."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.stack: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(text)
        self.close()
        assert self.stack == []
        ids = [value for _, name, value in self.attributes if name == "id"]
        assert len(set(ids)) == len(ids)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.stack and data.strip():
            self.texts.setdefault(self.stack[-1], []).append(data)


def made(rows: list[Spent], by: tuple[str, ...] = ("tenant", "model")) -> str:
    return page(bill(Question(by, START, END), grouped(rows, by)), {name: grouped(rows, (name,)) for name in PLOTS}, MADE)


def one(dollars: int | None = 1_500_000, /, **by: str) -> Spent:
    names = {"tenant": "contoso", "model": "gpt-5", "day": "2026-11-20", "user": "alice"} | by
    return row(names, dollars, requests=1_234, unpriced=dollars is None, input=10, cached_input=5, output=7)


def test_what_stands_on_it() -> None:
    text = made([one(), one(1, tenant="fabrikam", day="2026-11-02")])
    read = Read(text)
    assert text.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert read.texts["h1"] == ["Spend, November 2026"]
    assert read.texts["h2"] == [*PLOTS.values(), "By tenant, model"]
    assert read.texts["dd"] == ["$1.500001", "2,468", "0", "30", "14"]
    assert read.texts["td"][:2] == ["contoso", "gpt-5"]
    assert read.texts["td"][-1] == "$1.500001"
    assert read.tags.count("svg") == len(PLOTS)
    # A column for each of the two days, a bar for each of two tenants, for the model and for the user.
    assert read.tags.count("rect") == 2 + 2 + 1 + 1
    assert [value for tag, name, value in read.attributes if (tag, name) == ("svg", "aria-label")] == list(PLOTS.values())


def test_nothing_of_it_comes_from_elsewhere() -> None:
    text = made([one()])
    read = Read(text)
    assert not {"link", "img", "iframe", "object", "embed", "base", "form"} & set(read.tags)
    assert [name for _, name, _ in read.attributes if name in ("src", "href", "style") or name.startswith("on")] == []
    assert "url(" not in text
    assert "@import" not in text
    assert "http://" not in text
    assert "https://" not in text


def test_its_policy_lets_its_own_script_and_style_run_and_no_other() -> None:
    text = made([one()])
    policy = next(value for _, name, value in Read(text).attributes if name == "content" and value and "default" in value)
    assert policy.startswith("default-src 'none'; ")
    for element in ("style", "script"):
        (inner,) = re.findall(f"<{element}>(.*?)</{element}>", text, re.DOTALL)
        digest = b64encode(hashlib.sha256(inner.encode()).digest()).decode()
        assert f"{element}-src 'sha256-{digest}'" in policy


def test_a_tenant_called_script() -> None:
    evil = "<script>alert(1)</script>"
    text = made([one(tenant=evil, user="\"'><img src=x onerror=alert(1)>", model="</table></svg>")])
    read = Read(text)
    assert read.tags.count("script") == 1
    assert "img" not in read.tags
    assert evil in read.texts["td"]
    assert "</table></svg>" in read.texts["td"]
    assert ("td", "data-value", evil) in read.attributes


@settings(max_examples=40)
@given(st.lists(st.text(max_size=30), min_size=4, max_size=4))
def test_whatever_they_are_called_the_page_is_whole(names: list[str]) -> None:
    values = dict(zip(NAMES, names, strict=True)) | {"day": "2026-11-01"}
    read = Read(made([one(**values)], by=("tenant", "model", "user")))
    assert read.tags.count("script") == 1
    assert read.tags.count("tr") == 3
    assert read.tags.count("td") == 2 * (3 + 2 + 3 + 1)


def test_what_steers_a_terminal_or_turns_text_is_made_visible() -> None:
    text = made([one(tenant="a\u202eb", user="\x1b[2J\0")])
    assert "\u202e" not in text
    assert "\x1b" not in text
    assert "\0" not in text
    assert "a\\u202eb" in text


def test_numbers_to_sort_by() -> None:
    read = Read(made([one(2_000_000), one(None, tenant="x")]))
    values = [value for tag, name, value in read.attributes if (tag, name) == ("td", "data-value")]
    assert values[:8] == ["contoso", "gpt-5", "1234", "0", "10", "7", "5", "2000000"]
    assert values[15] == "-1"
    assert read.tags.count("button") == 8
    assert read.texts["button"][-1] == "cost"


def test_what_a_reader_must_know_stands_on_it() -> None:
    assert Read(made([one(), one(None, tenant="x")])).texts["li"] == [
        "the cost of 1 requests is not known, for their models have no price"
    ]
    assert "li" not in Read(made([one()])).tags


def test_nothing_was_spent() -> None:
    read = Read(made([]))
    assert read.texts["dd"][0] == "$0.00"
    assert read.texts["p"].count("Nothing was spent.") == len(PLOTS)
    assert "svg" not in read.tags


def test_a_page_has_an_end() -> None:
    text = made([one(1, tenant=f"t{number}") for number in range(MOST_ROWS + 7)])
    read = Read(text)
    assert read.tags.count("tr") == MOST_ROWS + 2
    assert "7 more rows are in the total: --csv has all of them." in read.texts["p"]
    assert len(text) < 2_000_000


def test_it_is_made_for_dark_rooms_and_for_paper() -> None:
    text = made([one()])
    assert "@media (prefers-color-scheme: dark)" in text
    assert "@media print" in text
