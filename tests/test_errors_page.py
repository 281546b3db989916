"""The page of errors names every code that can be answered, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "reference" / "errors.md").read_text("utf-8")
CODE = re.compile(r"[a-z]+(?:_[a-z0-9]+)+")


def codes_in_source(folder: str) -> Iterator[str]:
    """Codes given literally to `Reject` (its second argument) and `PayloadError` (its first)."""
    for path in (ROOT / folder).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                place = {"Reject": 1, "PayloadError": 0}.get(node.func.id)
                if place is not None and len(node.args) > place:
                    for part in ast.walk(node.args[place]):
                        if isinstance(part, ast.Constant) and isinstance(part.value, str):
                            yield part.value


def test_every_code_of_the_gateway_is_on_the_page() -> None:
    table = yaml.safe_load((ROOT / "envoy" / "local-replies.yaml").read_text("utf-8"))
    own = set(codes_in_source("extproc")) | {cause["code"] for cause in table["causes"]}
    assert len(own) > 25
    rows = set(re.findall(r"^\| \d{3} \| `([a-z0-9_]+)` \|", PAGE, re.MULTILINE))
    assert own - rows == set()
    assert rows - own == set()


def test_the_codes_of_policies_are_on_their_own_pages() -> None:
    listed = PAGE.partition("## From policies")[2].partition("## From the gateway")[0]
    for name, code in re.findall(r"\[\w+\]\((\w+)\.md\)|`([a-z_]+)`", listed):
        if name:
            page = (ROOT / "docs" / "reference" / f"{name}.md").read_text("utf-8")
        else:
            assert CODE.fullmatch(code)
            assert f"`{code}`" in page, code
