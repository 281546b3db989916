"""Programs that a test asks to speak to a server of its own: run beside it, with an end in sight."""

from __future__ import annotations

import asyncio
import shutil
from typing import Final

import pytest

PATIENCE: Final = 30.0


def needs(tool: str) -> pytest.MarkDecorator:
    """Skips where this program is not installed. CI installs it where it may (`.ci/run`)."""
    return pytest.mark.skipif(shutil.which(tool) is None, reason=f"{tool} is not installed")


async def run(*command: str) -> bytes:
    """What a program prints on standard output. It must succeed.

    Raises:
        AssertionError: it does not. With all that it printed.
    """
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe)
    try:
        async with asyncio.timeout(PATIENCE):
            output, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        output, errors = await process.communicate()
        raise AssertionError(f"{command} does not end:\n{output.decode()}{errors.decode()}") from None
    assert process.returncode == 0, f"{command} ended with {process.returncode}:\n{output.decode()}{errors.decode()}"
    return output
