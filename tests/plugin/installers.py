"""Stands for `apt-get` and `pip` where pages are followed: refuses what the project does not know.

installers.py apt-get install -y PACKAGE...
installers.py pip install 'pytest-microtvm[EXTRA,...]'
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]

ROOT = Path(__file__).parents[2]


def main() -> int:
    program, command, *words = sys.argv[1:]
    if command == "update":
        return 0
    if program == "python3":
        assert (command, words[0]) == ("-m", "venv"), "use python once there is an environment"
        activate = Path(words[1]) / "bin" / "activate"
        activate.parent.mkdir(parents=True)
        activate.touch()
        return 0
    assert command == "install", f"{program} {command}"
    wanted = [word for word in words if not word.startswith("-")]
    unknown = (_unknown_packages if program == "apt-get" else _unknown_distributions)(wanted)
    for name in unknown:
        sys.stdout.write(f"the project knows no {name}\n")
    return bool(unknown)


def _unknown_packages(names: list[str]) -> list[str]:
    scripts = [*ROOT.glob("docker/install/*.sh"), *ROOT.glob("scripts/lib/*.sh")]
    known = set(re.findall(r"[a-z0-9.+:-]+", "\n".join(path.read_text() for path in scripts)))
    return [name for name in names if name not in known]


def _unknown_distributions(names: list[str]) -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    ours = project["name"]
    others = {re.split(r"[<>=~;\[ ]", each)[0] for group in extras.values() for each in group}
    unknown = []
    for name in names:
        distribution, _, listed = name.rstrip("]").partition("[")
        if distribution == ours:
            unknown += [
                f"extra {extra}" for extra in listed.split(",") if extra and extra not in extras
            ]
        elif distribution not in others:
            unknown.append(distribution)
    return unknown


if __name__ == "__main__":
    sys.exit(main())
