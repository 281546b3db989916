"""`python -m k8s.checks [FILE ...]`: what is wrong with manifests, from files or standard input.

Exit status: 0 nothing, 1 an error (with `--strict` a warning as well), 2 they cannot be read, or there are none.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from k8s.checks.check import check
from k8s.checks.finding import Severity


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="python -m k8s.checks", description="What is wrong with manifests.")
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="YAML; standard input if left out")
    parser.add_argument("--strict", action="store_true", help="fail for warnings too")
    options = parser.parse_args(arguments)
    try:
        documents = list(_read(options.files))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        sys.stderr.write(f"cannot be read: {error}\n")
        return 2
    if not any(documents):
        # As of a pipe whose first half has failed: that nothing is wrong with nothing must not pass for a result.
        sys.stderr.write("there is nothing to check: no document in what was read\n")
        return 2
    found = check(documents)
    for finding in found:
        sys.stdout.write(f"{finding}\n")
    return int(any(options.strict or finding.severity is Severity.ERROR for finding in found))


def _read(files: Sequence[Path]) -> Iterator[Any]:
    texts = [path.read_text("utf-8") for path in files] or [sys.stdin.read()]
    for text in texts:
        yield from yaml.safe_load_all(text)


if __name__ == "__main__":
    sys.exit(main())
