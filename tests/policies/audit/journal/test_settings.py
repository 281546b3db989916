"""The journal's settings: what may be said."""

from __future__ import annotations

import os
import re

import pytest
from pydantic import ValidationError

from policies.audit.journal.settings import JournalSettings


def test_defaults() -> None:
    chosen = JournalSettings.model_validate({"folder": "/journal"})
    assert (chosen.durability, chosen.full, chosen.flush_ms, chosen.sync_ms) == ("batch", "closed", 5, 50)
    assert chosen.queue_bytes == chosen.segment_bytes == 64 * 1_024 * 1_024
    assert re.sub(r"\W", "", chosen.instance) in re.sub(r"\W", "", os.uname().nodename)


@pytest.mark.parametrize("name", ["a", "gate-1.example", "A_b.c-0"])
def test_names_of_instances(name: str) -> None:
    assert JournalSettings(folder="x", instance=name).instance == name


@pytest.mark.parametrize(
    "wrong",
    [
        {"instance": "../up"},
        {"instance": ".hidden"},
        {"instance": ""},
        {"instance": "a/b"},
        {"instance": "x" * 65},
        {"folder": ""},
        {"queue_bytes": 10},
        {"durability": "none"},
        {"full": "ajar"},
        {"segment_age": 0},
        {"strict_timeout": 0},
        {"signing_key": "the key itself"},
        {"unknown": 1},
    ],
)
def test_what_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        JournalSettings.model_validate({"folder": "/journal"} | wrong)
