"""What a reconciliation found, as it is left for others to read."""

from __future__ import annotations

from pathlib import Path

import pytest

from policies.audit.reconciling.result import FILE, Result, read_result, write_result


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_result(tmp_path) is None
    for differences in (3, 0):
        result = Result(time=1_800_000_000.5, differences=differences, broken=1)
        write_result(tmp_path, result)
        assert read_result(tmp_path) == result
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"time":1,"differences":-1,"broken":0}',
        b'{"time":1e99,"differences":1,"broken":0}',
        b'{"time":1,"differences":1000000000001,"broken":0}',
        b'{"time":1,"differences":"1","broken":0}',
    ],
)
def test_what_is_no_result_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    assert read_result(tmp_path) is None


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_result(tmp_path / "none", Result(time=1.0, differences=0, broken=0))
