"""The ledger of a configuration file, as commands read it beside the server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from extproc.configured import chosen, entry_of, items, mapping, read_tree, settled, unsettled, validated
from extproc.mistakes import ConfigurationError
from policies.audit.ledger.settings import LedgerSettings

_NAME: Final = "audit"
_KIND: Final = "ledger"


def read(config: Path | None, state: Path, sink: str | None = None) -> LedgerSettings:
    """The ledger of this file, or of the gateway that `sluicegate up` runs with this state directory.

    Only the section of the ledger must be right; what else stands in the file is not looked at. `embedded://ledger` is
    that of the state directory.

    Args:
        sink: its name, where there are several.

    Raises:
        ConfigurationError: not there, not readable, or wrong.
    """
    path = chosen(config, state)
    return found(settled(read_tree(path), state), path, state, sink)


def found(tree: Mapping[str, Any], path: Path, state: Path, sink: str | None = None) -> LedgerSettings:
    """The ledger in a configuration that was read from `path`.

    Raises:
        ConfigurationError: there is none, there are several, or it is wrong.
    """
    entry = entry_of(tree, path, _NAME)
    known = {
        index: one
        for index, one in enumerate(map(mapping, items(entry.settings.get("sinks"))))
        if one.get("kind") == _KIND and sink in (None, one.get("name", _KIND))
    }
    if not known:
        wanted = f"`kind: {_KIND}`" + (f" and `name: {sink}`" if sink is not None else "")
        raise ConfigurationError([f"{entry.place}.sinks: there is no sink of {wanted}"])
    if len(known) > 1:
        names = ", ".join(str(one.get("name", _KIND)) for one in known.values())
        raise ConfigurationError([f"{path}: there are several ledgers: say which by --sink: {names}"])
    ((index, one),) = known.items()
    nowhere = unsettled(one.get("url"), state)
    if nowhere is not None:
        raise ConfigurationError([f"{entry.place}.sinks[{index}].url: {nowhere}"])
    return validated(LedgerSettings, dict(one), f"{entry.place}.sinks[{index}]")
