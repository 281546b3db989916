"""What counts as seen of which kind."""

from __future__ import annotations

from typing import Any

import pytest

from loadtests.chaos.sightings import SIGHTS, sightings
from policies.audit.record import Tokens
from tests.policies.audit.world import closing, decision

CACHED = Tokens(cached_input=2, cache_write=3, cache_write_1h=4, input=5, output=6, total=20)
PLAIN = Tokens(input=5, output=6, total=11)
KEPT = {
    "messages, cache read",
    "messages, cache written for five minutes",
    "messages, cache written for an hour",
    "messages, cache read and written both ways",
}


@pytest.mark.parametrize(
    ("members", "seen"),
    [
        ({"operation": "chat", "tokens": PLAIN}, {"chat"}),
        ({"operation": "chat", "tokens": PLAIN, "stream": True}, {"chat, streamed"}),
        ({"operation": "chat", "tokens": PLAIN, "stream": True, "ending": "client_gone"}, {"chat, client gone midway"}),
        ({"operation": "chat", "tokens": PLAIN, "stream": True, "ending": "upstream_cut"}, {"chat, upstream cut midway"}),
        ({"operation": "chat", "tokens": PLAIN, "marks": ("output_clamped",)}, {"chat", "chat, clamped"}),
        # Nothing was counted: it shows nothing.
        ({"operation": "chat"}, set()),
        ({"operation": "chat", "marks": ("output_clamped",)}, set()),
        ({"operation": "messages", "tokens": CACHED}, {"messages", *KEPT}),
        ({"operation": "messages", "tokens": Tokens(cached_input=3, total=3)}, {"messages", "messages, cache read"}),
        ({"operation": "chat", "tokens": CACHED}, {"chat"}),
        (
            {"operation": "messages", "stream": True, "tokens": Tokens(input=1, total=1, tool_calls=2)},
            {"messages, streamed", "messages, searched"},
        ),
        (
            {"operation": "responses", "tokens": Tokens(output=9, reasoning=4, total=9)},
            {"responses", "responses, reasoned"},
        ),
        ({"operation": "embeddings", "tokens": Tokens(input=4, total=4)}, {"embeddings"}),
        ({"operation": "chat", "ending": "rejected", "status": 429}, {"refused by a limit"}),
        ({"operation": "chat", "ending": "rejected", "status": 403}, set()),
        ({"operation": "chat", "status": 503}, {"refused by the upstream"}),
        (
            {"operation": "chat", "tokens": PLAIN, "basis": "estimate"},
            {"chat", "without usage, charged as reserved"},
        ),
    ],
)
def test_a_closing_is_of_these_kinds(members: dict[str, Any], seen: set[str]) -> None:
    own: dict[str, Any] = {"ending": "answered", "status": 200, "tokens": None}
    found = sightings([closing(1, **own | members).record])
    assert {name for name, count in found.items() if count} == seen
    # What nobody saw is told as well.
    assert found.keys() == SIGHTS.keys()


def test_decisions_are_not_seen() -> None:
    assert not sightings([decision(1, operation="chat", tokens=PLAIN, ending="answered").record]).total()
