"""`sluicegate audit hold`, `release`, `holds` and `retain`: what must stay, and what may go."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer

from extproc.commands import By, taking, who
from extproc.printing import complain, say, show_json, show_table
from extproc.secret import SecretError, read_secret
from policies.audit import holds as held
from policies.audit.holds import Hold
from policies.audit.journal import retention
from policies.audit.journal.retention import Done, Fate, RetentionRules
from policies.audit.journal.settings import JournalError, JournalSettings
from policies.audit.journal.signing import Signer, SigningKeyError
from policies.audit.showing import options, times, words
from policies.audit.showing.configured import Configured, section
from policies.audit.showing.filters import FilterError
from policies.audit.showing.options import Json
from policies.audit.showing.recording import HOLD_PLACED, HOLD_RELEASED, INSTANCE, RETENTION_APPLIED, record
from policies.audit.tenants import is_on_record

Why = Annotated[str, typer.Option("--why", metavar="TEXT", help="Goes on record.")]
_LONGEST: Final = 1_000


@taking(configured=options.located)
def hold(
    *,
    tenant: Annotated[str, typer.Argument(metavar="TENANT", help="Its name or id, as records have it.")],
    configured: Configured,
    why: Why = "",
    by: By = None,
) -> None:
    """Place a legal hold: of this tenant nothing is removed until it is released, however old it is."""
    name = _tenant(tenant)
    new = Hold(name, times.stamp(datetime.now(UTC)), who(by), why[:_LONGEST])
    with held.changing(configured.folder) as before:
        after = held.placed(before, new)
        record(configured, _fields(HOLD_PLACED, name, new.by, new.why, ("not held", "held")))
        held.write(configured.folder, after)
    say(f"{name} is held: nothing of it is removed")
    if not is_on_record(configured.folder, name, INSTANCE):
        complain(f"no record names {name} as its tenant yet: is it spelt as records have it?", prefix="warning: ")


@taking(configured=options.located)
def release(
    *,
    tenant: Annotated[str, typer.Argument(metavar="TENANT", help="As `holds` shows it.")],
    configured: Configured,
    why: Why = "",
    by: By = None,
) -> None:
    """Release a legal hold: retention counts again."""
    with held.changing(configured.folder) as before:
        after = held.released(before, tenant)
        record(configured, _fields(HOLD_RELEASED, tenant, who(by), why[:_LONGEST], ("held", "not held")))
        held.write(configured.folder, after)
    say(f"{tenant} is released: retention counts again")


@taking(configured=options.located)
def holds(*, configured: Configured, as_json: Json = False) -> None:
    """Show the legal holds."""
    found = held.read(configured.folder)
    if as_json:
        show_json(found)
    elif found:
        rows = [(one.tenant, words.clock(one.since), one.by, one.why or "-") for one in found]
        show_table(("tenant", "since (UTC)", "by", "why"), rows)
    else:
        say("no tenant is held")


@taking(configured=options.configured)
def retain(
    *,
    configured: Configured,
    do: Annotated[bool, typer.Option("--do", help="Do it. Left out: say what would be done.")] = False,
    by: By = None,
    as_json: Json = False,
) -> None:
    """Say what retention would remove and compress now, by the settings; with --do, do it. What is held stays."""
    rules = section(configured, RetentionRules, "retention")
    journal = section(configured, JournalSettings, "journal")
    folder, now = configured.folder, time.time()
    # Nobody places a hold meanwhile.
    with held.changing(folder) as found:
        names = {one.tenant for one in found}
        planned = retention.retain(folder, rules, now, names, do=False)
        done = planned
        if do:
            signer = _signer(journal)
            if any(one.fate is Fate.REMOVED for one in planned):
                record(configured, _removing(planned, who(by)))
            done = retention.retain(folder, rules, now, names, signer)
    if as_json:
        show_json({"done": do, "segments": done})
        return
    rows = [(one.journal, one.segment, f"{one.sequence:,}", one.fate.value, one.why) for one in done]
    if rows:
        show_table(("journal", "segment", "from", "fate", "why"), rows)
    say(_summed(done, do=do))


def _signer(settings: JournalSettings) -> Signer | None:
    try:
        return None if settings.signing_key is None else Signer.from_pem(read_secret(settings.signing_key))
    except (SecretError, SigningKeyError) as error:
        raise JournalError(f"signing_key: {error}") from None


def _removing(planned: Sequence[Done], by: str) -> dict[str, Any]:
    """What the record of a removal says: how far each journal goes."""
    last: dict[str, int] = {}
    for one in planned:
        if one.fate is Fate.REMOVED:
            last[one.journal] = max(one.sequence, last.get(one.journal, 0))
    count = sum(one.fate is Fate.REMOVED for one in planned)
    return {"event": RETENTION_APPLIED, "by": by, "action": "remove", "params": {"segments": count, "up_to": last}}


def _summed(done: Sequence[Done], *, do: bool) -> str:
    count = {fate: sum(one.fate is fate for one in done) for fate in Fate}
    what = f"{count[Fate.REMOVED]:,} removed, {count[Fate.COMPRESSED]:,} compressed, {count[Fate.KEPT]:,} kept"
    return what if do else f"with --do: {what}"


def _tenant(text: str) -> str:
    if not text or text != text.strip() or not text.isprintable():
        raise FilterError(f"{text!r} is no tenant: expected a name or an id, as records have it")
    return text


def _fields(event: str, tenant: str, by: str, why: str, change: tuple[str, str]) -> dict[str, Any]:
    before, after = change
    return {"event": event, "tenant": tenant, "by": by, "why": why, "before": before, "after": after}
