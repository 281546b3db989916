"""What libFuzzer runs, in a process of its own: `python -m loadtests.fuzz.target` with libFuzzer's arguments."""

from __future__ import annotations

import importlib
import random
import sys


def main() -> None:
    """Does not return: libFuzzer ends the process."""
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["extproc.wire"]):
        drive = importlib.import_module("loadtests.fuzz.drive").drive
    mutate = importlib.import_module("loadtests.fuzz.mutate").mutate

    def mutator(data: bytes, most: int, seed: int) -> bytes:
        chance = random.Random(seed)
        if chance.random() < 0.4:
            mutated: bytes = atheris.Mutate(data, most)
            return mutated
        changed: bytes = mutate(data, most, chance)
        return changed

    atheris.Setup(sys.argv, drive, custom_mutator=mutator)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
