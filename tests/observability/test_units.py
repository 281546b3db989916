from __future__ import annotations

import pytest

from k8s.observability.units import written


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (0, "short", "0"),
        (1_234, "short", "1.23k"),
        (2_500_000, "short", "2.5M"),
        (19.6, "reqps", "19.6 req/s"),
        (0.125, "percentunit", "12.5%"),
        (0, "s", "0 s"),
        (0.0944, "s", "94.4 ms"),
        (7.5, "s", "7.5 s"),
        (7_200, "s", "2 h"),
        (0.000_25, "s", "250 µs"),
        (90, "ms", "90 ms"),
        (13, "d", "13 days"),
        (200 * 2**20, "bytes", "200 MiB"),
        (12, "bytes", "12 B"),
        (1_234.5, "currencyUSD", "$1,234.50"),
        (0.00033, "currencyUSD", "$0.00033"),
        (0, "currencyUSD", "$0.00"),
        (3, "unheard of", "3"),
    ],
)
def test_numbers_are_written_as_people_read_them(value: float, unit: str, expected: str) -> None:
    assert written(value, unit) == expected
