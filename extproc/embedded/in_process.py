"""The demo identity provider inside a command that needs it only for a moment."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from extproc.embedded.faults import StackError
from extproc.embedded.identity_provider import server
from extproc.embedded.ports import free_port
from extproc.embedded.waiting import GLANCE

_PATIENCE: Final = 10.0


@contextlib.contextmanager
def identity_provider(state: Path) -> Iterator[str]:
    """Serves the keys of this state directory on a free port while the block runs; gives its address.

    Raises:
        StackError: it does not start.
    """
    port = free_port()
    provider = server(state, address="127.0.0.1", port=port)
    # In a thread of its own: in the main one it would take the signals to itself.
    thread = threading.Thread(target=provider.run, name="identity provider", daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + _PATIENCE
        while not provider.started:
            if not thread.is_alive() or time.monotonic() > deadline:
                raise StackError(f"the demo identity provider does not start on port {port}")
            time.sleep(GLANCE / 10)
        yield f"http://127.0.0.1:{port}"
    finally:
        provider.should_exit = True
        thread.join(_PATIENCE)
