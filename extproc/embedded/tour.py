"""The tour that `sluicegate demo` sends through a running gateway: what is asked, and what must come of it."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from extproc.embedded.demo_keys import make_token
from extproc.embedded.demo_tokens import TENANTS, Caller
from extproc.embedded.waiting import until

CHAT: Final = "/v1/chat/completions"
_ALICE: Final = Caller("contoso", "alice", ("User",), department="research")
_READER: Final = Caller("fabrikam", "bob", ("ReadOnly",))
_THRIFTY: Final = Caller("fabrikam", "carol", ("ReadOnly",))
_HASTY: Final = Caller("fabrikam", "dave", ("ReadOnly",))
_STRANGER: Final = Caller("a-tenant-nobody-knows", "mallory", ("OrgAdmin",))
_DOWN: Final = "down-for-the-demo"
_PATIENCE: Final = 10.0
"""Seconds until the access log must have told of a request: Envoy holds it back for one."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What must come of a request; `told_tenant` is what an agent backend must have been told, `mark` a word with which
    a policy has marked it."""

    status: int
    code: str = ""
    ending: str = "answered"
    metered: bool = False
    told_tenant: str = ""
    mark: str = ""

    def __str__(self) -> str:
        return outcome(self.status, self.code, self.ending, self.told_tenant, self.mark)


@dataclass(frozen=True, slots=True)
class Stop:
    """One request of the tour, and what it proves. Sent so many `times`, the last time counts."""

    title: str
    proves: str
    caller: Caller | None
    expected: Expected
    path: str = CHAT
    times: int = 1
    body: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of it. Tokens are as Envoy metered them, None where nothing was."""

    status: int
    code: str = ""
    ending: str = ""
    tokens: tuple[int, int] | None = None
    told_tenant: str = ""
    mark: str = ""
    request_id: str = ""

    def __str__(self) -> str:
        return outcome(self.status, self.code, self.ending, self.told_tenant, self.mark)

    def fits(self, expected: Expected) -> bool:
        """Whether it is what had to come, tokens included: some where there must be some, none elsewhere."""
        return str(self) == str(expected) and expected.metered == (self.tokens is not None and min(self.tokens) > 0)


def outcome(status: int, code: str, ending: str, told_tenant: str, mark: str) -> str:
    """An outcome in a few words; two are the same if their words are."""
    told = next((name for name, guid in TENANTS.items() if guid == told_tenant), told_tenant)
    # That it was rejected, or why it failed, is what the code says already.
    ended = "" if code and ending in (code, "rejected") else ending
    return " ".join(part for part in (str(status), code, ended, f"to {told}" if told else "", mark) if part)


def _chat(model: str, **members: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "What is a sluice gate?"}], **members}


_OK: Final = Expected(200, metered=True)

STOPS: Final = (
    Stop("a chat", "allowed and metered", _ALICE, _OK, body=_chat("gpt-4o")),
    Stop("the same, streamed", "streams are metered", _ALICE, _OK, body=_chat("gpt-4o", stream=True)),
    Stop(
        "without a token",
        "nobody is anonymous",
        None,
        Expected(401, "missing_credentials", "rejected"),
        body=_chat("gpt-4o"),
    ),
    Stop(
        "a lesser role",
        "denied by default",
        _READER,
        Expected(403, "model_not_allowed", "rejected"),
        body=_chat("gpt-4o"),
    ),
    Stop(
        "a foreign tenant",
        "only your tenants",
        _STRANGER,
        Expected(401, "invalid_token", "rejected"),
        body=_chat("gpt-4o"),
    ),
    Stop(
        "a spoofed tenant",
        "tokens, not headers",
        _ALICE,
        Expected(200, told_tenant=TENANTS["contoso"]),
        path="/agents/assistant/tasks",
        body={"task": "whose is this?"},
        headers={"x-tenant-id": TENANTS["fabrikam"]},
    ),
    Stop(
        "a small budget",
        "cut to what is left",
        _THRIFTY,
        Expected(200, metered=True, mark="clamped"),
        body=_chat("gpt-4o-mini"),
    ),
    Stop(
        "too many requests",
        "limits hold",
        _HASTY,
        Expected(429, "rate_limit_exceeded", "rejected"),
        body=_chat("gpt-4o-mini", max_completion_tokens=20),
        times=6,
    ),
    Stop(
        "an upstream down",
        "errors SDKs can read",
        _ALICE,
        Expected(503, "upstream_unavailable", "upstream_unavailable"),
        body=_chat(_DOWN),
    ),
)


def with_upstream_down(tree: Mapping[str, Any], port: int) -> dict[str, Any]:
    """The configuration with one more upstream, at a port where nobody listens."""
    varied = copy.deepcopy(dict(tree))
    varied["upstreams"] = [
        *varied.get("upstreams", []),
        {
            "name": "down",
            "provider": "openai",
            "url": f"http://127.0.0.1:{port}/v1",
            "models": [{"name": _DOWN, "price": {"input": 1, "output": 1}}],
        },
    ]
    return varied


async def visit(stop: Stop, client: httpx.AsyncClient, state: Path) -> Seen:
    """Send one request, and wait for its completion in the policy server's log."""
    headers = dict(stop.headers)
    if stop.caller is not None:
        headers["authorization"] = f"Bearer {make_token(state, stop.caller)}"
    for _ in range(stop.times - 1):
        await client.post(stop.path, json=stop.body, headers=headers)
    answer = await client.post(stop.path, json=stop.body, headers=headers)
    request_id = answer.headers.get("x-request-id", "")
    completion = await _completion(state / "logs" / "policy.log", request_id)
    usage = completion.get("usage")
    return Seen(
        status=answer.status_code,
        code=_code(answer),
        ending=completion.get("ending", "not settled"),
        tokens=(usage["input"], usage["output"]) if usage else None,
        told_tenant=_told_tenant(answer) if stop.expected.told_tenant else "",
        mark=_mark(completion, stop.expected.mark),
        request_id=request_id,
    )


async def _completion(log: Path, request_id: str) -> dict[str, Any]:
    found: dict[str, Any] = {}

    async def told() -> bool:
        found.update(_find(log, request_id))
        return bool(found)

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_PATIENCE):
            await until(told)
    return found


def _find(log: Path, request_id: str) -> dict[str, Any]:
    """The completion of a request, as the policy server has logged it; empty if it has not."""
    for line in log.read_bytes().splitlines():
        if request_id and line.startswith(b"{") and request_id.encode() in line:
            record: dict[str, Any] = json.loads(line)
            if record.get("event") == "completion" and record.get("request_id") == request_id:
                return record
    return {}


def _mark(completion: Mapping[str, Any], wanted: str) -> str:
    """The word that was wanted, if a mark ends in it: `clamped` for `output_clamped`."""
    return wanted if wanted and any(mark.endswith(wanted) for mark in completion.get("marks", ())) else ""


def _code(answer: httpx.Response) -> str:
    if answer.is_success:
        return ""
    try:
        return str(answer.json()["error"]["code"])
    except (ValueError, KeyError, TypeError):
        return "not in the caller's dialect"


def _told_tenant(answer: httpx.Response) -> str:
    try:
        told = [value for name, value in answer.json()["headers"] if name == "x-tenant-id"]
    except (ValueError, KeyError, TypeError):
        return "unknown"
    return ", ".join(told) or "none"
