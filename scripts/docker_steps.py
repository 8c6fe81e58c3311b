"""Takes the steps of docker/Dockerfile in a folder, without Docker.

The folder holds a bare Debian, or is made one with debootstrap. Then every instruction is followed,
in its order and as written: RUN in a chroot, with the shell and the environment that the Dockerfile
says. At the end a command is run as the image's user, with this project at WORKDIR.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCKERFILE = ROOT / "docker" / "Dockerfile"
SUITE = "bookworm"
MIRROR = "http://deb.debian.org/debian"

KNOWN = ("FROM", "SHELL", "COPY", "RUN", "ENV", "USER", "WORKDIR", "CMD")
"""The instructions that are understood; any other is an error, not left out."""

# The mounts end with the namespace; what follows runs inside of the folder.
_ENTER = """
set -e
mount -t proc proc "$1/proc"
mount -t devpts devpts "$1/dev/pts" -o ptmxmode=0666
mkdir -p "$1/dev/shm"
mount -t tmpfs tmpfs "$1/dev/shm"
if [ -n "$2" ]; then
  mkdir -p "$1$2"
  mount --bind "$3" "$1$2"
fi
folder=$1 user=$4 directory=$5
shift 5
exec chroot --userspec="$user" "$folder" \\
  /bin/sh -c 'cd "$1" && shift && exec "$@"' sh "$directory" "$@"
"""


@dataclass(frozen=True)
class Instruction:
    """One instruction of a Dockerfile.

    Attributes:
        name: In capitals.
        text: What follows, continued lines joined.
    """

    name: str
    text: str

    def words(self) -> list[str]:
        """The text as a list: a JSON one, or split at blanks."""
        if self.text.startswith("["):
            return [str(word) for word in json.loads(self.text)]
        return self.text.split()


def parse(text: str) -> list[Instruction]:
    """Read a Dockerfile.

    Raises:
        ValueError: It has an instruction that is not understood.
    """
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    instructions = []
    for line in filter(None, map(str.strip, joined.splitlines())):
        name, _, rest = line.partition(" ")
        if name not in KNOWN or rest.startswith("--"):
            raise ValueError(f"not understood: {line}")
        instructions.append(Instruction(name, rest.strip()))
    return instructions


class Image:
    """A folder with a Debian, and what the instructions so far say of commands in it.

    Args:
        folder: The root folder of the system.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shell = ["/bin/sh", "-c"]
        self.environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        self.user = "0"
        self.directory = "/"
        self.command: list[str] = []

    def take(self, instruction: Instruction) -> None:
        """Follow one instruction.

        Raises:
            subprocess.CalledProcessError: A command failed.
        """
        words = instruction.words() if instruction.name != "RUN" else []
        if instruction.name == "SHELL":
            self.shell = words
        elif instruction.name == "ENV":
            for name, _, value in (word.partition("=") for word in words):
                self.environment[name] = value
        elif instruction.name == "USER":
            (self.user,) = words
        elif instruction.name == "WORKDIR":
            (self.directory,) = words
            (self.folder / self.directory.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif instruction.name == "CMD":
            self.command = words
        elif instruction.name == "COPY":
            *sources, target = words
            copy_into(self.folder, sources, target)
        elif instruction.name == "RUN":
            self.run([*self.shell, instruction.text])

    def run(self, command: Sequence[str], project: Path | None = None) -> None:
        """Run a command as the instructions so far say.

        Args:
            command: The command.
            project: A folder that is mounted at the working directory.

        Raises:
            subprocess.CalledProcessError: It failed.
        """
        home = "/root" if self.user == "0" else "/home/user"
        where = (self.directory, project) if project else ("", "")
        settings = [f"{name}={value}" for name, value in self.environment.items()]
        subprocess.run(
            [
                *("unshare", "--mount", "--propagation", "private"),
                *("sh", "-c", _ENTER, "sh", str(self.folder), *map(str, where)),
                *(f"{self.user}:{self.user}", self.directory),
                *("env", "-i", f"HOME={home}", *settings, *command),
            ],
            check=True,
            stdin=subprocess.DEVNULL,
        )


def copy_into(folder: Path, sources: Sequence[str], target: str) -> None:
    """Copy as COPY does: a folder's content, files into a folder that is named with a slash."""
    destination = folder / target.lstrip("/")
    for source in map(ROOT.joinpath, sources):
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, destination, ignore=ignored, dirs_exist_ok=True)
        elif target.endswith("/"):
            destination.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, destination)
        else:
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, destination)


def main() -> int:
    """Take the steps; the exit status is 1 when one failed."""
    parser = argparse.ArgumentParser(prog="scripts/image", description=__doc__)
    parser.add_argument("folder", type=Path, help="a bare Debian, or where to make one")
    parser.add_argument("command", nargs="...", help="run at the end, this project at WORKDIR")
    parser.add_argument("--mirror", default=MIRROR, help=f"of Debian's packages; {MIRROR}")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("chroot and mount need root")
    folder = arguments.folder.absolute()
    try:
        if not (folder / "bin" / "sh").exists():
            include = "--include=ca-certificates"
            make = ["debootstrap", "--variant=minbase", include, SUITE, folder, arguments.mirror]
            subprocess.run(make, check=True)
        image = Image(folder)
        for instruction in parse(DOCKERFILE.read_text(encoding="utf-8")):
            print(f"== {instruction.name} {instruction.text}", flush=True)
            image.take(instruction)
        image.run(arguments.command or image.command, ROOT)
    except subprocess.CalledProcessError as error:
        print(f"scripts/image: a step ended with status {error.returncode}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
