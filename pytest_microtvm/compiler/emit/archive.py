"""Puts a compiled model together as the files of an MLF archive (see docs/mlf.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from importlib import metadata as distributions
from pathlib import Path
from typing import Any

from pytest_microtvm.compiler.emit.c_files import CFiles
from pytest_microtvm.compiler.emit.macros import STATE, Macros
from pytest_microtvm.compiler.emit.origin import Origin
from pytest_microtvm.compiler.graph import ExecutorGraph
from pytest_microtvm.compiler.options import export_time_s
from pytest_microtvm.compiler.planning import MemoryPlan
from pytest_microtvm.compiler.pools import PoolInfo
from pytest_microtvm.compiler.program import Kernel, Port, Program
from pytest_microtvm.errors import ConfigError
from pytest_microtvm.executors import ON_DEVICE
from pytest_microtvm.mlf.library import VERSION
from pytest_microtvm.version import __version__

_CPU_DEVICE = 1
"""DLPack's device type of a CPU."""

TARGET = "c -keys=cpu"


def runtime_directory() -> Path:
    """The folder with the C runtime's `include` and `src`."""
    return Path(__file__).parents[2] / "runtime"


def runtime_files() -> dict[str, bytes]:
    """The C runtime's files by path inside of an archive."""
    root = runtime_directory()
    paths = [path for part in ("include", "src") for path in (root / part).rglob("*.[ch]")]
    return {f"runtime/{path.relative_to(root).as_posix()}": path.read_bytes() for path in paths}


def license_text() -> bytes:
    """The license of what is generated and of the runtime, from the wheel or the source tree."""
    package = Path(__file__).parents[2]
    found = (folder / "LICENSE" for folder in (package, package.parent))
    return next(path for path in found if path.is_file()).read_bytes()


def library_files(
    name: str,
    program: Program,
    plan: MemoryPlan,
    graph: ExecutorGraph,
    *,
    origin: Origin,
    ir_text: str,
    parameters: bytes,
) -> dict[str, bytes]:
    """All files of the archive by path.

    Args:
        name: The module's name, a C identifier.
        program: The lowered model.
        plan: Its arena.
        graph: The same as a graph.
        origin: Where the model comes from.
        ir_text: The imported Relax module as text.
        parameters: The constants as TVM serializes them.
    """
    c_files = CFiles(name, program, plan, graph, origin)
    files = {f"codegen/host/{path}": text.encode() for path, text in c_files.files().items()}
    for path, content in (program.external.files if program.external else {}).items():
        if files.setdefault(f"codegen/host/{path}", content) != content:
            raise ConfigError(
                f"the external kernels bring {path}, which the model has as well",
                cure="give the model another name",
            )
    files.update(runtime_files())
    files["LICENSE"] = license_text()
    files[f"src/{name}.relax"] = ir_text.encode()
    files[f"parameters/{name}.params"] = parameters
    files[f"executor-config/graph/{name}.graph"] = graph.text.encode("ascii")
    document = _metadata(name, program, plan, graph, c_files.macros)
    document["modules"][name]["model"] = origin.metadata()
    files["metadata.json"] = (json.dumps(document, indent=2) + "\n").encode()
    return files


