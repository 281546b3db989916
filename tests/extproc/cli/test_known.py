from __future__ import annotations

from typing import Any

import pytest

from extproc.cli.known import roles, tenants
from extproc.configured import read_tree
from extproc.embedded.demo_tokens import TENANTS
from extproc.embedded.scheme import fill_in
from extproc.embedded.stack import DEMO
from extproc.settings import parse


@pytest.mark.parametrize("odd", [None, "x", 1, [1, None, {}], {"a": 1}])
def test_what_has_another_shape_is_nothing_known(odd: Any) -> None:
    settings = parse({"policies": [{"policy": "p", "settings": {"tenants": odd}}]})
    assert tenants(settings) == []
    assert roles(settings) == {}


def test_the_demo() -> None:
    settings = parse(fill_in(read_tree(DEMO), {}))
    assert tenants(settings) == list(TENANTS.items())
    assert list(roles(settings)) == ["OrgAdmin", "DeptAdmin", "TeamLead", "User", "ReadOnly"]


def test_a_tenant_without_a_name_goes_by_its_id() -> None:
    settings = parse({"policies": [{"policy": "p", "settings": {"tenants": [{"id": "AB"}]}}]})
    assert tenants(settings) == [("AB", "ab")]
