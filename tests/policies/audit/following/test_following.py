"""A sink and how it is followed."""

from __future__ import annotations

from policies.audit.following.following import Following
from tests.policies.audit.following.rigs import Recorder, settings


def test_its_name_is_that_of_its_settings() -> None:
    following = Following(settings(name="siem"), Recorder("other"))
    assert following.name == "siem"
    assert following.redact is None
