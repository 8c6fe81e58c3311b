"""The public API on boards: verdicts, projects, devices."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pytest_microtvm as microtvm
from pytest_microtvm import Environment
from tests.contract.running import need_tools
from tests.unit.compiler.relax_models import relax_module

ROOT = Path(__file__).resolve().parents[2]
SINE = ROOT / "conftest_examples" / "models" / "sine_int8.tflite"
HOST_TEMPLATE = ROOT / "pytest_microtvm" / "platforms" / "host"
VIRTUAL = "netduinoplus2"
X = np.full((1, 1), 40, np.int8)


def test_a_verdict_has_its_report(environment: Environment) -> None:
    verdict = microtvm.check(SINE, board="host", executor="graph", environment=environment)
    assert verdict.passed
    assert verdict.record.outcome == "passed"
    assert verdict.metrics.latency_us
    about, heading, _row, _empty, summary = verdict.report().splitlines()
    assert heading.split()[:2] == ["FLASH", "RAM"]
    assert about.startswith("sine_int8.tflite on host by graph: tests passed, verdict match")
    assert summary == "1 model on 1 board: 1 passed; 0 of 1 elements differ"
    verdict.raise_on_mismatch()


def test_a_difference_is_shown_as_pytest_shows_it(environment: Environment, tmp_path: Path) -> None:
    np.savez(tmp_path / "right.npz", y=np.full((1, 1), -1, np.int8))
    np.savez(tmp_path / "x.npz", x=X)
    verdict = microtvm.check(
        SINE,
        board="host",
        inputs=tmp_path / "x.npz",
        reference=tmp_path / "right.npz",
        environment=environment,
    )
    assert not verdict.passed
    assert verdict.record.outcome == "failed"
    assert "device differs from right.npz in 1 of 1 elements" in verdict.report()
    assert "[0, 0] device " in verdict.report()
    assert "failed" in verdict.report().splitlines()[-1]
    with pytest.raises(microtvm.OutputMismatch, match=r"device differs from right\.npz"):
        verdict.raise_on_mismatch()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"board": "hots"}, "unknown board 'hots'"),
        ({"platform": "arduino"}, "board host has no table for the platform arduino"),
        ({"executor": "vm"}, "unknown executor 'vm'"),
        ({"reference": "guess"}, "unknown reference 'guess'"),
        ({"reference": "no.npz"}, "there is no file no.npz"),
        ({"rtol": float("nan")}, "rtol is nan"),
        ({"inputs": {"z": X}}, "unknown tensor 'z'"),
        ({"model": 7}, "an object of type int is no model"),
    ],
)
def test_wrong_arguments_are_told(
    environment: Environment, changes: dict[str, Any], message: str
) -> None:
    arguments: dict[str, Any] = {
        "model": SINE,
        "board": "host",
        "environment": environment,
        **changes,
    }
    with pytest.raises(microtvm.ConfigError, match=message):
        microtvm.check(**arguments)


def test_a_module_is_compiled_and_checked(environment: Environment, tmp_path: Path) -> None:
    from tvm import relax

    module = relax_module(lambda x: relax.op.add(x, x), ((4,), "float32"))
    output = tmp_path / "twice.tar"
    library = microtvm.compile(module, name="twice", output=output, environment=environment)
    assert (library.path, library.name) == (output, "twice")
    assert microtvm.open_library(output) == library
    assert microtvm.check(library, board="host", environment=environment).passed
    with pytest.raises(microtvm.ConfigError, match="cannot write"):
        microtvm.compile(module, output=tmp_path / "no" / "twice.tar", environment=environment)


def test_the_life_of_a_project(environment: Environment, said: list[str], tmp_path: Path) -> None:
    library = microtvm.compile(SINE, board="host", environment=environment)
    project = microtvm.create_project(
        tmp_path / "p", library, board="host", environment=environment, warning_as_error=True
    )
    assert project.options["warning_as_error"] is True
    with pytest.raises(microtvm.BuildError, match="was not built"):
        project.open()
    project.build(verbose=True)
    assert project.metrics.flash_bytes
    with project.open() as device:
        outputs = device.run(X)
        assert device.metrics.latency_us
        assert device.board == "host"
    np.savez(tmp_path / "outputs.npz", y=outputs["y"])
    assert microtvm.check(
        library,
        board="host",
        inputs=X,
        reference=tmp_path / "outputs.npz",
        environment=environment,
    ).passed
    assert any(line.startswith("building ") and "sine_int8 for host" in line for line in said)

    (tmp_path / "p").rename(tmp_path / "q")
    moved = microtvm.open_project(tmp_path / "q", environment=environment)
    assert (moved.options, moved.executor) == (project.options, "aot")
    moved.flash()
    with moved.open() as device:
        np.testing.assert_array_equal(device.run({"x": X})["y"], outputs["y"])
        with pytest.raises(microtvm.ConfigError, match="has shape"):
            device.run(np.zeros(3, np.int8))


def test_a_folder_is_only_replaced_when_it_holds_a_project(
    environment: Environment, tmp_path: Path
) -> None:
    target = tmp_path / "p"

    def create(**options: Any) -> microtvm.Project:
        arguments: dict[str, Any] = {"board": "host", "environment": environment, **options}
        return microtvm.create_project(target, SINE, **arguments)

    create()
    with pytest.raises(microtvm.ConfigError, match="already exists"):
        create()
    (target / "mine").touch()
    assert create(force=True, executor="graph").executor == "graph"
    assert not (target / "mine").exists()
    (target / "model.tar").unlink()
    with pytest.raises(microtvm.ConfigError, match="holds no project"):
        create(force=True)
    with pytest.raises(microtvm.ConfigError, match="is no project"):
        microtvm.open_project(target)
    shutil.rmtree(target)
    with pytest.raises(microtvm.ConfigError, match="platform host has no option colour"):
        create(colour="red")
    assert not target.exists()
    with pytest.raises(microtvm.ConfigError, match="no board is named"):
        create(board=None)


def test_a_template_of_ones_own(environment: Environment, tmp_path: Path) -> None:
    """Nothing is known of its board, nor has its firmware a build id."""
    template = tmp_path / "template"
    shutil.copytree(HOST_TEMPLATE, template)
    definition = tmp_path / "host.json"
    definition.write_text(environment.board("host").to_json())
    project = microtvm.create_project(
        tmp_path / "p",
        SINE,
        board="host",
        template=template,
        environment=environment,
        board_definition=str(definition),
    )
    definition.unlink()
    project.build()
    with microtvm.open_project(tmp_path / "p", environment=environment).open() as device:
        assert device.run(X)["y"].shape == (1, 1)
    with pytest.raises(microtvm.ConfigError, match="does not exist!"):
        microtvm.create_project(tmp_path / "r", SINE, template=tmp_path / "none")


def test_a_real_board_is_flashed_when_it_has_to_be(
    environment: Environment, said: list[str], tmp_path: Path
) -> None:
    from pytest_microtvm.virtual_lab.client import VirtualLab

    definition = environment.board(VIRTUAL)
    need_tools(definition)
    if shutil.which("gdb-multiarch") is None:
        pytest.skip("gdb-multiarch is missing; install it: apt-get install gdb-multiarch")
    with VirtualLab({"left": definition}) as lab:
        here = dataclasses.replace(environment, lab=lab.lab_file)
        project = microtvm.create_project(tmp_path / "p", SINE, board=VIRTUAL, environment=here)
        project.build()
        flashed = []
        outputs = []
        for _ in range(2):
            said.clear()
            with microtvm.open_project(tmp_path / "p", environment=here).open() as device:
                outputs.append(device.run(X)["y"])
                assert device.board == f"{VIRTUAL} (left)"
            flashed.append(any(line.startswith("flashing") for line in said))
        assert flashed == [True, False]
        np.testing.assert_array_equal(outputs[0], outputs[1])
        # What is on the board is another build's now, though it has the same id.
        source = next((tmp_path / "p" / "codegen" / "host" / "src").glob("*.c"))
        source.write_text(source.read_text() + "\nconst int microtvm_test_mark = 1;\n")
        project = microtvm.open_project(tmp_path / "p", environment=here)
        project.build(compile_definitions=[])
        said.clear()
        with project.open() as device:
            device.run(X)
        assert any(line.startswith("flashing") for line in said)
