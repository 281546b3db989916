"""Which filter is which: the policy filter, the guard, the meter, AI Gateway's. By what they do; names are free. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from functools import lru_cache
from typing import Final

from extproc.doctor.expected import NAMESPACE
from extproc.doctor.tree import Tree
from extproc.doctor.view import Active, Filter, Manager, Route
from extproc.envoy_data import data_directory

EXT_PROC: Final = "ExternalProcessor"
_OF_ENVOY_GATEWAY: Final = "envoy.filters.http.ext_proc/"
_AI_GATEWAY: Final = "aigateway"
_COMMENT: Final = re.compile(r"--\[(=*)\[.*?\]\1\]|--[^\n]*", re.DOTALL)
_CHANGING: Final = re.compile(
    r"\b(?:add|replace|setBytes|body|bodyChunks|respond|httpCall|setUpstreamOverrideHost|clearRouteCache)\b"
)
"""Functions of Envoy's Lua that change a request, or need not leave it as it is."""
_OWN_PREFIX: Final = "sluicegate."


def is_ai_gateway(each: Filter) -> bool:
    """Whether this is the filter by which Envoy AI Gateway works."""
    return each.type == EXT_PROC and each.name.endswith(f"/{_AI_GATEWAY}")


def is_of_envoy_gateway(manager: Manager) -> bool:
    """Whether Envoy Gateway made it, with AI Gateway or without: some of it is then not ours to say."""
    return any(is_ai_gateway(each) or each.name.startswith(_OF_ENVOY_GATEWAY) for each in manager.filters)


def policies(manager: Manager) -> list[Filter]:
    """The policy filters of a connection manager, in order: there should be one.

    Known by the metadata that it may write or by its name; else whatever external processor is not AI Gateway's.
    """
    processors = [each for each in manager.filters if each.type == EXT_PROC and not is_ai_gateway(each)]
    known = [each for each in processors if NAMESPACE in each.name or NAMESPACE in received(each.config)]
    return known or processors[:1]


def received(config: Tree) -> list[str]:
    """The namespaces of metadata that an external processor may write."""
    return config.texts("metadata_options", "receiving_namespaces", "untyped")


def cluster_of(config: Tree) -> str:
    """The cluster that an external processor is asked at."""
    return config.text("grpc_service", "envoy_grpc", "cluster_name")


def running(manager: Manager, route: Route) -> list[Active]:
    """The filters that do something on this route: also without those that the route empties."""
    return [active for active in manager.chain(route) if not _emptied(active)]


def is_guard(active: Active) -> bool:
    """Whether this is the guard, or was meant to be."""
    if active.filter.type == "RBAC":
        return active.filter.name == f"{_OWN_PREFIX}guard" or _looks_at_us(rules_of(active))
    return code_guards(script(active))


def is_meter(active: Active) -> bool:
    """Whether this is the meter."""
    return code_meters(script(active))


def code_guards(code: str) -> bool:
    """Whether Lua without comments looks for the verdict and refuses."""
    return NAMESPACE in code and "verdict" in code and ":respond(" in code and "envoy_on_request" in code


def code_meters(code: str) -> bool:
    """Whether Lua without comments writes what was used."""
    return f"{NAMESPACE}.usage" in code and "envoy_on_response" in code


def code_changes(code: str) -> bool:
    """Whether Lua without comments may change what goes up, or answer by itself; ours do it by what the verdict says.

    What is only removed was not wanted: forwarding fields, by our own profile.
    """
    return NAMESPACE not in code and _CHANGING.search(code) is not None


def script(active: Active) -> str:
    """The Lua that runs, without its comments; empty where it is another filter, or the script lies in a file."""
    return without_comments(source(active))


@lru_cache(64)
def without_comments(code: str) -> str:
    """Lua without what stands there for people."""
    return _COMMENT.sub("", code)


@lru_cache(64)
def is_of_this_version(code: str, file: str) -> bool:
    """Whether a script is the one that belongs to this policy server. In a file for `aigw run` each `$` is doubled."""
    path = data_directory() / file
    return not path.exists() or code.replace("$$", "$").strip() == path.read_text("utf-8").strip()


def source(active: Active) -> str:
    """The Lua that runs, as it stands."""
    if active.filter.type != "Lua":
        return ""
    config = active.filter.config
    override = active.override
    if override.has("name"):
        return _inline(config.at("source_codes", override.text("name")))
    if override.has("source_code"):
        return _inline(override.at("source_code"))
    return _inline(config.at("default_source_code")) or config.text("inline_code")


def rules_of(active: Active) -> Tree:
    """The rules that an RBAC filter enforces on this route."""
    if active.override.type() == "RBACPerRoute":
        return active.override.at("rbac", "rules")
    return active.filter.config.at("rules")


def enforces_verdict(rules: Tree) -> bool:
    """Whether these rules let pass nothing but what has our verdict."""
    listed = [policy for _, policy in rules.members("policies")]
    if not listed or rules.text("action") not in {"", "ALLOW"}:
        return False
    return all(principals and all(map(_is_verdict, principals)) for principals in (_principals(one) for one in listed))


def _principals(policy: Tree) -> list[Tree]:
    return policy.items("principals")


def _is_verdict(principal: Tree) -> bool:
    said = principal.at("sourced_metadata")
    if not said or said.text("metadata_source") not in {"", "DYNAMIC"}:
        return False
    matcher = said.at("metadata_matcher")
    keys = [segment.text("key") for segment in matcher.items("path")]
    return (
        matcher.text("filter") == NAMESPACE
        and keys == ["verdict"]
        and matcher.text("value", "string_match", "exact") == "allow"
        and not matcher.flag("value", "string_match", "ignore_case")
        and not matcher.flag("invert")
    )


def _looks_at_us(rules: Tree) -> bool:
    return any(
        principal.text("sourced_metadata", "metadata_matcher", "filter") == NAMESPACE
        or principal.text("metadata", "filter") == NAMESPACE
        for _, policy in rules.members("policies")
        for principal in _principals(policy)
    )


def _emptied(active: Active) -> bool:
    override = active.override
    match override.type():
        case "ExtProcPerRoute" | "LuaPerRoute" | "BufferPerRoute" | "CompressorPerRoute":
            return override.flag("disabled")
        case "RBACPerRoute":
            return not override.has("rbac")
        case _:
            return False


def _inline(source: Tree) -> str:
    if source.has("inline_bytes"):
        try:
            return base64.b64decode(source.text("inline_bytes"), validate=True).decode("utf-8", "replace")
        except (binascii.Error, ValueError):
            raise source.at("inline_bytes").wrong("base64") from None
    return source.text("inline_string")
