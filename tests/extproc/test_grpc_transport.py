"""What is special about the transport on grpcio. What it shares with the other is in `test_transports`."""

from __future__ import annotations

import importlib
import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.servers import HOST
from tests.transports import World, folder, serving


async def test_the_socket_is_private_before_anybody_can_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[int] = []
    with folder() as place:
        path = Path(place, "policy.sock")
        umask = os.umask(0)
        try:
            kind: Any = importlib.import_module("grpc.aio._server").Server
            start = kind.start

            async def watched(server: Any) -> None:
                modes.append(stat.S_IMODE(path.stat().st_mode))
                await start(server)

            monkeypatch.setattr(kind, "start", watched)
            async with serving("grpcio", f"unix:{path}"):
                assert modes == [0o600]
            assert os.umask(0) == 0
        finally:
            os.umask(umask)


async def test_it_cannot_take_over_a_socket() -> None:
    with socket.socket() as listening:
        listening.bind((HOST, 0))
        with pytest.raises(OSError, match="has not opened"):
            await World("grpcio").transport.start(f"{HOST}:0", listening)
