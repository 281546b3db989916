"""Runs the steps of a Dockerfile in an empty folder: each `RUN` in a shell, each `COPY` from the context or a stage."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from k8s.image.dockerfile import Copy, Stage, admitted, assigned, copied, executable, expanded
from k8s.image.room import PATH, Room

_ENDING = 3_000
"""Characters of what a step wrote that are quoted when it fails."""


class StepFailedError(RuntimeError):
    """A `RUN` has failed. The message ends with the last of what it wrote."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a build is given: a folder, the text of its `.dockerignore`, and by path what stands in place of a file."""

    folder: Path
    ignore: str
    replaced: Mapping[str, str] = field(default_factory=dict)

    def files(self, source: str) -> Iterator[str]:
        """The files that `COPY source` means, by their paths in the folder."""
        found = self.folder / source
        for path in [found] if found.is_file() else sorted(found.rglob("*")):
            name = path.relative_to(self.folder).as_posix()
            if path.is_file() and admitted(name, self.ignore):
                yield name


@dataclass(slots=True)
class Built:
    """A stage whose steps have been run, and what they have set."""

    room: Room
    stage: Stage
    variables: dict[str, str] = field(default_factory=lambda: {"PATH": PATH})
    arguments: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    folder: str = "/"

    def command(self, *words: str) -> list[str]:
        """What a container runs that is given these words: the entry point and they, or `CMD` without them."""
        return executable(self.stage.last("ENTRYPOINT")) + (list(words) or executable(self.stage.last("CMD")))


def build(
    stages: tuple[Stage, ...],
    context: Context,
    folder: Path,
    network: Mapping[str, str],
    *,
    arguments: Mapping[str, str] | None = None,
    done_by: Collection[str] = (),
) -> tuple[Built, ...]:
    """All stages; the last is the image.

    Args:
        stages: the Dockerfile.
        context: what its `COPY` copies.
        folder: an empty one, in which they are made.
        network: variables that steps need to reach a registry of packages from this machine.
        arguments: those given to the build, by name.
        done_by: programs that install on a base image what this machine has in its `/usr`, such as `apt-get`. A `RUN`
            that names one is taken as done: `/usr` is the machine's, and only read.

    Raises:
        DockerfileError: a step says what is not understood.
        StepFailedError: a step failed.
    """
    made: list[Built] = []
    for number, stage in enumerate(stages):
        built = Built(Room(folder / f"{number}{stage.name}"), stage)
        built.room.begin()
        for one in stage.instructions:
            match one.word:
                case "ARG":
                    name, _, value = one.rest.partition("=")
                    built.arguments[name] = (arguments or {}).get(name, expanded(value, built.variables))
                case "ENV":
                    built.variables |= assigned(one.rest, built.variables | built.arguments)
                case "LABEL":
                    built.labels |= assigned(one.rest, built.variables | built.arguments)
                case "WORKDIR":
                    built.folder = one.rest
                    (built.room.root / one.rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
                case "COPY":
                    _copy(copied(one.rest), built, context, {before.stage.name: before for before in made})
                case "RUN" if not any(program in one.rest.split() for program in done_by):
                    run(one.rest, built, network)
        made.append(built)
    return tuple(made)


def run(script: str, built: Built, network: Mapping[str, str]) -> None:
    """A `RUN` of this stage. Raises `StepFailedError` if it ends with anything but 0."""
    variables = {**network, **built.arguments, **built.variables, "HOME": "/root"}
    command = built.room.command(["/bin/sh", "-c", script], variables, folder=built.folder)
    ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if ended.returncode:
        raise StepFailedError(f"RUN {script[:80]} ended with {ended.returncode}:\n{ended.stdout[-_ENDING:]}")


def _copy(said: Copy, built: Built, context: Context, done: Mapping[str, Built]) -> None:
    inside = PurePosixPath(built.folder, said.target)
    target = built.room.root / str(inside).lstrip("/")
    for source in said.sources:
        if said.stage is not None:
            shutil.copytree(done[said.stage].room.root / source.lstrip("/"), target, symlinks=True)
            continue
        names = list(context.files(source))
        if not names:
            raise StepFailedError(f"COPY {source}: not there, or ignored")
        for name in names:
            within = Path(name).relative_to(source) if name != source else Path(Path(name).name)
            (target / within).parent.mkdir(parents=True, exist_ok=True)
            if name in context.replaced:
                (target / within).write_text(context.replaced[name], "utf-8")
            else:
                shutil.copyfile(context.folder / name, target / within)
