"""The chart's copies of dashboards and rules, for a package holds nothing from outside: `python -m k8s.chart_files`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
COPIED: Final = ("dashboards/*.json", "rules/*.yaml")
TARGET: Final = HERE / "chart/files"


def originals() -> Iterator[tuple[Path, Path]]:
    """Each file, and where its copy is."""
    source = HERE / "observability"
    for pattern in COPIED:
        for path in sorted(source.glob(pattern)):
            yield path, TARGET / path.relative_to(source)


def copy() -> None:
    """Write the copies anew, and remove those of files that are gone."""
    wanted = {target: path for path, target in originals()}
    for old in (path for pattern in COPIED for path in TARGET.glob(pattern)):
        if old not in wanted:
            old.unlink()
    for target, path in wanted.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())


if __name__ == "__main__":
    copy()
