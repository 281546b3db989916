"""What is settled. Each defect is found in each profile, and nothing else with it."""

from __future__ import annotations

import pytest

from tests.extproc.doctor import variants
from tests.extproc.doctor.broken import both, found


@pytest.mark.parametrize(("variant", "profile"), both(variants.SETTLING))
def test_a_defect_is_found_and_nothing_else(variant: variants.Variant, profile: str) -> None:
    assert found(variant, profile) == {variant.code}
