"""`sluicegate serve`: the policy server alone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from extproc.cli.check import warnings
from extproc.cli.loading import Configuration, Workers, read_for_serving
from extproc.embedded.faults import StackError

if TYPE_CHECKING:
    from extproc.workers.supervisor import Given

_log = logging.getLogger(__name__)


def command(configuration: Configuration, workers: Workers = None) -> None:
    """Run the policy server alone, for an Envoy that is there already. Logs JSON lines on stdout.

    With two workers or more: SIGHUP reads the configuration again and replaces one after the other.
    """
    from extproc.chain import PolicyStartError
    from extproc.log import log_to_stdout
    from extproc.workers.supervisor import Given, Supervisor, WorkersError

    def read() -> Given:
        tree, found = read_for_serving(configuration, workers=workers)
        return Given(found.settings, tree, tuple(warnings(found)))

    given = read()
    log_to_stdout()
    for doubt in given.doubts:
        _log.warning(doubt)
    try:
        if given.settings.server.workers > 1:
            asyncio.run(Supervisor(given, read).run())
        else:
            _alone(given, read)
    except PolicyStartError as error:
        raise StackError(str(error)) from error
    except WorkersError as error:
        raise StackError(error.mistakes[-1], error.mistakes[:-1]) from error


def _alone(given: Given, read: Callable[[], Given]) -> None:
    from extproc.serving import loop_factory, serve

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(serve(given.settings, read))
