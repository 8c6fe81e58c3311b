"""A stand-in for arduino-cli: it answers as the real one does, and has arduino-builder build.

It is a program of its own, started by a script of two lines. What it is to say is in a JSON file,
and what it was asked goes to another one beside it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ANSWERS, CALLS = "answers.json", "calls.jsonl"
HARDWARE = "/usr/share/arduino/hardware"


def make_cli(folder: Path, **answers: Any) -> Path:
    """Write the program.

    Args:
        folder: Where it goes, with what it is to say.
        answers: What it says.
            cores: The cores that it has.
            ports: What `board list` tells.
            fails: By subcommand: [exit status, standard output, standard error].
            version: Its version.
            old: Whether it writes JSON as the versions before 1.0 do.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ANSWERS).write_text(json.dumps({"cores": ["arduino:avr"], **answers}))
    program = folder / "arduino-cli"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" "{folder}" "$@"\n')
    program.chmod(0o755)
    return program


def calls_of(program: Path) -> list[list[str]]:
    """What a program was asked."""
    path = program.parent / CALLS
    lines = path.read_text().splitlines() if path.is_file() else []
    return [json.loads(line) for line in lines]


def values_of(words: list[str], option: str) -> list[str]:
    """The values of an option that may come several times."""
    return [words[i + 1] for i, word in enumerate(words) if word == option]


def _compile(words: list[str], answers: dict[str, Any]) -> int:
    sketch = Path(words[-1])
    builder = shutil.which("arduino-builder")
    assert builder is not None
    command = [builder, "-hardware", HARDWARE, "-hardware", "/usr/share/arduino-builder"]
    command += ["-tools", "/usr/share/arduino-builder", "-tools", "/usr/bin"]
    command += ["-fqbn", values_of(words, "--fqbn")[0]]
    for libraries in values_of(words, "--libraries"):
        command += ["-libraries", libraries]
    show = "--show-properties" in words
    build = values_of(words, "--build-path") or [str(sketch / "build")]
    Path(build[0]).mkdir(parents=True, exist_ok=True)
    command += ["-build-path", build[0], "-dump-prefs" if show else "-compile"]
    for setting in values_of(words, "--build-property"):
        command += ["-prefs", setting]
    if "--warnings" in words:
        command += ["-warnings", values_of(words, "--warnings")[0]]
    done = subprocess.run(
        [*command, str(sketch / f"{sketch.name}.ino")], capture_output=True, text=True
    )
    if show:
        sys.stdout.write(done.stdout)
        sys.stderr.write(done.stderr)
        return done.returncode
    result = {
        "compiler_out": done.stdout,
        "compiler_err": done.stderr,
        "builder_result": {"build_path": build[0]},
        "success": done.returncode == 0,
    }
    if done.returncode and not answers.get("old"):
        result["error"] = "Error during build: exit status 1"
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    return 1 if done.returncode else 0


def main() -> int:
    """Answer one call."""
    folder, words = Path(sys.argv[1]), sys.argv[2:]
    with (folder / CALLS).open("a") as file:
        file.write(json.dumps([*words, f"CACHE={os.environ.get('ARDUINO_BUILD_CACHE_PATH')}"]))
        file.write("\n")
    answers = json.loads((folder / ANSWERS).read_text())
    name = " ".join(words[:2]) if words[0] in ("core", "board") else words[0]
    if name in answers.get("fails", {}):
        status, out, err = answers["fails"][name]
        sys.stdout.write(out)
        sys.stderr.write(err)
        return int(status)
    if name == "version":
        version = answers.get("version", "1.2.0")
        sys.stdout.write(json.dumps({"Application": "arduino-cli", "VersionString": version}))
    elif name == "core list":
        cores = [{"id": core, "installed_version": "1.8.6"} for core in answers["cores"]]
        sys.stdout.write(json.dumps(cores if answers.get("old") else {"platforms": cores}))
    elif name == "board list":
        ports = answers.get("ports", [])
        sys.stdout.write(json.dumps(ports if answers.get("old") else {"detected_ports": ports}))
    elif name == "compile":
        return _compile(words, answers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
