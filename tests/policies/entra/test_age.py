"""How old the keys are, for Prometheus."""

from __future__ import annotations

from extproc.catalogue import Catalogue
from extproc.metrics import Metrics
from extproc.policy import Surroundings
from extproc.snapshots import read
from policies.entra import EntraPolicy
from tests.policies.entra.world import Clock, settings


async def test_the_age_of_keys_is_that_of_the_oldest_in_any_process() -> None:
    clock, metrics = Clock(), Metrics()
    around = Surroundings(Catalogue(), clock, metrics=metrics)
    # Nobody listens there.
    policy = EntraPolicy.build(settings(fetch_from="http://127.0.0.1:1"), around)
    await policy.start()
    try:
        clock.now += 90.7
        told = [one for piece in metrics.take() if (one := read(piece)) is not None]
        (series,) = [one for part in told for one in part.series]
        assert (series.definition.name, series.definition.merge) == ("sluicegate_entra_keys_age_seconds", "max")
        assert series.values == [((), 90)]
    finally:
        await policy.stop()
