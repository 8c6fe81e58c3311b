# mypy: ignore-errors
# ruff: noqa: RUF005
"""A template as people wrote them for TVM: only the import of `server` is another one.

Its device is `cat`: what is written comes back.
"""

import fcntl
import os
import pathlib
import shutil
import subprocess
import tarfile

from pytest_microtvm.project import server

PROJECT_DIR = pathlib.Path(__file__).resolve().parent
MODEL_LIBRARY_FORMAT_RELPATH = "model.tar"
IS_TEMPLATE = not (PROJECT_DIR / MODEL_LIBRARY_FORMAT_RELPATH).exists()

PROJECT_OPTIONS = server.default_project_options(
    project_type={"choices": ("host_driven",)},
    board={"choices": ("cat", "dog"), "optional": ["build", "flash", "open_transport"]},
) + [
    server.ProjectOption(
        "serial_number",
        optional=["open_transport", "flash"],
        type="str",
        default=None,
        help="Serial number of the board.",
    ),
]


class Handler(server.ProjectAPIHandler):
    def __init__(self):
        super().__init__()
        self._proc = None

    def server_info_query(self, tvm_version):
        return server.ServerInfo(
            platform_name="third_party",
            is_template=IS_TEMPLATE,
            model_library_format_path=(
                "" if IS_TEMPLATE else PROJECT_DIR / MODEL_LIBRARY_FORMAT_RELPATH
            ),
            project_options=PROJECT_OPTIONS,
        )

    def generate_project(self, model_library_format_path, standalone_crt_dir, project_dir, options):
        assert (standalone_crt_dir / "include").is_dir()
        project_dir.mkdir()
        shutil.copy2(__file__, project_dir / pathlib.Path(__file__).name)
        shutil.copy2(model_library_format_path, project_dir / MODEL_LIBRARY_FORMAT_RELPATH)
        with tarfile.TarFile(project_dir / MODEL_LIBRARY_FORMAT_RELPATH) as tar:
            tar.extract("metadata.json", project_dir)
        (project_dir / "board").write_text(options["board"])

    def build(self, options):
        if (PROJECT_DIR / "board").read_text() == "dog":
            subprocess.check_call(["false"])
        (PROJECT_DIR / "built").touch()

    def flash(self, options):
        pass

    def open_transport(self, options):
        self._proc = subprocess.Popen(
            ["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        for file in (self._proc.stdin, self._proc.stdout):
            flags = fcntl.fcntl(file.fileno(), fcntl.F_GETFL)
            fcntl.fcntl(file.fileno(), fcntl.F_SETFL, flags | os.O_NONBLOCK)
        return server.TransportTimeouts(
            session_start_retry_timeout_sec=0,
            session_start_timeout_sec=0,
            session_established_timeout_sec=0,
        )

    def close_transport(self):
        if self._proc is not None:
            proc, self._proc = self._proc, None
            proc.terminate()
            proc.wait()

    def read_transport(self, n, timeout_sec):
        if self._proc is None:
            raise server.TransportClosedError()
        return server.read_with_timeout(self._proc.stdout.fileno(), n, timeout_sec)

    def write_transport(self, data, timeout_sec):
        if self._proc is None:
            raise server.TransportClosedError()
        server.write_with_timeout(self._proc.stdin.fileno(), data, timeout_sec)


if __name__ == "__main__":
    server.main(Handler())
