"""The documents as text, also through the eyes of what puts variables in."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from extproc.ai_gateway.resources import resources
from extproc.ai_gateway.writing import written
from tests.extproc.ai_gateway.configured import configured


def substituted(text: str) -> str:
    """As `aigw` reads a text (github.com/a8m/envsubst): `$$` is one, and a name after one is a variable."""

    def one(found: re.Match[str]) -> str:
        return "$" if found[0] == "$$" else "VARIABLE" if found[1] else "$"

    return re.sub(r"\$(?:\$|([A-Za-z0-9_{]\w*\}?))?", one, text)


@pytest.mark.parametrize("standalone", [False, True])
def test_what_is_read_is_what_was_written(standalone: bool) -> None:
    documents = resources(configured(), standalone=standalone)
    text = written(documents, standalone=standalone, notes=["one", "two"])
    assert text.startswith("# one\n# two\n")
    assert list(yaml.safe_load_all(substituted(text) if standalone else text)) == documents


@given(st.lists(st.dictionaries(st.text("abc", min_size=1), st.text("a$bé{}_%'\"\n#: ", max_size=30)), min_size=1))
def test_no_variable_is_put_into_any_text(documents: list[dict[str, Any]]) -> None:
    assert list(yaml.safe_load_all(substituted(written(documents, standalone=True)))) == documents


def test_scripts_are_written_as_lines() -> None:
    text = written(resources(configured(), standalone=False), standalone=False)
    assert re.search(r"^ +inline: \|\n +-- The guard", text, re.MULTILINE)
