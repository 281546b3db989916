"""Mutual TLS for the policy server: certificates from files, and taken anew when the files change.

Whoever can connect can ask for verdicts and write completions, so a client needs a certificate. Kubernetes and
cert-manager replace files under a running process; connections that are open keep the certificate with which they began.

TLS 1.3 and nothing older, and no session is ever resumed: a client that resumes is not verified again, neither against
the authorities that count now nor for having expired. Python's `ssl` cannot turn resumption off in TLS 1.2.
"""

from __future__ import annotations

import logging
import os
import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from extproc.settings import ServerTls as Section

_log = logging.getLogger(__name__)
_PROTOCOL: Final = "h2"
_EXPIRED: Final = 10
"""X509_V_ERR_CERT_HAS_EXPIRED, as OpenSSL numbers it."""
Snapshot = tuple[tuple[int, int, int] | None, ...]


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

    def paths(self) -> tuple[str, str, str]:
        return (self.certificate, self.key, self.client_ca)


def files_of(section: Section) -> ServerFiles:
    """What `server.tls` of a configuration names."""
    return ServerFiles(section.certificate, section.key, section.client_ca, section.client_names)


class ServerTls:
    """The TLS side of a listening socket. `context` is for the listener, once; `refresh` every few seconds."""

    def __init__(self, files: ServerFiles, failed: Callable[[str], None]) -> None:
        """
        Args:
            failed: told of every handshake that fails, why, by a stable name (see `failure_of`).

        Raises:
            OSError: a file cannot be read, or what it holds cannot be used.
        """
        self._files = files
        self._seen = snapshot(files.paths())
        self._current = load(files, datetime.now(UTC))
        self.ends = ends(files)
        """When the certificate that new connections get ends: seconds since the epoch."""
        self.handshakes = 0
        """So many have begun."""
        self.context: Final = load(files, datetime.now(UTC))
        # A listener keeps its context. Each handshake is led over to the present one: certificate and authorities.
        self.context.sni_callback = self._lead_over
        # Event loops tell nobody why a handshake failed.
        self.context.sslobject_class = _telling(failed)

    def _lead_over(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        self.handshakes += 1
        connection.context = self._current

    def refresh(self) -> bool:
        """Take the files anew if they have changed. Whether they were; if they cannot be used, the old ones stay."""
        seen = snapshot(self._files.paths())
        if seen == self._seen:
            return False
        self._seen = seen
        try:
            self._current, self.ends = load(self._files, datetime.now(UTC)), ends(self._files)
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


def snapshot(paths: Iterable[str]) -> Snapshot:
    """What tells one state of files from another: inode, time and size; None for what is not there."""
    return tuple(_facts(path) for path in paths)


def _facts(path: str) -> tuple[int, int, int] | None:
    try:
        # Of what a symbolic link leads to: Kubernetes swaps a link to a directory.
        facts = os.stat(path)
    except OSError:
        return None
    return (facts.st_ino, facts.st_mtime_ns, facts.st_size)


def load(files: ServerFiles, now: datetime) -> ssl.SSLContext:
    """A server's context of these files.

    Raises:
        OSError: a file cannot be read, or what it holds cannot be used; says which, and nothing of what is in it.
    """
    certificate, _, _ = (_read(path) for path in files.paths())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # Both are needed, see the module's docstring.
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols([_PROTOCOL])
    try:
        # A key that asks for a password would stop the process to read one from the terminal.
        context.load_cert_chain(files.certificate, files.key, password=lambda: "")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise OSError(f"{files.key} is not the key of {files.certificate}") from error
        raise OSError(f"{files.certificate} and {files.key} are no certificate and its key, in PEM") from error
    try:
        until = expiry(certificate)
    except ValueError as error:
        raise OSError(f"{files.certificate} holds a certificate that breaks the rules of X.509") from error
    if until <= now:
        raise OSError(f"{files.certificate} has expired: it was valid until {until:%Y-%m-%d %H:%M} UTC")
    try:
        context.load_verify_locations(files.client_ca)
    except ssl.SSLError as error:
        raise OSError(f"{files.client_ca} holds no certificates, in PEM") from error
    return context


def ends(files: ServerFiles) -> int:
    """When the server's certificate ends, in seconds since the epoch, of files that `load` has taken. Raises as that."""
    return int(expiry(_read(files.certificate)).timestamp())


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise OSError(f"{path}: {error.strerror}") from error


def expiry(chain: bytes) -> datetime:
    """Until when the first certificate of a PEM file is valid.

    Raises:
        ValueError: it is none.
    """
    # Seldom used, and slow to import.
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(chain).not_valid_after_utc
    except x509.InvalidVersion as error:
        # OpenSSL takes it.
        raise ValueError(str(error)) from error


def names_of(certificate: Mapping[str, Any]) -> set[str]:
    """The DNS names and URIs in a certificate (its subjectAltName, RFC 5280 section 4.2.1.6)."""
    return {value for kind, value in certificate.get("subjectAltName", ()) if kind in ("DNS", "URI")}


def failure_of(error: ssl.SSLError) -> str:
    """Why a handshake failed, by a stable name: OpenSSL has hundreds of its own."""
    # Not every one has it.
    reason = getattr(error, "reason", None) or ""
    if isinstance(error, ssl.SSLCertVerificationError):
        return "client_certificate_expired" if error.verify_code == _EXPIRED else "client_certificate_not_trusted"
    if reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
        return "no_client_certificate"
    if "ALERT" in reason and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason):
        return "our_certificate_not_trusted"
    if reason in ("UNSUPPORTED_PROTOCOL", "VERSION_TOO_LOW"):
        return "tls_too_old"
    if reason in ("HTTP_REQUEST", "WRONG_VERSION_NUMBER"):
        return "not_tls"
    return "tls_handshake_failed"


def _telling(failed: Callable[[str], None]) -> type[ssl.SSLObject]:
    """A connection's TLS that tells why its handshake failed."""

    class Telling(ssl.SSLObject):
        def do_handshake(self) -> None:
            try:
                super().do_handshake()
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                raise
            except ssl.SSLError as error:
                failed(failure_of(error))
                raise

    return Telling
