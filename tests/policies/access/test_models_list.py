"""The bodies, read by the SDKs that clients use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import anthropic
import openai
import orjson
import pytest
from anthropic.types import ModelInfo
from openai.types import Model

from extproc.exchange import Dialect
from policies.access.models_list import model_list, one_model

NAMES = ["gpt-4o", 'an odd "name" \u00fc', "meta/llama-3:70b@x"]


@contextmanager
def serving(body: bytes) -> Iterator[tuple[str, list[str]]]:
    """A server that gives this answer to every GET; its URL and the paths it was asked for."""
    asked: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", asked
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("names", [NAMES, NAMES[:1], []])
def test_openai_lists_them(names: list[str]) -> None:
    with (
        serving(model_list(Dialect.OPENAI, names)) as (url, asked),
        openai.OpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0) as client,
    ):
        assert [model.id for model in client.models.list()] == names
    assert asked == ["/v1/models"]


@pytest.mark.parametrize("names", [NAMES, NAMES[:1], []])
def test_anthropic_lists_them_on_one_page(names: list[str]) -> None:
    with (
        serving(model_list(Dialect.ANTHROPIC, names)) as (url, asked),
        anthropic.Anthropic(base_url=url, api_key="k", max_retries=0) as client,
    ):
        assert [model.id for model in client.models.list(limit=1)] == names
    assert len(asked) == 1


def test_openai_reads_one() -> None:
    with (
        serving(one_model(Dialect.OPENAI, "gpt-4o")) as (url, _),
        openai.OpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0) as client,
    ):
        assert client.models.retrieve("gpt-4o").id == "gpt-4o"


def test_anthropic_reads_one() -> None:
    with (
        serving(one_model(Dialect.ANTHROPIC, "claude-haiku")) as (url, _),
        anthropic.Anthropic(base_url=url, api_key="k", max_retries=0) as client,
    ):
        assert client.models.retrieve("claude-haiku").display_name == "claude-haiku"


@pytest.mark.parametrize("name", NAMES)
def test_every_member_that_the_types_require_is_there(name: str) -> None:
    # The clients build their objects without validation; here the types validate.
    model = Model.model_validate_json(one_model(Dialect.OPENAI, name))
    assert (model.id, model.object, model.created) == (name, "model", 0)
    info = ModelInfo.model_validate_json(one_model(Dialect.ANTHROPIC, name))
    assert (info.id, info.type, info.created_at) == (name, "model", datetime(1970, 1, 1, tzinfo=UTC))


def test_the_list_holds_what_one_model_says() -> None:
    for dialect in (Dialect.OPENAI, Dialect.ANTHROPIC):
        listed = orjson.loads(model_list(dialect, NAMES))["data"]
        assert listed == [orjson.loads(one_model(dialect, name)) for name in NAMES]


def test_anthropics_page_names_its_ends() -> None:
    page = orjson.loads(model_list(Dialect.ANTHROPIC, NAMES))
    assert (page["first_id"], page["last_id"], page["has_more"]) == (NAMES[0], NAMES[-1], False)
