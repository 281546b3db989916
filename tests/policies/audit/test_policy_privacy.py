"""What the audit policy does not write down: prompts, secrets, and who it was where that is not to be known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from extproc.call import Payload
from extproc.completion import Completion, Decision
from extproc.exchange import Exchange
from extproc.outcome import Reject
from extproc.recorder import Event, Recorder
from policies.audit.redaction.kinds import LABEL
from tests.policies.audit.kept import PROMPT, asked, keeping, lines, recorded, verdict
from tests.policies.audit.redaction.samples import OWN_PATTERN, PLANTED
from tests.policies.audit.world import ALICE, CHAT, OPENAI, completion, exchange


@pytest.mark.parametrize(
    ("capture", "body", "captured"),
    [
        ({}, b"{}", False),
        ({"tenants": ["fabrikam"]}, b"{}", False),
        ({"tenants": ["contoso"]}, b"{}", True),
        ({"tenants": ["t-*"]}, b"{}", True),
        ({"tenants": ["contoso"], "max_bytes": 9}, b"x" * 10, False),
    ],
)
async def test_prompts(tmp_path: Path, capture: dict[str, Any], body: bytes, captured: bool) -> None:
    async with keeping(tmp_path, capture=capture) as policy:
        assert await verdict(policy, asked(body=body)) is None
    assert (PROMPT in lines(tmp_path)) is captured
    (decision,) = recorded(tmp_path)
    assert decision.params["temperature"] == 1
    assert ("messages" in decision.params) is captured


async def test_a_prompt_that_is_refused_is_captured_as_strictly(tmp_path: Path) -> None:
    async with keeping(tmp_path, capture={"tenants": ["contoso"]}, journal={"durability": "strict"}) as policy:
        assert await verdict(policy, asked(), Reject(403, "no", "No.")) is None
        assert policy.counters()["synced"] == policy.counters()["appended"]
        # Nobody knows whose it is.
        assert await verdict(policy, asked(CHAT, Payload({"messages": "Who am I?"}))) is None
    assert PROMPT in lines(tmp_path)
    assert "Who am I?" not in lines(tmp_path)


def planted(value: str) -> tuple[Exchange, Completion, Event]:
    """An exchange with this wherever a client can put it, its end, and something else that happened."""
    members = {
        "model": value,
        "service_tier": value,
        "tool_choice": {"name": value, value: [value]},
        "messages": [{"role": "user", "content": f"Is {value} mine?"}],
        "metadata": {"key": value},
    }
    names = ("x-session-id", "traceparent", "authorization", "cookie", "x-api-key", "user-agent", "x-other")
    made = exchange(
        *(ALICE, replace(CHAT, model=value), OPENAI, Payload(members)),
        headers=dict.fromkeys(names, value),
        path=f"/v1/{value}/x",
    )
    made.request = replace(made.request, request_id=value, query=f"key={value}")
    made.body = b"{}"
    told = Decision("access", "reject", "no_model", f"the model {value} is not known")
    ended = completion(
        *(ALICE, replace(CHAT, model=value), OPENAI),
        request_id=value,
        path=f"/v1/{value}",
        backend=value,
        response_model=value,
        details=f"reset{{{value}}}",
        decisions=(told,),
    )
    return made, ended, Event("limit.changed", {"subject": f"contoso/user={value}", "by": value, "why": value})


@pytest.mark.parametrize(("value", "secret"), PLANTED)
async def test_no_line_holds_a_secret(tmp_path: Path, value: str, secret: str) -> None:
    recorder = Recorder()
    capture = {"tenants": ["contoso"]}
    async with keeping(tmp_path, recorder, capture=capture, redaction={"patterns": OWN_PATTERN}) as policy:
        made, ended, event = planted(value)
        refusal = Reject(404, "no_model", "No.", why=f"the model {value} is not known")
        for outcome in (None, refusal):
            await verdict(policy, made, outcome, *ended.decisions)
        policy.on_settle(ended)
        recorder.tell(event)
    assert len(recorded(tmp_path)) == 4
    assert secret not in lines(tmp_path)
    decision, *_ = recorded(tmp_path)
    assert LABEL.search(decision.model)
    assert "mine?" in lines(tmp_path)


async def test_users_of_some_tenants_stand_under_pseudonyms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDACTION_KEY", "k" * 32)
    async with keeping(tmp_path, redaction={"key": {"env": "REDACTION_KEY"}, "pseudonymise": ["contoso"]}) as policy:
        await verdict(policy, asked())
        policy.on_settle(completion(ALICE, CHAT, OPENAI))
        await verdict(policy, asked(replace(ALICE, tenant_name="fabrikam"), CHAT))
    one, other, plain = (record.user_id for record in recorded(tmp_path))
    assert one == other != "alice"
    assert one.startswith("user-")
    assert plain == "alice"
