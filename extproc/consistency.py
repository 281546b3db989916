"""What must fit together across the sections of a configuration: names that are unique, names that are there. Pure.

It reads the tree as it was written, so that it can be asked while single values are still wrong; what has not the shape
to be judged is left to those who check shapes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from extproc.mistakes import hint


def inconsistencies(tree: Mapping[str, Any]) -> list[str]:
    """A line for each, with its path."""
    return [
        *(line for section in ("upstreams", "agents", "opaque") for line in _doubles(tree, section)),
        *_agents_like_upstreams(tree),
        *_routes_to_nowhere(tree),
        *_doubles(tree, "policies", key="policy"),
    ]


def _named(tree: Mapping[str, Any], section: str, key: str = "name") -> Iterator[tuple[int, str]]:
    """Position and name of each entry that has one."""
    entries = tree.get(section)
    for index, entry in enumerate(entries if isinstance(entries, list | tuple) else ()):
        name = entry.get(key) if isinstance(entry, Mapping) else None
        if isinstance(name, str):
            yield index, name


def _doubles(tree: Mapping[str, Any], section: str, key: str = "name") -> Iterator[str]:
    first: dict[str, int] = {}
    for index, name in _named(tree, section, key):
        if name in first:
            yield f"{section}[{index}].{key}: {name!r} stands at {section}[{first[name]}] already: each stands there once"
        first.setdefault(name, index)


def _agents_like_upstreams(tree: Mapping[str, Any]) -> Iterator[str]:
    upstreams = {name for _, name in _named(tree, "upstreams")}
    for index, name in _named(tree, "agents"):
        if name in upstreams:
            # Envoy chooses the route by this name alone.
            yield f"agents[{index}].name: the name {name!r} is an upstream's already"


def _routes_to_nowhere(tree: Mapping[str, Any]) -> Iterator[str]:
    known = [name for _, name in _named(tree, "upstreams")]
    for index, name in _named(tree, "opaque", "upstream"):
        if name not in known:
            yield f"opaque[{index}].upstream: there is no upstream {name!r}{hint(name, known)}"
