"""What the host does for the commands of policies, who know nothing of it: `typer.Context.obj`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

from extproc.tally import Tally


class Host:
    """Given to every command."""

    async def tallies(self, configuration: Path) -> AsyncIterator[Tally]:
        """The counters of every policy of a configuration. Nothing is started.

        Raises:
            ConfigurationError: it is wrong.
            OSError: a policy cannot read its counters.
        """
        # Imported here: commands that do not ask do not wait for it.
        from extproc.cli.loading import examined

        chain = examined(configuration)[1].chain
        for link in chain.links:
            async for tally in link.policy.tallies():
                yield tally
