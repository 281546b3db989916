"""How the followers stand, for people. Pure."""

from __future__ import annotations

from typing import Final

from policies.audit.following.breaker import BreakerState
from policies.audit.following.status import SinkState, SinkStatus, Status
from policies.audit.showing import times, words

COLUMNS: Final = ("sink", "state", "behind", "oldest", "breaker", "dead letters", "delivered", "failures")
_STYLES: Final = {SinkState.RETRYING: "yellow", SinkState.STOPPED: "red"}


def row(name: str, sink: SinkStatus) -> tuple[str, ...]:
    """The cells of one sink."""
    letters = f"{sink.dead_letters:,} ({_size(sink.dead_letter_bytes)})" if sink.dead_letters else "-"
    return (
        name,
        sink.state.value,
        words.several(sink.behind_records, "record") if sink.behind_records else "-",
        times.duration(sink.behind_seconds) if sink.behind_records else "-",
        sink.breaker.value.replace("_", " "),
        letters,
        f"{sink.delivered:,}",
        f"{sink.failures:,}",
    )


def style(sink: SinkStatus) -> str | None:
    """The colour of its row."""
    if sink.broken:
        return "red"
    if sink.breaker is not BreakerState.CLOSED or sink.dead_letters:
        return _STYLES.get(sink.state, "yellow")
    return _STYLES.get(sink.state)


def remarks(status: Status, now: float) -> list[str]:
    """What a person must know besides the table, a sentence each."""
    found = []
    if not status.is_fresh(now):
        ago = times.duration(max(0.0, now - status.time))
        found.append(f"nobody follows the journals now: what stands above was written {ago} ago by process {status.pid}")
    for name, sink in sorted(status.sinks.items()):
        if sink.error:
            found.append(f"{name}: {sink.error}")
        found += [f"{name}: {journal} cannot be read on: {why}" for journal, why in sorted(sink.broken.items())]
        if sink.dead_letters:
            found.append(f"{name}: `sluicegate audit replay {name}` delivers its dead letters again")
    return found


def is_well(status: Status, now: float) -> bool:
    """Whether everything is delivered, or on its way."""
    return status.is_fresh(now) and not any(
        sink.broken
        or sink.dead_letters
        or sink.missed
        or sink.error
        or sink.state in (SinkState.RETRYING, SinkState.STOPPED)
        for sink in status.sinks.values()
    )


def _size(count: int) -> str:
    value = float(count)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.3g} {unit}" if unit != "B" else f"{count} B"
        value /= 1024
    return f"{value:.3g} GiB"
