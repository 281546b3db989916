"""Legal holds: tenants of whom nothing may be removed, whatever retention says. A file beside the journals.

Retention asks `held` before it removes anything, and removes nothing at all where that raises.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from policies.audit.atomic import replace

FILE: Final = "holds.json"
_LOCK: Final = "holds.lock"
_encoder: Final = msgspec.json.Encoder()


class HoldsError(Exception):
    """Which tenants are held cannot be told, or not be changed. The message says why."""


class Hold(msgspec.Struct, frozen=True, omit_defaults=True):
    """One tenant that is held.

    Attributes:
        tenant: name or id, as records have it.
        since: when it was placed, UTC, as records write times.
        by: who placed it.
        why: what they said.
    """

    tenant: str
    since: str
    by: str
    why: str = ""


class _Holds(msgspec.Struct):
    holds: tuple[Hold, ...] = ()


def read(folder: Path) -> list[Hold]:
    """The holds, by tenant; none where there is no file.

    Raises:
        HoldsError: there is one that cannot be read: who is held is not known.
    """
    path = folder / FILE
    try:
        found = msgspec.json.decode(path.read_bytes(), type=_Holds)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise HoldsError(f"{path}: {error.strerror}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise HoldsError(
            f"{path} is not what it should be; nothing is removed before it is mended, or every hold is placed anew"
        ) from error
    return sorted(found.holds, key=lambda hold: hold.tenant)


def held(folder: Path) -> frozenset[str]:
    """Names and ids of the tenants that are held.

    Raises:
        HoldsError: as `read`.
    """
    return frozenset(hold.tenant for hold in read(folder))


def placed(holds: list[Hold], hold: Hold) -> list[Hold]:
    """With this one. Pure.

    Raises:
        HoldsError: the tenant is held already.
    """
    if any(one.tenant == hold.tenant for one in holds):
        raise HoldsError(f"{hold.tenant} is held already")
    return [*holds, hold]


def released(holds: list[Hold], tenant: str) -> list[Hold]:
    """Without this tenant's. Pure.

    Raises:
        HoldsError: it is not held.
    """
    rest = [one for one in holds if one.tenant != tenant]
    if len(rest) == len(holds):
        raise HoldsError(f"{tenant} is not held")
    return rest


@contextlib.contextmanager
def changing(folder: Path) -> Iterator[list[Hold]]:
    """The holds, to change: nobody else changes them meanwhile.

    Raises:
        HoldsError: as `read`, or the folder cannot be written.
    """
    try:
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise HoldsError(f"{folder / _LOCK}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield read(folder)
    finally:
        os.close(descriptor)


def write(folder: Path, holds: list[Hold]) -> None:
    """Replace the file, durably. Only within `changing`.

    Raises:
        HoldsError: it cannot be written; what was there counts.
    """
    try:
        replace(folder / FILE, _encoder.encode(_Holds(tuple(holds))) + b"\n", sync=True)
    except OSError as error:
        raise HoldsError(f"{folder / FILE}: {error.strerror}") from error
