"""What answers mean, and what a request may carry. With a receiver: `test_otlp_sink`, `test_otlp_traces`."""

from __future__ import annotations

from pathlib import Path

import pytest

from extproc.secret import Secret
from policies.audit.following.sink import SinkError
from policies.audit.sinks.otlp_http import read_headers, rejected_in, retry_after
from tests.policies.audit.sinks.otlp_receiver import partial


@pytest.mark.parametrize(
    ("body", "count"), [(b"", 0), (partial(3).body, 3), (partial(0).body, 0), (b"{}", 0), (b"\xff", 0)]
)
def test_answers(body: bytes, count: int) -> None:
    assert rejected_in(body) == count


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 5 ", 5.0),
        ("Thu, 01 Jan 1970 00:17:00 GMT", 20.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Thu, 01 Jan 1970 00:17:00 -0000", 20.0),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("9" * 30, None),
        ("Thu, 99 Jan 1970 00:17:00 GMT", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert retry_after(value, 1_000.0) == seconds


def test_a_secret_is_read_anew(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one\n")
    headers = {"authorization": Secret(file=str(file))}
    assert read_headers(headers) == {"authorization": "one"}
    file.write_text("two\n")
    assert read_headers(headers) == {"authorization": "two"}
    file.write_text("caf\u00e9")
    with pytest.raises(SinkError, match=r"^header authorization: its value is not printable ASCII$"):
        read_headers(headers)
    file.unlink()
    with pytest.raises(SinkError, match=r"^header authorization: file .*: FileNotFoundError$"):
        read_headers(headers)
