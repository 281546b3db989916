from __future__ import annotations

import ast
import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from extproc.cli.introduction import invitation
from extproc.configured import read_tree
from extproc.embedded.demo_tokens import TENANTS
from extproc.embedded.scheme import fill_in
from extproc.embedded.stack import DEMO
from extproc.settings import Settings, parse

URL = "http://127.0.0.1:8080"
MAKER = ("/a b/sluicegate", "token", "--state", "/s")
EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("*.yaml"))


def settings(provider: str = "openai", *models: str, agents: list[str] | None = None, **more: Any) -> Settings:
    upstream = {"name": "u", "provider": provider, "url": "http://host/v1", "models": list(models) or ["m"]}
    backends = [{"name": name, "url": "http://host"} for name in agents or []]
    return parse({"upstreams": [upstream], "agents": backends, "policies": [{"policy": "p", "settings": more}]})


def words(lines: list[str]) -> list[str]:
    return shlex.split("\n".join(lines[1:]))


def test_lines_can_be_pasted() -> None:
    lines = invitation(URL, settings("openai", "any-*", 'it\'s "odd"', agents=["kb", "b"]), maker=MAKER)
    pasted = words(lines)
    assert f"OPENAI_BASE_URL={URL}/v1" in pasted
    assert json.loads(pasted[pasted.index("-d") + 1])["model"] == 'it\'s "odd"'
    assert f"{URL}/agents/kb/" in pasted
    ast.parse(pasted[pasted.index("-c") + 1])


@pytest.mark.parametrize("known", [settings("anthropic", "claude"), settings("openai", "*")])
def test_without_a_model_to_name_it_asks_for_the_list(known: Settings) -> None:
    assert invitation(URL, known)[-1] == 'curl $OPENAI_BASE_URL/models -H "authorization: Bearer $OPENAI_API_KEY"'


@pytest.mark.parametrize(
    ("more", "caller"),
    [
        ({}, "--tenant contoso --user alice"),
        ({"tenants": [{"id": TENANTS["fabrikam"], "name": "fabrikam"}]}, "--tenant fabrikam --user alice"),
        ({"tenants": [{"id": "g", "name": "acme"}, {"id": "h"}]}, "--tenant g --user alice"),
        ({"tenants": [{"id": "g"}]}, "--tenant g --user alice"),
        ({"roles": {"Reader": [], "Writer": []}}, "--tenant contoso --user alice --role Reader"),
        ({"roles": {"Admin": [], "User": []}}, "--tenant contoso --user alice --role User"),
        ({"roles": {"Batch": {"callers": ["app"]}, "B": {}}}, "--tenant contoso --user alice --role B"),
        ({"audiences": ["api://x", "y"]}, "--tenant contoso --user alice \\\n  --audience api://x"),
        ({"audiences": ["api://x", "e5fddd55-cf0a-53dc-ac24-0213b5680f37"]}, "--tenant contoso --user alice"),
    ],
)
def test_the_caller_is_one_of_the_configuration(more: dict[str, Any], caller: str) -> None:
    assert f'  {caller})"\n' in "\n".join(invitation(URL, settings(**more), maker=MAKER))


def test_without_demo_tokens_it_says_what_to_put_in() -> None:
    text = "\n".join(invitation(URL, settings(tenants=[{"id": "g", "name": "acme"}])))
    assert "export OPENAI_API_KEY=...   # an access token of acme for this gateway" in text
    assert "alice" not in text
    assert "/agents/" not in text


@pytest.mark.parametrize("path", [DEMO, *EXAMPLES], ids=lambda path: path.name)
def test_no_line_is_longer_than_a_window(path: Path) -> None:
    known = parse(fill_in(read_tree(path), {}))
    for maker in ((), ("sluicegate", "token", "--state", "/srv/gateway/state/.sluicegate")):
        assert max(map(len, invitation(URL, known, maker=maker))) <= 100
