"""What commands ask of the host: `typer.Context.obj`, of which a policy knows nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

from extproc.catalogue import Catalogue
from extproc.spending import Question, Spent


class Host(Protocol):
    """What the host does for commands."""

    def spending(self, configuration: Path, question: Question, state: Path) -> AsyncIterator[Spent]: ...

    def catalogue(self, configuration: Path) -> Catalogue: ...


def answers(host: Host, configuration: Path, *questions: Question, state: Path) -> list[tuple[Spent, ...]]:
    """What was spent, to each question. `state`: the directory of `sluicegate up`, which may keep the record.

    Raises:
        ConfigurationError: the configuration is wrong.
        SpendingError: it cannot be told.
    """

    async def ask() -> list[tuple[Spent, ...]]:
        return [tuple([one async for one in host.spending(configuration, question, state)]) for question in questions]

    return asyncio.run(ask())
