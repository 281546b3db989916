"""The helpers that start servers for other tests: a failure quotes the server, and nothing stays behind."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.servers import ServerFailedError, running, running_envoy


def test_a_server_that_ends_is_quoted(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; print('no such file'); sys.exit(3)"]
    with (
        pytest.raises(ServerFailedError, match=r"(?s)status 3.*no such file"),
        running(command, ready=lambda: False, log=tmp_path / "log"),
    ):
        pass


def test_a_server_that_is_never_ready_is_ended(tmp_path: Path) -> None:
    pids = tmp_path / "pid"
    command = [sys.executable, "-c", f"import os, time; open({str(pids)!r}, 'w').write(str(os.getpid())); time.sleep(60)"]
    with (
        pytest.raises(ServerFailedError, match="not ready within 1 s"),
        running(command, ready=lambda: False, log=tmp_path / "log", patience=1),
    ):
        pass
    with pytest.raises(ProcessLookupError):
        os.kill(int(pids.read_text()), 0)


def test_a_server_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    with running([sys.executable, "-c", deaf], ready=lambda: b"deaf" in log.read_bytes(), log=log, grace=0.2) as server:
        assert server.tail() == "deaf\n"
    assert server.process.returncode == -9


@pytest.mark.stack
def test_envoy_says_what_is_wrong_with_its_bootstrap() -> None:
    with pytest.raises(ServerFailedError, match="nonsense"), running_envoy({"nonsense": True}):
        pass
