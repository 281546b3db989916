"""The parts of the limits policy, put together: what is known of zones, and when it is ready."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from extproc.catalogue import Catalogue, Model, Provider, Upstream
from extproc.policy import Surroundings
from policies.limits.settings import LimitsSettings
from policies.limits.store import Zone
from policies.limits.tokens.models import Vocabulary
from policies.limits.workings import Workings, zones


def test_a_zone_is_worked_out_anew_as_time_goes_on() -> None:
    berlin = zones(ZoneInfo("Europe/Berlin"))
    winter, summer = (datetime(2026, month, 1, tzinfo=UTC).timestamp() for month in (1, 7))
    assert berlin(winter).offset == 3_600
    assert berlin(winter + 599) is berlin(winter)
    assert berlin(summer).offset == 7_200
    # Also where the clock goes back.
    assert berlin(winter).offset == 3_600
    assert zones(ZoneInfo("UTC"))(winter) == Zone(0, 2**53, 0)


async def test_without_redis_it_starts_says_that_it_is_not_ready_and_stops(tmp_path: Path) -> None:
    models = (Model("gpt-4o"), Model("gpt-4", tokenizer="o200k"), Model("claude-*"))
    catalogue = Catalogue(upstreams=(Upstream("main", Provider.OPENAI, models=models),))
    settings = LimitsSettings.model_validate({"redis": {"url": f"unix://{tmp_path}/none.sock"}})
    workings = Workings.of(settings, Surroundings(catalogue, time.time))
    assert set(workings.vocabularies) == {Vocabulary.O200K, Vocabulary.ANTHROPIC}
    await workings.start()
    assert "Redis" in str(workings.readiness())
    assert workings.counters()["settled"] == 0
    await workings.stop()
