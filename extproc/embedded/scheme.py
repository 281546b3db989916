"""The scheme `embedded://NAME…`: servers that `sluicegate up` starts itself, whose addresses are not known before.

`fetch_from: embedded://identity` says more than where keys are: the tokens of the demo identity provider state issuers of
their own. They are filled in beside it, so that nobody has to know them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from extproc.configured import EMBEDDED
from extproc.embedded.demo_tokens import AUTHORITY
from extproc.mistakes import ConfigurationError

_NOWHERE: Final = "http://127.0.0.1:9"
_ISSUER_KEYS: Final = ("authority", "v1_issuer")


def embedded_names(tree: Any) -> set[str]:
    """The servers that this configuration wants `sluicegate up` to start."""
    return {_name(value) for _, value in mentions(tree)}


def resolve_embedded(tree: Any, addresses: Mapping[str, str]) -> Any:
    """The tree with `embedded://NAME…` replaced by the address of the server that was started under that name.

    Raises:
        ConfigurationError: it names a server that there is not, or other issuers beside the demo identity provider.
    """
    mistakes = embedded_mistakes(tree, addresses)
    if mistakes:
        raise ConfigurationError(mistakes)
    return fill_in(tree, addresses)


def embedded_mistakes(tree: Any, addresses: Mapping[str, str]) -> list[str]:
    """A line for each mention of a server that there is not, and for issuers that the demo identity provider is not."""
    unknown = [
        f"{path}: {value}: `sluicegate up` starts only {', '.join(sorted(addresses))}"
        for path, value in mentions(tree)
        if _name(value) not in addresses
    ]
    return [*unknown, *_foreign_issuers(tree)]


def fill_in(tree: Any, addresses: Mapping[str, str]) -> Any:
    """The tree with addresses in it, so that the rest can be judged: also for servers that there are not."""
    if isinstance(tree, dict):
        issuers = dict.fromkeys(_ISSUER_KEYS, AUTHORITY) if _fetches_from_demo(tree) else {}
        return issuers | {key: fill_in(value, addresses) for key, value in tree.items()}
    if isinstance(tree, list):
        return [fill_in(value, addresses) for value in tree]
    if isinstance(tree, str) and tree.startswith(EMBEDDED):
        name, slash, rest = tree.removeprefix(EMBEDDED).partition("/")
        return addresses.get(name, _NOWHERE) + slash + rest
    return tree


def _fetches_from_demo(section: Mapping[str, Any]) -> bool:
    value = section.get("fetch_from")
    return isinstance(value, str) and value.rstrip("/") == f"{EMBEDDED}identity"


def _foreign_issuers(tree: Any) -> list[str]:
    return [
        f"{path}.{key}: the tokens of embedded://identity are issued by {AUTHORITY}: leave out authority and v1_issuer"
        for path, section in _sections(tree)
        if _fetches_from_demo(section)
        for key in _ISSUER_KEYS
        if section.get(key, AUTHORITY) != AUTHORITY
    ]


def mentions(tree: Any) -> Iterator[tuple[str, str]]:
    """Path and value of each mention."""
    for path, value in _walk(tree, ""):
        if isinstance(value, str) and value.startswith(EMBEDDED):
            yield path or "configuration", value


def _sections(tree: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for path, value in _walk(tree, ""):
        if isinstance(value, Mapping):
            yield path, value


def _walk(tree: Any, path: str) -> Iterator[tuple[str, Any]]:
    yield path, tree
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _walk(value, f"{path}.{key}" if path else str(key))
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from _walk(value, f"{path}[{index}]")


def _name(value: str) -> str:
    return value.removeprefix(EMBEDDED).partition("/")[0]
