"""Envoy's configuration is data, and filled in without surprises."""

from __future__ import annotations

import pytest

from extproc.envoy_data import data_directory, fill


def test_filling_in() -> None:
    template = {"a": "$one", "b": ["$two", "x$one", "$none"], "c": "$none", "d": {"e": "$none"}}
    values = {"one": 1, "two": {"$": "$one"}, "none": None}
    assert fill(template, values) == {"a": 1, "b": [{"$": "$one"}, "x$one"], "d": {}}
    with pytest.raises(KeyError):
        fill({"a": "$other"}, values)


def test_envoy_is_data() -> None:
    """`envoy` is the package of Envoy's protobufs: a Python file here would hide it."""
    assert {path.suffix for path in data_directory().rglob("*") if path.is_file()} <= {".yaml", ".lua", ".md"}
