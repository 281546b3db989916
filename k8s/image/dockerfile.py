"""Reads the part of the Dockerfile's language that the Dockerfile of this repository uses, and refuses all else.

Source: the Dockerfile reference, docs.docker.com/reference/dockerfile.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

_WORDS: Final = re.compile(r"([A-Z]+)\s+(.+)")
_VARIABLE: Final = re.compile(r"\$\{(\w+)\}")
_FROM: Final = re.compile(r"(\S+)(?: AS ([a-z]+))?")
_EXECUTED: Final = frozenset({"RUN", "COPY", "WORKDIR", "ENV"})
_ABOUT: Final = frozenset({"ARG", "LABEL", "USER", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD"})


class DockerfileError(ValueError):
    """It says something that is not understood here."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: its word, such as `RUN`, and the rest on one line."""

    word: str
    rest: str


@dataclass(frozen=True, slots=True)
class Copy:
    """`COPY`: from the context, or from the stage `stage`."""

    stage: str | None
    sources: tuple[str, ...]
    target: str


@dataclass(frozen=True, slots=True)
class Stage:
    """From one `FROM` to the next. `name` is empty where it has none."""

    base: str
    name: str
    instructions: tuple[Instruction, ...]

    def last(self, word: str) -> str:
        """What the last instruction of this word says: that is the one that counts.

        Raises:
            DockerfileError: there is none.
        """
        found = [one.rest for one in self.instructions if one.word == word]
        if not found:
            raise DockerfileError(f"no {word}")
        return found[-1]


def parse(text: str, arguments: Mapping[str, str] | None = None) -> tuple[Stage, ...]:
    """The stages of a Dockerfile. `arguments`: those given to the build, by name.

    Raises:
        DockerfileError: an instruction, a flag or a variable is not known.
    """
    given = dict(arguments or {})
    stages: list[Stage] = []
    before: dict[str, str] = {}
    for one in _instructions(text):
        if one.word == "FROM":
            match = _FROM.fullmatch(expanded(one.rest, before))
            if match is None:
                raise DockerfileError(f"FROM {one.rest}")
            stages.append(Stage(match[1], match[2] or "", ()))
        elif one.word not in _EXECUTED | _ABOUT:
            raise DockerfileError(f"{one.word}: not known here")
        elif stages:
            at = stages[-1]
            stages[-1] = Stage(at.base, at.name, (*at.instructions, one))
        elif one.word == "ARG":
            name, _, value = one.rest.partition("=")
            before[name] = given.get(name, value)
        else:
            raise DockerfileError(f"{one.word} before FROM")
    if not stages:
        raise DockerfileError("no FROM")
    return tuple(stages)


def _instructions(text: str) -> Iterator[Instruction]:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        if not line.strip():
            continue
        match = _WORDS.fullmatch(line.rstrip())
        if match is None:
            raise DockerfileError(line)
        yield Instruction(match[1], match[2])


def copied(rest: str) -> Copy:
    """What a `COPY` says.

    Raises:
        DockerfileError: a flag other than `--from`, or no target.
    """
    *flags, last = re.findall(r"--\S+(?=\s)", rest) or [""]
    flag = last
    if flags or (flag and not flag.startswith("--from=")):
        raise DockerfileError(f"COPY {rest}")
    *sources, target = rest.removeprefix(flag).split() or [""]
    if not sources or any(character in rest for character in "*?[\"'"):
        raise DockerfileError(f"COPY {rest}")
    return Copy(flag.removeprefix("--from=") or None, tuple(sources), target)


def assigned(rest: str, variables: Mapping[str, str]) -> dict[str, str]:
    """What an `ENV` or a `LABEL` sets. A value may hold `${NAME}`, quotes hold blanks.

    Raises:
        DockerfileError: no `=`, or a variable that is not known.
    """
    found = {}
    for part in shlex.split(rest):
        name, equals, value = part.partition("=")
        if not equals:
            raise DockerfileError(part)
        found[name] = expanded(value, variables)
    return found


def executable(rest: str) -> list[str]:
    """The words of an `ENTRYPOINT`, `CMD` or `HEALTHCHECK` in its JSON form: no shell takes part.

    Raises:
        DockerfileError: it has another form.
    """
    _, bracket, words = rest.partition("[")
    try:
        found = json.loads(bracket + words)
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(isinstance(word, str) for word in found):
        raise DockerfileError(rest)
    return found


def expanded(value: str, variables: Mapping[str, str]) -> str:
    """`${NAME}` replaced. Raises `DockerfileError` for a variable that is not known, and for `$NAME`."""

    def value_of(match: re.Match[str]) -> str:
        if match[1] not in variables:
            raise DockerfileError(f"{match[0]} is not set")
        return variables[match[1]]

    if "$" in _VARIABLE.sub("", value):
        raise DockerfileError(value)
    return _VARIABLE.sub(value_of, value)


def admitted(path: str, ignore: str) -> bool:
    """Whether a file of the context gets into the build, by the text of `.dockerignore`: the last line that fits counts.

    Known: `*`, `!path` and `!path/*.ending` (the path and everything below it), and `**/name` anywhere.
    """
    found = True
    for line in ignore.splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = re.escape(line.removeprefix("!")).replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*")
        if re.fullmatch(f"{pattern}(?:/.*)?", path):
            found = line.startswith("!")
    return found
