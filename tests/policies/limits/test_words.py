from __future__ import annotations

from typing import Final

import pytest

from policies.limits import words
from policies.limits.limit import KINDS, Measure
from policies.limits.registry import Change
from policies.limits.settings import LimitEntry
from policies.limits.subjects import Level, Subject, parse
from policies.limits.tables import Line, Model
from tests.policies.limits.world import NOW, limit


@pytest.mark.parametrize(
    ("amount", "measure", "bare", "with_unit"),
    [
        (0, Measure.TOKENS, "0", "0 tokens"),
        (12_500, Measure.TOKENS, "12,500", "12,500 tokens"),
        (3, Measure.PARALLEL, "3", "3 parallel requests"),
        (0, Measure.DOLLARS, "$0.00", "$0.00"),
        (123, Measure.DOLLARS, "$0.000123", "$0.000123"),
        (12_500_000, Measure.DOLLARS, "$12.50", "$12.50"),
        (1_234_567_890, Measure.DOLLARS, "$1,234.56789", "$1,234.56789"),
    ],
)
def test_amounts(amount: int, measure: Measure, bare: str, with_unit: str) -> None:
    assert words.shown(amount, measure) == bare
    assert words.with_unit(amount, measure) == with_unit


def test_no_amount() -> None:
    assert words.with_unit(None, Measure.DOLLARS) == "no limit"


@pytest.mark.parametrize(
    ("milliseconds", "kind", "text"),
    [
        (None, "parallel_requests", "-"),
        (0, "tokens_per_minute", "-"),
        (1, "tokens_per_minute", "in 1s"),
        (72_000, "tokens_per_minute", "in 1m12s"),
        (59_999, "tokens_per_day", "2026-01-01T00:00:59Z, in 0h0m"),
        (3_600_000 + 61_000, "tokens_per_day", "2026-01-01T01:01:01Z, in 1h1m"),
        (9 * 86_400_000 + 3 * 3_600_000, "tokens_per_month", "2026-01-10T03:00:00Z, in 9d3h"),
    ],
)
def test_when_it_resets(milliseconds: int | None, kind: str, text: str) -> None:
    assert words.when(milliseconds, kind, NOW) == text


@pytest.mark.parametrize(
    ("tenant", "text"),
    [
        ("t-1", "contoso/user=a"),
        ("t-2", "t-2/user=a"),  # has no name
        ("t-3", "t-3/user=a"),  # shares it
        ("t-5", "t-5/user=a"),  # has the id of another for one
        ("t-6", "t-6/user=a"),  # would read as everyone
        ("t-7", "%65veryone/user=a"),
        ("t-8", "A%2FB/user=a"),
        ("unknown", "unknown/user=a"),
        ("*", "everyone/user=a"),
    ],
)
def test_a_tenant_has_its_name_where_it_is_plain(tenant: str, text: str) -> None:
    names = {
        "t-1": "contoso",
        "t-2": "",
        "t-3": "twin",
        "t-4": "twin",
        "t-5": "t-1",
        "t-6": "*",
        "t-7": "everyone",
        "t-8": "A/B",
    }
    subject = Subject(tenant, ((Level.USER, "a"),))
    assert words.label(subject, names) == text
    assert words.relabel(str(subject), names) == text


def test_what_is_no_subject_stands_as_it_is() -> None:
    assert words.relabel("a/b/c", {}) == "a/b/c"


CHANGES: Final = [
    Change(30.0, "c", "reset", "contoso/user=alice", "tokens_per_day"),
    Change(25.0, "x", "set", "contoso/user=bob", "tokens_per_day", None, 2),
    Change(20.0, "x", "set", "contoso/user=alice", "tokens_per_minute", None, 2),
    Change(10.0, "b", "set", "contoso/user=alice", "tokens_per_day", 1, 2),
    Change(0.0, "a", "set", "contoso/user=alice", "tokens_per_day", None, 1),
]


def test_who_set_a_limit() -> None:
    one = limit("tokens_per_day", source="override")
    assert words.sources(one, CHANGES) == "set by b, 1970-01-01T00:00:10Z"
    assert words.sources(one, CHANGES[:3]) == "set at run time"
    assert words.sources(one, [Change(0.0, "", "set", "contoso/user=alice", "tokens_per_day")]).startswith(
        "set by somebody"
    )
    assert words.sources(limit(source="limits[2]"), CHANGES) == "limits[2]"


