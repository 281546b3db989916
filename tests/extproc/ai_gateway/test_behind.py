from __future__ import annotations

import logging

import pytest

from extproc.ai_gateway.behind import LACKS, Standing, is_named
from tests.extproc.world import request

UUID = "64a2f0ff-27d5-4ff8-8bf1-1fc151c61641"


@pytest.mark.parametrize(
    ("headers", "named"),
    [
        ((), False),
        ((("x-ai-eg-internal-req-id", f"req-1-{UUID}"),), True),
        # What a client says: it knows no id that Envoy is about to make.
        ((("x-ai-eg-internal-req-id", f"req-2-{UUID}"),), False),
        ((("x-ai-eg-internal-req-id", "req-1"),), False),
        ((("x-ai-eg-internal-req-id", f"-{UUID}"),), False),
        ((("x-ai-eg-model", "gpt-4o"),), False),
        # AI Gateway's beside a client's own.
        ((("x-ai-eg-internal-req-id", "lie"), ("x-ai-eg-internal-req-id", f"req-1-{UUID}")), True),
    ],
)
def test_ai_gateway_has_named_a_request_by_envoys_id(headers: tuple[tuple[str, str], ...], named: bool) -> None:
    assert is_named(request(headers=headers)) is named


def test_a_request_without_an_id_is_named_by_nobody() -> None:
    nameless = request(headers=(("x-ai-eg-internal-req-id", f"-{UUID}"),))
    assert not is_named(type(nameless)("POST", "/", "", "", "", nameless.headers, ""))


def test_it_is_remembered_for_a_minute_and_said_once_in_it(caplog: pytest.LogCaptureFixture) -> None:
    now = [100.0]
    standing = Standing(lambda: now[0])
    with caplog.at_level(logging.ERROR):
        assert standing.lacking() is None
        assert not caplog.records
        for moment in (100.0, 130.0, 159.0):
            now[0] = moment
            standing.saw_behind()
            assert standing.lacking() == LACKS
        assert len(caplog.records) == 1
        now[0] = 161.0
        standing.saw_behind()
        assert len(caplog.records) == 2
        now[0] = 220.9
        assert standing.lacking() == LACKS
        now[0] = 221.0
        assert standing.lacking() is None
