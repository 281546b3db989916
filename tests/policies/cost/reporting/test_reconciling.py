from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from extproc.catalogue import Catalogue, Provider, Upstream
from policies.cost.reporting.bills import BillError
from policies.cost.reporting.comparing import Tolerance, ToleranceError
from policies.cost.reporting.reconciling import Terms, compare, show
from tests.policies.cost.reporting.exports import COSTS, cost, sheet
from tests.policies.cost.reporting.spendings import Told, row

BY = ("day", "response_model")
HERE = Path("gateway.yaml")
UPSTREAMS = Catalogue(
    upstreams=(
        Upstream("eu", Provider.AZURE),
        Upstream("openai", Provider.OPENAI),
        Upstream("local", Provider.OPENAI),
    )
)


@pytest.fixture
def invoice(tmp_path: Path) -> Path:
    path = tmp_path / "i.csv"
    rows = [cost("2026-11-03", "gpt-5-2025-08-07, input", "0.5"), cost("2026-11-01", "old-name, input", "0.25")]
    path.write_text(sheet(COSTS, *rows))
    return path


def test_what_was_typed() -> None:
    assert Terms.typed(("openai",), "2%", ("My-Deployment-2026-01-01 = gpt-5",), "1.08") == Terms(
        ("openai",), Tolerance(parts=20_000), {"my-deployment": "gpt-5"}, Decimal("1.08")
    )
    assert Terms.typed((), "0.5", (), "").rate is None
    for alias in ("x", "=y", "x="):
        with pytest.raises(BillError, match="expected NAME=MODEL"):
            Terms.typed((), "1%", (alias,), "")
    for rate in ("0", "-1", "much"):
        with pytest.raises(BillError, match=f"--rate {rate}: expected dollars"):
            Terms.typed((), "1%", (), rate)
    with pytest.raises(ToleranceError):
        Terms.typed((), "x", (), "")


def test_the_record_is_asked_for_the_days_and_the_upstreams_of_the_invoice(invoice: Path) -> None:
    host = Told({BY: [row({"day": "2026-11-03", "response_model": "gpt-5"}, 500_000)]}, UPSTREAMS)
    found, rows = compare(host, HERE, HERE, invoice, Terms.typed((), "1%", ("old-name=o1",), ""))
    (asked,) = host.asked
    assert (asked.by, asked.filters) == (BY, {"upstream": ("openai", "local")})
    assert (asked.start, asked.end) == (datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 4, tzinfo=UTC))
    assert found.provider == "openai"
    assert [(one.day, one.model, one.over) for one in rows] == [
        ("2026-11-01", "o1", True),
        ("2026-11-03", "gpt-5", False),
    ]


def test_an_upstream_is_named(invoice: Path) -> None:
    host = Told({}, UPSTREAMS)
    compare(host, HERE, HERE, invoice, Terms.typed(("eu",), "1%", (), ""))
    assert host.asked[0].filters == {"upstream": ("eu",)}
    with pytest.raises(BillError, match="--upstream us: expected one of eu, openai, local"):
        compare(host, HERE, HERE, invoice, Terms.typed(("us",), "1%", (), ""))
    with pytest.raises(BillError, match="no upstream of the configuration is of provider openai"):
        compare(Told(), HERE, HERE, invoice, Terms.typed((), "1%", (), ""))


def test_what_is_told(invoice: Path, capsys: pytest.CaptureFixture[str]) -> None:
    host = Told({BY: [row({"day": "2026-11-03", "response_model": "gpt-5"}, 500_000)]}, UPSTREAMS)
    found, rows = compare(host, HERE, HERE, invoice, Terms.typed((), "1%", (), ""))
    found.aside["taxes"] = 10**24
    show(found, rows, as_csv=False, as_json=False)
    written = capsys.readouterr()
    lines = written.out.splitlines()
    assert lines[0] == "costs of OpenAI, 2026-11-01 to 2026-11-03: what the invoice has more than the record"
    assert lines[1].split() == ["day", "model", "requests", "record", "invoice", "difference", "why"]
    assert lines[2].split()[:6] == ["2026-11-01", "old-name", "0", "$0.00", "$0.25", "+$0.25"]
    assert lines[-1] == "1 of 2 differ by more than is tolerated"
    assert written.err == "note: left aside: taxes: $1.00\n"
    show(found, [one for one in rows if not one.over], as_csv=False, as_json=False)
    assert capsys.readouterr().out.splitlines()[-1] == "all agree within the tolerance"
