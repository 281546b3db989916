"""Bootstraps: both spellings of Envoy's members."""

from __future__ import annotations

from typing import Any

import pytest

from extproc.doctor import bootstraps
from extproc.doctor.examination import examine
from extproc.doctor.tree import UnreadableError
from tests.extproc.doctor.broken import plain


def camel(value: Any, *, named: bool = False) -> Any:
    if isinstance(value, list):
        return [camel(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {}
    for key, member in value.items():
        first, *rest = key.split("_")
        name = key if named or key == "@type" else first + "".join(word.capitalize() for word in rest)
        found[name] = camel(member, named=key in {"typed_per_filter_config", "typed_extension_protocol_options"})
    return found


def test_members_in_camel_case_are_the_same() -> None:
    tree = plain()
    assert bootstraps.snake(camel(tree)) == tree
    assert bootstraps.is_bootstrap(camel(tree))
    assert examine(bootstraps.gateway_of(camel(tree))) == []


def test_names_that_somebody_gave_stay_as_they_are() -> None:
    tree = {"typedPerFilterConfig": {"myFilter": {"perRoute": 1}}}
    assert bootstraps.snake(tree) == {"typed_per_filter_config": {"myFilter": {"per_route": 1}}}


def test_a_bootstrap_that_names_a_management_server_says_nothing() -> None:
    with pytest.raises(UnreadableError, match="management server"):
        bootstraps.gateway_of({"static_resources": {"clusters": [{"name": "xds"}]}, "dynamic_resources": {}})


def test_it_does_not_say_its_version() -> None:
    assert len(bootstraps.gateway_of(plain()).unknown) == 1
