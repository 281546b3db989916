"""A campaign of runs: by atheris where it is installed, by the seeded mutator otherwise."""

from __future__ import annotations

import importlib.util
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from loadtests.fuzz.drive import drive
from loadtests.fuzz.mutate import mutate, split

RECORDINGS: Final = Path(__file__).parent / "recordings"
_LARGEST: Final = 32_768
_RSS_LIMIT_MB: Final = 512
_CORPUS: Final = 400
_STATUS: Final = re.compile(r"^#(\d+)\s+\w+\s+cov: (\d+) ft: \d+ corp: (\d+)/.*rss: (\d+)Mb", re.MULTILINE)
_DONE: Final = re.compile(r"^Done (\d+) runs in (\d+) second", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Report:
    """What a campaign came to.

    Attributes:
        kind: what made the inputs.
        runs: inputs tried. coverage: edges reached (0: not known). corpus: inputs that are kept.
        seconds: that it took. early_mb, late_mb: resident memory soon after the start, and at the end.
        failure: what went wrong, empty if nothing did.
    """

    kind: str
    runs: int
    seconds: float
    coverage: int = 0
    corpus: int = 0
    early_mb: int = 0
    late_mb: int = 0
    failure: str = ""


def seeds() -> Iterator[bytes]:
    """What clients have sent: whole, and each of their first frames."""
    for path in sorted(RECORDINGS.glob("*.bin")):
        data = path.read_bytes()
        yield data[:_LARGEST]
        parts = split(data)
        for count in range(2, min(len(parts), 12)):
            yield b"".join(parts[:count])[:_LARGEST]


def guided(seconds: int, kept: Path | None = None) -> Report:
    """By atheris. `kept`: where the inputs that reach something new stay; and those that break something."""
    with tempfile.TemporaryDirectory() as scratch:
        corpus = kept or Path(scratch) / "corpus"
        corpus.mkdir(parents=True, exist_ok=True)
        for index, seed in enumerate(seeds()):
            (corpus / f"seed-{index}").write_bytes(seed)
        broken = corpus.parent / "broken-"
        # Linux counts in a process's peak what its parent held when it began.
        limit = _RSS_LIMIT_MB + _peak_mb()
        command = [
            *(sys.executable, "-m", "loadtests.fuzz.target", str(corpus), f"-artifact_prefix={broken}"),
            *(f"-max_total_time={seconds}", f"-max_len={_LARGEST}", f"-rss_limit_mb={limit}", "-timeout=20"),
        ]
        began = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        took = time.monotonic() - began
        said = [(int(a), int(b), int(c), int(d)) for a, b, c, d in _STATUS.findall(done.stderr)]
        runs = _DONE.search(done.stderr)
        early = next((line for line in said if line[0] >= 2_000), said[-1] if said else (0, 0, 0, 0))
        last = said[-1] if said else (0, 0, 0, 0)
        failure = "" if done.returncode == 0 and runs else done.stderr[-3_000:] or f"ended with {done.returncode}"
        number = int(runs[1]) if runs else last[0]
        return Report("atheris", number, took, last[1], last[2], early[3], last[3], failure)


def seeded(seconds: float, seed: int = 0) -> Report:
    """By mutations that coverage does not lead."""
    chance = random.Random(seed)
    corpus = list(seeds())
    began, runs, early = time.monotonic(), 0, 0
    while time.monotonic() - began < seconds:
        data = mutate(chance.choice(corpus), _LARGEST, chance)
        try:
            drive(data)
        except Exception as error:
            failure = f"{type(error).__name__}: {error}; the input: {data.hex()}"
            return Report("seeded mutations", runs, time.monotonic() - began, failure=failure)
        runs += 1
        # Mutations of mutations reach further than those of the recordings alone.
        if chance.random() < 0.2:
            corpus[chance.randrange(len(corpus))] = data
        if runs % 500 == 0:
            early = early or _peak_mb()
            if len(corpus) < _CORPUS:
                corpus.extend(seeds())
    return Report("seeded mutations", runs, time.monotonic() - began, 0, len(corpus), early, _peak_mb())


def campaign(seconds: int, kept: Path | None = None) -> Report:
    """The better of the two that this machine can."""
    if importlib.util.find_spec("atheris") is None:
        return seeded(seconds)
    return guided(seconds, kept)


def _peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
