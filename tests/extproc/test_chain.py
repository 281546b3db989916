"""The chain: order, verdicts, failures, time, shadow."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from inspect import isawaitable
from typing import Any

import pytest

from extproc.call import Payload
from extproc.chain import Chain, Course, Link, PolicyStartError, Step, VerdictOutcome, presentable
from extproc.completion import Completion, Decision, EndedBy, Ending, Verdict
from extproc.exchange import Chunk, Exchange
from extproc.identity import Identity
from extproc.outcome import CONTINUE, Mutate, Reject, Respond
from extproc.policy import FailureMode, Policy
from tests.extproc.world import exchange

NO = Reject(403, "no", "No.", why="because")
YES = Respond(b"{}")
OPEN = FailureMode.OPEN


class Asking(Policy):
    """Answers every hook by a function of the exchange, at once or after a turn of the event loop."""

    name = "asking"

    def __init__(self, answer: Callable[[Exchange], Any], log: list[str] | None = None, *, later: bool = False) -> None:
        self.answer = answer
        self.log = log if log is not None else []
        self.later = later

    def on_request_headers(self, exchange: Exchange) -> Any:
        self.log.append(self.name)
        return self._later(exchange) if self.later else self.answer(exchange)

    def on_request_body(self, exchange: Exchange) -> Any:
        return self.on_request_headers(exchange)

    def on_response_body(self, exchange: Exchange, chunk: Chunk) -> Any:
        return self.on_request_headers(exchange)

    async def _later(self, exchange: Exchange) -> Any:
        await asyncio.sleep(0)
        return self.answer(exchange)


def policy(
    outcome: Any = CONTINUE, *, name: str = "asking", log: list[str] | None = None, later: bool = False, **how: Any
) -> Link:
    """A link that answers `outcome`: a value, an exception to raise, or a function of the exchange."""

    def answer(exchange: Exchange) -> Any:
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome(exchange) if callable(outcome) else outcome

    made = type(name.title(), (Asking,), {"name": name})(answer, log, later=later)
    return Link(made, how.get("failure", FailureMode.CLOSED), how.get("shadow", False))


def course(members: dict[str, Any] | None = None, body: bytes | None = None, *, explaining: bool = False) -> Course:
    of = exchange()
    if explaining:
        of = Exchange("ex-1", of.request, explaining=True)
    if members is not None:
        of.put(Payload(members))
        of.body = body
    return Course(of, steps=[] if explaining else None)


async def verdict_of(chain: Chain, on: Course) -> VerdictOutcome | None:
    answer = chain.request_body(on)
    return await answer if isawaitable(answer) else answer


def said(on: Course) -> list[tuple[str, str, str, bool]]:
    return [(one.policy, one.outcome, one.code, one.enforced) for one in on.decisions]


# Order


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize(("outcome", "asked"), [(CONTINUE, "abc"), (Mutate(), "abc"), (NO, "ab"), (YES, "ab")])
async def test_the_first_verdict_ends_the_chain(outcome: Any, asked: str, later: bool) -> None:
    log: list[str] = []
    chain = Chain(
        [policy(name="a", log=log), policy(outcome, name="b", log=log, later=later), policy(NO, name="c", log=log)]
    )
    verdict = await verdict_of(chain, course())
    assert "".join(log) == asked
    assert verdict is (outcome if isinstance(outcome, Reject | Respond) else NO)


@pytest.mark.parametrize("mask", range(8))
async def test_every_policy_is_asked_once_whoever_waits(mask: int) -> None:
    log: list[str] = []
    chain = Chain([policy(name=name, log=log, later=bool(mask & 1 << place)) for place, name in enumerate("abc")])
    assert await verdict_of(chain, course()) is None
    assert log == ["a", "b", "c"]


def test_who_answers_at_once_makes_nobody_wait() -> None:
    chain = Chain([policy(), policy(Mutate(set_headers=(("x-a", "1"),))), policy(NO)])
    assert chain.request_headers(course()) is NO
    assert Chain([policy(), policy()]).request_headers(course()) is None
    assert Chain([]).request_body(course()) is None


async def test_nothing_runs_before_it_is_waited_for() -> None:
    log: list[str] = []
    chain = Chain([policy(name="a", log=log), policy(name="b", log=log, later=True), policy(name="c", log=log)])
    answer = chain.request_headers(course())
    assert isawaitable(answer)
    assert log == ["a", "b"]
    assert await answer is None
    assert log == ["a", "b", "c"]


def test_only_hooks_that_are_there_are_called() -> None:
    class Quiet(Policy):
        name = "quiet"

    class Settling(Policy):
        name = "settling"

        def on_settle(self, completion: Completion) -> None:
            return None

    chain = Chain([Link(Quiet()), Link(Settling())])
    assert not chain.may_read_responses
    assert Chain([policy()]).may_read_responses
    assert chain.request_headers(course()) is None


def test_what_is_recorded() -> None:
    on = course()
    chain = Chain([policy(), policy(NO, name="shadowed", shadow=True), policy(Mutate()), policy(NO, name="last")])
    assert chain.request_headers(on) is NO
    assert on.decisions == [
        Decision("shadowed", "reject", "no", "because", enforced=False),
        Decision("last", "reject", "no", "because"),
    ]


def test_a_response_of_the_gateway_is_recorded() -> None:
    on = course()
    assert Chain([policy(YES, name="cache")]).request_body(on) is YES
    assert on.decisions == [Decision("cache", "respond")]


# Failure


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize(
    "outcome", [RuntimeError("hunter2"), KeyError("hunter2"), AssertionError(), None, "yes", True, Reject]
)
async def test_a_failure_refuses(outcome: Any, later: bool, caplog: pytest.LogCaptureFixture) -> None:
    log: list[str] = []
    on = course()
    broken = policy(
        (lambda _: outcome) if not isinstance(outcome, BaseException) else outcome, name="broken", later=later
    )
    verdict = await verdict_of(Chain([broken, policy(name="after", log=log)]), on)
    assert isinstance(verdict, Reject)
    assert (verdict.status, verdict.code, verdict.retry_after) == (503, "policy_failed", 1.0)
    assert "hunter2" not in f"{verdict}{on.decisions}"
    assert said(on) == [("broken", "failed", "policy_failed", True), ("broken", "reject", "policy_failed", True)]
    assert log == []
    assert "policy broken failed on exchange ex-1" in caplog.text


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("outcome", [RuntimeError("x"), TimeoutError(), lambda _: None])
@pytest.mark.parametrize("how", [{"failure": OPEN}, {"shadow": True}, {"failure": OPEN, "shadow": True}])
async def test_a_failure_that_is_let_pass(outcome: Any, later: bool, how: dict[str, Any]) -> None:
    log: list[str] = []
    on = course()
    chain = Chain([policy(outcome, name="broken", later=later, **how), policy(NO, name="after", log=log)])
    assert await verdict_of(chain, on) is NO
    assert log == ["after"]
    assert said(on)[0] == ("broken", "failed", "policy_failed", False)


async def test_a_fact_that_is_missing_is_a_failure() -> None:
    verdict = await verdict_of(Chain([policy(lambda of: of.need(Identity))]), course())
    assert isinstance(verdict, Reject)
    assert verdict.why == "asking: MissingFactError"


# Time


def waiting(seconds: float, outcome: Any = CONTINUE) -> Callable[[Exchange], Any]:
    async def wait() -> Any:
        await asyncio.sleep(seconds)
        return outcome

    return lambda _: wait()


async def test_a_policy_that_takes_too_long() -> None:
    on = course()
    verdict = await verdict_of(Chain([policy(waiting(60), name="slow")], timeout=0.01), on)
    assert isinstance(verdict, Reject)
    assert (verdict.status, verdict.code, verdict.why) == (503, "decision_timeout", "slow: TimeoutError")
    assert said(on)[0] == ("slow", "failed", "policy_failed", True)


async def test_the_time_is_for_all_of_a_message() -> None:
    """Envoy waits for the whole answer: two policies may not each take the whole time."""
    on = course()
    links = [policy(waiting(0.3), name=name) for name in "abc"]
    verdict = await verdict_of(Chain(links, timeout=0.5), on)
    assert isinstance(verdict, Reject)
    assert verdict.why == "b: TimeoutError"


async def test_time_that_is_up_still_lets_others_answer_at_once() -> None:
    on = course()
    links = [policy(waiting(60), name="slow", failure=OPEN), policy(NO, name="quick")]
    assert await verdict_of(Chain(links, timeout=0.01), on) is NO


async def test_the_next_message_has_its_own_time() -> None:
    chain = Chain([policy(waiting(60), failure=OPEN)], timeout=0.01)
    on = course()
    assert await verdict_of(chain, on) is None
    before = on.deadline
    assert await chain.response_body(on, Chunk(b"x", last=True)) == b"x"
    assert before is not None
    assert on.deadline is not None
    assert on.deadline > before


@pytest.mark.parametrize("how", [{}, {"failure": OPEN}, {"shadow": True}])
async def test_cancellation_passes_through(how: dict[str, Any]) -> None:
    log: list[str] = []
    on = course()
    answer = Chain([policy(waiting(60), **how), policy(name="after", log=log)], timeout=60).request_body(on)
    assert isawaitable(answer)

    async def decide() -> Any:
        return await answer

    task = asyncio.get_running_loop().create_task(decide())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (log, on.decisions) == ([], [])


class PanicError(BaseException):
    """What native extensions raise when they panic is no `Exception`."""


EXTREMES = [PanicError, asyncio.CancelledError, SystemExit, KeyboardInterrupt]


@pytest.mark.parametrize("kind", EXTREMES)
@pytest.mark.parametrize("later", [False, True])
async def test_what_is_no_exception_is_a_failure_too(kind: type[BaseException], later: bool) -> None:
    on = course()
    answer = await verdict_of(Chain([policy(kind("s3cret"), later=later), policy(YES)]), on)
    assert isinstance(answer, Reject)
    assert (answer.status, answer.code, answer.why) == (503, "policy_failed", f"asking: {kind.__name__}")
    assert await verdict_of(Chain([policy(kind(), failure=OPEN, later=later), policy(YES)]), course()) is YES


# Changes


@pytest.mark.parametrize("later", [False, True])
async def test_changes_are_seen_by_those_who_follow(later: bool) -> None:
    seen: list[Mapping[str, Any]] = []

    def look(of: Exchange) -> Any:
        seen.append(dict(of.need(Payload).members))
        return CONTINUE

    on = course({"model": "m", "n": 1}, b'{"model":"m","n":1}')
    links = [
        policy(Mutate(members=(("n", 2), ("user", "u"))), later=later),
        policy(look),
        policy(Mutate(body=b'{"model":"other"}', members=(("top_p", 1),)), later=later),
        policy(look),
    ]
    assert await verdict_of(Chain(links), on) is None
    assert seen == [{"model": "m", "n": 2, "user": "u"}, {"model": "other", "top_p": 1}]
    assert (on.exchange.body, on.body_changed, on.members) == (b'{"model":"other"}', True, {"top_p": 1})


@pytest.mark.parametrize("body", [b"", b"x", b"[]", b'{"a":1,"a":2}'])
async def test_a_new_body_that_is_no_object_is_the_policys_failure(body: bytes) -> None:
    on = course({"model": "m"}, b'{"model":"m"}')
    verdict = await verdict_of(Chain([policy(Mutate(body=body, set_headers=(("x-a", "1"),)))]), on)
    assert isinstance(verdict, Reject)
    assert verdict.code == "policy_failed"
    assert (on.exchange.body, on.exchange.need(Payload).members, on.set_headers) == (b'{"model":"m"}', {"model": "m"}, {})


async def test_headers_the_last_word_counts() -> None:
    on = course()
    links = [
        policy(Mutate(set_headers=(("X-A", "1"), ("x-b", "1")), remove_headers=("X-C",))),
        policy(Mutate(set_headers=(("x-a", "2"), ("x-c", "2")))),
        policy(Mutate(remove_headers=("X-B",))),
    ]
    assert await verdict_of(Chain(links), on) is None
    # Envoy removes before it sets.
    assert (on.set_headers, on.remove_headers) == ({"x-a": "2", "x-c": "2"}, {"x-b", "x-c"})


async def test_shadow_changes_nothing() -> None:
    on = course({"model": "m"}, b'{"model":"m"}')
    change = Mutate((("x-a", "1"),), ("x-b",), (("n", 2),), b"{}")
    assert await verdict_of(Chain([policy(change, shadow=True), policy(YES, shadow=True)]), on) is None
    assert (on.set_headers, on.remove_headers, on.members, on.body_changed) == ({}, set(), {}, False)
    assert on.exchange.body == b'{"model":"m"}'
    assert on.decisions == [Decision("asking", "respond", enforced=False)]


# The response


async def response(*links: Link) -> bytes:
    return await Chain(links).response_body(course(), Chunk(b"data", last=False))


@pytest.mark.parametrize("later", [False, True])
async def test_responses_are_changed_in_order(later: bool) -> None:
    class Doubling(Asking):
        name = "doubling"

        def on_response_body(self, exchange: Exchange, chunk: Chunk) -> Any:
            return Mutate(body=chunk.data * 2)

    doubling = Link(Doubling(lambda _: CONTINUE))
    assert await response(policy(later=later), policy(Mutate(body=b"ab"), later=later), doubling) == b"abab"
    assert await response(policy(Mutate(body=b""))) == b""
    assert await response(policy(Mutate())) == b"data"


@pytest.mark.parametrize("outcome", [RuntimeError("x"), NO, None])
async def test_responses_fail_closed(outcome: Any) -> None:
    with pytest.raises(RuntimeError if isinstance(outcome, RuntimeError) else TypeError):
        await response(policy((lambda _: outcome) if not isinstance(outcome, Exception) else outcome))


@pytest.mark.parametrize("kind", EXTREMES)
@pytest.mark.parametrize("later", [False, True])
async def test_responses_fail_closed_whatever_is_raised(kind: type[BaseException], later: bool) -> None:
    with pytest.raises(kind):
        await response(policy(kind(), later=later))
    assert await response(policy(kind(), later=later, failure=OPEN)) == b"data"


@pytest.mark.parametrize("how", [{"failure": OPEN}, {"shadow": True}])
async def test_responses_that_may_pass_a_failure(how: dict[str, Any]) -> None:
    assert await response(policy(RuntimeError("x"), **how), policy(Mutate(body=b"y"))) == b"y"


async def test_shadow_changes_no_response() -> None:
    assert await response(policy(Mutate(body=b"x"), shadow=True)) == b"data"


# Settling, starting, stopping

COMPLETION = Completion(
    "ex-1", "req-1", "GET", "/", 200, Verdict.ALLOW, Ending.ANSWERED, EndedBy.UPSTREAM, datetime.now(UTC), 0.0, None, 0, 0
)


class Living(Policy):
    """Writes down what happens to it; fails where it is told to."""

    def __init__(
        self,
        name: str,
        log: list[str],
        *,
        fails: bool = False,
        later: bool = False,
        kind: type[BaseException] = RuntimeError,
    ) -> None:
        self.name = name  # type: ignore[misc]
        self.log = log
        self.fails = fails
        self.later = later
        self.kind = kind

    async def start(self) -> None:
        self.log.append(f"start {self.name}")

    async def stop(self) -> None:
        self.log.append(f"stop {self.name}")

    def readiness(self) -> str | None:
        return "no keys" if self.fails else None

    def on_settle(self, completion: Completion) -> Awaitable[None] | None:
        if self.later:
            return self._settle(completion)
        self.log.append(f"settle {self.name} {completion.id}")
        if self.fails:
            raise self.kind(self.name)
        return None

    async def _settle(self, completion: Completion) -> None:
        await asyncio.sleep(0)
        self.log.append(f"settle {self.name} {completion.id}")
        if self.fails:
            raise self.kind(self.name)


async def settled(chain: Chain) -> None:
    pending = chain.settle(COMPLETION)
    if pending is not None:
        await pending


async def test_everybody_settles_once_whoever_fails(caplog: pytest.LogCaptureFixture) -> None:
    log: list[str] = []
    ways = [("a", True, False), ("b", False, True), ("c", True, True), ("d", False, False)]
    links = [Link(Living(name, log, fails=fails, later=later)) for name, fails, later in ways]
    await settled(Chain(links))
    assert log == [f"settle {name} ex-1" for name in "abcd"]
    assert [record.getMessage() for record in caplog.records] == [
        "policy a failed to settle exchange ex-1",
        "policy c failed to settle exchange ex-1",
    ]


@pytest.mark.parametrize("kind", EXTREMES)
@pytest.mark.parametrize("later", [False, True])
async def test_everybody_settles_whatever_is_raised(kind: type[BaseException], later: bool) -> None:
    log: list[str] = []
    await settled(Chain([Link(Living("a", log, fails=True, later=later, kind=kind)), Link(Living("b", log))]))
    assert log == ["settle a ex-1", "settle b ex-1"]


async def test_who_settles_can_be_cancelled() -> None:
    log: list[str] = []

    class Slow(Policy):
        name = "slow"

        def on_settle(self, completion: Completion) -> Awaitable[None]:
            return asyncio.sleep(60)

    task = asyncio.get_running_loop().create_task(settled(Chain([Link(Slow()), Link(Living("b", log))])))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log == []


class Unruly(Policy):
    """Fails where nobody expects it."""

    name = "unruly"

    def __init__(self, kind: type[BaseException]) -> None:
        self.kind = kind

    async def start(self) -> None:
        raise self.kind("s3cret")

    async def stop(self) -> None:
        raise self.kind("s3cret")

    def readiness(self) -> str | None:
        raise self.kind("s3cret")


@pytest.mark.parametrize("kind", [RuntimeError, *EXTREMES])
async def test_one_that_fails_to_start_is_named_and_not_quoted(kind: type[BaseException]) -> None:
    log: list[str] = []
    with pytest.raises(PolicyStartError, match=f"^policy unruly failed to start: {kind.__name__}$") as caught:
        await Chain([Link(Unruly(kind)), Link(Living("b", log))]).start()
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))
    assert log == []


@pytest.mark.parametrize("kind", [RuntimeError, *EXTREMES])
async def test_one_that_fails_to_stop_keeps_nobody_from_stopping(
    kind: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    log: list[str] = []
    await Chain([Link(Living("a", log)), Link(Unruly(kind)), Link(Living("b", log))]).stop()
    assert log == ["stop b", "stop a"]
    assert [record.getMessage() for record in caplog.records] == ["policy unruly failed to stop"]


@pytest.mark.parametrize("kind", [RuntimeError, *EXTREMES])
def test_one_that_cannot_say_whether_it_is_ready_is_not(kind: type[BaseException]) -> None:
    assert Chain([Link(Unruly(kind))]).readiness() == [f"unruly: cannot say whether it is ready: {kind.__name__}"]


async def test_starting_stopping_and_readiness() -> None:
    log: list[str] = []
    chain = Chain([Link(Living("a", log)), Link(Living("b", log, fails=True))])
    await chain.start()
    await chain.stop()
    assert log == ["start a", "start b", "stop b", "stop a"]
    assert chain.readiness() == ["b: no keys"]


# Explaining, and the order of a chain


async def test_steps_are_kept_for_who_asks() -> None:
    def noted(of: Exchange) -> Any:
        of.note("role %s", "User")
        return NO

    on = course(explaining=True)
    links = [policy(name="a", later=True), policy(NO, name="b", shadow=True), policy(noted, name="c")]
    assert await verdict_of(Chain(links), on) is NO
    assert on.steps == [
        Step("a", "request_body", "continue"),
        Step("b", "request_body", "reject", "no"),
        Step("c", "request_body", "reject", "no", ("role User",)),
    ]


@pytest.mark.parametrize(
    ("why", "written"), [("", ""), ("x" * 400, "x" * 300), ("GET /\udcff", "GET /\\udcff"), ("ä\n", "ä\n")]
)
def test_presentable(why: str, written: str) -> None:
    assert presentable(why) == written
