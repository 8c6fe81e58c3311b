"""`completion`: what a shell offers once it has run the script."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.command.conftest import Microtvm

_ASK = """
source "$1"
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
"$(complete -p microtvm | sed 's/.*-F \\([^ ]*\\).*/\\1/')" 2>/dev/null
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("words", "offered", "not_offered"),
    [
        ([""], {"create-project", "build", "flash", "run", "lab", "completion"}, {"baremetal"}),
        (["ru"], {"run"}, {"build"}),
        (["run", "--print-t"], {"--print-top", "--print-time"}, {"--profile"}),
        (["run", "--fill-mode", ""], {"zeros", "ones", "random"}, {"microbit"}),
        (["check", "m.tflite", "--board", "mps2"], {"mps2_an386"}, {"microbit"}),
        (["lab", "s"], {"scan"}, {"check"}),
        (["completion", ""], {"bash", "zsh", "fish"}, {"run"}),
    ],
)
def test_bash_offers(
    microtvm: Microtvm, tmp_path: Path, words: list[str], offered: set[str], not_offered: set[str]
) -> None:
    script = tmp_path / "microtvm.bash"
    script.write_text(microtvm("completion", "bash", status=0).out)
    asked = subprocess.run(
        ["bash", "-c", _ASK, "bash", script, "microtvm", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    answer = {line.strip() for line in asked.stdout.splitlines()}
    assert offered <= answer
    assert not not_offered & answer


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_scripts_of_their_own(microtvm: Microtvm, shell: str) -> None:
    script = microtvm("completion", shell, status=0).out
    marks = {"zsh": "#compdef microtvm", "fish": "complete -c microtvm"}
    assert marks[shell] in script
    assert all(word in script for word in ("create-project", "print-top", "mps2_an386"))


def test_a_shell_that_is_not_known(microtvm: Microtvm) -> None:
    assert "invalid choice: 'ksh'" in microtvm("completion", "ksh", status=2).err
