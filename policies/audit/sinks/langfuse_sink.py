"""A sink that tells Langfuse of every exchange: its SDK makes the spans, and they are sent as OTLP over HTTP is.

Delivered is what Langfuse has answered with 200. See `policies.audit.sinks.exchange_sink` for what follows from that.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from extproc.secret import Secret, SecretError, read_secret
from policies.audit.following.sink import SinkError
from policies.audit.sinks import langfuse_sdk
from policies.audit.sinks.exchange_sink import ExchangeSink
from policies.audit.sinks.exchanges import Exchange
from policies.audit.sinks.generations import generation
from policies.audit.sinks.otlp_http import Receiver
from policies.audit.sinks.otlp_spans import PackedSpans, packed
from policies.audit.sinks.settings import LangfuseSettings

PATH: Final = "/api/public/otel/v1/traces"
_INGESTION: Final = "4"
"""The version of what is sent, as the SDK says it."""
_HINTS: Final = {
    401: "Langfuse does not accept `public_key` and `secret_key`: both must be of one project, and of this `url`",
    403: "the keys may not write: an organisation's key is not a project's",
    404: "nothing takes traces there: is `url` that of Langfuse, and is it recent enough to take OpenTelemetry?",
}
_RESOURCE: Final = {"service.name": "sluicegate"}


class LangfuseSink(ExchangeSink):
    """One observation for each exchange."""

    def __init__(self, settings: LangfuseSettings, folder: Path, clock: Callable[[], float] = time.time) -> None:
        """See `ExchangeSink`."""
        to = Receiver(
            settings.name,
            settings.url + PATH,
            settings.tls,
            settings.compression,
            settings.timeout,
            "exchanges",
            _HINTS,
        )
        super().__init__(settings, folder, to, clock)
        self._settings = settings

    def packed(self, exchanges: Sequence[Exchange]) -> list[PackedSpans]:
        settings = self._settings
        maker = langfuse_sdk.maker(_key("public_key", settings.public_key))
        made = maker.made([generation(one) for one in exchanges], settings.environment, settings.release)
        return packed([[span] for span in made], _RESOURCE, maker.scope, settings.max_bytes)

    def headers(self) -> Mapping[str, str]:
        """As the SDK sends them: Langfuse reads its own attributes by who says to have made them."""
        public = _key("public_key", self._settings.public_key)
        pair = f"{public}:{_key('secret_key', self._settings.secret_key)}"
        return {
            "authorization": f"Basic {base64.b64encode(pair.encode()).decode()}",
            "x-langfuse-sdk-name": "python",
            "x-langfuse-sdk-version": langfuse_sdk.SDK_VERSION,
            "x-langfuse-public-key": public,
            "x-langfuse-ingestion-version": _INGESTION,
        }


def _key(name: str, secret: Secret) -> str:
    """Read anew each time: keys are replaced."""
    try:
        value = read_secret(secret)
    except SecretError as error:
        raise SinkError(f"{name}: {error}") from None
    if not (value.isascii() and value.isprintable()):
        # What httpx would say of it holds the value.
        raise SinkError(f"{name}: its value is not printable ASCII")
    return value
