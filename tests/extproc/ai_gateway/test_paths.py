"""AI Gateway's paths stand for all operations that a provider is asked for, and are understood as what they stand for."""

from __future__ import annotations

from extproc.ai_gateway.paths import PATHS
from extproc.call import METERS, Operation
from tests.extproc.world import endpoint


def test_every_operation_of_a_provider_has_its_path() -> None:
    assert set(PATHS) == {*METERS, Operation.COUNT_TOKENS}


def test_a_path_means_its_operation_to_us_too() -> None:
    """A second gateway of ours, further on, would understand it in the same way."""
    assert {operation: endpoint(path).operation for operation, path in PATHS.items()} == {name: name for name in PATHS}
