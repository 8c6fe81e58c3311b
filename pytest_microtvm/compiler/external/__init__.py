"""Our own external kernels, and what a model needs that calls some.

cmsis_nn    CMSIS-NN's convolutions and fully connected layers
"""

from __future__ import annotations

from pathlib import Path

from pytest_microtvm.compiler.options import variable_of
from pytest_microtvm.compiler.program import ExternalUse
from pytest_microtvm.compiler.quantized.external import load_external
from pytest_microtvm.compiler.source_tree import SourceTree
from pytest_microtvm.errors import ConfigError

FOLDERS = {".c": "src", ".h": "include", ".a": "lib"}
"""Where the files of a library go in an archive, below codegen/host."""


def use_of(name: str, folder: str, text: str) -> ExternalUse:
    """What a model needs that calls external kernels.

    Args:
        name: Of the external kernels.
        folder: Where the user's sources are: a folder, or a pack; empty where none is named.
        text: The C of all kernels that are external.

    Raises:
        ConfigError: The sources are not named, or are not there.
    """
    external = load_external(name)
    files: dict[str, bytes] = {}
    for path in external.files:
        where = FOLDERS.get(path.suffix)
        if where is None or not path.is_file():
            raise ConfigError(
                f"the external kernels {name} bring {path}, which cannot be used",
                cure="bring files that are there, with the suffix .c, .h or .a",
            )
        files[f"{where}/{path.name}"] = path.read_bytes()
    if external.collect is not None:
        if not folder:
            raise ConfigError(
                f"the external kernels {name} need {external.sources}",
                cure=f"name a folder or pack: --external {name}=PATH, or the environment variable "
                f"{variable_of(name)}",
            )
        files |= external.collect(SourceTree.open(Path(folder), external.sources), text)
    return ExternalUse(name, external.headers, files, external.device, external.link_flags)