def _metadata(
    name: str, program: Program, plan: MemoryPlan, graph: ExecutorGraph, macros: Macros
) -> dict[str, Any]:
    exported = datetime.fromtimestamp(export_time_s(), timezone.utc)
    ports = (*program.model_inputs, *program.model_outputs)
    io_bytes = sum(port.type.size_bytes for port in ports)
    main: dict[str, Any] = {
        "device": _CPU_DEVICE,
        "workspace_size_bytes": plan.arena_bytes,
        "constants_size_bytes": sum(int(array.nbytes) for array in program.constants),
        "io_size_bytes": io_bytes,
        "inputs": _tensors(program.model_inputs, macros),
        "outputs": _tensors(program.model_outputs, macros),
        "run_parameters": macros.run_arguments,
        "workspace_pools": {
            pool.info.name: {
                **_pool(macros, pool.info, pool.size_bytes),
                "offset": pool.offset,
                "bound": pool.bound_bytes,
                "internal": pool.info.internal,
            }
            for pool in plan.pools
        },
    }
    if plan.constant_pools:
        main["constant_pools"] = {
            pool.info.name: {
                **_pool(macros, pool.info, pool.size_bytes),
                "data_macro": macros.pool(pool.info, "DATA"),
                "constants": {
                    graph.constant_names[number]: offset for number, offset in pool.offsets.items()
                },
            }
            for pool in plan.constant_pools
        }
    if program.states:
        main["states"] = _states(program, graph)
        main["state_size_bytes"] = program.state_offsets[-1]
        main["workspace_pools"][STATE] = {
            "size": program.state_offsets[-1],
            "macro": macros.state_pool_size,
            "attribute_macro": macros.of_pool(STATE, "ATTRIBUTE"),
            "section": f".bss.{macros.prefix}_{STATE}",
            "internal": not macros.has_given_state,
        }
    operators = [_operator(kernel) for kernel in program.kernels.values()]
    module: dict[str, Any] = {
        "model_name": name,
        "export_datetime": exported.strftime("%Y-%m-%d %H:%M:%SZ"),
        "target": [TARGET],
        "executors": list(ON_DEVICE),
        "runtime": "crt",
        "style": "full-model",
        "external_dependencies": _external(program),
        "memory": {
            "sids": _storages(graph),
            "functions": {"operator_functions": operators, "main": [main]},
        },
        "graph": graph.counts,
        "compiler": {
            "name": "pytest-microtvm",
            "version": __version__,
            "tvm_version": distributions.version("apache-tvm"),
        },
    }
    if program.device is not None:
        device = program.device
        module["devices"] = {device.name: {"id": device.id, "macro": macros.device_id}}
    if program.float_operators:
        cost = program.float_cost()
        module["float_operators"] = {
            "operators": list(program.float_operators),
            "functions": list(cost.functions),
            "constants_size_bytes": cost.constants_bytes,
            "workspace_size_bytes": cost.workspace_bytes,
        }
    dead = program.dead_weights
    if dead is not None:
        module["dead_weights"] = {"macs": dead.macs, "constants_size_bytes": dead.constants_bytes}
    return {"version": VERSION, "modules": {name: module}}


def _external(program: Program) -> list[dict[str, Any]]:
    """The libraries that kernels call."""
    use = program.external
    if use is None:
        return []
    kernels = [kernel.c_name for kernel in program.kernels.values() if kernel.external]
    return [
        {
            "name": use.name,
            "functions": kernels,
            "files": sorted(use.files),
            "link_flags": list(use.link_flags),
        }
    ]


def _states(program: Program, graph: ExecutorGraph) -> Mapping[str, Any]:
    """What the model keeps from run to run, in the order of the graph's inputs."""
    states = {}
    for port, offset, initial in zip(
        program.states, program.state_offsets, program.initial_states, strict=False
    ):
        states[port.name] = {
            "size": port.type.size_bytes,
            "dtype": port.type.dtype,
            "shape": list(port.type.shape),
            "c_name": port.c_name,
            "offset": offset,
            "initial": None if initial is None else graph.constant_names[initial],
        }
    return states


def _operator(kernel: Kernel) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "function_name": kernel.c_name,
        "workspace": [{"device": _CPU_DEVICE, "workspace_size_bytes": kernel.workspace_bytes}],
    }
    if kernel.macs is not None:
        entry["macs"] = kernel.macs
    if kernel.chosen is not None:
        entry["tuning"] = asdict(kernel.chosen)
    return entry


def _storages(graph: ExecutorGraph) -> list[dict[str, Any]]:
    storages = []
    for storage_id, storage in enumerate(graph.storages):
        entry: dict[str, Any] = {"storage_id": storage_id, "size_bytes": storage.size_bytes}
        if storage.input_name is not None:
            entry["input_binding"] = storage.input_name
        storages.append(entry)
    return storages


def _pool(macros: Macros, pool: PoolInfo, size_bytes: int) -> dict[str, Any]:
    """What pools of both kinds have."""
    known = {"properties": pool.properties} if pool.properties else {}
    return {
        "size": size_bytes,
        "macro": macros.pool(pool, "SIZE"),
        "attribute_macro": macros.pool(pool, "ATTRIBUTE"),
        "section": macros.section(pool),
        **known,
    }


def _tensors(ports: Sequence[Port], macros: Macros) -> Mapping[str, Any]:
    tensors = {}
    for port in ports:
        entry: dict[str, Any] = {
            "size": port.type.size_bytes,
            "dtype": port.type.dtype,
            "shape": list(port.type.shape),
            "c_name": port.c_name,
            "macro": macros.size(port),
        }
        if port.c_name in macros.io_places:
            pool, offset = macros.io_places[port.c_name]
            entry["workspace_offset"] = offset
            entry["workspace_pool"] = pool.info.name
        if port.quantization is not None:
            entry["scale"] = float(port.quantization.scale)
            entry["zero_point"] = port.quantization.zero_point
        if port.index_limit is not None:
            entry["index_limit"] = port.index_limit
        if port.signature_name is not None:
            entry["signature_name"] = port.signature_name
        tensors[port.name] = entry
    return tensors
