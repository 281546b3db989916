"""Kinds of limit: named in the configuration, in refusals and in Redis."""

from __future__ import annotations

import pytest

from policies.limits.limit import KINDS, Kind, Measure, Window
from policies.limits.settings import LimitEntry


def test_the_kinds_there_are() -> None:
    assert [(kind.name, kind.measure, kind.window) for kind in KINDS.values()] == [
        ("requests_per_minute", Measure.REQUESTS, Window.MINUTE),
        ("requests_per_day", Measure.REQUESTS, Window.DAY),
        ("requests_per_month", Measure.REQUESTS, Window.MONTH),
        ("tokens_per_minute", Measure.TOKENS, Window.MINUTE),
        ("tokens_per_day", Measure.TOKENS, Window.DAY),
        ("tokens_per_month", Measure.TOKENS, Window.MONTH),
        ("dollars_per_day", Measure.DOLLARS, Window.DAY),
        ("dollars_per_month", Measure.DOLLARS, Window.MONTH),
        ("parallel_requests", Measure.PARALLEL, Window.NONE),
    ]


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_a_kind_is_known_by_its_name_everywhere(kind: Kind) -> None:
    assert KINDS[kind.name] is kind
    assert kind.name in LimitEntry.model_fields
    assert len(kind.counter) <= 4
    assert kind.counter.isalpha()


def test_counters_of_a_subject_differ() -> None:
    assert len({kind.counter for kind in KINDS.values()}) == len(KINDS)
