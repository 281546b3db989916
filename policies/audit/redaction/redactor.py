"""Redaction of texts, of JSON values and of records. Pure: the same input, key and settings give the same output."""

from __future__ import annotations

import hashlib
import hmac
import re
from fnmatch import translate
from typing import Any, Final

import msgspec

from policies.audit.record import Record, Said
from policies.audit.redaction.detector import Detector
from policies.audit.redaction.kinds import Finding, Kind, label, too_long
from policies.audit.redaction.settings import DROPPABLE, RedactionSettings
from policies.audit.redaction.tree import Walk
from policies.audit.redaction.views import sound

LEAST_KEY: Final = 16
"""Bytes of a key."""
_REMEMBERED: Final = 4096
_SHORT: Final = 256
_PSEUDONYM: Final = re.compile("user-[0-9a-f]{4}-[0-9a-f]{24}")
CHOSEN: Final = (
    *(
        "action",
        "after",
        "before",
        "details",
        "method",
        "model",
        "operation",
        "path",
        "reason",
        "request_id",
        "response_model",
    ),
    *("route", "session_id", "subject", "tool", "trace_id", "upstream", "why"),
)
"""The members of a record whose text a client or a provider chose, or that may repeat such a text."""


class Redactor:
    """Takes out of texts what a record must not hold. Never fails, whatever it is given."""

    def __init__(self, settings: RedactionSettings, key: bytes) -> None:
        """Raises `ValueError` for a key of less than sixteen bytes."""
        if len(key) < LEAST_KEY:
            raise ValueError(f"expected a key of {LEAST_KEY} bytes or more for the keyed hashes")
        self._key = key
        self._longest = settings.longest
        self.takes_secrets = Kind.SECRET in settings.classes
        self._detector = Detector(settings.classes, settings.patterns)
        self._pseudonymised = re.compile("|".join(translate(glob) for glob in settings.pseudonymise) or r"(?!)").match
        self._dropped = {DROPPABLE[member]: _EMPTY[DROPPABLE[member]] for member in settings.drop}
        self._key_id = hmac.digest(key, b"key id", "sha256").hex()[:4]
        # Short texts in which nothing was found, so that no secret is remembered: those of late, and those before.
        self._clean: dict[str, None] = {}
        self._clean_before: dict[str, None] = {}

    def text(self, value: str) -> str:
        """The text with a label in place of each value that was found; itself if there was none."""
        if value in self._clean:
            return value
        if value in self._clean_before:
            self._remember(value)
            return value
        if len(value) > self._longest:
            return too_long(len(value))
        whole = sound(value)
        findings = self._detector.find(whole)
        if findings:
            return self.replaced(whole, findings)
        if len(value) <= _SHORT and whole == value:
            self._remember(value)
        return value if whole.isascii() else _encodable(value, whole)

    def tree(self, value: Any) -> Any:
        """The JSON value with every string of it redacted, and every key. See `policies.audit.redaction.tree`."""
        return Walk(self).value(value)

    def user(self, tenant: str, user: str) -> str:
        """The user's pseudonym where the tenant's users have one; else the user. A pseudonym stays what it is."""
        if not user or self._pseudonymised(tenant) is None or _PSEUDONYM.fullmatch(user):
            return user
        digest = hmac.digest(self._key, b"user\0" + _bytes(tenant) + b"\0" + _bytes(user), "sha256")
        return f"user-{self._key_id}-{digest.hex()[:24]}"

    def record(self, record: Record) -> Record:
        """The record without what its members must not hold; `redacted` says whether anything was replaced or dropped."""
        changes: dict[str, Any] = {}
        for name in CHOSEN:
            if value := getattr(record, name):
                kept = self.text(value)
                if kept is not value:
                    changes[name] = kept
        for name in ("flags", "marks"):
            if values := getattr(record, name):
                texts = tuple(self.text(value) for value in values)
                if texts != values:
                    changes[name] = texts
        if record.decisions and (said := tuple(self._said(one) for one in record.decisions)) != record.decisions:
            changes["decisions"] = said
        user = self.user(record.tenant or record.tenant_id, record.user_id)
        if user != record.user_id:
            changes["user_id"] = user
        found = bool(changes)
        if record.params and "params" not in self._dropped:
            walk = Walk(self)
            changes["params"] = walk.value(record.params)
            found = found or walk.found
        for name, empty in self._dropped.items():
            if getattr(record, name) != empty:
                changes[name] = empty
                found = True
        if not changes:
            return record
        return msgspec.structs.replace(record, redacted=record.redacted or found, **changes)

    def find(self, value: str) -> list[Finding]:
        """What is to be replaced in a sound text that is not too long."""
        return self._detector.find(value)

    def looks_at(self, length: int) -> bool:
        """Whether texts of so many characters are looked at."""
        return length <= self._longest

    def labelled(self, kind: str, value: str) -> str:
        """The label in place of a value: of its class and the keyed hash of its normal form."""
        return label(kind, hmac.new(self._key, _bytes(f"{kind}\0{value}"), hashlib.sha256).hexdigest())

    def replaced(self, value: str, findings: list[Finding]) -> str:
        """The text with labels in place of the findings, which are in order of place and do not overlap."""
        pieces: list[str] = []
        done = 0
        for finding in findings:
            pieces += (value[done : finding.start], self.labelled(finding.kind, finding.value))
            done = finding.end
        pieces.append(value[done:])
        return "".join(pieces)

    def _said(self, said: Said) -> Said:
        code, outcome, why = self.text(said.code), self.text(said.outcome), self.text(said.why)
        if (code, outcome, why) == (said.code, said.outcome, said.why):
            return said
        return msgspec.structs.replace(said, code=code, outcome=outcome, why=why)

    def _remember(self, value: str) -> None:
        if len(self._clean) >= _REMEMBERED:
            self._clean_before, self._clean = self._clean, {}
        self._clean[value] = None


def _bytes(value: str) -> bytes:
    return value.encode("utf-8", "surrogatepass")


def _encodable(value: str, whole: str) -> str:
    """The text as it came, unless no encoding can carry it."""
    return whole if any("\ud800" <= character <= "\udfff" for character in value) else value


def _empty() -> dict[str, Any]:
    return {
        field.name: field.default if field.default is not msgspec.NODEFAULT else {}
        for field in msgspec.structs.fields(Record)
        if not field.required
    }


_EMPTY: Final = _empty()
