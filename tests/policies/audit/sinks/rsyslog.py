"""A real collector: rsyslog, which writes each message as it came to a file, a line each."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from extproc.embedded.ports import free_port
from tests.certificates import Pair
from tests.servers import HOST, listens

_PLUGINS: Final = ("/usr/lib/{}-linux-gnu/rsyslog", "/usr/lib64/rsyslog", "/usr/lib/rsyslog")
_PATIENCE: Final = 20.0


def binary(*, tls: bool) -> str:
    """The program. Skips the test where it is not installed."""
    found = shutil.which("rsyslogd") or shutil.which("rsyslogd", path="/usr/sbin:/sbin")
    if found is None:
        pytest.skip("rsyslogd is not on the PATH: apt install rsyslog rsyslog-gnutls")
    folders = [Path(each.format(machine)) for each in _PLUGINS for machine in ("x86_64", "aarch64")]
    if tls and not any((folder / "lmnsd_gtls.so").exists() for folder in folders):
        pytest.skip("rsyslog has no TLS: apt install rsyslog-gnutls")
    return found


class Rsyslog:
    """One collector, that can be killed and started again. Takes messages of up to 256 KiB."""

    def __init__(self, folder: Path, *, authority: str | None = None, pair: Pair | None = None) -> None:
        """`authority`, `pair`: with TLS, and only from clients with a certificate of that authority."""
        self.port = free_port()
        self.output = folder / "received.log"
        self._binary = binary(tls=pair is not None)
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        files, mode = "", ""
        if pair is not None:
            files = (
                f' defaultNetstreamDriverCAFile="{authority}" defaultNetstreamDriverCertFile="{pair.certificate}"'
                f' defaultNetstreamDriverKeyFile="{pair.key}"'
            )
            mode = ' StreamDriver.Name="gtls" StreamDriver.Mode="1" StreamDriver.AuthMode="x509/certvalid"'
        (folder / "rsyslog.conf").write_text(
            f'global(workDirectory="{folder}" maxMessageSize="256k"{files})\n'
            f'module(load="imtcp" maxFrameSize="262144"{mode})\n'
            f'input(type="imtcp" address="{HOST}" port="{self.port}")\n'
            'template(name="raw" type="string" string="%rawmsg%\\n")\n'
            f'action(type="omfile" file="{self.output}" template="raw")\n'
        )

    def start(self) -> None:
        command = [self._binary, "-n", "-f", self._folder / "rsyslog.conf", "-i", self._folder / "pid"]
        with (self._folder / "rsyslogd.log").open("ab") as log:
            self._process = subprocess.Popen([str(part) for part in command], stdout=log, stderr=log)
        deadline = time.monotonic() + _PATIENCE
        while not listens(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self._folder / "rsyslogd.log").read_text())
            time.sleep(0.02)

    def stop(self, number: int = signal.SIGKILL) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(_PATIENCE)
            self._process = None
            (self._folder / "pid").unlink(missing_ok=True)

    def lines(self) -> list[bytes]:
        """The messages that it has written, whole ones only."""
        content = self.output.read_bytes() if self.output.exists() else b""
        return content[: content.rfind(b"\n") + 1].split(b"\n")[:-1]

    async def wait(self, good: Callable[[list[bytes]], bool]) -> list[bytes]:
        """What it has written, once that is good; what there is after a while where it never is."""
        deadline = time.monotonic() + _PATIENCE
        while not good(found := self.lines()) and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        return found
