"""Settings of the audit policy."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import Field

from extproc.identity import Identity
from extproc.policy import PolicySettings
from policies.audit.journal.settings import JournalSettings
from policies.audit.redaction import RedactionSettings


class CaptureSettings(PolicySettings):
    """Whose prompts are recorded. Nobody's, unless it says so."""

    tenants: Annotated[
        tuple[str, ...],
        Field(description="Ids or names of tenants that opted in, or globs; prompts are redacted"),
    ] = ()


class AuditSettings(PolicySettings):
    """See `docs/reference/audit.md`."""

    journal: JournalSettings
    redaction: RedactionSettings = RedactionSettings()
    capture: CaptureSettings = CaptureSettings()
    session_header: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$", description="names the caller's session")] = (
        "x-session-id"
    )

    def captures(self, identity: Identity) -> bool:
        """Whether prompts of this caller's tenant may be recorded."""
        names = (identity.tenant, identity.tenant_name)
        return any(fnmatchcase(name, glob) for glob in self.capture.tenants for name in names if name)
