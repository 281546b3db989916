"""The file of legal holds."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.audit.holds import (
    FILE,
    Hold,
    HoldsError,
    changing,
    held,
    placed,
    read,
    released,
    write,
)

ALPHA = Hold("alpha", "2026-11-02T09:30:00.000000Z", "root", "court order")
BETA = Hold("beta", "2026-11-02T09:31:00.000000Z", "root")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert read(tmp_path) == []
    with changing(tmp_path) as found:
        assert found == []
        write(tmp_path, [BETA, ALPHA])
    assert read(tmp_path) == [ALPHA, BETA]
    assert held(tmp_path) == {"alpha", "beta"}
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


@given(st.lists(st.sampled_from("abcd"), max_size=12))
def test_a_tenant_is_held_once(tenants: list[str]) -> None:
    holds: list[Hold] = []
    for tenant in tenants:
        if any(one.tenant == tenant for one in holds):
            with pytest.raises(HoldsError, match="is held already"):
                placed(holds, Hold(tenant, "", ""))
            holds = released(holds, tenant)
        else:
            with pytest.raises(HoldsError, match="is not held"):
                released(holds, tenant)
            holds = placed(holds, Hold(tenant, "", ""))
    assert {one.tenant for one in holds} == {tenant for tenant in tenants if tenants.count(tenant) % 2}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"holds": [{}]}', b"\xff", b"[" * 100_000])
def test_a_file_that_cannot_be_read_is_not_taken_for_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(HoldsError, match="nothing is removed before it is mended"):
        held(tmp_path)
    with pytest.raises(HoldsError), changing(tmp_path):
        pytest.fail("it was read")
    assert (tmp_path / FILE).read_bytes() == content


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(HoldsError, match="No such file"), changing(tmp_path / "nowhere"):
        pytest.fail("it is there")
    with pytest.raises(HoldsError, match="No such file"):
        write(tmp_path / "nowhere", [ALPHA])


def place(folder: Path, name: str) -> None:
    for number in range(10):
        with changing(folder) as found:
            write(folder, placed(found, Hold(f"{name}-{number}", "", "")))


def test_several_at_once_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=place, args=(tmp_path, name)) for name in "ab"]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert len(read(tmp_path)) == 20
