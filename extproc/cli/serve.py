"""`sluicegate serve`: the policy server alone."""

from __future__ import annotations

import asyncio
import importlib
import logging

from extproc.cli.check import warnings
from extproc.cli.loading import Configuration, read_for_serving

_log = logging.getLogger(__name__)


def command(configuration: Configuration) -> None:
    """Run the policy server alone, for an Envoy that is there already. Logs JSON lines on stdout."""
    from extproc.log import log_to_stdout
    from extproc.serving import serve

    found = read_for_serving(configuration)
    log_to_stdout()
    for warning in warnings(found):
        _log.warning(warning)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(serve(found.settings))


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    try:
        return importlib.import_module("uvloop").Loop  # type: ignore[no-any-return]
    except ImportError:
        return None
