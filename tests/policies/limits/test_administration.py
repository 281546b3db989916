from __future__ import annotations

from pathlib import Path

import pytest
import typer

from policies.limits.administration import Administration, place, standings, work
from policies.limits.arguments import ArgumentError, caller
from policies.limits.redis_settings import Mode, RedisSettings
from policies.limits.subjects import EVERYONE, Subject
from tests.policies.limits.stocked import TENANT, Stock, stocked, write_configuration
from tests.redis_servers import RedisCluster, RedisServer


def configuration(folder: Path, settings: RedisSettings) -> Path:
    return write_configuration(folder, settings.model_dump(mode="json", exclude_defaults=True))


def test_tenants_and_overrides_are_known(valkey: RedisServer, tmp_path: Path) -> None:
    async def fill(stock: Stock) -> None:
        await stock.registry.remember(TENANT, "contoso")
        await stock.registry.change(Subject(TENANT), "tokens_per_month", 5, "kim")
        await stock.registry.change(Subject("new"), "tokens_per_month", 0, "kim")
        await stock.registry.change(Subject(EVERYONE), "tokens_per_day", 9, "kim")

    async def look(admin: Administration) -> None:
        assert admin.tenants == {TENANT: "contoso", "new": ""}
        own = {limit.rule.kind.name: limit.rule.amount for limit in admin.limits(caller(Subject(TENANT), admin.tenants))}
        assert own == {"tokens_per_month": 5, "dollars_per_month": 25_500_000, "tokens_per_day": 9}
        # Of everyone no tenant's limits are told.
        everyone = admin.limits(caller(Subject(EVERYONE), admin.tenants))
        assert [(limit.rule.kind.name, limit.rule.amount, str(limit.subject)) for limit in everyone] == [
            ("tokens_per_day", 9, "everyone")
        ]
        assert [one.by for one in await admin.history()] == ["kim"] * 3

    stocked(valkey.settings(timeout=5), fill)
    work(look, configuration(tmp_path, valkey.settings()), tmp_path)


def test_counters_of_several_subjects_at_one_moment(valkey: RedisServer, tmp_path: Path) -> None:
    async def fill(stock: Stock) -> None:
        await stock.reserve("r1", "alice", output=20)
        await stock.client.command(None, "HSET", Subject(TENANT).key(), "tpmo", "nonsense")

    async def look(admin: Administration) -> None:
        found = await standings(admin, [Subject(TENANT), Subject(EVERYONE)])
        assert {name: counter.current for name, counter in found.counters[Subject(TENANT)].items()} == {"dpmo": 450}
        assert {name: counter.current for name, counter in found.counters[Subject(EVERYONE)].items()} == {"tpd": 120}
        assert {one.key for one in found.charges} >= {Subject(TENANT).key(), Subject(EVERYONE).key()}
        assert found.whole

    stocked(valkey.settings(timeout=5), fill)
    work(look, configuration(tmp_path, valkey.settings()), tmp_path)


def test_a_cluster_is_reached(redis_cluster: RedisCluster, tmp_path: Path) -> None:
    async def look(admin: Administration) -> dict[str, str]:
        await admin.registry.remember("t-1", "contoso")
        await admin.refresh()
        return dict(admin.tenants)

    assert work(look, configuration(tmp_path, redis_cluster.settings()), tmp_path)["t-1"] == "contoso"


async def nothing(admin: Administration) -> None:
    raise AssertionError(f"there is no Redis for {admin}")


def told(config: Path, state: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit status, and the one line."""
    with pytest.raises(typer.Exit) as ended:
        work(nothing, config, state)
    written = capsys.readouterr()
    (line,) = written.err.splitlines()
    assert written.out == ""
    return ended.value.exit_code, line


def test_no_redis(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"unix://{tmp_path}/none.sock"
    config = write_configuration(tmp_path, {"url": url, "connect_timeout": 0.05})
    status, line = told(config, tmp_path, capsys)
    assert status == 1
    assert line.startswith(f"sluicegate: {url}: Redis does not answer: ")
    assert "No such file" in line


def test_a_wrong_password_is_not_told(tmp_path: Path, valkey: RedisServer, capsys: pytest.CaptureFixture[str]) -> None:
    with valkey.client() as client:
        client.config_set("requirepass", "right")
    (tmp_path / "secret").write_text("wrong-password")
    password = {"file": str(tmp_path / "secret")}
    config = write_configuration(tmp_path, {"url": valkey.address, "password": password, "connect_timeout": 0.2})
    status, line = told(config, tmp_path, capsys)
    assert status == 1
    assert "WRONGPASS" in line
    assert "wrong-password" not in line


def test_certificates_that_are_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_configuration(tmp_path, {"url": "rediss://127.0.0.1:1", "tls": {"ca": str(tmp_path / "none.pem")}})
    status, line = told(config, tmp_path, capsys)
    assert (status, line.partition(":")[0]) == (2, "sluicegate")
    assert "redis.tls: a file cannot be used" in line


def test_what_was_typed_wrongly(tmp_path: Path, valkey: RedisServer, capsys: pytest.CaptureFixture[str]) -> None:
    async def refuse(admin: Administration) -> None:
        raise ArgumentError(f"expected another, not \x1b of {len(admin.tenants)}")

    with pytest.raises(typer.Exit) as ended:
        work(refuse, configuration(tmp_path, valkey.settings()), tmp_path)
    assert ended.value.exit_code == 2
    assert capsys.readouterr().err == "sluicegate: expected another, not \\x1b of 0\n"


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (RedisSettings(url="redis://h:1"), "redis://h:1"),
        (RedisSettings(mode=Mode.CLUSTER, nodes=("a:1", "b:2")), "a:1, b:2"),
        (RedisSettings(mode=Mode.SENTINEL, sentinels=("s:3",), master_name="m"), "s:3"),
    ],
)
def test_where_redis_is(settings: RedisSettings, text: str) -> None:
    assert place(settings) == text
