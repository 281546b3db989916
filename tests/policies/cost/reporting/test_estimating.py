from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from extproc.catalogue import Catalogue, Model, Provider, Upstream
from extproc.price import Price
from policies.cost.reporting import estimating
from policies.cost.reporting.estimates import EstimateError
from policies.cost.reporting.estimating import Wanted, of_body, of_tokens
from tests.policies.cost.reporting.spendings import Told, row

NOW = datetime(2026, 11, 21, tzinfo=UTC)
PRICE = Price.per_million(input=Decimal("2.5"), cached_input=Decimal("1.25"), output=Decimal(10), source="configured")
MODELS = Catalogue(
    upstreams=(Upstream("main", Provider.OPENAI, models=(Model("gpt-4o", price=PRICE, max_output=1_000),)),)
)
WANTED = Wanted(Path("gateway.yaml"), Path("state"), "gpt-4o", "", "", "", NOW, NOW)
HOST = Told({(): [row({}, 1, requests=10, output=400)]}, MODELS)


def body(folder: Path, **members: Any) -> Path:
    path = folder / "body.json"
    path.write_text(json.dumps({"messages": [{"role": "user", "content": "What is a sluice gate?"}], **members}))
    return path


def test_tokens(capsys: pytest.CaptureFixture[str]) -> None:
    of_tokens(HOST, WANTED, (1_000, 100, 500), as_json=False)
    assert capsys.readouterr().out.splitlines() == [
        "gpt-4o at main, price: configured",
        "1,000 tokens of input (500 of them cached) and 100 of output: $0.002875",
    ]
    of_tokens(HOST, WANTED, (1_000, 100, 0), as_json=True)
    # 1000 * 2.5 + 100 * 10 = 3500 micro-dollars.
    assert json.loads(capsys.readouterr().out) == {
        "upstream": "main",
        "model": "gpt-4o",
        "cost": "0.003500",
        "price": "configured",
        "input": 1_000,
        "cached_input": 0,
        "output": 100,
    }


@pytest.mark.parametrize(
    ("model", "counts", "told"),
    [
        ("", (1, 1, 0), "expected MODEL, or --request"),
        ("gpt-4o", (None, 1, 0), "expected --input-tokens and --output-tokens"),
        ("gpt-4o", (1, None, 0), "expected --input-tokens and --output-tokens"),
        ("gpt-4o", (1, 1, 2), "--cached 2: expected a part of --input-tokens, which is 1"),
        ("nobody", (1, 1, 0), "no upstream of the configuration serves it"),
    ],
)
def test_what_cannot_be_said(model: str, counts: tuple[int | None, int | None, int], told: str) -> None:
    with pytest.raises(EstimateError, match=told):
        of_tokens(HOST, msgspec.structs.replace(WANTED, model=model), counts, as_json=False)


def test_a_tier_that_is_none(tmp_path: Path) -> None:
    wanted = msgspec.structs.replace(WANTED, tier="bath")
    told = "--tier bath: expected one of batch, flex, priority"
    with pytest.raises(EstimateError, match=told):
        of_tokens(HOST, wanted, (1, 1, 0), as_json=False)
    with pytest.raises(EstimateError, match=told):
        of_body(HOST, wanted, body(tmp_path), as_json=False)


def test_a_body(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    host = replace(HOST, asked=[])
    of_body(
        host, msgspec.structs.replace(WANTED, model=""), body(tmp_path, model="gpt-4o", max_tokens=100), as_json=False
    )
    (asked,) = host.asked
    assert (asked.by, asked.filters, asked.end - asked.start) == ((), {"model": ("gpt-4o",)}, timedelta(days=30))
    written = capsys.readouterr()
    # 99 bytes at 2.5 and 100 tokens at 10, rounded up; 32 bytes of text are 8 tokens, and answers had 40.
    assert written.out.splitlines() == [
        "gpt-4o at main, price: configured",
        "at most  $0.001248  99 tokens of input and 100 of output, at the dearest rates",
        "usually  $0.00042  8 and 40 (as its answers were these 30 days)",
    ]
    assert written.err == ""


def test_a_body_where_nobody_keeps_a_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    of_body(Told(models=MODELS, silent=True), WANTED, body(tmp_path, previous_response_id="r"), as_json=False)
    written = capsys.readouterr()
    assert "(the record knows no answers: 500 each)" in written.out
    assert written.err == "warning: not in it: previous_response_id: what is kept at the provider\n"
    of_body(Told(models=MODELS, silent=True), WANTED, body(tmp_path), as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["learned"], told["usual_output"], told["most_output"]) == (False, 500, 1_000)
    assert told["usual"] == "0.005018"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("[]", "object"),
        ("{", "not valid JSON"),
        ('{"a": 1, "a": 2}', "a key stands twice"),
        ("{}", "it names no model: say MODEL"),
    ],
)
def test_a_body_that_is_none(tmp_path: Path, content: str, told: str) -> None:
    path = tmp_path / "body.json"
    path.write_text(content)
    with pytest.raises(EstimateError, match=told):
        of_body(HOST, msgspec.structs.replace(WANTED, model=""), path, as_json=False)


def test_a_body_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimating, "_MOST_BYTES", 3)
    with pytest.raises(EstimateError, match="no upstream takes it"):
        of_body(HOST, WANTED, body(tmp_path), as_json=False)
