"""Every case of the corpus, alone and inside of a JSON value."""

from __future__ import annotations

import json

import pytest

from tests.policies.audit.redaction.samples import Case, corpus, redactor, without_hashes

CASES = corpus()
REDACTOR = redactor()


def _redacted(text: str) -> str:
    kept = REDACTOR.text(text)
    return text if kept == text else without_hashes(kept)


def test_the_corpus_is_as_large_as_it_should_be() -> None:
    assert len({case.text for case in CASES}) >= 350
    assert len({case.kind for case in CASES}) >= 30
    assert len([case for case in CASES if case.text == case.redacted]) >= 120


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kind}: {case.text[:40]!r}")
def test_text(case: Case) -> None:
    assert _redacted(case.text) == case.redacted


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kind}: {case.text[:40]!r}")
def test_what_was_redacted_stays_as_it_is(case: Case) -> None:
    once = REDACTOR.text(case.text)
    assert REDACTOR.text(once) == once


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kind}: {case.text[:40]!r}")
def test_the_same_in_a_json_value(case: Case) -> None:
    kept = REDACTOR.tree({"messages": [{"content": case.text}]})["messages"][0]["content"]
    assert kept == REDACTOR.text(case.text)


@pytest.mark.parametrize("case", [case for case in CASES if case.text != case.redacted], ids=lambda case: case.text[:40])
def test_json_in_a_json_string_hides_nothing(case: Case) -> None:
    written = json.dumps({"note": case.text})
    kept = REDACTOR.text(written)
    assert kept != written
    assert isinstance(json.loads(kept), dict)
