"""Writes an export into a folder."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from pytest_microtvm.errors import ConfigError
from pytest_microtvm.exports.contents import AOT, GRAPH, NONE, RPC, read_contents
from pytest_microtvm.exports.readme import model_json
from pytest_microtvm.exports.stack import measure_stack
from pytest_microtvm.extensions import EXPORTS
from pytest_microtvm.mlf.library import ModelLibrary

RUNTIMES = (NONE, AOT, GRAPH, RPC)
"""How much of the runtime goes with the model."""

MARK = "model.json"
"""The file by which a folder is known to be an export."""

_ARCHIVE = "mlf"
_VERSION = re.compile(r"\d+\.\d+\.\d+\Z")


def export_model(
    library: ModelLibrary,
    directory: Path,
    format_name: str,
    *,
    runtime: str = NONE,
    version: str = "1.0.0",
    compiler: tuple[str, ...] = (),
    force: bool = False,
) -> Path:
    """Write a model as a project of another ecosystem.

    Args:
        library: The model's archive.
        directory: The folder, which is made.
        format_name: A member of `EXPORTS`.
        runtime: How much of the runtime goes with it, of `RUNTIMES`.
        version: The version that the export has, as 1.2.3.
        compiler: A compiler and its flags for a CPU, by which the stack is measured.
        force: Replace the folder, if it holds an export.

    Returns:
        The folder.

    Raises:
        ConfigError: There is no such format or runtime, or the folder cannot be written.
        ModelError: The archive has no code.
        BuildError: The compiler fails.
    """
    if runtime not in RUNTIMES:
        raise ConfigError(
            f"there is no runtime {runtime!r}", cure=f"choose from {', '.join(RUNTIMES)}"
        )
    if not _VERSION.match(version):
        raise ConfigError(f"{version!r} is no version", cure="write three numbers, as 1.0.0")
    to_files = EXPORTS.load(format_name)
    _check_vacant(directory, force)
    stack = None
    if compiler:
        plain = read_contents(library, NONE, version, None)
        stack = measure_stack(
            plain.sources,
            plain.headers,
            [kernel.name for kernel in library.kernels],
            compiler,
            plain.name,
        )
    contents = read_contents(library, runtime, version, stack)
    if contents.libraries and format_name.lower() != _ARCHIVE:
        raise ConfigError(
            f"{library.name} has kernels in machine code ({', '.join(contents.libraries)}), which "
            f"the format {format_name} has no place for",
            cure=f"choose the format {_ARCHIVE}",
        )
    files = {
        **to_files(contents),
        "LICENSE": contents.license,
        MARK: model_json(contents, format_name.lower()),
    }
    _write(directory, files)
    return directory


def _check_vacant(directory: Path, force: bool) -> None:
    if not directory.exists():
        return
    if not force:
        raise ConfigError(
            f"{directory} exists already", cure="name a new folder, or use force (-f or --force)"
        )
    if not directory.is_dir() or not (directory / MARK).is_file():
        raise ConfigError(
            f"{directory} holds no export, so that it is not overwritten",
            cure="name another folder, or remove it yourself",
        )


def _write(directory: Path, files: dict[str, bytes]) -> None:
    """Write all files, or nothing."""
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    except OSError as error:
        raise _cannot_write(directory, error) from error
    try:
        folder.chmod(0o755)
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        if directory.exists():
            shutil.rmtree(directory)
        folder.replace(directory)
    except OSError as error:
        raise _cannot_write(directory, error) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _cannot_write(directory: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"cannot write {directory}: {error.strerror or error}",
        cure="choose a folder that can be written",
    )
