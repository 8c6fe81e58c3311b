"""`CodeEmitter`: from an archive to the files that an STM32 project takes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_microtvm.errors import ConfigError
from pytest_microtvm.exports.contents import AOT, NONE, Files, read_contents
from pytest_microtvm.exports.stm32.kernels import kernel_files
from pytest_microtvm.exports.stm32.model import Layout, Quantization, StmModel, StmTensor
from pytest_microtvm.exports.stm32.sources import data_header, data_source, header, source
from pytest_microtvm.mlf.archive import opened
from pytest_microtvm.mlf.library import ModelLibrary, open_library
from pytest_microtvm.project.server.archive import ModelMetadata

_C_SOURCES = Path(__file__).parent / "c"
_GRAPH = "executor-config/graph/"
_PARAMETERS = "parameters/"


class CodeEmitter:
    """Emits the code of one model.

    Args:
        include_activations: The model has static memory for its activations; else the application
            gives it.
        include_inputs: The inputs are in the activations; else the application gives each memory.
        include_outputs: Likewise, the outputs.

    Raises:
        ConfigError: Static inputs or outputs without static activations.
    """

    def __init__(
        self,
        include_activations: bool = True,
        include_inputs: bool = True,
        include_outputs: bool = True,
    ) -> None:
        if (include_inputs or include_outputs) and not include_activations:
            raise ConfigError(
                "static inputs and outputs are in the activations, which are not static",
                cure="include activations, or neither inputs nor outputs",
            )
        self._layout = Layout(include_activations, include_inputs, include_outputs)
        self._library: ModelLibrary | None = None
        self._quantization: Mapping[str, Quantization] = {}

    def parse_library_format(
        self,
        model_library_format: Any,
        quantization: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        """Read a model.

        Args:
            model_library_format: The path of an archive, or an open one.
            quantization: By the name of an input or output, `scale` and `zero_point`: arrays, or
                numbers, in place of what the archive tells; `dim` is the axis of arrays, 0 unless
                given.

        Raises:
            ModelError: It is no archive that can be used.
            ConfigError: There is no tensor of such a name, or arrays are of different lengths.
        """
        if isinstance(model_library_format, ModelLibrary):
            library = model_library_format
        else:
            library = open_library(Path(model_library_format))
        given = {name: Quantization.of(name, each) for name, each in (quantization or {}).items()}
        names = {tensor.name for tensor in (*library.inputs, *library.outputs)}
        for name in given.keys() - names:
            raise ConfigError(
                f"{library.name} has no input or output {name!r}, whose quantization is given",
                cure=f"its tensors are {', '.join(sorted(names))}",
            )
        self._library, self._quantization = library, given

    def emit_code(self, dest_dir: str | Path, model_name: str) -> None:
        """Write the files of the model that was read.

        Args:
            dest_dir: The folder, which must not exist.
            model_name: Names the model; what no C name may hold becomes an underscore, and all
                letters small.

        Raises:
            ConfigError: The folder exists or cannot be written, or no model was read.
        """
        folder = Path(dest_dir)
        if folder.exists():
            raise ConfigError(f"{folder} exists already", cure="name a new folder")
        files = self.files(model_name)
        try:
            folder.mkdir(parents=True)
            for name, content in files.items():
                (folder / name).write_bytes(content)
        except OSError as error:
            raise ConfigError(
                f"cannot write {folder}: {error.strerror or error}",
                cure="choose a folder that can be written",
            ) from error

    def files(self, model_name: str) -> Files:
        """What `emit_code` writes, by file name."""
        library = self._library
        if library is None:
            raise ConfigError("no model was read", cure="call parse_library_format first")
        name = sanitized(model_name)
        contents = read_contents(library, NONE, "1.0.0", None)
        runtime = read_contents(library, AOT, "1.0.0", None)
        kernels, constants = kernel_files(contents, runtime, name)
        metadata = ModelMetadata.read(library.path)
        model = StmModel(
            name=name,
            datetime=str(contents.module.get("export_datetime", "")),
            nodes=int(contents.module.get("graph", {}).get("steps", len(library.kernels))),
            workspace_bytes=metadata.workspace_bytes,
            states=tuple(state.tensor.size_bytes for state in library.states),
            initial_states=tuple(
                None if state.initial is None else int(state.initial.removeprefix("p"))
                for state in library.states
            ),
            inputs=self._tensors(library, "input"),
            outputs=self._tensors(library, "output"),
            constants=constants,
            layout=self._layout,
        )
        with opened(library.path) as archive:
            members = archive.members
            graph = archive.read(members[f"{_GRAPH}{library.name}.graph"])
            parameters = archive.read(members[f"{_PARAMETERS}{library.name}.params"])
        return {
            **kernels,
            f"{name}.c": source(model).encode(),
            f"{name}.h": header(model).encode(),
            f"{name}_data.c": data_source(model).encode(),
            f"{name}_data.h": data_header(model).encode(),
            f"{name}.json": graph,
            f"{name}.params": parameters,
            **{path.name: path.read_bytes() for path in sorted(_C_SOURCES.iterdir())},
        }

    def _tensors(self, library: ModelLibrary, kind: str) -> tuple[StmTensor, ...]:
        (main,) = library.metadata["modules"][library.name]["memory"]["functions"]["main"]
        specs = library.inputs if kind == "input" else library.outputs
        tensors = []
        for index, spec in enumerate(specs):
            entry = main[f"{kind}s"][spec.name]
            quantization = self._quantization.get(spec.name)
            if quantization is None and entry.get("scale") is not None:
                quantization = Quantization((entry["scale"],), (entry["zero_point"],))
            tensors.append(StmTensor(f"{kind}_{index}", spec.dtype, spec.shape, quantization))
        return tuple(tensors)


def sanitized(name: str) -> str:
    """A model's name as it is in C.

    Raises:
        ConfigError: Nothing is left of it.
    """
    result = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    if not result or result[0].isdigit():
        raise ConfigError(
            f"a model cannot be named {name!r}", cure="begin with a letter from a to z"
        )
    return result


def get_input_tensor_name(node_name: str) -> str:
    """The name of an input of the graph, as microTVM's emitter called it."""
    return node_name


def get_output_tensor_name(node_name: str, index: int) -> str:
    """The name of an output of a node, likewise."""
    return f"{node_name}_{index}"
