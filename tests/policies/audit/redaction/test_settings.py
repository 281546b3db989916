from __future__ import annotations

import pytest
from pydantic import ValidationError

from policies.audit.redaction import Kind, RedactionSettings
from policies.audit.redaction.settings import DROPPABLE


def test_everything_is_looked_for_unless_configured() -> None:
    settings = RedactionSettings()
    assert settings.classes == tuple(Kind)
    assert (settings.patterns, settings.pseudonymise, settings.drop, settings.longest) == ({}, (), (), 1 << 20)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"classes": ["emails"]}, "Input should be"),
        ({"patterns": {"Email": "x"}}, "lower case"),
        ({"patterns": {"email": "x"}}, "none of the classes"),
        ({"patterns": {"user": "x"}}, "none of the classes"),
        ({"patterns": {"a": "x+"}}, "no upper bound"),
        ({"pseudonymise": ["*"]}, "needs a `key`"),
        ({"pseudonymise": [""], "key": {"env": "K"}}, "a tenant or a glob"),
        ({"drop": ["timestamp"]}, "can be without"),
        ({"drop": ["redacted"]}, "can be without"),
        ({"drop": ["nothing"]}, "can be without"),
        ({"longest": 1}, "greater than or equal"),
        ({"other": 1}, "Extra inputs"),
    ],
)
def test_refused(given: dict[str, object], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        RedactionSettings.model_validate(given)


def test_members_have_the_names_of_json() -> None:
    assert DROPPABLE["url.path"] == "path"
    assert DROPPABLE["params"] == "params"
    assert not {"event", "journal", "previous", "sequence"} & set(DROPPABLE)
