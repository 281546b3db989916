"""What `sluicegate up` says once it serves: what runs where, and lines that can be pasted."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from extproc.catalogue import Catalogue
from extproc.cli.known import audiences, roles, tenants
from extproc.cli.progress import TITLES
from extproc.embedded.demo_tokens import GATEWAY, demo_guid
from extproc.embedded.stack import Stack
from extproc.exchange import Dialect
from extproc.printing import say, show_table
from extproc.settings import Settings

_MESSAGES: Final = [{"role": "user", "content": "Hello!"}]


def introduce(stack: Stack, state: Path) -> None:
    """Print it."""
    say()
    known = list(TITLES)
    # Companions of policies last: they have no title of ours.
    plans = sorted(stack.plans, key=lambda plan: known.index(plan.name) if plan.name in TITLES else len(known))
    places = [(TITLES.get(plan.name, plan.name), plan.where) for plan in plans]
    if stack.metrics is not None:
        places.append(("metrics", stack.metrics))
    show_table(("what", "where"), places)
    say(f"logs in {state / 'logs'}")
    say()
    # Pasted into another shell, in another directory: full paths.
    maker = (_self(), "token", "--state", str(state.resolve())) if "identity" in stack.embedded else ()
    for line in invitation(stack.url, stack.settings, maker=maker):
        say(line)
    say()
    say("Ctrl-C ends it.")


def invitation(url: str, settings: Settings, *, maker: Sequence[str] = ()) -> list[str]:
    """Lines to paste: where and who, then a request by curl, one to an agent, and one by openai-python.

    `maker` is the command that makes tokens of the demo identity provider; without it, a token must be put in.
    """
    tenant, identifier = next(iter(tenants(settings)), ("contoso", demo_guid("tenant", "contoso")))
    role = _role(settings)
    # `sluicegate token` knows tenants by the names of the demo only.
    named = tenant if demo_guid("tenant", tenant) == identifier else identifier
    if maker:
        intro = f"Try it, from another shell, as alice of {tenant}" + (f" with the role {role}:" if role else ":")
        key = f'export OPENAI_API_KEY="$({" ".join([shlex.join(maker), *_caller(settings, named, role)])})"'.splitlines()
    else:
        intro = "Try it, from another shell:"
        key = [f"export OPENAI_API_KEY=...   # an access token of {tenant} for this gateway"]
    return [intro, "", f"export OPENAI_BASE_URL={url}/v1", *key, *_requests(url, settings.catalogue())]


def _requests(url: str, catalogue: Catalogue) -> list[str]:
    header = '-H "authorization: Bearer $OPENAI_API_KEY"'
    model = next((name for name, _ in catalogue.named_models(Dialect.OPENAI)), None)
    if model is None:
        lines = ["", f"curl $OPENAI_BASE_URL/models {header}"]
    else:
        body = json.dumps({"model": model, "messages": _MESSAGES})
        lines = [
            "",
            f"curl $OPENAI_BASE_URL/chat/completions {header} \\",
            '  -H "content-type: application/json" \\',
            f"  -d {shlex.quote(body)}",
        ]
    if catalogue.agents:
        lines += ["", f"curl {url}/agents/{catalogue.agents[0].name}/ {header}"]
    if model is not None:
        script = (
            "\nfrom openai import OpenAI\nchat = OpenAI().chat.completions.create(\n"
            f"    model={json.dumps(model)}, messages={json.dumps(_MESSAGES)})\n"
            "print(chat.choices[0].message.content)"
        )
        lines += ["", *f"python3 -c {shlex.quote(script)}".splitlines()]
    return lines


def _caller(settings: Settings, tenant: str, role: str | None) -> list[str]:
    """The options of `sluicegate token`, in short lines."""
    options = ["--tenant", tenant, "--user", "alice"]
    options += ["--role", role] if role else []
    accepted = audiences(settings)
    audience = [] if GATEWAY in accepted else accepted[:1]
    return [f"\\\n  {shlex.join(words)}" for words in (options, ["--audience", *audience]) if words[1:]]


def _role(settings: Settings) -> str | None:
    """A role that people may have: `User` where there is one, else the first."""
    named = [
        name
        for name, held in roles(settings).items()
        if not isinstance(held, Mapping) or "user" in held.get("callers", ["user"])
    ]
    return "User" if "User" in named else next(iter(named), None)


def _self() -> str:
    """This command, as it can be typed anywhere."""
    program = Path(sys.argv[0])
    return str(program.absolute()) if program.name == "sluicegate" else shutil.which("sluicegate") or "sluicegate"
