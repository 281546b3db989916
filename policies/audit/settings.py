"""Settings of the audit policy."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Annotated, TypeAlias

from pydantic import Field, model_validator

from extproc.identity import Identity
from extproc.policy import PolicySettings
from policies.audit.following.settings import FileSinkSettings, WebhookSettings
from policies.audit.journal.retention import RetentionRules
from policies.audit.journal.settings import JournalSettings
from policies.audit.ledger.settings import LedgerSettings
from policies.audit.redaction import RedactionSettings
from policies.audit.sinks.settings import LangfuseSettings, MetricsSettings, OtlpSettings, SyslogSettings, TracesSettings


class CaptureSettings(PolicySettings):
    """Whose prompts are recorded. Nobody's, unless it says so."""

    tenants: Annotated[
        tuple[str, ...],
        Field(description="Ids or names of tenants that opted in, or globs; prompts are redacted"),
    ] = ()
    max_bytes: Annotated[
        int,
        Field(ge=0, le=1_048_576, strict=True, description="Of a larger body no prompt is recorded"),
    ] = 65_536


Sink: TypeAlias = Annotated[
    FileSinkSettings
    | LangfuseSettings
    | LedgerSettings
    | MetricsSettings
    | OtlpSettings
    | SyslogSettings
    | TracesSettings
    | WebhookSettings,
    Field(discriminator="kind"),
]
"""Where records are brought, told apart by `kind`."""


class AuditSettings(PolicySettings):
    """See `docs/reference/audit.md`."""

    journal: JournalSettings
    redaction: RedactionSettings = RedactionSettings()
    capture: CaptureSettings = CaptureSettings()
    sinks: Annotated[tuple[Sink, ...], Field(description="Who follows the journal, by `sluicegate audit follow`")] = ()
    retention: RetentionRules = RetentionRules()
    close_after: Annotated[
        float,
        Field(ge=1, le=86_400, description="Seconds after which an exchange is closed of whose end nothing was heard"),
    ] = 600.0
    session_idle: Annotated[float, Field(ge=1, le=604_800, description="Seconds after which a session has ended")] = (
        1_800.0
    )
    session_header: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$", description="names the caller's session")] = (
        "x-session-id"
    )

    @model_validator(mode="after")
    def _names_differ(self) -> AuditSettings:
        names = [sink.name for sink in self.sinks]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two sinks have the name {twice[0]!r}")
        return self

    @property
    def tells_timings(self) -> bool:
        """Whether records say how long each policy took: where a sink makes spans of it."""
        return any(isinstance(sink, TracesSettings) for sink in self.sinks)

    def captures(self, identity: Identity, body: bytes | None) -> bool:
        """Whether the prompts in this body may be recorded: its tenant has opted in."""
        if not self.capture.tenants or body is None or len(body) > self.capture.max_bytes:
            return False
        names = (identity.tenant, identity.tenant_name)
        return any(fnmatchcase(name, glob) for glob in self.capture.tenants for name in names if name)
