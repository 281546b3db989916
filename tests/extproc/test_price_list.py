"""The published list: its prices are ours, on the day they hold, and it is replaced whole or not at all."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from genai_prices import Usage as TheirUsage
from genai_prices import calc_price
from hypothesis import given, settings
from hypothesis import strategies as st

from extproc.price import Portions, Price, cost
from extproc.price_list import PriceList, PriceListError, refresh
from extproc.tariff import Dated

LIST = PriceList()
NOW = datetime(2026, 11, 1, tzinfo=UTC)


def at(found: tuple[Dated, ...], moment: datetime = NOW) -> Price:
    price = [one.price for one in found if one.since <= moment.timestamp()][-1]
    assert price is not None
    return price


def priced(provider: str, model: str, url: str = "", moment: datetime = NOW) -> Price:
    return at(LIST(provider, url, model), moment)


def test_it_says_which_it_is() -> None:
    assert LIST.load().startswith("list:genai-prices 0.")
    assert priced("openai", "gpt-4o").source == LIST.load()
    assert priced("openai", "gpt-4o").of_tier("priority").source == f"{LIST.load()}/priority"


def test_all_that_is_told_apart() -> None:
    claude = priced("anthropic", "claude-sonnet-4-5")
    assert (claude.input, claude.output) == (3_000_000, 15_000_000)
    assert (claude.cached_input, claude.cache_write, claude.cache_write_1h) == (300_000, 3_750_000, 6_000_000)
    assert claude.tool_call == 10_000_000_000  # 10 dollars a thousand
    (long,) = claude.brackets
    assert (long.above, long.price.input, long.price.output) == (200_000, 6_000_000, 22_500_000)
    assert claude.of_tier("batch").input == 1_500_000
    audio = priced("openai", "gpt-audio")
    assert (audio.audio_input, audio.audio_output) == (32_000_000, 64_000_000)
    assert priced("openai", "text-embedding-3-small").output == 0


def test_a_price_holds_from_its_day_on() -> None:
    assert priced("openai", "o3", moment=datetime(2025, 6, 9, 23, 59, tzinfo=UTC)).input == 10_000_000
    assert priced("openai", "o3", moment=datetime(2025, 6, 10, tzinfo=UTC)).input == 2_000_000
    # Tiers are in the list from a day on.
    assert priced("openai", "o3", moment=datetime(2026, 10, 11, tzinfo=UTC)).tiers == {}
    assert set(priced("openai", "o3").tiers) == {"batch", "flex", "priority"}


def test_of_prices_by_the_hour_the_dearest_holds() -> None:
    assert priced("openai", "deepseek-chat", "https://api.deepseek.com").input == 270_000


@pytest.mark.parametrize(
    ("provider", "url", "model"),
    [
        ("openai", "https://api.groq.com/openai/v1", "llama-3.3-70b-versatile"),
        ("azure", "https://contoso.openai.azure.com", "gpt-4o"),
        ("openai", "http://127.0.0.1:8000/v1", "gpt-4o"),
        ("anthropic", "https://gateway.internal", "claude-opus-4-5"),
    ],
)
def test_the_provider_is_the_urls_or_the_one_whose_api_it_is(provider: str, url: str, model: str) -> None:
    assert LIST(provider, url, model)
    # Groq's model is in no list of OpenAI's.
    assert bool(LIST(provider, "", model)) == ("groq" not in url)


@pytest.mark.parametrize("model", ["my-deployment", "", "gpt", "\u0000", "gpt-4o " * 30])
def test_what_it_does_not_know(model: str) -> None:
    assert LIST("openai", "", model) == ()


def test_another_providers_models_have_no_tiers_there() -> None:
    azure = priced("azure", "gpt-5", "https://contoso.openai.azure.com")
    assert (azure.input, azure.tiers) == (1_250_000, {})


MODELS = (("openai", "gpt-4o"), ("openai", "gpt-5.4"), ("openai", "gpt-5-mini"), ("anthropic", "claude-sonnet-4-5"))
COUNTS = st.integers(0, 300_000)


@settings(deadline=None)
@given(st.sampled_from(MODELS), COUNTS, COUNTS, COUNTS)
def test_what_it_is_charged_is_what_its_own_arithmetic_says(
    model: tuple[str, str], plain: int, cached: int, output: int
) -> None:
    """To half a micro-dollar: ours is rounded."""
    usage = TheirUsage(input_tokens=plain + cached, cache_read_tokens=cached, output_tokens=output)
    theirs = calc_price(usage, model[1], provider_id=model[0], genai_request_timestamp=NOW)
    ours = cost(Portions(plain, cached, output=output), priced(*model))
    assert abs(theirs.total_price * 1_000_000 - ours) <= 0.5


class Answers(BaseHTTPRequestHandler):
    status, body = 200, b""

    def do_GET(self) -> None:
        self.send_response(type(self).status)
        self.end_headers()
        self.wfile.write(type(self).body)

    def log_message(self, *_: Any) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def published() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/data.json"
        server.shutdown()
        thread.join()


NEWER = [
    {
        "id": "openai",
        "name": "OpenAI",
        "api_pattern": r"https://api\.openai\.com",
        "models": [{"id": "gpt-9", "match": {"equals": "gpt-9"}, "prices": {"input_mtok": 0.0375, "output_mtok": 1}}],
    }
]


def test_a_list_that_was_fetched_takes_the_place_of_the_installed_one(published: str, tmp_path: Path) -> None:
    file = tmp_path / "state" / "prices.json"
    fetched = PriceList(file)
    assert fetched("openai", "", "gpt-9") == ()
    assert fetched("openai", "", "gpt-4o")
    Answers.status, Answers.body = 200, json.dumps(NEWER).encode()
    today = datetime.now(UTC).date()
    assert refresh(file, published) == fetched.load() == f"list:genai-prices {today}"
    assert at(fetched("openai", "", "gpt-9"), datetime.now(UTC)).input == 37_500
    assert fetched("openai", "", "gpt-4o") == ()
    assert [one.name for one in file.parent.iterdir()] == ["prices.json"]


@pytest.mark.parametrize(
    ("status", "body"), [(500, b"[]"), (200, b"<html>"), (200, b"[]"), (200, b'[{"id": 1}]'), (200, b"3")]
)
def test_what_is_no_list_changes_nothing(published: str, tmp_path: Path, status: int, body: bytes) -> None:
    file = tmp_path / "prices.json"
    file.write_bytes(b"as it was")
    Answers.status, Answers.body = status, body
    with pytest.raises(PriceListError, match="the list stays as it was"):
        refresh(file, published)
    assert file.read_bytes() == b"as it was"


def newer(**prices: Any) -> list[dict[str, Any]]:
    return [{**NEWER[0], "models": [{"id": "gpt-9", "match": {"equals": "gpt-9"}, "prices": prices}]}]


@pytest.mark.parametrize(
    "providers",
    [
        newer(input_mtok=-1, output_mtok=1),
        newer(input_mtok={"base": 1, "tiers": [{"start": 5, "price": -2}]}, output_mtok=1),
        newer(input_mtok=1, output_mtok=1e300),
        [{**NEWER[0], "api_pattern": "["}],
        [{**NEWER[0], "models": [{"id": "x", "match": {"regex": "["}, "prices": {"input_mtok": 1}}]}],
    ],
    ids=["negative", "negative above", "huge", "pattern", "match"],
)
def test_a_price_that_cannot_be_used_makes_it_no_list(published: str, tmp_path: Path, providers: object) -> None:
    file = tmp_path / "prices.json"
    Answers.status, Answers.body = 200, json.dumps(providers).encode()
    with pytest.raises(PriceListError, match="the list stays as it was"):
        refresh(file, published)
    file.write_text(json.dumps({"fetched": "2026-01-01", "providers": providers}))
    with pytest.raises(PriceListError, match="no list of prices"):
        PriceList(file).load()
    assert PriceList(file)("openai", "https://api.openai.com/v1", "gpt-9") == ()


def test_without_a_network_nothing_changes(tmp_path: Path) -> None:
    with pytest.raises(PriceListError, match="the list stays as it was"):
        refresh(tmp_path / "prices.json", "http://127.0.0.1:1/data.json")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[" * 100_000, b'{"fetched": "2026-01-01", "providers": []}', b'{"fetched": "x", "providers": []}'],
)
def test_a_file_that_is_no_list_is_told_at_the_start_and_prices_nothing(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "prices.json"
    file.write_bytes(content)
    with pytest.raises(PriceListError, match="no list of prices"):
        PriceList(file).load()
    assert PriceList(file)("openai", "", "gpt-4o") == ()
