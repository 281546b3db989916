"""A folder that is the root of what runs in it: what a base image would bring is the machine's, mounted to be read.

Needs root on Linux, and `unshare`, `mount` and `chroot`. `/usr` and what belongs to it are the machine's, `/usr/local` is
the Python that runs this, as in the official images of Python; what is written there stays in the room.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_OF_USR: Final = ("bin", "sbin", "lib", "lib64")
_ETC: Final = ("ssl", "resolv.conf", "hosts", "nsswitch.conf", "ld.so.cache", "localtime", "ca-certificates")
PATH: Final = "/usr/local/bin:/usr/bin:/bin"
# $1: the room. $2: its Python. $3: what was written to that. $4: whether the root is only to be read. Then volumes,
# FROM and TO in the room, to `--`, and the command.
_MOUNTED: Final = """set -e
room=$1 python=$2 local=$3 sealed=$4; shift 4
mount --bind "$room" "$room"
mount --rbind /usr "$room/usr"
mount -o remount,ro,bind "$room/usr"
for name in bin sbin lib lib64; do
    [ -d "$room/$name" ] && [ ! -L "$room/$name" ] && mount -o ro --bind "/$name" "$room/$name"
done
mount -t overlay overlay -o "lowerdir=$python,upperdir=$local/written,workdir=$local/work" "$room/usr/local"
mount --bind /dev "$room/dev"
mount -t proc proc "$room/proc"
if [ "$sealed" = yes ]; then mount -o remount,ro,bind "$room"; mount -o remount,ro "$room/usr/local"; fi
while [ "$1" != -- ]; do mount --bind "$1" "$room$2"; shift 2; done; shift
exec chroot "$room" "$@"
"""


def unable() -> str:
    """Why rooms cannot be had here; empty if they can."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return "the steps of the Dockerfile are run by root on Linux"
    missing = [name for name in ("unshare", "mount", "chroot", "setpriv") if shutil.which(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    tried = subprocess.run(["unshare", "--mount", "true"], capture_output=True, text=True, check=False)
    return tried.stderr.strip()


@dataclass(frozen=True, slots=True)
class Room:
    """A root in a folder. Beside it lies what was written to `/usr/local`."""

    folder: Path

    @property
    def root(self) -> Path:
        """The root, as this process sees it. What is mounted there is not seen."""
        return self.folder / "root"

    def begin(self) -> None:
        """Make it, with nothing in it but what a base image has."""
        for name in ("usr", "dev", "proc", "etc", "tmp", "run", "var/lib"):
            (self.root / name).mkdir(parents=True)
        (self.root / "tmp").chmod(0o1777)
        for name in ("written", "work"):
            (self.folder / "local" / name).mkdir(parents=True)
        for name in _OF_USR:
            machines = Path("/", name)
            if machines.is_symlink():
                (self.root / name).symlink_to(machines.readlink())
            elif machines.is_dir():
                (self.root / name).mkdir()
        for name in _ETC:
            machines = Path("/etc", name)
            if machines.is_dir():
                shutil.copytree(machines, self.root / "etc" / name, symlinks=True)
            elif machines.exists():
                shutil.copyfile(machines, self.root / "etc" / name)

    def command(
        self,
        words: Sequence[str],
        variables: Mapping[str, str],
        *,
        folder: str = "/",
        user: int = 0,
        volumes: Mapping[Path, str] | None = None,
        sealed: bool = False,
    ) -> list[str]:
        """What to run so that `words` run in the room.

        Args:
            variables: the environment; the machine's own is not seen.
            folder: where, as the room sees it.
            user: as whom, with no right of root's.
            volumes: folders of the machine, by where they are in the room.
            sealed: nothing but the volumes can be written to, by nobody.
        """
        given = [
            "PATH=" + PATH,
            "LD_LIBRARY_PATH=/usr/local/lib",
            *(f"{name}={value}" for name, value in variables.items()),
        ]
        drop = [
            "setpriv",
            f"--reuid={user}",
            f"--regid={user}",
            "--clear-groups",
            "--no-new-privs",
            "--bounding-set=-all",
        ]
        base = sys.base_prefix if sys.base_prefix != "/usr" else "/usr/local"
        mounts = [word for machines, inside in (volumes or {}).items() for word in (str(machines), inside)]
        return [
            "unshare", "--mount", "sh", "-c", _MOUNTED, "room",
            str(self.root), base, str(self.folder / "local"), "yes" if sealed else "no", *mounts, "--",
            *(drop if user else []), "/usr/bin/env", "-i", f"--chdir={folder}", *given, *words,
        ]  # fmt: skip
