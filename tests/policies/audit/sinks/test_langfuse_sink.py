"""Langfuse, by a receiver that takes what its SDK makes. No Langfuse server is asked."""

from __future__ import annotations

import base64
import logging
from pathlib import Path
from typing import Any

import pytest

from extproc.tasks import aside
from policies.audit.following.sink import SinkError
from policies.audit.following.status import Status
from policies.audit.showing import standing
from policies.audit.sinks.exchanges import Exchange
from policies.audit.sinks.generations import generation
from policies.audit.sinks.langfuse_sdk import SDK_VERSION
from policies.audit.sinks.langfuse_sink import LangfuseSink
from policies.audit.sinks.settings import LangfuseSettings
from tests.certificates import Authority
from tests.policies.audit.following.rigs import FakeJournal, Time, follower, until_idle
from tests.policies.audit.sinks.otlp_receiver import Answer, named
from tests.policies.audit.sinks.trace_receiver import (
    TRACE,
    LangfuseReceiver,
    both,
    closing,
    decision,
    exchange_id,
    fields_of,
    told,
)

PUBLIC, SECRET = "pk-lf-4711", "sk-lf-s3cret"


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGFUSE_PUBLIC_KEY", PUBLIC)
    monkeypatch.setenv("LANGFUSE_SECRET_KEY", SECRET)


def settings(url: str, **more: Any) -> LangfuseSettings:
    whole = {
        "kind": "langfuse",
        "name": "langfuse",
        "url": url,
        "public_key": {"env": "LANGFUSE_PUBLIC_KEY"},
        "secret_key": {"env": "LANGFUSE_SECRET_KEY"},
        "environment": "prod",
    }
    return LangfuseSettings.model_validate(whole | more)


async def sink_to(url: str, folder: Path, **more: Any) -> LangfuseSink:
    sink = LangfuseSink(settings(url, **more), folder, lambda: 1_000.0)
    await sink.start()
    return sink


async def test_what_langfuse_is_sent(tmp_path: Path) -> None:
    with LangfuseReceiver() as receiver:
        sink = await sink_to(f"{receiver.base}/", tmp_path, release="r-7")
        await sink.deliver(both(1, trace_id=TRACE))
        await sink.stop()
    assert receiver.paths == ["/api/public/otel/v1/traces"]
    [headers] = receiver.headers
    assert base64.b64decode(headers["authorization"].removeprefix("Basic ")).decode() == f"{PUBLIC}:{SECRET}"
    expected = {
        "content-type": "application/x-protobuf",
        "content-encoding": "gzip",
        "x-langfuse-sdk-name": "python",
        "x-langfuse-sdk-version": SDK_VERSION,
        "x-langfuse-public-key": PUBLIC,
        "x-langfuse-ingestion-version": "4",
    }
    assert expected.items() <= headers.items()
    [resource] = receiver.requests[0].resource_spans
    assert named(resource.resource.attributes) == {"service.name": "sluicegate"}
    [scope] = resource.scope_spans
    assert (scope.scope.name, named(scope.scope.attributes)) == ("langfuse-sdk", {"public_key": PUBLIC})
    [span] = receiver.taken
    assert (span.trace_id.hex(), span.span_id.hex(), span.flags) == (TRACE, exchange_id(1)[16:], 1)
    found = told(span)
    assert (found["langfuse.environment"], found["langfuse.release"]) == ("prod", "r-7")
    assert found["langfuse.trace.tags"][0] == "department:research"
    assert (found["user.id"], found["session.id"]) == ("kim", "session-1")


async def test_a_repeat_has_the_same_ids(tmp_path: Path) -> None:
    with LangfuseReceiver() as receiver:
        for folder in (tmp_path / "one", tmp_path / "other"):
            folder.mkdir()
            sink = await sink_to(receiver.base, folder)
            await sink.deliver(both(1))
            await sink.deliver([closing(1)])
            await sink.stop()
    assert len(receiver.taken) == 4
    assert len({span.SerializeToString(deterministic=True) for span in receiver.taken}) == 1


