from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from extproc.ai_gateway.running import PORTS, admin_port, launch

DOCUMENTS: list[dict[str, Any]] = [{"kind": "Gateway", "metadata": {"name": "é"}}, {"kind": "Secret"}]


def test_nothing_needs_to_be_downloaded(tmp_path: Path) -> None:
    envoy = tmp_path / "envoy"
    envoy.touch()
    arguments = {"folder": tmp_path / "aigw", "sockets": tmp_path, "envoy": envoy, "version": "1.40.0"}
    for _ in range(2):
        started = launch(Path("/opt/aigw"), DOCUMENTS, **arguments)  # type: ignore[arg-type]
    place = Path(started.environment["AIGW_DATA_HOME"], "envoy-versions/1.40.0/bin/envoy")
    assert place.readlink() == envoy
    written = Path(started.program[-1])
    assert started.program == ("/opt/aigw", "run", "--run-id", "0", str(written))
    assert list(yaml.safe_load_all(written.read_text())) == DOCUMENTS


def test_what_it_writes_is_the_owners_alone(tmp_path: Path) -> None:
    """Secrets may stand in its documents, and it keeps keys at home."""
    started = launch(Path("/opt/aigw"), DOCUMENTS, folder=tmp_path / "a", sockets=tmp_path, envoy=tmp_path, version="1")
    assert stat.S_IMODE(Path(started.program[-1]).stat().st_mode) == 0o600
    for path in (tmp_path / "a", Path(started.environment["HOME"])):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    for name, value in started.environment.items():
        assert Path(value).is_relative_to(tmp_path), name


@pytest.mark.parametrize(
    ("log", "port"),
    [
        (b"", None),
        (
            b"starting\nEnvoy AI Gateway listening on http://localhost:1975 (admin http://localhost:41219) after 2.4s\n",
            41219,
        ),
        (b"Envoy AI Gateway listening on http://localhost:1975 (admin http://localh", None),
    ],
)
def test_envoys_admin_port_is_in_the_log(log: bytes, port: int | None) -> None:
    assert admin_port(log) == port


def test_ports_are_told_apart() -> None:
    assert len(set(PORTS)) == len(PORTS)
