"""What the host does for the commands of policies, who know nothing of it: `typer.Context.obj`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from extproc.commands import STATE
from extproc.configured import EMBEDDED, kept, read_tree, running, unsettled
from extproc.spending import Question, SpendingError, Spent
from extproc.tally import Tally

if TYPE_CHECKING:
    from extproc.assembly import Examined
    from extproc.catalogue import Catalogue


class Host:
    """Given to every command."""

    async def tallies(self, configuration: Path, state: Path = STATE) -> AsyncIterator[Tally]:
        """The counters of every policy of a configuration. Nothing is started.

        Args:
            state: the directory of `sluicegate up`: where `embedded://` names what it keeps.

        Raises:
            ConfigurationError: it is wrong.
            OSError: a policy cannot read its counters.
        """
        for link in _examined(configuration, state).chain.links:
            async for tally in link.policy.tallies():
                yield tally

    async def spending(self, configuration: Path, question: Question, state: Path = STATE) -> AsyncIterator[Spent]:
        """What was spent, as the first policy of a configuration tells it that keeps a record. Nothing is started.

        Args:
            state: as of `tallies`.

        Raises:
            ConfigurationError: it is wrong.
            SpendingError: no policy keeps a record, or it cannot be read.
        """
        for link in _examined(configuration, state).chain.links:
            if link.policy.overrides("spending"):
                try:
                    async for spent in link.policy.spending(question):
                        yield spent
                except SpendingError as error:
                    raise _explained(error, configuration, state) from None
                return
        raise SpendingError(f"{configuration}: policies: none of them keeps a record of what was spent, as `audit` does")

    def catalogue(self, configuration: Path) -> Catalogue:
        """What there is to call in a configuration, and what it costs.

        Raises:
            ConfigurationError: it is wrong.
        """
        return _examined(configuration).settings.catalogue()


def _examined(configuration: Path, state: Path = STATE) -> Examined:
    # Imported here: commands that do not ask do not wait for it.
    from extproc.cli.loading import NOWHERE, examined

    ran = running(state).exists()
    return examined(configuration, {**NOWHERE, **kept(state), "valkey": _valkey(state)} if ran else NOWHERE)[1]


def _valkey(state: Path) -> str:
    """Where it listens: in a directory that is there while it runs."""
    return f"unix://{(state / 'run' / 'sockets').resolve() / 'valkey.sock'}"


def _explained(error: SpendingError, configuration: Path, state: Path) -> SpendingError:
    """Why a record cannot be read that the configuration leaves to `sluicegate up`; else what is said of it."""
    from extproc.embedded.scheme import mentions

    for where, value in mentions(read_tree(configuration)):
        if value == f"{EMBEDDED}ledger" and not running(state).exists():
            return SpendingError(f"{configuration}: {where}: {unsettled(value, state)}")
    return error
