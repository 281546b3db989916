"""What processes tell each other of their metrics: definitions of them, and what has come to their series. Pure.

A snapshot is what has happened in a process since the last one (see `extproc.metrics`), in pieces of msgpack.
"""

from __future__ import annotations

import re
from typing import Final, Literal, TypeAlias

import msgspec

OTHER: Final = "other"
"""The value of every label whose own value has no series."""
NONE: Final = "none"
"""The value of a label where there is nothing: an exchange without a tenant, or without a model."""
LONGEST: Final = 128
"""Characters of a label's value. A longer one is `other`."""
_HELP: Final = 500
MOST_LABELS: Final = 8
MOST_BUCKETS: Final = 40
MOST: Final = 2**63 - 1
"""The largest number that travels."""
NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,99}")

Labels: TypeAlias = tuple[str, ...]
Kind: TypeAlias = Literal["counter", "gauge", "histogram"]
Merge: TypeAlias = Literal["sum", "max", "min"]


class Definition(msgspec.Struct, frozen=True, array_like=True):
    """What a metric is.

    Attributes:
        labels: names; each series has a value for each of them.
        per: what one of its unit is inside: micro-dollars in a dollar, for example.
        bounds: of a histogram: the upper ends of its buckets, in the unit inside.
        room: series that it may have, over all processes.
        top: the label whose values are ranked (`Metrics.top`). Empty: none.
        merge: of a gauge: what all processes together say of a series, from what each of them does.
    """

    name: str
    kind: Kind
    help: str
    labels: Labels = ()
    per: int = 1
    bounds: tuple[int, ...] = ()
    room: int = 1_000
    top: str = ""
    merge: Merge = "sum"


class Exemplar(msgspec.Struct, frozen=True, array_like=True):
    """One observation of a series: what it was, in which trace, and when (seconds since the epoch)."""

    value: int
    trace: str
    at: float


class Series(msgspec.Struct, frozen=True, array_like=True):
    """A metric, and what has come to some of its series.

    `values` by labels: an amount; of a histogram how many were in each bucket, how many beyond the last, and their sum;
    of a gauge nothing (`[]`) where there is no such series any more.
    """

    definition: Definition
    values: list[tuple[Labels, int | list[int]]]
    exemplars: list[tuple[Labels, Exemplar]] = []


class Ranked(msgspec.Struct, frozen=True, array_like=True):
    """The values of a label that have series of their own: the `most` heaviest, and those that are pinned."""

    label: str
    most: int
    pinned: tuple[str, ...] = ()
    weights: list[tuple[str, int]] = []


class Snapshot(msgspec.Struct, frozen=True, array_like=True):
    """What has happened since the last one. Weights count before what they weigh."""

    ranked: list[Ranked] = []
    series: list[Series] = []


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Snapshot)


def read(data: bytes) -> Snapshot | None:
    """The snapshot in a piece; None if there is none in it."""
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def written(snapshot: Snapshot) -> bytes:
    """The snapshot as a piece."""
    return _encoder.encode(snapshot)


def fault(definition: Definition) -> str | None:
    """Why there can be no such metric, or None."""
    labels, bounds = definition.labels, definition.bounds
    if not NAME.fullmatch(definition.name):
        return "expected a name of lower-case letters, digits and _"
    if len(labels) > MOST_LABELS or len(set(labels)) < len(labels):
        return f"expected at most {MOST_LABELS} labels, all of them different"
    if any(not NAME.fullmatch(label) or label in ("le", "quantile") for label in labels):
        return "expected labels of lower-case letters, digits and _"
    if len(definition.help) > _HELP:
        return f"expected a help of at most {_HELP} characters"
    if definition.top and definition.top not in labels:
        return "expected the label that is ranked among the labels"
    if definition.merge != "sum" and definition.kind != "gauge":
        return "expected a gauge: all else is summed"
    if definition.per < 1 or definition.room < 1:
        return "expected a unit and room of at least 1"
    if (definition.kind == "histogram") != bool(bounds) or len(bounds) > MOST_BUCKETS:
        return f"expected from 1 to {MOST_BUCKETS} buckets"
    if any(not 0 <= low < high <= MOST for low, high in zip((0, *bounds), (*bounds, MOST), strict=True) if bounds):
        return "expected buckets that grow"
    return None
