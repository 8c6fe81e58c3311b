"""A template written for TVM works after changing one import."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import BuildError, ConfigError, TransportClosed, TransportTimeout
from pytest_microtvm.project import build_project, flash_project, generate_project
from pytest_microtvm.project.client import ProjectAPIClient
from tests.contract.libraries import DOUBLE

TEMPLATE = Path(__file__).with_name("third_party")


def generate(directory: Path, board: str) -> Path:
    project = directory / "project"
    options = {"board": board, "project_type": "host_driven", "compile_definitions": ["-DX=1"]}
    library = DOUBLE.write(directory / "model.tar")
    generate_project(TEMPLATE, library, project, options, Deadline(10))
    return project


def test_its_life(tmp_path: Path) -> None:
    project = generate(tmp_path, "cat")
    build_project(project, {}, Deadline(10))
    assert (project / "built").exists()
    flash_project(project, {"serial_number": "1"}, Deadline(10))
    with ProjectAPIClient(project, Deadline(10)) as client:
        assert client.info.model_library_path == project / "model.tar"
        with pytest.raises(TransportClosed):
            client.read_transport(1, Deadline(1))
        client.open_transport({}, Deadline(10))
        data = bytes(range(256)) * 16
        client.write_transport(data, Deadline(5))
        received = b""
        while len(received) < len(data):
            received += client.read_transport(1000, Deadline(5))
        assert received == data
        with pytest.raises(TransportTimeout, match="did not send"):
            client.read_transport(1, Deadline(0.1))
        client.close_transport(Deadline(5))


def test_a_template_that_keeps_the_archive_elsewhere(tmp_path: Path) -> None:
    """As microtvm's for Arduino does."""
    template = tmp_path / "template"
    shutil.copytree(TEMPLATE, template, ignore=shutil.ignore_patterns("__pycache__"))
    server = template / "microtvm_api_server.py"
    text = server.read_text().replace('RELPATH = "model.tar"', 'RELPATH = "other.tar"')
    server.write_text(text)
    options = {"board": "cat", "project_type": "host_driven"}
    library = DOUBLE.write(tmp_path / "model.tar")
    project = tmp_path / "project"
    generate_project(template, library, project, options, Deadline(10))
    assert (project / "other.tar").is_file()
    assert (project / "model.tar").read_bytes() == library.read_bytes()


def test_a_template_that_builds_tvms_own_runtime_is_told(tmp_path: Path) -> None:
    template = tmp_path / "template"
    shutil.copytree(TEMPLATE, template, ignore=shutil.ignore_patterns("__pycache__"))
    server = template / "microtvm_api_server.py"
    old = '        assert (standalone_crt_dir / "include").is_dir()\n'
    copying = '        shutil.copy2(standalone_crt_dir / "CMakeLists.txt", "/dev/null")\n'
    text = server.read_text()
    assert old in text
    server.write_text(text.replace(old, copying))
    options = {"board": "cat", "project_type": "host_driven"}
    library = DOUBLE.write(tmp_path / "model.tar")
    with pytest.raises(BuildError) as caught:
        generate_project(template, library, tmp_path / "project", options, Deadline(10))
    assert "written for TVM's own C runtime: it takes CMakeLists.txt of it" in str(caught.value)
    assert "\n" not in caught.value.one_line()
    assert not (tmp_path / "project").exists()


@pytest.mark.parametrize(
    ("line", "module", "cure"),
    [
        ("import server", "server", "replace that import by 'from pytest_microtvm.project import"),
        ("from tvm.micro.project_api import server", "tvm", "replace that import by 'from "),
        ("import acme_usb", "acme_usb", "install acme_usb for the Python that runs the server"),
    ],
)
def test_a_module_that_a_template_lacks_is_told(
    tmp_path: Path, line: str, module: str, cure: str
) -> None:
    (tmp_path / "microtvm_api_server.py").write_text(line + "\n")
    with pytest.raises(BuildError) as caught, ProjectAPIClient(tmp_path, Deadline(10)):
        pass
    assert f"status 1: there is no Python module {module}" in caught.value.message
    assert caught.value.cure.startswith(cure)
    assert ("Traceback" in caught.value.details) is (module == "acme_usb")


def test_its_failures_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be 'fish'; choose from cat, dog"):
        generate(tmp_path, "fish")
    project = generate(tmp_path, "dog")
    with pytest.raises(BuildError, match=r"third_party.*CalledProcessError.*non-zero") as caught:
        build_project(project, {"board": "dog"}, Deadline(10))
    assert caught.value.board == "dog"
    assert "in build" in caught.value.details
