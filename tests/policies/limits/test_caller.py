"""Who a caller is, for the limits: of an identity, a call and a session."""

from __future__ import annotations

import pytest

from extproc.call import Call, Operation
from extproc.exchange import Dialect
from extproc.identity import CallerKind, Identity
from policies.limits.plan import Caller
from tests.policies.limits.world import caller

IDENTITY = Identity(
    "t-1", "alice", "chat-ui", CallerKind.USER, frozenset({"User"}), tenant_name="contoso", department="R&D"
)


@pytest.mark.parametrize(
    ("call", "session", "model", "agent"),
    [
        (Call(Operation.CHAT, Dialect.OPENAI, "gpt-4o"), "", "gpt-4o", ""),
        (Call(Operation.CHAT, Dialect.OPENAI, "gpt-4o"), "s1", "gpt-4o", ""),
        (Call(Operation.AGENT, Dialect.OPENAI, route="kb"), "", "", "kb"),
        (Call(Operation.OPAQUE, Dialect.OPENAI, route="files"), "", "", ""),
        (Call(Operation.MODELS, Dialect.OPENAI), "", "", ""),
    ],
)
def test_who_calls(call: Call, session: str, model: str, agent: str) -> None:
    assert Caller.of(IDENTITY, call, session) == caller(model=model, agent=agent, session=session)
