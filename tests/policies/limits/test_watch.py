"""What one worker sees the others learn, and nothing of it is lost while the registry is away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from extproc.tasks import spawn
from policies.limits import watch as module
from policies.limits.plan import Override
from policies.limits.subjects import parse
from policies.limits.tokens.learned import Learned
from policies.limits.watch import Watch
from tests.policies.limits.memory_registry import MemoryRegistry

SUSPENDED = Override(parse("contoso/user=alice"), "requests_per_minute", 0)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_GLANCE", 0.001)


class Worker:
    """A worker that watches, and what it was told of overrides."""

    def __init__(self, registry: MemoryRegistry) -> None:
        self.told: list[list[Override]] = []
        self.watch = Watch(registry, self.tell, lease=60.0)

    def tell(self, overrides: Sequence[Override]) -> None:
        self.told.append(list(overrides))

    def is_informed(self) -> bool:
        return self.watch.is_informed


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.001)


async def test_overrides_are_read_when_they_have_changed() -> None:
    registry = MemoryRegistry()
    worker = Worker(registry)
    assert not worker.is_informed()
    await worker.watch.look()
    assert worker.is_informed()
    assert worker.told == [[]]
    for _ in range(3):
        await worker.watch.look()
    assert registry.calls.count("overrides") == 1
    registry.change(SUSPENDED)
    await worker.watch.look()
    registry.change()
    await worker.watch.look()
    assert worker.told == [[], [SUSPENDED], []]


async def test_a_registry_that_was_emptied_is_read_again() -> None:
    registry = MemoryRegistry()
    registry.change(SUSPENDED)
    worker = Worker(registry)
    await worker.watch.look()
    registry.change()
    registry.changes = 0
    await worker.watch.look()
    assert worker.told == [[SUSPENDED], []]


async def test_a_change_in_the_middle_of_a_look_is_seen_by_the_next() -> None:
    registry = MemoryRegistry()
    worker = Worker(registry)
    registry.gate = asyncio.Semaphore(1)
    looking = spawn(worker.watch.look(), name="look")
    await until(lambda: registry.calls == ["version", "overrides"])
    registry.change(SUSPENDED)
    registry.gate.release()
    await looking
    registry.gate = None
    await worker.watch.look()
    assert worker.told[-1] == [SUSPENDED]


async def test_until_the_registry_has_answered_nobody_is_informed() -> None:
    registry = MemoryRegistry()
    registry.away = True
    worker = Worker(registry)
    worker.watch.start()
    await until(lambda: len(registry.calls) > 3)
    assert not worker.is_informed()
    registry.away = False
    await until(worker.is_informed)
    await worker.watch.stop()


async def test_a_change_reaches_every_worker() -> None:
    registry = MemoryRegistry()
    workers = [Worker(registry) for _ in range(3)]
    for worker in workers:
        worker.watch.start()
    await until(lambda: all(worker.is_informed() for worker in workers))
    registry.change(SUSPENDED)
    await until(lambda: all(worker.told[-1] == [SUSPENDED] for worker in workers))
    for worker in workers:
        await worker.watch.stop()


async def test_tenants_are_remembered_once() -> None:
    registry = MemoryRegistry()
    worker = Worker(registry)
    for _ in range(3):
        worker.watch.see("t-1", "contoso")
        worker.watch.see("t-2", "fabrikam")
    worker.watch.start()
    await until(lambda: registry.names == {"t-1": "contoso", "t-2": "fabrikam"})
    worker.watch.see("t-1", "contoso")
    worker.watch.see("t-2", "Fabrikam Ltd")  # it has a new name
    await until(lambda: registry.names["t-2"] == "Fabrikam Ltd")
    await worker.watch.stop()
    assert registry.calls.count("remember") == 3


async def test_what_is_remembered_of_tenants_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REMEMBERED", 3)
    registry = MemoryRegistry()
    worker = Worker(registry)
    for number in range(10):
        worker.watch.see(f"t{number}", "")
    assert len(worker.watch._tenants) <= 3
    await worker.watch.stop()
    assert len(registry.names) == 10


async def test_what_was_witnessed_is_told_for_longer_than_leases_last() -> None:
    registry = MemoryRegistry(lambda: 1_000.0)
    worker = Worker(registry)
    worker.watch.witness("q1")
    worker.watch.witness("q2")
    worker.watch.start()
    await until(lambda: len(registry.ended) == 2)
    await worker.watch.stop()
    assert registry.ended == {"q1": 1_180.0, "q2": 1_180.0}
    assert registry.calls.count("witness") == 2


async def test_witnesses_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WITNESSES", 3)
    registry = MemoryRegistry()
    worker = Worker(registry)
    for number in range(5):
        worker.watch.witness(f"q{number}")
    await worker.watch.stop()
    assert sorted(registry.ended) == ["q0", "q1", "q2"]


async def test_what_comes_while_something_is_told_is_told_as_well() -> None:
    registry = MemoryRegistry()
    worker = Worker(registry)
    await worker.watch.look()
    registry.gate = gate = asyncio.Semaphore(0)
    worker.watch.witness("q1")
    worker.watch.see("t-1", "contoso")
    stopping = spawn(worker.watch.stop(), name="stop")
    await until(lambda: registry.calls[-1] == "remember")
    worker.watch.see("t-1", "Contoso Ltd")
    gate.release()
    gate.release()
    await until(lambda: registry.calls[-1] == "witness")
    worker.watch.witness("q2")
    gate.release()
    gate.release()
    await stopping
    assert set(registry.ended) == {"q1", "q2"}
    assert registry.names == {"t-1": "Contoso Ltd"}


async def test_what_workers_learn_adds_up() -> None:
    registry = MemoryRegistry()
    workers = [Worker(registry) for _ in range(2)]
    for worker in workers:
        worker.watch.learn("gpt-4o", 100, 80, 10)
        worker.watch.learn("gpt-4o", 100, 90, 20)
        worker.watch.learn("o3", 1, 1, 1)
        worker.watch.start()
    whole = Learned(4, 400, 340, 60, 1_000)
    await until(lambda: all(worker.watch.learned("gpt-4o") == whole for worker in workers))
    for worker in workers:
        assert worker.watch.learned("unheard-of") is None
        await worker.watch.stop()
    assert registry.sums["o3"].samples == 2
    # Told once, and not with every look.
    assert registry.calls.count("learn") == 4


async def test_how_many_models_are_learned_of_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MODELS", 2)
    registry = MemoryRegistry()
    worker = Worker(registry)
    for model in ("a", "b", "c", "a"):
        worker.watch.learn(model, 1, 1, 1)
    await worker.watch.stop()
    assert {model: sums.samples for model, sums in registry.sums.items()} == {"a": 2, "b": 1}


def saw(worker: Worker) -> None:
    """A bit of everything."""
    worker.watch.see("t-1", "contoso")
    worker.watch.witness("q1")
    worker.watch.learn("gpt-4o", 1, 1, 1)


def knows_all(registry: MemoryRegistry) -> bool:
    return bool(registry.names and registry.ended and registry.sums)


async def test_nothing_is_lost_while_the_registry_is_away() -> None:
    registry = MemoryRegistry()
    worker = Worker(registry)
    worker.watch.start()
    await until(worker.is_informed)
    registry.away = True
    saw(worker)
    before = len(registry.calls)
    await until(lambda: len(registry.calls) > before + 3)
    registry.away = False
    await until(lambda: knows_all(registry))
    await worker.watch.stop()
    assert registry.sums["gpt-4o"].samples == 1


@pytest.mark.parametrize("name", ["remember", "witness", "learn"])
async def test_a_failure_in_the_middle_loses_nothing(name: str) -> None:
    registry = MemoryRegistry()
    worker = Worker(registry)
    saw(worker)
    registry.gate = gate = asyncio.Semaphore(0)
    worker.watch.start()
    async with asyncio.timeout(20):
        while name not in registry.calls:
            gate.release()
            await asyncio.sleep(0.001)
    registry.away = True
    registry.gate = None
    gate.release()
    before = len(registry.calls)
    await until(lambda: len(registry.calls) > before + 2)
    registry.away = False
    await until(lambda: knows_all(registry))
    await worker.watch.stop()
    assert registry.sums["gpt-4o"].samples == 1


async def test_stopping_tells_what_was_about_to_be_told() -> None:
    """Also what the task held in its hand when it was cancelled."""
    registry = MemoryRegistry()
    worker = Worker(registry)
    await worker.watch.look()
    saw(worker)
    registry.gate = asyncio.Semaphore(1)
    worker.watch.start()
    await until(lambda: registry.calls[-1] == "remember")
    registry.gate = None
    await worker.watch.stop()
    assert knows_all(registry)


async def test_stopping_while_the_registry_is_away(caplog: pytest.LogCaptureFixture) -> None:
    registry = MemoryRegistry()
    worker = Worker(registry)
    registry.away = True
    saw(worker)
    await worker.watch.stop()
    assert [record.message for record in caplog.records] == [
        "what was learned of the use of tokens is lost: the store is away"
    ]


async def test_a_mistake_does_not_end_the_watch(caplog: pytest.LogCaptureFixture) -> None:
    registry = MemoryRegistry()
    worker = Worker(registry)
    failures = iter([RuntimeError("broken")])

    def tell(overrides: Sequence[Override]) -> None:
        for failure in failures:
            raise failure
        worker.told.append(list(overrides))

    watch = Watch(registry, tell, lease=60.0)
    watch.start()
    await until(lambda: watch.is_informed)
    await watch.stop()
    # What it had not taken in was read again.
    assert worker.told == [[]]
    assert [record.message for record in caplog.records] == ["looking at the limits' registry failed: RuntimeError"]


async def test_a_store_that_lost_its_data_learns_of_tenants_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TELLING", 3)
    registry = MemoryRegistry()
    worker = Worker(registry)
    worker.watch.start()
    worker.watch.see("t1", "contoso")
    await until(lambda: "t1" in registry.names)
    registry.names.clear()

    def seen() -> bool:
        worker.watch.see("t1", "contoso")
        return "t1" in registry.names

    await until(seen)
    await worker.watch.stop()


async def test_a_flood_of_exchanges_that_were_left_keeps_no_override_from_being_read() -> None:
    class Flooded(MemoryRegistry):
        async def witness(self, request_id: str, seconds: float) -> None:
            worker.watch.witness(f"{request_id}.")
            await super().witness(request_id, seconds)

    registry = Flooded()
    worker = Worker(registry)
    worker.watch.witness("r")
    worker.watch.start()
    await until(worker.is_informed)
    registry.change(SUSPENDED)
    await until(lambda: [SUSPENDED] in worker.told)
    registry.away = True
    await worker.watch.stop()
