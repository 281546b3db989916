"""CPU time and memory of a process, from Linux's /proc. See proc(5)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_AFTER_NAME: Final = 3
"""The number of the field (from 1) that follows the command's name."""
_UTIME: Final = 14


def cpu_seconds(stat: str, ticks: int = _TICKS) -> float:
    """User and system time in the text of /proc/PID/stat. `ticks`: per second.

    Raises:
        ValueError: it is no such text.
    """
    # The name stands in parentheses and may itself hold spaces and parentheses.
    fields = stat.rpartition(")")[2].split()
    if len(fields) <= _UTIME + 1 - _AFTER_NAME:
        raise ValueError("expected the text of /proc/PID/stat")
    user, system = fields[_UTIME - _AFTER_NAME], fields[_UTIME + 1 - _AFTER_NAME]
    return (int(user) + int(system)) / ticks


def peak_bytes(status: str) -> int:
    """The largest resident size so far (VmHWM) in the text of /proc/PID/status.

    Raises:
        ValueError: it does not say.
    """
    for line in status.splitlines():
        name, _, value = line.partition(":")
        if name == "VmHWM":
            return int(value.split()[0]) * 1024
    raise ValueError("expected a line VmHWM")


def cpu_model(cpuinfo: str) -> str:
    """The name of the first processor in the text of /proc/cpuinfo."""
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return "unknown"


def cpu_of(pid: int) -> float:
    """CPU seconds that a running process has used."""
    return cpu_seconds(Path(f"/proc/{pid}/stat").read_text("utf-8"))


def peak_of(pid: int) -> int:
    """Bytes of a running process's largest resident size so far."""
    return peak_bytes(Path(f"/proc/{pid}/status").read_text("utf-8"))
