"""What `sluicegate up` says once it serves: what runs where, and lines that can be pasted."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from extproc.catalogue import Catalogue
from extproc.cli.console import say, show_table
from extproc.cli.progress import TITLES
from extproc.embedded.demo_keys import make_token
from extproc.embedded.demo_tokens import Caller
from extproc.embedded.stack import Stack
from extproc.exchange import Dialect

_ALICE = Caller("contoso", "alice", ("User",))


def introduce(stack: Stack, state: Path) -> None:
    """Print it."""
    say()
    plans = sorted(stack.plans, key=lambda plan: list(TITLES).index(plan.name))
    logs = state / "logs"
    rows = [(TITLES[plan.name], plan.where, str(logs / f"{plan.name}.log")) for plan in plans]
    show_table(("what", "where", "log"), rows)
    say()
    if "identity" in stack.embedded:
        # Pasted into another shell, in another directory: full paths.
        maker = (_self(), "token", "--state", str(state.resolve()))
        lines = invitation(stack.url, stack.settings.catalogue(), maker=maker, token=make_token(state, _ALICE))
    else:
        lines = invitation(stack.url, stack.settings.catalogue())
    for line in lines:
        say(line)
    say()
    say("Ctrl-C ends it.")


def invitation(url: str, catalogue: Catalogue, *, maker: Sequence[str] = (), token: str | None = None) -> list[str]:
    """Lines to paste: a request by curl, and openai-python.

    `maker` is the command that makes tokens of the demo identity provider, `token` one of them; without them, the lines
    say where a token must be put.
    """
    make = f"{shlex.join(maker)} --tenant contoso --user alice --role User" if maker else None
    bearer = f"$({make})" if make else "$TOKEN"
    intro = "Try it, from another shell" + (", as alice of contoso:" if make else ":")
    header = f'-H "authorization: Bearer {bearer}"'
    model = next((name for name, _ in catalogue.named_models(Dialect.OPENAI)), None)
    if model is None:
        return [intro, "", f"curl {url}/v1/models {header}"]
    messages = [{"role": "user", "content": "Hello!"}]
    body = shlex.quote(json.dumps({"model": model, "messages": messages}))
    lines = [
        intro,
        "",
        f'curl {url}/v1/chat/completions {header} -H "content-type: application/json" -d {body}',
        "",
        f'from openai import OpenAI; client = OpenAI(base_url="{url}/v1", api_key="{token or "TOKEN"}")',
        f"print(client.chat.completions.create(model={json.dumps(model)}, messages={json.dumps(messages)})"
        ".choices[0].message.content)",
    ]
    if not maker:
        return [*lines, "", "TOKEN is an access token of your tenant for this gateway."]
    return [*lines, "", f"For others: {shlex.join(maker)} --tenant fabrikam --user bob --role ReadOnly"]


def _self() -> str:
    """This command, as it can be typed anywhere."""
    program = Path(sys.argv[0])
    return str(program.absolute()) if program.name == "sluicegate" else shutil.which("sluicegate") or "sluicegate"
