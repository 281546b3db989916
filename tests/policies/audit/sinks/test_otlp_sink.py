"""The sink, with a receiver that decodes the wire format, and with a real collector where there is one."""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from extproc.embedded.ports import free_port
from policies.audit.following.sink import RejectedError, SinkError
from policies.audit.sinks.otlp_messages import LogRecord
from policies.audit.sinks.otlp_sink import OtlpSink
from policies.audit.sinks.settings import OtlpSettings
from tests.certificates import Authority
from tests.policies.audit.sinks.made import HARD, big, full, insist, made
from tests.policies.audit.sinks.otlp_receiver import Answer, Receiver, partial, sequences
from tests.servers import HOST, listens, running


async def sink_to(url: str, **more: Any) -> OtlpSink:
    sink = OtlpSink(OtlpSettings.model_validate({"kind": "otlp", "name": "otel", "url": url, **more}), lambda: 1_000.0)
    await sink.start()
    return sink


BATCH = [made(index) for index in range(1, 11)]


@pytest.mark.parametrize("compression", ["gzip", "none"])
async def test_everything_arrives(compression: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTLP_TOKEN", "Bearer s3cret")
    batch = [made(index, why=text) for index, text in enumerate(HARD, 1)] + [
        full(50, version=""),
        big(3_000_000, 51),
        big(3_000_000, 52),
    ]
    with Receiver() as receiver:
        headers = {"authorization": {"env": "OTLP_TOKEN"}}
        sink = await sink_to(receiver.url, compression=compression, headers=headers)
        await sink.deliver(batch)
        await sink.deliver([])
        await sink.stop()
    assert [record.body.string_value.encode() for record in receiver.taken] == [closed.line for closed in batch]
    assert {record.observed_time_unix_nano for record in receiver.taken} == {1_000_000_000_000}
    assert len(receiver.requests) == 2
    for headers_seen in receiver.headers:
        assert headers_seen["content-type"] == "application/x-protobuf"
        assert headers_seen.get("content-encoding") == ("gzip" if compression == "gzip" else None)
        assert headers_seen["authorization"] == "Bearer s3cret"


@pytest.mark.parametrize(
    ("answer", "words", "pause"),
    [
        (Answer(429, {"retry-after": "7"}), "status 429", 7.0),
        (Answer(503, {"retry-after": "Thu, 01 Jan 1970 00:17:00 GMT"}), "status 503", 20.0),
        (Answer(502), "status 502", None),
        (Answer(504), "status 504", None),
        (Answer(401), "status 401", None),
        (Answer(404), "status 404", None),
        (Answer(307, {"location": "/elsewhere"}), "status 307", None),
        (Answer(202), "status 202", None),
        (Answer(0), "RemoteProtocolError", None),
    ],
)
async def test_what_comes_again(answer: Answer, words: str, pause: float | None) -> None:
    with Receiver(lambda number, _: answer if number == 0 else Answer()) as receiver:
        sink = await sink_to(receiver.url)
        with pytest.raises(SinkError, match=words) as caught:
            await sink.deliver(BATCH)
        assert caught.value.retry_after == pause
        await sink.deliver(BATCH)
        await sink.stop()
    assert sequences(receiver.taken) == list(range(1, 11))


async def test_a_page_has_taken_nothing() -> None:
    page = Answer(200, {"content-type": "text/html; charset=utf-8"}, b"\n<!DOCTYPE html><title>Log in</title>")
    with Receiver(lambda number, _: page if number == 0 else Answer()) as receiver:
        sink = await sink_to(receiver.url)
        with pytest.raises(SinkError, match="status 200, with a page of HTML: what is at `url` takes no records"):
            await sink.deliver(BATCH)
        await sink.deliver(BATCH)
        await sink.stop()
    assert len(receiver.requests) == 2


@pytest.mark.parametrize(
    "answer", [Answer(200, {"content-type": "text/html"}, b"ok"), Answer(body=b"\x00\xff<html>"), partial(-1)]
)
async def test_nonsense_beside_a_200_changes_nothing(answer: Answer) -> None:
    with Receiver(lambda *_: answer) as receiver:
        sink = await sink_to(receiver.url)
        await sink.deliver(BATCH)
        await sink.stop()
    assert len(receiver.requests) == 1


def refusing(*refused: int, status: int = 400) -> Any:
    def judge(_number: int, records: list[LogRecord]) -> Answer:
        return Answer(status) if set(sequences(records)) & set(refused) else Answer()

    return judge


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_the_record_that_is_refused_is_found(status: int) -> None:
    with Receiver(refusing(4, status=status)) as receiver:
        sink = await sink_to(receiver.url)
        with pytest.raises(RejectedError) as caught:
            await sink.deliver(BATCH)
        await sink.stop()
    assert (caught.value.indexes, caught.value.reason, caught.value.delivered) == ((3,), f"status {status}", 3)
    assert sequences(receiver.taken) == [1, 2, 3]


async def test_of_several_requests_those_before_are_delivered() -> None:
    batch = [big(9_000, index) for index in range(1, 11)]
    with Receiver(refusing(8)) as receiver:
        sink = await sink_to(receiver.url, max_bytes=32_768)
        with pytest.raises(RejectedError) as caught:
            await sink.deliver(batch)
        await sink.stop()
    assert (caught.value.indexes, caught.value.delivered) == ((7,), 7)
    assert sequences(receiver.taken) == list(range(1, 8))


async def test_what_is_rejected_in_part_is_not_sent_again() -> None:
    with Receiver(lambda _number, _records: partial(2)) as receiver:
        sink = await sink_to(receiver.url)
        with pytest.raises(RejectedError, match="rejected 2 of 10 records and does not say which") as caught:
            await sink.deliver(BATCH)
        await sink.stop()
    assert caught.value.indexes == tuple(range(10))
    assert len(receiver.requests) == 1


async def test_no_answer_in_time_and_nobody_there() -> None:
    def late(_number: int, _records: list[LogRecord]) -> Answer:
        time.sleep(1)
        return Answer()

    with Receiver(late) as receiver:
        sink = await sink_to(receiver.url, timeout=0.2)
        with pytest.raises(SinkError, match=r"no answer within 0\.2 s"):
            await sink.deliver(BATCH)
    with pytest.raises(SinkError, match="ConnectError"):
        await sink.deliver(BATCH)
    await sink.stop()
    with pytest.raises(SinkError, match="not started"):
        await sink.deliver(BATCH)


async def test_tls_is_verified_and_a_missing_secret_is_told(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "own")
    pair = authority.sign("server", "localhost")
    receiver = Receiver()
    receiver.with_tls(pair.certificate, pair.key)
    with receiver:
        untrusting = await sink_to(receiver.url)
        with pytest.raises(SinkError, match="CERTIFICATE_VERIFY_FAILED"):
            await untrusting.deliver(BATCH)
        await untrusting.stop()
        sink = await sink_to(receiver.url, tls={"ca": authority.path})
        await sink.deliver(BATCH)
        await sink.stop()
        lacking = await sink_to(receiver.url, headers={"authorization": {"env": "SLUICEGATE_UNSET"}})
        with pytest.raises(SinkError, match="header authorization: environment variable SLUICEGATE_UNSET"):
            await lacking.deliver(BATCH)
        await lacking.stop()
    assert sequences(receiver.taken) == list(range(1, 11))
    with pytest.raises(SinkError, match="tls: a file cannot be used"):
        await sink_to(receiver.url, tls={"ca": str(tmp_path / "missing.pem")})


async def test_a_real_collector_reads_it(tmp_path: Path) -> None:
    program = shutil.which("otelcol") or shutil.which("otelcol-contrib")
    if program is None:
        pytest.skip("otelcol is not on the PATH: it is published by the OpenTelemetry project")
    port, config, log = free_port(), tmp_path / "otelcol.yaml", tmp_path / "otelcol.log"
    config.write_text(
        f"receivers: {{otlp: {{protocols: {{http: {{endpoint: '{HOST}:{port}'}}}}}}}}\n"
        "exporters: {debug: {verbosity: detailed}}\n"
        "service: {telemetry: {metrics: {level: none}}, pipelines: {logs: {receivers: [otlp], exporters: [debug]}}}\n"
    )
    with running([program, "--config", config], ready=lambda: listens(port), log=log):
        sink = await sink_to(f"http://{HOST}:{port}/v1/logs")
        await insist(sink, [full(17), made(18, why=HARD[1])])
        for _ in range(100):
            if b"sequence: Int(18)" in log.read_bytes():
                break
            await asyncio.sleep(0.05)
        await sink.stop()
    told = log.read_text()
    assert "EventName: sluicegate.request.closed" in told
    assert "Trace ID: 0af7651916cd43dd8448eb211c80319c" in told
    assert "service.instance.id: Str(gateway-1.0)" in told
    assert "gen_ai.usage.input_tokens: Int(6)" in told
    assert 'user.roles: Slice(["Admin","User"])' in told
    assert HARD[1] in told


@pytest.mark.parametrize(
    "value", ["Bearer s3cret\nsecond line", "Bearer s3cret\x01", "Bearer s3cr\u00e9t", "Bearer s3cret\tx"]
)
async def test_a_secret_that_no_header_can_carry_is_not_told(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTLP_TOKEN", value)
    with Receiver() as receiver:
        sink = await sink_to(receiver.url, headers={"authorization": {"env": "OTLP_TOKEN"}})
        with pytest.raises(SinkError) as caught:
            await sink.deliver(BATCH)
        await sink.stop()
    assert str(caught.value) == "header authorization: its value is not printable ASCII"
    assert receiver.headers == []
