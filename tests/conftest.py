"""What all tests share: real Redis servers, and patience."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.redis_servers import KINDS, NotInstalledError, RedisCluster, RedisServer, running_cluster, running_redis

# How long an example takes says how busy the machine is, and nothing of what is tested.
settings.register_profile("sluicegate", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("sluicegate")


@pytest.fixture
def valkey() -> Iterator[RedisServer]:
    """A Valkey of one's own, which keeps its data as `sluicegate up` has it."""
    with running_redis(appendonly="yes") as server:
        yield server


@pytest.fixture(params=KINDS)
def redis_server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """Each kind of server in turn."""
    try:
        with running_redis(request.param) as server:
            yield server
    except NotInstalledError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def redis_cluster() -> Iterator[RedisCluster]:
    """A cluster of three."""
    with running_cluster() as cluster:
        yield cluster
