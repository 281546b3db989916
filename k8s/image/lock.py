"""Reads a lock file of pip: what is installed, on which machines, with which hashes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")


class LockError(ValueError):
    """It says something other than one version of a package, with hashes."""


@dataclass(frozen=True, slots=True)
class Pin:
    """One version of a package. `name` is in its canonical form."""

    name: str
    version: Version
    requirement: Requirement
    hashes: frozenset[str]

    def holds(self, environment: Mapping[str, str]) -> bool:
        """Whether it is for this environment, whose keys are those of markers (PEP 508)."""
        marker = self.requirement.marker
        return marker is None or marker.evaluate(dict(environment))


def read(text: str) -> tuple[Pin, ...]:
    """The pins of a lock file.

    Raises:
        LockError: a line has an option, such as an index, or no exact version, or no hash.
    """
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return tuple(_pin(line) for line in joined.splitlines() if line.strip())


def _pin(line: str) -> Pin:
    said = _HASH.sub("", line).strip()
    if said.startswith("-") or " -" in said:
        raise LockError(f"an option: {said}")
    requirement = Requirement(said)
    versions = [one.version for one in requirement.specifier if one.operator == "=="]
    hashes = frozenset(_HASH.findall(line))
    if len(versions) != 1 or len(requirement.specifier) != 1 or requirement.url or not hashes:
        raise LockError(f"no exact version, or no hash: {said}")
    return Pin(canonicalize_name(requirement.name), Version(versions[0]), requirement, hashes)


def lacking(pins: Iterable[Pin], asked: Iterable[str], environment: Mapping[str, str]) -> Iterator[str]:
    """The requirements that a lock file does not satisfy in this environment, with the version that it has."""
    locked = {pin.name: pin.version for pin in pins if pin.holds(environment)}
    for requirement in map(Requirement, asked):
        if requirement.marker is not None and not requirement.marker.evaluate(dict(environment)):
            continue
        version = locked.get(canonicalize_name(requirement.name))
        if version is None or not requirement.specifier.contains(version, prereleases=True):
            yield f"{requirement.name}{requirement.specifier}: the lock file has {version or 'none'}"