def test_where_a_counter_may_have_its_limit_from() -> None:
    entry = LimitEntry.model_validate({"subject": "user", "match": {"role": "x"}, "tokens_per_day": 1})
    opened = [(1, entry, ("role",)), (4, entry, ("role", "model"))]
    text = "limits[1] for some role; limits[4] for some role and model"
    assert words.depends(opened, "tokens_per_day") == text
    assert words.depends(opened, "tokens_per_minute") == "no limit"


def stands(**more: object) -> Line:
    usual = {"subject": "s", "kind": "tokens_per_day", "unit": "tokens", "limit": 2_000, "used": 1_500, "left": 500}
    return Line(**{**usual, "share": 0.75, "reserved": 7, "resets_in": 60_000, "source": "limits[0]", **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("line", "row"),
    [
        (
            stands(),
            ("tokens_per_day", "2,000", "1,500", "500", "75.0%", "7", "2026-01-01T00:01:00Z, in 0h1m", "limits[0]"),
        ),
        (
            stands(limit=0, left=0, share=None, resets_in=None, shadow=True),
            ("tokens_per_day", "0", "1,500", "0", "suspended", "7", "-", "limits[0] (in shadow)"),
        ),
        (
            stands(kind="dollars_per_day", limit=None, left=None, share=None, resets_in=None, source="no limit"),
            ("dollars_per_day", "-", "$0.0015", "-", "-", "$0.000007", "-", "no limit"),
        ),
    ],
)
def test_the_cells_of_a_limit(line: Line, row: tuple[str, ...]) -> None:
    assert words.line_row(line, NOW) == row
    assert len(row) == len(words.LINE_COLUMNS)


@pytest.mark.parametrize(
    ("limit", "share", "style"),
    [(0, None, "red"), (9, 1.0, "red"), (9, 2.5, "red"), (9, 0.8, "yellow"), (9, 0.79, None), (None, None, None)],
)
def test_what_is_nearly_used_up_is_seen(limit: int | None, share: float | None, style: str | None) -> None:
    assert words.line_style(stands(limit=limit, share=share)) == style


@pytest.mark.parametrize(
    ("change", "row"),
    [
        (
            Change(0.0, "kim", "set", "t-1/user=a", "dollars_per_day", None, 12_500_000),
            ("1970-01-01T00:00:00Z", "kim", "set", "contoso/user=a", "dollars_per_day", "-", "$12.50"),
        ),
        (
            Change(0.0, "kim", "unset", "everyone", "tokens_per_day", 1_000),
            ("1970-01-01T00:00:00Z", "kim", "unset", "everyone", "tokens_per_day", "1,000", "-"),
        ),
        (
            Change(0.0, "kim", "reset", "t-1", ",".join(KINDS)),
            ("1970-01-01T00:00:00Z", "kim", "reset", "contoso", "all", "-", "-"),
        ),
        (
            Change(0.0, "kim", "set", "no/subject", "of_another_version", 1, 2),
            ("1970-01-01T00:00:00Z", "kim", "set", "no/subject", "of_another_version", "1", "2"),
        ),
    ],
)
def test_the_cells_of_a_change(change: Change, row: tuple[str, ...]) -> None:
    assert words.change_row(change, {"t-1": "contoso"}) == row
    assert len(row) == len(words.CHANGE_COLUMNS)


def test_the_cells_of_a_model() -> None:
    assert words.model_row(Model("m", 1_200, 0.9, 1.0, 2_000, 3_000)) == (
        "m",
        "1,200",
        "0.900",
        "1.000",
        "2,000",
        "3,000",
    )
    assert words.model_row(Model("m", 1, None, 1.0, 0, None)) == ("m", "1", "-", "1.000", "0", "-")
    assert len(words.MODEL_COLUMNS) == 6


def test_kinds() -> None:
    assert words.kinds(["tokens_per_day", "dollars_per_day"]) == "tokens_per_day, dollars_per_day"
    assert words.kinds(list(KINDS)) == "all"


def test_a_label_is_a_subject() -> None:
    assert parse(words.label(Subject("t"), {"t": "name"})) == Subject("name")
