"""The ledger of a configuration file, as commands read it beside the server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from policies.audit.ledger.settings import LedgerSettings
from policies.audit.showing.configured import ConfiguredError, tree_of, within

_NAME: Final = "audit"
_KIND: Final = "ledger"


def read(config: Path | None, state: Path, sink: str | None = None) -> LedgerSettings:
    """The ledger of this file, or of the gateway that `sluicegate up` runs with this state directory.

    Only the section of the ledger must be right; what else stands in the file is not looked at.

    Args:
        sink: its name, where there are several.

    Raises:
        ConfiguredError: not there, not readable, or wrong.
    """
    run = state / "run" / "config.yaml"
    if config is None and not run.exists():
        raise ConfiguredError(
            [f"{run}: not there. `sluicegate up` writes it: give its --state, or the configuration with --config"]
        )
    path = config or run
    return found(tree_of(path), str(path), sink)


def found(tree: Mapping[str, Any], path: str, sink: str | None = None) -> LedgerSettings:
    """The ledger in a configuration that was read from `path`.

    Raises:
        ConfiguredError: there is none, there are several, or it is wrong.
    """
    known = {where: entry for where, entry in _ledgers(tree) if sink is None or entry.get("name", _KIND) == sink}
    if not known:
        wanted = f"`kind: {_KIND}`" + (f" and `name: {sink}`" if sink is not None else "")
        raise ConfiguredError([f"{path}: policies: `{_NAME}` has no sink of {wanted}"])
    if len(known) > 1:
        names = ", ".join(str(entry.get("name", _KIND)) for entry in known.values())
        raise ConfiguredError([f"{path}: there are several ledgers: say which by --sink: {names}"])
    ((where, entry),) = known.items()
    try:
        return LedgerSettings.model_validate(dict(entry))
    except ValidationError as error:
        # What stood there is not told: it may be a password.
        told = error.errors(include_url=False, include_input=False, include_context=False)
        raise ConfiguredError([f"{path}: {where}{within(one['loc'])}: {one['msg']}" for one in told]) from None


def _ledgers(tree: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each ledger among the sinks of the audit policy, by its place."""
    for index, entry in enumerate(_list(tree.get("policies"))):
        if _mapping(entry).get("policy") != _NAME:
            continue
        for number, sink in enumerate(_list(_mapping(_mapping(entry).get("settings")).get("sinks"))):
            if _mapping(sink).get("kind") == _KIND:
                yield f"policies[{index}].settings.sinks[{number}]", _mapping(sink)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
