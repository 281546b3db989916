"""Run a program that dies with its parent: `python -I -S leash.py PARENT_PID PROGRAM [ARGUMENT…]`.

A parent that is killed outright cannot clean up after itself. Linux does it for us, if the child asks (prctl(2),
PR_SET_PDEATHSIG; it survives execve). Asking between fork and exec of a process that has threads is not safe in Python,
so it is asked by this file, which then becomes the program. Elsewhere than on Linux it only becomes the program.

It is run by its path, with nothing but the standard library.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, program = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit("the parent has gone already")
    try:
        os.execv(program[0], program)  # noqa: S606  (its arguments are ours, and there is no shell)
    except OSError as error:
        sys.exit(f"{program[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
