"""Durations and sizes as Kubernetes writes them."""

from __future__ import annotations

from typing import Any

import pytest

from extproc.doctor.quantities import seconds, size
from extproc.doctor.tree import Tree, UnreadableError


@pytest.mark.parametrize(
    ("text", "expected"),
    [("5s", 5), ("500ms", 0.5), ("1m30s", 90), ("1h", 3600), ("0s", 0), ("1.5h", 5400), (None, None)],
)
def test_durations(text: str | None, expected: float | None) -> None:
    assert seconds(Tree({"t": text}), "t") == expected


@pytest.mark.parametrize("value", ["5", "s", "", "1s1s1s1s1s", "-1s", 5, [], True])
def test_what_is_no_duration(value: Any) -> None:
    with pytest.raises(UnreadableError, match="t: expected a duration"):
        seconds(Tree({"t": value}), "t")


@pytest.mark.parametrize(
    ("value", "expected"),
    [("50Mi", 50 * 2**20), ("32Ki", 32768), ("1G", 10**9), (52428800, 52428800), ("1.5Mi", 1.5 * 2**20), (None, None)],
)
def test_sizes(value: Any, expected: float | None) -> None:
    assert size(Tree({"s": value}), "s") == expected


@pytest.mark.parametrize("value", ["50 Mi", "Mi", "", -1, True, 1.5, {}, "9" * 400])
def test_what_is_no_size(value: Any) -> None:
    with pytest.raises(UnreadableError, match="s: expected a quantity"):
        size(Tree({"s": value}), "s")
