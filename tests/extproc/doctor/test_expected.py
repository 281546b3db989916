"""What is expected follows the configuration."""

from __future__ import annotations

import json

from extproc.doctor.expected import DEFAULTS, INTERNAL_FIELDS, of
from extproc.doctor.reading import report
from extproc.edits import STREAM_HEADER, UPSTREAM_HEADER
from tests.extproc.doctor.broken import plain
from tests.gateway import settings

CHANGES = {
    "server": {"listen": "unix:/x", "decision_timeout": 20},
    "timeouts": {"idle": 300, "stream_idle": 400, "total": 900},
    "max_body_bytes": 60_000_000,
}


def test_a_configuration_without_limits_expects_the_defaults() -> None:
    assert of(settings("http://127.0.0.1:9")) == DEFAULTS


def test_what_envoy_was_rendered_for_is_not_what_another_configuration_expects() -> None:
    expected = of(settings("http://127.0.0.1:9", **CHANGES))
    found = report(json.dumps(plain()), expected)
    assert {finding.code for finding in found.findings} == {"message_timeout", "silence_cut", "answer_cut", "body_limit"}
    assert report(json.dumps(plain(**CHANGES)), expected).findings == []


def test_fields_are_those_that_the_verdict_sets() -> None:
    assert set(INTERNAL_FIELDS) == {UPSTREAM_HEADER, STREAM_HEADER}
