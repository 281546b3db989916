"""What the host does for the commands of policies, who know nothing of it: `typer.Context.obj`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from extproc.spending import Question, SpendingError, Spent
from extproc.tally import Tally

if TYPE_CHECKING:
    from extproc.assembly import Examined
    from extproc.catalogue import Catalogue


class Host:
    """Given to every command."""

    async def tallies(self, configuration: Path) -> AsyncIterator[Tally]:
        """The counters of every policy of a configuration. Nothing is started.

        Raises:
            ConfigurationError: it is wrong.
            OSError: a policy cannot read its counters.
        """
        for link in _examined(configuration).chain.links:
            async for tally in link.policy.tallies():
                yield tally

    async def spending(self, configuration: Path, question: Question) -> AsyncIterator[Spent]:
        """What was spent, as the first policy of a configuration tells it that keeps a record. Nothing is started.

        Raises:
            ConfigurationError: it is wrong.
            SpendingError: no policy keeps a record, or it cannot be read.
        """
        for link in _examined(configuration).chain.links:
            if link.policy.overrides("spending"):
                async for spent in link.policy.spending(question):
                    yield spent
                return
        raise SpendingError(f"{configuration}: policies: none of them keeps a record of what was spent, as `audit` does")

    def catalogue(self, configuration: Path) -> Catalogue:
        """What there is to call in a configuration, and what it costs.

        Raises:
            ConfigurationError: it is wrong.
        """
        return _examined(configuration).settings.catalogue()


def _examined(configuration: Path) -> Examined:
    # Imported here: commands that do not ask do not wait for it.
    from extproc.cli.loading import examined

    return examined(configuration)[1]
