from __future__ import annotations

import pytest

from extproc.configured import read_tree
from extproc.embedded.demo_tokens import TENANTS
from extproc.embedded.stack import DEMO
from extproc.embedded.tour import STOPS, Expected, Seen, with_upstream_down

OK = Expected(200, metered=True)
TOLD = Expected(200, told_tenant=TENANTS["contoso"])


@pytest.mark.parametrize(
    ("seen", "expected", "fits"),
    [
        (Seen(200, ending="answered", tokens=(5, 16)), OK, True),
        (Seen(200, ending="answered"), OK, False),
        (Seen(200, ending="answered", tokens=(5, 0)), OK, False),
        (Seen(200, ending="client_gone", tokens=(5, 16)), OK, False),
        (Seen(200, ending="not settled", tokens=(5, 16)), OK, False),
        (Seen(500, ending="answered", tokens=(5, 16)), OK, False),
        (Seen(403, "x", "rejected"), Expected(403, "x", "rejected"), True),
        (Seen(403, "y", "rejected"), Expected(403, "x", "rejected"), False),
        (Seen(403, "x", "rejected", tokens=(1, 1)), Expected(403, "x", "rejected"), False),
        (Seen(200, ending="answered", told_tenant=TENANTS["contoso"]), TOLD, True),
        (Seen(200, ending="answered", told_tenant=TENANTS["fabrikam"]), TOLD, False),
        (Seen(200, ending="answered", told_tenant="none"), TOLD, False),
    ],
)
def test_what_fits(seen: Seen, expected: Expected, fits: bool) -> None:
    assert seen.fits(expected) is fits


def test_outcomes_in_words() -> None:
    assert str(TOLD) == "200 answered to contoso"
    assert str(Seen(403, "model_not_allowed", "rejected")) == "403 model_not_allowed"
    assert str(Seen(403, "model_not_allowed", "answered")) == "403 model_not_allowed answered"
    assert str(Seen(503, "upstream_unavailable", "upstream_unavailable")) == "503 upstream_unavailable"


def test_the_tour_has_all_its_stops() -> None:
    titles = " ".join(f"{stop.title} {stop.proves}" for stop in STOPS)
    assert all(word in titles for word in ("allowed", "streamed", "without a token", "role", "spoofed tenant", "down"))


def test_it_fits_into_a_narrow_window() -> None:
    columns = zip(*((stop.title, str(stop.expected), "123/45", stop.proves, "ok") for stop in STOPS), strict=True)
    assert sum(max(map(len, column)) + 2 for column in columns) <= 80


def test_the_demo_is_not_changed_by_its_variant() -> None:
    tree = read_tree(DEMO)
    varied = with_upstream_down(tree, 9)
    assert tree == read_tree(DEMO)
    assert [upstream["name"] for upstream in varied["upstreams"]] == ["openai", "anthropic", "down"]
