"""From what was given to findings: a config dump, a bootstrap or Kubernetes documents, told apart by their form. Pure."""

from __future__ import annotations

import json
import re
from enum import StrEnum
from typing import Any, Final

import msgspec

from extproc.doctor import bootstraps, documents, dumps
from extproc.doctor.examination import examine, examine_documents
from extproc.doctor.expected import DEFAULTS, Expected
from extproc.doctor.findings import Finding
from extproc.doctor.tree import Tree, UnreadableError
from extproc.strict_yaml import YamlError, read

MAX_BYTES: Final = 256 * 2**20
"""Of what is read. The dump of a gateway with a thousand routes has some ten megabytes."""
_MAX_YAML: Final = 16 * 2**20
"""Of what is no JSON: YAML takes a hundred times as long to read."""
_SEPARATOR: Final = re.compile(r"^---(?:[ \t].*)?$", re.MULTILINE)


class Kind(StrEnum):
    """What was looked at."""

    DUMP = "config dump"
    BOOTSTRAP = "bootstrap"
    DOCUMENTS = "Kubernetes documents"


class Report(msgspec.Struct, frozen=True):
    """What was found.

    Attributes:
        unknown: what could not be looked at.
    """

    kind: Kind
    findings: list[Finding]
    unknown: tuple[str, ...] = ()


def report(text: str, expected: Expected = DEFAULTS, *, server_info: str | None = None) -> Report:
    """What there is to find in this text.

    Args:
        server_info: what `/server_info` of the running Envoy says, where it was asked.

    Raises:
        UnreadableError: it is nothing that can be looked at.
    """
    values = _values(text)
    if len(values) == 1:
        if (dump := dumps.within(values[0])) is not None:
            info = None if server_info is None else Tree(_json(server_info), "server_info")
            # Who puts members around it spells those of Envoy in another way.
            tree = Tree(dump if dump is values[0] else bootstraps.snake(dump))
            gateway = dumps.gateway_of(tree, info)
            return Report(Kind.DUMP, examine(gateway, expected), gateway.unknown)
        if bootstraps.is_bootstrap(values[0]):
            gateway = bootstraps.gateway_of(values[0])
            return Report(Kind.BOOTSTRAP, examine(gateway, expected), gateway.unknown)
    if documents.are_documents(values):
        return Report(
            Kind.DOCUMENTS,
            examine_documents(documents.resources_of(values), expected),
            ("what Envoy makes of it: once it runs, ask its admin endpoint",),
        )
    raise UnreadableError("neither a config dump of Envoy's, nor a bootstrap, nor Kubernetes documents")


def _values(text: str) -> list[Any]:
    if len(text) > MAX_BYTES:
        raise UnreadableError(f"larger than {MAX_BYTES // 2**20} MiB")
    if not text.strip():
        raise UnreadableError("it is empty")
    if text.lstrip()[0] in "{[":
        return [_json(text)]
    if len(text) > _MAX_YAML:
        raise UnreadableError(f"YAML of more than {_MAX_YAML // 2**20} MiB")
    try:
        values = [read(part, any_number=True) for part in _SEPARATOR.split(text) if part.strip()]
    except YamlError as error:
        raise UnreadableError(str(error)) from None
    return [value for value in values if value is not None]


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise UnreadableError("nested too deeply") from None
    except ValueError as error:
        # Its message says the place and quotes nothing.
        raise UnreadableError(f"no JSON, or cut off: {error}") from None
