"""Every failure of Envoy's own is worded in every dialect. What Envoy makes of it: tests/contract."""

from __future__ import annotations

import json

from extproc.envoy_data import load
from extproc.envoy_replies import local_replies


def test_every_failure_of_envoy_has_a_reply_in_every_dialect() -> None:
    table = load("local-replies.yaml")
    mappers = local_replies()
    assert len(mappers) == len(table["causes"]) * len(table["dialects"])
    for index, mapper in enumerate(mappers):
        cause = table["causes"][index // len(table["dialects"])]
        dialect = table["dialects"][index % len(table["dialects"])]["dialect"]
        body = json.loads(mapper["body_format_override"]["text_format_source"]["inline_string"])
        found = body["error"]["data"]["code"] if dialect == "jsonrpc" else body["error"]["code"]
        assert (found, mapper["status_code"]) == (cause["code"], cause["answer"])
        if not cause.get("unnamed"):
            assert mapper["headers_to_add"][0]["header"] == {"key": "x-request-id", "value": "%REQ(X-REQUEST-ID)%"}
        assert "%" not in cause["message"]
    # The last cause takes whatever is left, and its last dialect whoever is left.
    assert set(table["causes"][-1]) == {"code", "answer", "message"}
    assert table["dialects"][-1]["prefixes"] == []
