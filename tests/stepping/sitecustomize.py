"""A clock that a test steps: `time.time` tells the time with an offset, in every process that the test has started so.

Python imports this module at its start where its folder is on PYTHONPATH (`tests.parts.SteppedClock.environment`). The
offset, a double, stands in a file that all processes map: a step is seen at once. What does not go back, such as
`time.monotonic`, is left alone, as it is where an operator sets a clock.
"""

import mmap
import os
import struct
import time


def _step() -> None:
    path = os.environ.get("SLUICEGATE_TESTS_CLOCK")
    if path is None:
        return
    with open(path, "r+b") as file:
        offset = mmap.mmap(file.fileno(), 8)
    real, real_ns, read = time.time, time.time_ns, struct.Struct("d").unpack_from
    # By name: to the type checker they are functions, which nobody replaces.
    stepped = {
        "time": lambda: real() + read(offset)[0],
        "time_ns": lambda: real_ns() + int(read(offset)[0] * 1e9),
    }
    for name, function in stepped.items():
        setattr(time, name, function)


_step()
