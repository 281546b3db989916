from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.consistency import inconsistencies


@pytest.mark.parametrize(
    ("tree", "paths"),
    [
        ({}, []),
        (
            {"upstreams": [{"name": "a"}, {"name": "b"}, {"name": "a"}, {"name": "a"}]},
            ["upstreams[2].name", "upstreams[3].name"],
        ),
        ({"upstreams": [{"name": "a"}], "agents": [{"name": "b"}, {"name": "a"}]}, ["agents[1].name"]),
        ({"upstreams": [{"name": "a"}], "opaque": [{"name": "f", "upstream": "b"}]}, ["opaque[0].upstream"]),
        ({"opaque": [{"name": "f"}, {"name": "f"}]}, ["opaque[1].name"]),
        ({"policies": [{"policy": "p"}, {"policy": "q"}, {"policy": "p"}]}, ["policies[2].policy"]),
        ({"upstreams": None, "agents": "x", "opaque": [1], "policies": {}}, []),
        ({"upstreams": [{"name": 1}, {"name": 1}, {"name": None}]}, []),
    ],
)
def test_what_does_not_fit_together(tree: dict[str, Any], paths: list[str]) -> None:
    assert [line.partition(":")[0] for line in inconsistencies(tree)] == paths


def test_a_route_to_nowhere_has_a_hint() -> None:
    tree = {"upstreams": [{"name": "azure-east"}], "opaque": [{"name": "f", "upstream": "azure-eats"}]}
    assert inconsistencies(tree) == ["opaque[0].upstream: there is no upstream 'azure-eats' (did you mean 'azure-east'?)"]


TREES = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "policy", "upstream"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["upstreams", "agents", "opaque", "policies"]), TREES))
def test_whatever_is_there_it_is_no_crash(tree: dict[str, Any]) -> None:
    assert all(": " in line for line in inconsistencies(tree))
