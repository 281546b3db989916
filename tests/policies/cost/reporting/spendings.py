"""What was spent, for tests: rows, and strategies for them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import strategies as st

from extproc.catalogue import Catalogue
from extproc.spending import Question, SpendingError, Spent

START, END = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)


def row(
    by: Mapping[str, str] | None = None,
    dollars: int | None = 0,
    *,
    requests: int = 1,
    refused: int = 0,
    unpriced: int = 0,
    estimated: int = 0,
    open: int = 0,
    **tokens: int,
) -> Spent:
    """What some requests spent."""
    kinds = {"input": 0, "output": 0, "cached_input": 0} | tokens
    return Spent(dict(by or {}), requests, refused, open, kinds, dollars, unpriced, estimated)


@st.composite
def spent(draw: st.DrawFn) -> list[Spent]:
    """Rows told apart by tenant, model and day, each combination once."""
    names = st.sampled_from(["", "a", "b", "<script>", "=1+1", "ä\u202e"])
    days = st.integers(1, 30).map(lambda day: f"2026-11-{day:02}")
    keys = draw(st.lists(st.tuples(names, names, days), unique=True, max_size=12))
    counts = st.integers(0, 10**9)
    found = []
    for tenant, model, day in keys:
        unknown = draw(st.booleans())
        found.append(
            row(
                {"tenant": tenant, "model": model, "day": day},
                None if unknown else draw(st.integers(0, 10**15)),
                requests=draw(counts),
                refused=draw(counts),
                unpriced=1 if unknown else 0,
                estimated=draw(counts),
                input=draw(counts),
                output=draw(counts),
                reasoning=draw(counts),
            )
        )
    return found


@dataclass
class Told:
    """A host whose policies know what they are told here, by what is asked by."""

    rows: Mapping[tuple[str, ...], list[Spent]] = field(default_factory=dict)
    models: Catalogue = field(default_factory=Catalogue)
    asked: list[Question] = field(default_factory=list)
    silent: bool = False

    async def spending(self, configuration: Path, question: Question, state: Path) -> AsyncIterator[Spent]:
        self.asked.append(question)
        if self.silent:
            raise SpendingError("there is no ledger")
        for one in self.rows.get(question.by, []):
            yield one

    def catalogue(self, configuration: Path) -> Catalogue:
        return self.models