async def test_an_outage_loses_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is checkpointed that was not taken, also where it fails between the requests of a batch."""
    count, down = 1_200, [True]
    journal = FakeJournal(tmp_path)
    for number in range(1, count + 1):
        journal.append(**fields_of(decision(number)))
        journal.append(**fields_of(closing(number)))

    def judge(number: int, _spans: object) -> Answer:
        return Answer(503) if down[0] or (number % 7 == 0 and number < 70) else Answer()

    with LangfuseReceiver(judge) as receiver:
        sink = LangfuseSink(settings(receiver.base, max_bytes=65_536), tmp_path)
        time = Time()
        one = follower(tmp_path, sink, time)
        with caplog.at_level(logging.DEBUG):
            for _ in range(20):
                time.now += await one.step()
            assert dict(one.positions()) == {}
            assert receiver.taken == []
            down[0] = False
            await until_idle(one, time)
        await one.stop()
    assert {span.span_id.hex() for span in receiver.taken} == {exchange_id(n)[16:] for n in range(1, count + 1)}
    assert one.positions()["gw.0"].sequence == 2 * count + 1
    assert (one.status().dead_letters, one.status().missed) == (0, 0)
    assert [record for record in caplog.records if record.name == "langfuse"] == []


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "status 401: Langfuse does not accept `public_key` and `secret_key`"),
        (403, "status 403: the keys may not write"),
        (404, "status 404: nothing takes traces there"),
        (503, "status 503"),
    ],
)
async def test_what_is_wrong_stands_in_the_status(
    status: int, words: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = FakeJournal(tmp_path)
    for half in both(1, params={"messages": [{"role": "user", "content": "hunter2"}]}):
        journal.append(**fields_of(half))
    with LangfuseReceiver(lambda _number, _spans: Answer(status)) as receiver, caplog.at_level(logging.DEBUG):
        time = Time()
        one = follower(tmp_path, LangfuseSink(settings(receiver.base), tmp_path), time)
        for _ in range(5):
            time.now += await one.step()
        found = Status(pid=1, sinks={"langfuse": one.status()}, time=time.now)
        await one.stop()
    [remark] = standing.remarks(found, time.now)
    assert remark.startswith(f"langfuse: {words}")
    assert not standing.is_well(found, time.now)
    for secret in (SECRET, base64.b64encode(f"{PUBLIC}:{SECRET}".encode()).decode(), "hunter2"):
        assert secret not in caplog.text + remark


async def test_keys_are_read_anew(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("old\n")
    with LangfuseReceiver() as receiver:
        sink = await sink_to(receiver.base, tmp_path, secret_key={"file": str(file)})
        await sink.deliver(both(1))
        file.write_text("new\n")
        await sink.deliver(both(2))
        file.write_text("n\u00e9w\n")
        with pytest.raises(SinkError, match=r"^secret_key: its value is not printable ASCII$"):
            await sink.deliver(both(3))
        file.unlink()
        with pytest.raises(SinkError, match=r"^secret_key: file .*: FileNotFoundError$"):
            await sink.deliver(both(3))
        await sink.stop()
    pairs = [base64.b64decode(one["authorization"].removeprefix("Basic ")).decode() for one in receiver.headers]
    assert pairs == [f"{PUBLIC}:old", f"{PUBLIC}:new"]


async def test_tls_is_verified(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "own")
    pair = authority.sign("server", "localhost")
    receiver = LangfuseReceiver()
    receiver.with_tls(pair.certificate, pair.key)
    with receiver:
        untrusting = await sink_to(receiver.base, tmp_path)
        with pytest.raises(SinkError, match="CERTIFICATE_VERIFY_FAILED"):
            await untrusting.deliver(both(1))
        await untrusting.stop()
        sink = await sink_to(receiver.base, tmp_path, tls={"ca": authority.path})
        await sink.deliver(both(1))
        await sink.stop()
    assert len(receiver.taken) == 1


async def test_prompts_that_are_too_long_for_a_request_are_left_out(tmp_path: Path) -> None:
    with LangfuseReceiver() as receiver:
        sink = await sink_to(receiver.base, tmp_path, max_bytes=16_384)
        await sink.deliver(both(1, params={"messages": [{"role": "user", "content": "x" * 30_000}]}))
        await sink.stop()
    [span] = receiver.taken
    assert told(span)["sluicegate.truncated"] == ["langfuse.observation.input"]
    assert told(span)["langfuse.observation.model.name"] == "gpt-4o"


async def test_it_is_what_the_sdk_sends_by_itself(tmp_path: Path) -> None:
    """The SDK's own exporter, in its own time, and the sink: the same path, header fields and attributes."""
    exporter = pytest.importorskip("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    if exporter.OTLPSpanExporter is object:
        pytest.skip("Envoy's package was installed later: OpenTelemetry's exporter cannot be imported")
    from langfuse import Langfuse, propagate_attributes
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.sampling import ALWAYS_ON

    one = generation(Exchange(decision(1).record, closing(1).record))
    with LangfuseReceiver() as receiver:
        sink = await sink_to(receiver.base, tmp_path)
        await sink.deliver(both(1))
        await sink.stop()
        provider = TracerProvider(sampler=ALWAYS_ON, shutdown_on_exit=False)
        client = Langfuse(
            public_key="pk-lf-own",
            secret_key=SECRET,
            base_url=receiver.base,
            tracer_provider=provider,
            environment="prod",
            release="1.2.3",
        )
        with propagate_attributes(user_id=one.user, session_id=one.session, tags=list(one.tags), trace_name=one.name):
            client.start_observation(
                name=one.name,
                as_type="generation",
                completion_start_time=one.first_token,
                cost_details=dict(one.cost),
                level=one.level,
                metadata=dict(one.metadata),
                model=one.model,
                model_parameters=dict(one.parameters),
                usage_details=dict(one.usage),
                version=one.version,
            ).end()
        await aside(provider.shutdown, name="end of the SDK")
    ours, theirs = receiver.taken
    assert told(ours) == told(theirs)
    assert (ours.name, ours.status, ours.parent_span_id) == (theirs.name, theirs.status, theirs.parent_span_id)
    assert receiver.paths[0] == receiver.paths[1]
    mine, own = ({name: value for name, value in one.items() if name not in _OF_KEYS} for one in receiver.headers)
    assert mine.keys() <= own.keys() | {"accept-encoding"}
    assert {name: mine[name] for name in mine if name.startswith(("x-", "content-type", "content-encoding"))} == {
        name: own[name] for name in own if name.startswith(("x-", "content-type", "content-encoding"))
    }


_OF_KEYS = {"authorization", "x-langfuse-public-key"}
