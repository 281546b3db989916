from __future__ import annotations

import ast
import json
import shlex

import pytest

from extproc.catalogue import Catalogue, Model, Provider, Upstream
from extproc.cli.introduction import invitation

URL = "http://127.0.0.1:8080"


def catalogue(provider: Provider, *models: str) -> Catalogue:
    return Catalogue(upstreams=(Upstream("u", provider, models=tuple(map(Model, models))),))


def test_lines_can_be_pasted() -> None:
    known = catalogue(Provider.OPENAI, "any-*", 'it\'s "odd"')
    lines = invitation(URL, known, maker=("/a b/sluicegate", "token", "--state", "/s"), token="e.y.J")
    curl = shlex.split(next(line for line in lines if line.startswith("curl")))
    assert curl[1] == f"{URL}/v1/chat/completions"
    assert json.loads(curl[curl.index("-d") + 1])["model"] == 'it\'s "odd"'
    assert "$('/a b/sluicegate' token --state /s --tenant contoso --user alice --role User)" in curl[3]
    ast.parse("\n".join(line for line in lines if line.startswith(("from openai", "print("))))


@pytest.mark.parametrize("known", [Catalogue(), catalogue(Provider.ANTHROPIC, "claude"), catalogue(Provider.OPENAI, "*")])
def test_without_a_model_to_name_it_asks_for_the_list(known: Catalogue) -> None:
    assert invitation(URL, known)[-1] == f'curl {URL}/v1/models -H "authorization: Bearer $TOKEN"'


def test_without_demo_tokens_it_says_what_to_put_in() -> None:
    lines = invitation(URL, catalogue(Provider.OPENAI, "m"))
    assert lines[-1] == "TOKEN is an access token of your tenant for this gateway."
    assert "alice" not in "".join(lines)
