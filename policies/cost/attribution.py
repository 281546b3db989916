"""Under which labels an exchange counts: a bounded number of them, whatever clients write. Pure."""

from __future__ import annotations

from typing import Final

from extproc.call import Call
from extproc.catalogue import Catalogue, Target
from extproc.completion import Completion, Ending
from extproc.metrics import LONGEST, NONE, OTHER

_REMEMBERED: Final = 1_024


class Models:
    """The names of models that the configuration knows."""

    __slots__ = ("_catalogue", "_named", "_remembered", "count")

    def __init__(self, catalogue: Catalogue) -> None:
        entries = [(upstream, entry) for upstream in catalogue.upstreams for entry in upstream.models]
        agreed = {name for contract in catalogue.terms.contracts for name in contract.models if not _is_glob(name)}
        self._catalogue = catalogue
        self._named = frozenset({entry.name for _, entry in entries if not entry.is_glob} | agreed)
        # Of the globs, the pattern itself is the name: what it lets in is the client's to choose.
        self.count = len(self._named | {entry.name for _, entry in entries})
        self._remembered: dict[tuple[str, str], str] = {}

    def label(self, call: Call | None, target: Target | None) -> str:
        """The name that the client used, where it is configured; else the pattern that serves it; else `other`."""
        if call is None or call.model is None:
            return NONE
        asked = (target.upstream if target is not None else "", call.model)
        found = self._remembered.get(asked)
        if found is None:
            found = self._found(*asked)
            if len(self._remembered) >= _REMEMBERED:
                self._remembered.pop(next(iter(self._remembered)))
            if len(call.model) <= LONGEST:
                self._remembered[asked] = found
        return found

    def _found(self, upstream: str, model: str) -> str:
        if model in self._named:
            return model
        serving = self._catalogue.upstream(upstream)
        entry = serving.serves(model) if serving is not None else None
        return entry.name if entry is not None else OTHER


def result(completion: Completion) -> str:
    """How it ended, in a word: `upstream_error` where the upstream's answer was one, else the ending."""
    if completion.ending is Ending.ANSWERED and completion.status >= 400:
        return "upstream_error"
    return completion.ending.value


RESULTS: Final = ("upstream_error", *(ending.value for ending in Ending))


def _is_glob(name: str) -> bool:
    return any(c in name for c in "*?[")
