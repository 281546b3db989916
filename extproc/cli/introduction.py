"""What `sluicegate up` says once it serves: what runs where, and lines that can be pasted."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from pathlib import Path

from extproc.catalogue import Catalogue
from extproc.cli.console import say, show_table
from extproc.cli.loading import DEFAULT_STATE
from extproc.cli.progress import TITLES
from extproc.embedded.demo_keys import make_token
from extproc.embedded.demo_tokens import Caller
from extproc.embedded.stack import Stack
from extproc.exchange import Dialect


def introduce(stack: Stack, state: Path) -> None:
    """Print it."""
    say()
    plans = sorted(stack.plans, key=lambda plan: list(TITLES).index(plan.name))
    logs = state / "logs"
    rows = [(TITLES[plan.name], plan.where, str(logs / f"{plan.name}.log")) for plan in plans]
    show_table(("what", "where", "log"), rows)
    say()
    token = make_token(state, Caller("contoso", "alice", ("User",))) if "identity" in stack.embedded else None
    for line in invitation(stack.url, stack.settings.catalogue(), token):
        say(line)
    if token is not None:
        say()
        say(f"Others: {_self()} token --tenant fabrikam --user bob --role ReadOnly{_state_option(state)}")
    say()
    say("Ctrl-C ends it.")


def invitation(url: str, catalogue: Catalogue, token: str | None) -> list[str]:
    """Lines to paste: a request by curl, and openai-python. Without a token, where one must be put."""
    lines = ["Try it, from another shell:" if token is None else "Try it, from another shell, as alice of contoso:", ""]
    key = token or "$TOKEN"
    model = next((name for name, _ in catalogue.named_models(Dialect.OPENAI)), None)
    if model is None:
        return [*lines, f'curl {url}/v1/models -H "authorization: Bearer {key}"']
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Hello!"}]})
    call = f'model="{model}", messages=[{{"role": "user", "content": "Hello!"}}]'
    lines += [
        f'curl {url}/v1/chat/completions -H "authorization: Bearer {key}" -H "content-type: application/json" '
        f"-d {shlex.quote(body)}",
        "",
        f'from openai import OpenAI; client = OpenAI(base_url="{url}/v1", api_key="{key}")',
        f"print(client.chat.completions.create({call}).choices[0].message.content)",
    ]
    if token is None:
        lines += ["", "TOKEN is an access token of your tenant for this gateway."]
    return lines


def _self() -> str:
    """This command, as it can be typed."""
    return "sluicegate" if shutil.which("sluicegate") else shlex.quote(sys.argv[0])


def _state_option(state: Path) -> str:
    return "" if state == DEFAULT_STATE else f" --state {shlex.quote(str(state))}"
