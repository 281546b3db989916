"""The groups that a token states, and whether it states all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from policies.entra.issuer import GUID
from policies.entra.mapped import Notes


def read_groups(claims: Mapping[str, Any]) -> tuple[frozenset[str], bool, Notes]:
    """Groups, whether they are known, and notes.

    A token carries at most 200 groups (6 in the implicit flow). Beyond that `groups` is absent and `_claim_names` or
    `hasgroups` says so: the groups are then unknown, which is not the same as none. The endpoint in `_claim_sources` is
    never read: it is obsolete, and an address that a caller brings along.
    """
    names = claims.get("_claim_names", {})
    elsewhere = not isinstance(names, dict) or "groups" in names
    if elsewhere or claims.get("hasgroups", False) is not False:
        return frozenset(), False, ("groups are unknown: more than the token can carry",)
    groups = claims.get("groups", [])
    if not isinstance(groups, list) or not all(isinstance(group, str) and GUID.fullmatch(group) for group in groups):
        # Names instead of object ids (an option of the API's registration) can be given to another group later.
        return frozenset(), False, ("groups are unknown: the claim does not hold object ids",)
    return frozenset(groups), True, ()
