"""The chart has the dashboards and rules as they are."""

from __future__ import annotations

from k8s.chart_files import COPIED, TARGET, originals


def test_the_copies_are_equal() -> None:
    pairs = list(originals())
    assert len(pairs) >= 7
    differing = [str(target) for path, target in pairs if not target.exists() or target.read_bytes() != path.read_bytes()]
    assert differing == [], "python -m k8s.chart_files"


def test_there_is_no_copy_of_what_is_gone() -> None:
    held = {path for pattern in COPIED for path in TARGET.glob(pattern)}
    assert held == {target for _, target in originals()}
