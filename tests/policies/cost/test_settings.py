"""Settings of the cost policy: what is wrong with them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from policies.cost.settings import CostSettings

TAG = {"name": "project", "header": "x-project", "values": ["apollo"]}


def test_nothing_need_be_said() -> None:
    assert (CostSettings().tenants, CostSettings().pinned, CostSettings().tags) == (100, (), ())


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"tenants": -1}, "greater than or equal to 0"),
        ({"tenants": 1_001}, "less than or equal to 1000"),
        ({"tenants": "100"}, "valid integer"),
        ({"pinned": ["x" * 129]}, "at most 128"),
        ({"pinned": ["two words"]}, "match pattern"),
        ({"tags": [TAG, TAG]}, "two tags have the name 'project'"),
        ({"tags": [{**TAG, "name": "Project"}]}, "match pattern"),
        ({"tags": [{**TAG, "header": "X-Project"}]}, "match pattern"),
        ({"tags": [{**TAG, "values": []}]}, "at least 1"),
        ({"tags": [{**TAG, "values": ["a", "a"]}]}, "stands twice"),
        ({"tags": [{**TAG, "values": ["other"]}]}, "'other' has a meaning already"),
        ({"tags": [{**TAG, "values": ["none"]}]}, "'none' has a meaning already"),
        ({"tags": [{**TAG, "name": f"t{index}"} for index in range(9)]}, "at most 8"),
        ({"users": True}, "Extra inputs"),
    ],
)
def test_what_is_wrong(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        CostSettings.model_validate(settings)
