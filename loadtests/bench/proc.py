"""CPU time and memory of a process and of those that it has started, from Linux's kernel."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path


def field_bytes(status: str, field: str) -> int:
    """A size in the text of /proc/PID/status (proc_pid_status(5)): `VmHWM`, the largest resident size so far; `VmRSS`,
    that of now.

    Raises:
        ValueError: it does not say.
    """
    for line in status.splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    raise ValueError(f"expected a line {field}")


def parent(stat: str) -> int:
    """The parent's number in the text of /proc/PID/stat (proc_pid_stat(5)).

    Raises:
        ValueError: it is no such text.
    """
    # The name stands in parentheses and may itself hold spaces and parentheses.
    fields = stat.rpartition(")")[2].split()
    if len(fields) < 2:
        raise ValueError("expected the text of /proc/PID/stat")
    return int(fields[1])


def family(root: int, parents: Mapping[int, int]) -> list[int]:
    """A process and all below it. `parents`: the parent of each process."""
    children: dict[int, list[int]] = {}
    for child, above in parents.items():
        children.setdefault(above, []).append(child)
    found = [root]
    for process in found:
        found += children.get(process, [])
    return found


def cpu_model(cpuinfo: str) -> str:
    """The name of the first processor in the text of /proc/cpuinfo."""
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return "unknown"


def cpu_of(pid: int) -> float:
    """CPU seconds that a running process and its running children have used, to the nanosecond.

    A process's clock has a number of its own (clock_getcpuclockid(3)); /proc/PID/stat counts in steps of 10 ms.
    """
    used = 0.0
    for one in family(pid, dict(_parents())):
        with _gone_meanwhile():
            used += time.clock_gettime((~one << 3) | 2)
    return used


def child_named(root: int, name: str) -> int | None:
    """The first process of this name (proc_pid_comm(5)) below another; None where there is none."""
    for one in family(root, dict(_parents())):
        with _gone_meanwhile():
            if Path(f"/proc/{one}/comm").read_text("utf-8").strip() == name:
                return one
    return None


def peak_of(pid: int) -> int:
    """Bytes of the largest resident sizes so far of a running process and its children."""
    peak = 0
    for one in family(pid, dict(_parents())):
        with _gone_meanwhile():
            peak += _status(one, "VmHWM")
    return peak


def resident_of(pid: int) -> int:
    """Bytes that a running process has in memory now."""
    return _status(pid, "VmRSS")


def _status(pid: int, field: str) -> int:
    return field_bytes(Path(f"/proc/{pid}/status").read_text("utf-8"), field)


def _gone_meanwhile() -> contextlib.suppress:
    """Processes come and go while we look; one that has ended has no sizes either."""
    return contextlib.suppress(OSError, ValueError)


def _parents() -> Iterator[tuple[int, int]]:
    for path in Path("/proc").glob("[0-9]*/stat"):
        with _gone_meanwhile():
            yield int(path.parent.name), parent(path.read_text("utf-8", "replace"))
