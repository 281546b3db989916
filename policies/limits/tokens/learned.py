"""What is learned of a model from what its calls have really used. Pure; sums of workers add up."""

from __future__ import annotations

import math
from typing import Final

import msgspec
from msgspec.structs import astuple

FADING: Final = 10_000
"""Samples from which on all sums are halved: what was long ago counts less and less."""
_ENOUGH: Final = 200
_SOME: Final = 20
_LEAST, _MOST = 0.5, 2.0


class Learned(msgspec.Struct):
    """Sums over calls: how many, tokens of input estimated and used, tokens of output and their squares."""

    samples: int = 0
    estimated: int = 0
    actual: int = 0
    output: int = 0
    squares: int = 0

    def add(self, estimated: int, actual: int, output: int) -> None:
        """One more call. None of these is negative."""
        self.samples += 1
        self.estimated += estimated
        self.actual += actual
        self.output += output
        self.squares += output * output

    def merge(self, other: Learned) -> None:
        """Add what another worker has seen. Past `FADING` samples all sums are halved, as `scripts/learn.lua` does."""
        sums = [mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)]
        while sums[0] > FADING:
            sums = [one // 2 for one in sums]
        self.samples, self.estimated, self.actual, self.output, self.squares = sums

    @property
    def ratio(self) -> float | None:
        """Tokens of input used for each one estimated; None where nothing is known."""
        return self.actual / self.estimated if self.estimated else None

    def factor(self) -> float:
        """By what an estimate that is no exact count is multiplied: a tenth above what was seen, from a half to twice.

        For what was not counted with the model's own vocabulary, and there alone. Below 1 only with many samples: until
        then the bound stands.
        """
        ratio = self.ratio
        if ratio is None or self.samples < _SOME:
            return 1.0
        wished = min(_MOST, max(_LEAST, 1.1 * ratio))
        return wished if self.samples >= _ENOUGH else max(1.0, wished)

    def usual_output(self, ceiling: int) -> int:
        """The output that most calls stay below: mean and one standard deviation; the ceiling where little is known."""
        if self.samples < _SOME:
            return ceiling
        mean = self.output / self.samples
        deviation = math.sqrt(max(0.0, self.squares / self.samples - mean * mean))
        return min(ceiling, max(1, math.ceil(mean + deviation)))
