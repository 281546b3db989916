"""What a completion says of itself."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from extproc.call import Call, Operation
from extproc.completion import Completion, EndedBy, Ending, Usage, Verdict, by_type
from extproc.exchange import Dialect
from extproc.identity import CallerKind, Identity

CALL = Call(Operation.CHAT, Dialect.OPENAI, model="gpt-4o")


def completion(*facts: object, **changes: Any) -> Completion:
    values: dict[str, Any] = {
        "id": "ex-1",
        "request_id": "req-1",
        "method": "POST",
        "path": "/v1/chat/completions",
        "status": 200,
        "verdict": Verdict.ALLOW,
        "ending": Ending.ANSWERED,
        "ended_by": EndedBy.UPSTREAM,
        "started": datetime(2026, 11, 21, tzinfo=UTC),
        "duration": 1.0,
        "first_byte": 0.5,
        "bytes_in": 1,
        "bytes_out": 2,
        "facts": by_type(facts),
    }
    return Completion(**{**values, **changes})


def test_facts_are_found_by_their_type() -> None:
    identity = Identity("t", "u", "a", CallerKind.USER)
    made = completion(CALL, identity)
    assert (made.call, made.identity, made.get(Usage)) == (CALL, identity, None)
    assert (completion().call, completion().identity) == (None, None)


@pytest.mark.parametrize(
    ("facts", "changes", "unmetered"),
    [
        ([CALL], {}, True),
        ([CALL], {"usage": Usage(1, 2, 3)}, False),
        ([CALL], {"status": 500}, False),
        ([CALL], {"ending": Ending.CLIENT_GONE}, False),
        ([CALL], {"ending": Ending.RESPONDED}, False),
        ([], {}, False),
        ([Call(Operation.AGENT, Dialect.OPENAI)], {}, False),
        ([Call(Operation.COUNT_TOKENS, Dialect.ANTHROPIC)], {}, False),
        ([Call(Operation.MESSAGES, Dialect.ANTHROPIC)], {}, True),
    ],
)
def test_tokens_that_nobody_counted(facts: list[object], changes: dict[str, Any], unmetered: bool) -> None:
    assert completion(*facts, **changes).unmetered is unmetered
