"""What tests here share."""

from __future__ import annotations

import shutil

import pytest


@pytest.fixture(scope="session")
def prometheus_installed() -> None:
    """Debian's package `prometheus`. Where it is missing, the summary says which tests were skipped."""
    if shutil.which("prometheus") is None or shutil.which("promtool") is None:
        pytest.skip("prometheus and promtool are not on the PATH: apt install prometheus (.ci/run does)")
