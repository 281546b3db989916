"""Where the policy process spends its time under load: `python -m loadtests.bench.profile FILE.svg`.

py-spy comes with the extra `bench`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from extproc.embedded.demo_keys import make_token
from extproc.embedded.demo_tokens import Caller
from extproc.embedded.faults import StackError
from extproc.embedded.in_process import identity_provider
from extproc.embedded.running import interruptible
from extproc.embedded.state import write_private
from extproc.tasks import spawn
from loadtests.bench.measure import BenchError, Burst, cpu, find_generator, generate
from loadtests.bench.run import say
from loadtests.bench.scenarios import BUSY
from loadtests.bench.stand import Wish, standing

_LEAD: Final = 2.0
"""Seconds of load before the first sample and after the last."""


async def profile(target: str, seconds: float, path: Path, options: Sequence[str]) -> None:
    """Put one target under load and let py-spy sample its policy process.

    Raises:
        BenchError: py-spy failed, or the load did.
        StackError: something did not start.
    """
    program = _py_spy()
    with tempfile.TemporaryDirectory(prefix="sluicegate-bench-") as folder, identity_provider(Path(folder)) as identity:
        state = Path(folder)
        request = state / "request"
        write_private(request, BUSY.request(make_token(state, Caller("contoso", "bench", ("User",)))).decode())
        async with standing(state, identity, Wish((target,)), say) as stand:
            (one,) = stand.targets
            burst = Burst(find_generator(), request, BUSY.connections, seconds + 2 * _LEAD)
            before = cpu(one)
            loading = spawn(generate(one.port, burst), name="load")
            await asyncio.sleep(_LEAD)
            command = ("record", "--pid", str(one.pids["policy"]), "--duration", f"{seconds:g}", "--rate", "500")
            sampling = await asyncio.create_subprocess_exec(program, *command, "--output", str(path), *options)
            status = await sampling.wait()
            load = await loading
            used = cpu(one)["policy"] - before["policy"]
        if status != 0:
            raise BenchError(f"py-spy ended with status {status}; where ptrace is restricted it must be run as root")
        say(f"{target}: {load.rate:,.0f} requests/s, {used / load.requests * 1e6:.0f} us of policy CPU each; see {path}")


def _py_spy() -> str:
    """The program: beside our Python, or where programs are.

    Raises:
        BenchError: it is not installed.
    """
    places = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
    found = shutil.which("py-spy", path=places)
    if found is None:
        raise BenchError("py-spy is not installed: pip install 'sluicegate[bench]'")
    return found


async def _interruptible_profile(chosen: argparse.Namespace) -> None:
    with interruptible():
        await profile(chosen.target, chosen.seconds, chosen.file, ["--native"] if chosen.native else [])


def main(arguments: Sequence[str] | None = None) -> int:
    """Profile; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench.profile", description=__doc__)
    parser.add_argument("file", type=Path, help="the flame graph to write")
    parser.add_argument("--target", default="wire default")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--native", action="store_true", help="with the frames of C libraries")
    try:
        asyncio.run(_interruptible_profile(parser.parse_args(arguments)))
    except (BenchError, StackError) as error:
        print(error, file=sys.stderr)
        return 1
    except asyncio.CancelledError:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
