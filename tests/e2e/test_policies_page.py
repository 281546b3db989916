"""docs/reference/policies.md quotes the running example: what it shows is what is run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "reference" / "policies.md").read_text()
SOURCE = "\n".join(
    path.read_text() for path in sorted((REPOSITORY / "tests" / "fixtures" / "third_party_policy").glob("*.*"))
)
QUOTES = re.findall(r"^```(?:python|toml)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
# The last one shows how to test it.
RUNNING = [quote for quote in QUOTES if "policy = QuietHours.build" not in quote]


@pytest.mark.parametrize("quote", RUNNING, ids=lambda quote: quote.strip().splitlines()[0][:40])
def test_the_page_quotes_the_example(quote: str) -> None:
    assert quote in SOURCE


def test_there_is_something_to_quote() -> None:
    assert len(RUNNING) == len(QUOTES) - 1 >= 5


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)\)", PAGE))
def test_its_links_lead_somewhere(link: str) -> None:
    assert (REPOSITORY / "docs" / "reference" / link).exists()
