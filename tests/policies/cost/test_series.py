"""The metrics that there are, and how many series they may have."""

from __future__ import annotations

import pytest

from extproc.metrics import Metrics
from extproc.price import Portions
from extproc.snapshots import read
from policies.cost.series import TYPES, CostSeries


def test_room_is_for_all_tenants_models_and_kinds() -> None:
    series = CostSeries(Metrics(), tenants=100, pinned=("a",), models=20, tags=3)
    # 100, the pinned one, `other` and `none`; 20, `other` and `none`; and one for what there is no room for.
    assert series.cost.definition.room == 103 * 22 + 1
    assert series.tokens.definition.room == 103 * 22 * 8 + 1
    assert series.requests.definition.room == 103 * 22 * 9 + 1
    assert series.seconds.definition.room == 103 * 22 + 1
    assert series.tagged.definition.room == 4


def test_they_are_made_once() -> None:
    metrics = Metrics()
    CostSeries(metrics, tenants=1, pinned=(), models=1, tags=0)
    with pytest.raises(ValueError, match="already"):
        CostSeries(metrics, tenants=1, pinned=(), models=1, tags=0)


def test_every_type_of_token_has_a_name_and_no_token_two() -> None:
    metrics = Metrics()
    series = CostSeries(metrics, tenants=1, pinned=(), models=1, tags=0)
    tokens = Portions(1, 1, 1, 2, 1, 1, 1, 1, 9)
    series.count_tokens("t", "m", tokens)
    told = [one for piece in metrics.take() if (one := read(piece)) is not None]
    values = {
        labels[2]: value
        for part in told
        for one in part.series
        if one.definition.name == "ai_tokens_total"
        for labels, value in one.values
    }
    assert values == dict.fromkeys(TYPES, 1)
    assert sum(values.values()) == tokens.total  # type: ignore[arg-type]
