"""A worker that does what its configuration tells it: run by the tests of the supervisor, with the standard library only.

    python -I -S fake_worker.py INDEX SOCKET STATUS

The configuration: `generation`, told to whoever connects; and by seat index (`"1"`) or for `"all"` one behaviour of
`fail` (says so, ends with status 1), `die` (ends with status 3), `mute` (never speaks), `deaf` (ignores SIGTERM),
`hang` (speaks once), `babble` (no lines), `lack` (lacks keys; serves if it shall not wait for them for long), `wait`
(speaks, and never serves), `count` (tells the `snapshots` of the configuration after one another, base64, once each).
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
import time


def main() -> int:
    index, listening, status = sys.argv[1], socket.socket(fileno=int(sys.argv[2])), int(sys.argv[3])
    told = json.loads(sys.stdin.readline())
    configuration = told["configuration"]
    behaviour = configuration.get(index, configuration.get("all", ""))
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: None if behaviour == "deaf" else stopping.append(1))
    if behaviour == "fail":
        say(status, {"type": "failure", "mistakes": [f"seat {index} cannot"]})
        return 1
    if behaviour == "die":
        return 3
    if behaviour == "babble":
        os.write(status, b"no line of JSON\n" + b"x" * 60_000)
    listening.settimeout(0.02)
    asked = spoken = 0
    snapshots = list(configuration.get("snapshots", [])) if behaviour == "count" else []
    missing = ["keys"] if behaviour == "lack" else []
    serving = behaviour != "wait" and (not missing or told["patience"] < 3)
    while not stopping:
        if behaviour not in ("mute", "babble") and not (behaviour == "hang" and spoken):
            spoken += 1
            counters = {"streams": asked, "streams_open": 1}
            say(status, {"type": "status", "serving": serving, "missing": missing, "counters": counters, "memory": 1})
        if snapshots:
            say(status, {"type": "measured", "snapshot": snapshots.pop(0)})
        with contextlib.suppress(TimeoutError, BlockingIOError):
            if not serving:
                raise TimeoutError
            peer = listening.accept()[0]
            asked += 1
            peer.sendall(f"{os.getpid()} {configuration['generation']}\n".encode())
            peer.close()
        if select.select([sys.stdin], [], [], 0)[0] and not os.read(0, 100):
            break
        time.sleep(0.01)
    say(status, {"type": "status", "counters": {"streams": asked}})
    return 0


def say(status: int, report: object) -> None:
    with contextlib.suppress(OSError):
        os.write(status, json.dumps(report).encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main())
