"""Mutual TLS for the policy server: certificates from files, and taken anew when the files change.

Whoever can connect can ask for verdicts and write completions, so a client needs a certificate. Kubernetes and
cert-manager replace files under a running process; connections that are open keep the certificate with which they began.
"""

from __future__ import annotations

import logging
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_log = logging.getLogger(__name__)
_PROTOCOL: Final = "h2"
Snapshot = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class ServerFiles:
    """Paths of PEM files.

    Attributes:
        certificate, key: the server's chain, and its private key.
        client_ca: the authorities whose certificates clients show.
        client_names: DNS names or URIs, one of which must stand in a client's certificate; none: any will do.
    """

    certificate: str
    key: str
    client_ca: str
    client_names: tuple[str, ...] = ()


class ServerTls:
    """The TLS side of a listening socket. `context` is for the listener, once; `refresh` every few seconds."""

    def __init__(self, files: ServerFiles) -> None:
        """
        Raises:
            OSError: a file cannot be read, or what it holds cannot be used.
        """
        self._files = files
        self._seen = self._snapshot()
        self._current = self._load()
        self.handshakes = 0
        """So many have begun."""
        self.context: Final = self._load()
        # A listener keeps its context. Each handshake is led over to the present one: certificate and authorities.
        self.context.sni_callback = self._lead_over

    def _lead_over(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        self.handshakes += 1
        connection.context = self._current

    def refresh(self) -> bool:
        """Take the files anew if they have changed. Whether they were; if they cannot be used, the old ones stay."""
        try:
            seen = self._snapshot()
            if seen == self._seen:
                return False
            self._seen = seen
            self._current = self._load()
        except OSError as error:
            _log.error("the certificates have changed and cannot be used, the old ones stay: %s", error)
            return False
        _log.info("the certificates have changed: new connections get the new ones")
        return True

    def refusal(self, certificate: Mapping[str, Any] | None, protocol: str | None) -> str | None:
        """Why a client is not taken after its handshake, by a stable name; or None.

        `certificate` is what `ssl.SSLSocket.getpeercert` gives, `protocol` what was agreed on by ALPN (RFC 7301).
        """
        if protocol != _PROTOCOL:
            return "no_alpn"
        if not certificate:
            return "no_client_certificate"
        if self._files.client_names and not names_of(certificate) & set(self._files.client_names):
            return "client_name_not_allowed"
        return None

    def _snapshot(self) -> Snapshot:
        found = []
        for path in (self._files.certificate, self._files.key, self._files.client_ca):
            try:
                # Of what a symbolic link leads to: Kubernetes swaps a link to a directory.
                facts = os.stat(path)
            except OSError as error:
                raise OSError(f"{path}: {error.strerror}") from error
            found.append((facts.st_ino, facts.st_mtime_ns, facts.st_size))
        return tuple(found)

    def _load(self) -> ssl.SSLContext:
        files = self._files
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_REQUIRED
        context.set_alpn_protocols([_PROTOCOL])
        try:
            # A key that asks for a password would stop the process to read one from the terminal.
            context.load_cert_chain(files.certificate, files.key, password=lambda: "")
        except ssl.SSLError as error:
            raise OSError(f"{files.certificate} and {files.key} are no certificate and its key, in PEM") from error
        try:
            context.load_verify_locations(files.client_ca)
        except ssl.SSLError as error:
            raise OSError(f"{files.client_ca} holds no certificates, in PEM") from error
        return context


def names_of(certificate: Mapping[str, Any]) -> set[str]:
    """The DNS names and URIs in a certificate (its subjectAltName, RFC 5280 section 4.2.1.6)."""
    return {value for kind, value in certificate.get("subjectAltName", ()) if kind in ("DNS", "URI")}
