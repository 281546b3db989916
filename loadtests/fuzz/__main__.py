"""`python -m loadtests.fuzz`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from loadtests.fuzz.campaign import campaign


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m loadtests.fuzz", description="Fuzz the wire.")
    parser.add_argument("--seconds", type=int, default=60, help="how long (default: 60)")
    parser.add_argument("--corpus", type=Path, help="keep the inputs that reach something new here")
    asked = parser.parse_args()
    report = campaign(asked.seconds, asked.corpus)
    if report.kind != "atheris":
        print("atheris is not installed here: mutations that no coverage leads")
    print(
        f"{report.kind}: {report.runs} runs in {report.seconds:.0f} s, coverage {report.coverage}, "
        f"corpus {report.corpus}, memory {report.early_mb} MiB early and {report.late_mb} MiB late"
    )
    if report.failure:
        print(report.failure, file=sys.stderr)
    return 1 if report.failure else 0


if __name__ == "__main__":
    sys.exit(main())
