# mypy: ignore-errors
"""A template as people wrote them for TVM, whose firmware is a program of this computer.

It knows no option of ours, and none of the questions that TVM does not ask.
"""

import fcntl
import json
import os
import pathlib
import re
import shutil
import subprocess
import tarfile

from pytest_microtvm.project import server

PROJECT_DIR = pathlib.Path(__file__).resolve().parent
MODEL = PROJECT_DIR / "model.tar"
HEADER = """\
#define MICROTVM_MODEL tvmgen_{name}_model
#define MICROTVM_WORKSPACE_BYTES {workspace}u
#define MICROTVM_IO_BYTES 65536u
#define MICROTVM_PACKET_BYTES 4096u
#define MICROTVM_POOL_BYTES 0u
#define MICROTVM_BOARD_NAME "{board}"
#define MICROTVM_EXECUTOR_AOT 1
#define MICROTVM_BUILD_ID "{build_id}"
"""


class Handler(server.ProjectAPIHandler):
    def __init__(self):
        super().__init__()
        self._proc = None

    def server_info_query(self, tvm_version):
        return server.ServerInfo(
            platform_name="tvm_style",
            is_template=not MODEL.exists(),
            model_library_format_path="" if not MODEL.exists() else MODEL,
            project_options=server.default_project_options(
                project_type={"choices": ("host_driven",)}, board={"choices": ("acme_old",)}
            ),
        )

    def generate_project(self, model_library_format_path, standalone_crt_dir, project_dir, options):
        assert options["project_type"] == "host_driven"
        project_dir.mkdir()
        shutil.copy2(__file__, project_dir)
        shutil.copy2(model_library_format_path, project_dir / "model.tar")
        shutil.copytree(PROJECT_DIR / "src", project_dir / "src")
        shutil.copytree(standalone_crt_dir, project_dir / "crt")
        with tarfile.open(project_dir / "model.tar") as tar:
            tar.extractall(project_dir / "model")
        metadata = json.loads((project_dir / "model" / "metadata.json").read_text())
        ((name, module),) = metadata["modules"].items()
        (main,) = module["memory"]["functions"]["main"]
        (build_id,) = re.findall(
            r"MICROTVM_BUILD_ID=(\w+)", " ".join(options["compile_definitions"])
        )
        (project_dir / "src" / "microtvm_project.h").write_text(
            HEADER.format(
                name=name,
                workspace=main["workspace_size_bytes"],
                board=options["board"],
                build_id=build_id,
            )
        )

    def build(self, options):
        sources = [
            *(PROJECT_DIR / "src").glob("*.c"),
            *(PROJECT_DIR / "crt" / "src").glob("*.c"),
            *(PROJECT_DIR / "model" / "codegen" / "host" / "src").glob("*.c"),
        ]
        includes = ["-Isrc", "-Icrt/include", "-Imodel/codegen/host/include"]
        command = ["cc", "-O1", "-ffp-contract=off", *includes, *sources, "-lm", "-o", "program"]
        subprocess.check_call(command, cwd=PROJECT_DIR)

    def flash(self, options):
        pass

    def open_transport(self, options):
        self._proc = subprocess.Popen(
            [str(PROJECT_DIR / "program")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        for file in (self._proc.stdin, self._proc.stdout):
            flags = fcntl.fcntl(file.fileno(), fcntl.F_GETFL)
            fcntl.fcntl(file.fileno(), fcntl.F_SETFL, flags | os.O_NONBLOCK)
        return server.TransportTimeouts(
            session_start_retry_timeout_sec=2.0,
            session_start_timeout_sec=5.0,
            session_established_timeout_sec=5.0,
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
