from __future__ import annotations

import contextlib
import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.cost.reporting import invoice_files
from policies.cost.reporting.invoice_files import Sheet
from policies.cost.reporting.invoices import InvoiceError


def written(folder: Path, content: str | bytes, encoding: str = "utf-8") -> Path:
    path = folder / "invoice.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


def read(path: Path) -> list[tuple[int, dict[str, str]]]:
    with Sheet(path) as sheet:
        return [(row.line, {name: row[name] for name in sheet.columns}) for row in sheet.rows()]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_spreadsheets_make_of_it(tmp_path: Path, encoding: str, delimiter: str, end: str) -> None:
    text = end.join([delimiter.join(row) for row in (("Date ", "Ä"), ("1", '"a b"'), ("", ""), ("2", "ü"))])
    assert read(written(tmp_path, text + end, encoding)) == [(2, {"date": "1", "ä": "a b"}), (4, {"date": "2", "ä": "ü"})]


def test_fields_of_several_lines(tmp_path: Path) -> None:
    path = written(tmp_path, 'a,b\n1,"x\ny, ""z"""\n2,3\n')
    assert read(path) == [(3, {"a": "1", "b": 'x\ny, "z"'}), (4, {"a": "2", "b": "3"})]


def test_fields_without_a_name_are_left(tmp_path: Path) -> None:
    path = written(tmp_path, "a,,b,\n1,2,3,4,,\n")
    assert read(path) == [(2, {"a": "1", "b": "3"})]


def test_a_column_that_is_not_there(tmp_path: Path) -> None:
    with Sheet(written(tmp_path, "a\n1\n")) as sheet:
        (row,) = sheet.rows()
        assert (row.get("A"), row.get("a"), row.get("b")) == ("", "1", "")
        with pytest.raises(KeyError):
            row["b"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "it is empty"),
        (b"\n\n", "it is empty"),
        (b";;\n", r"invoice\.csv:1: no column has a name"),
        (b"a,b\n1\n", r"invoice\.csv:2: 1 fields where there are 2 columns: is the end cut off\?"),
        (
            b"a,b\n1,2,\n1,234,5\n",
            r"invoice\.csv:3: 3 fields where there are 2 columns: is one with a comma not in quotes\?",
        ),
        (b"a,A \n1,2\n", r"invoice\.csv:1: two columns are called 'a'"),
        (b'a,b\n1,"2', "unexpected end of data"),
        (b'a,b\n1,"2"3\n', "expected after"),
        (b'a,"b\n', r"invoice\.csv:1: unexpected end of data"),
        (b"a,b\n1,\xe4\n", "not UTF-8 about line 1: save it as CSV in UTF-8"),
        (b"\xff\xfea\x00\n\x00\x00", "not UTF-8|unexpected"),
        (b"PK\x03\x04rest", "a ZIP archive or a workbook: expected the CSV in it"),
        (gzip.compress(b"a,b\n", mtime=0), "compressed by gzip"),
        (b"PAR1....", "it is Parquet"),
        (b"a,b\n1," + b"x" * 200_000 + b"\n", r"invoice\.csv:2: field larger than field limit"),
        (b'a,b\n1,"' + b"x\n" * 200_000, "field larger than field limit"),
        (b"a,b\n" + b"x" * (1 << 20), "a line is longer than 1,048,576 characters"),
        (b"x" * (1 << 21), "a line is longer than 1,048,576 characters"),
        (",".join(map(str, range(501))).encode(), "501 columns: expected those of an export"),
    ],
)
def test_what_is_hostile_or_broken(tmp_path: Path, content: bytes, told: str) -> None:
    with pytest.raises(InvoiceError, match=told):
        read(written(tmp_path, content))


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(InvoiceError, match="nothing: not there"):
        read(tmp_path / "nothing")
    with pytest.raises(InvoiceError, match="not a file"):
        read(tmp_path)


def test_a_file_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invoice_files, "MOST_BYTES", 3)
    with pytest.raises(InvoiceError, match="export fewer days"):
        read(written(tmp_path, "a,b\n"))


@settings(max_examples=200)
@given(st.binary(max_size=200) | st.text(alphabet='a,;"\n\r\t=\0é', max_size=60).map(str.encode))
def test_any_bytes_are_rows_or_an_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = written(tmp_path_factory.getbasetemp(), content)
    with contextlib.suppress(InvoiceError):
        # Whatever else it raises fails the test.
        assert all(isinstance(cell, str) for _, row in read(path) for cell in row.values())
