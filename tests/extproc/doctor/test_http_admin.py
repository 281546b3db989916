"""Envoy's admin endpoint is asked over TCP or a unix socket; whoever else answers is told apart."""

from __future__ import annotations

import contextlib
import json
import socketserver
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from extproc.doctor import http_admin
from extproc.doctor.http_admin import ask
from extproc.doctor.tree import UnreadableError
from extproc.embedded.ports import free_port

ANSWERS = {"/config_dump?include_eds": b'{"configs": []}', "/server_info": b'{"version": "x"}'}


class Answering(BaseHTTPRequestHandler):
    answers: ClassVar[dict[str, bytes]] = ANSWERS

    def do_GET(self) -> None:
        body = self.answers.get(self.path)
        self.send_response(404 if body is None else 200)
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_: Any) -> None:
        pass

    def address_string(self) -> str:
        return "somebody"


class Unix(socketserver.UnixStreamServer):
    pass


@contextlib.contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_over_tcp() -> None:
    server = HTTPServer(("127.0.0.1", 0), Answering)
    address = f"127.0.0.1:{server.server_port}"
    with serving(server):
        assert ask(address) == ask(f"http://{address}") == tuple(body.decode() for body in ANSWERS.values())


def test_over_a_unix_socket() -> None:
    with tempfile.TemporaryDirectory(prefix="sg-", dir="/tmp") as folder:
        path = Path(folder, "admin.sock")
        with serving(Unix(str(path), Answering)):
            assert json.loads(ask(f"unix:{path}")[0]) == {"configs": []}


def test_who_is_no_envoy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Answering, "answers", {})
    server = HTTPServer(("127.0.0.1", 0), Answering)
    with serving(server), pytest.raises(UnreadableError, match="answers 404: this is no admin endpoint"):
        ask(f"127.0.0.1:{server.server_port}")


def test_who_says_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_admin, "MAX_BYTES", 3)
    server = HTTPServer(("127.0.0.1", 0), Answering)
    with serving(server), pytest.raises(UnreadableError, match="more than"):
        ask(f"127.0.0.1:{server.server_port}")


@pytest.mark.parametrize("address", ["127.0.0.1:{port}", "unix:/nowhere/admin.sock", "http://[", "host:99999999"])
def test_where_nobody_answers(address: str) -> None:
    with pytest.raises(UnreadableError, match="no Envoy answers there"):
        ask(address.format(port=free_port()))
