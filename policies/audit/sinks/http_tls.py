"""TLS towards a receiver: whom to trust, and what to show."""

from __future__ import annotations

import ssl

from policies.audit.following.settings import WebhookTls
from policies.audit.following.sink import SinkError


def context(tls: WebhookTls) -> ssl.SSLContext:
    """A context that verifies the receiver's certificate and name. Files are read anew: certificates are replaced.

    Raises:
        SinkError: a file cannot be used.
    """
    try:
        made = ssl.create_default_context(cafile=tls.ca)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        if tls.certificate is not None:
            # A key with a passphrase would be asked for on the terminal.
            made.load_cert_chain(tls.certificate, tls.key, password=lambda: "")
    except (OSError, ValueError) as error:
        raise SinkError(
            f"tls: a file cannot be used: {getattr(error, 'strerror', None) or type(error).__name__}"
        ) from None
    return made
