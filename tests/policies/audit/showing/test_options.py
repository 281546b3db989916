"""The filter that was typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from extproc.mistakes import ConfigurationError
from policies.audit.showing.configured import Configured
from policies.audit.showing.filters import Filter, FilterError
from policies.audit.showing.options import configured, located, wanted
from policies.audit.showing.times import TimeError
from tests.policies.audit.showing.typed import configuration


def test_all_of_it() -> None:
    begin, end = "2026-11-01T09:30", "2026-11-02"
    found = wanted(
        tenant=["contoso"],
        model=[],
        event=["limit.*", "access.*"],
        decision=["reject"],
        request_id="r",
        exchange="x",
        session="s",
        begin=begin,
        end=end,
    )
    assert found == Filter(
        tenant=("contoso",),
        event=("limit.*", "access.*"),
        decision=("reject",),
        request_id="r",
        exchange="x",
        session="s",
        earliest="2026-11-01T09:30:00.000000Z",
        before="2026-11-03T00:00:00.000000Z",
    )
    assert wanted() == Filter()
    assert wanted(begin="2d").earliest < wanted(begin="1d").earliest < wanted(end="now").before


def test_what_cannot_be_meant() -> None:
    with pytest.raises(TimeError, match="--to soon"):
        wanted(end="soon")
    with pytest.raises(FilterError, match="--decision deny"):
        wanted(decision=["deny"])


def test_the_configuration_that_is_meant(tmp_path: Path) -> None:
    config = configuration(tmp_path)
    found = located(config, state=tmp_path)
    assert found.folder == tmp_path / "journal"
    assert found == located(config_option=config) == configured(config) == configured(config_option=config)
    assert located(folder=tmp_path) == Configured(tmp_path, {"journal": {"folder": str(tmp_path)}}, str(tmp_path))
    with pytest.raises(ConfigurationError, match="not both"):
        located(config_option=config, folder=tmp_path)
