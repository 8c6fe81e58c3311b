"""From the bytes of a model file to the files of an MLF archive, inside of this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_microtvm.compiler.constant_planning import plan_constants
from pytest_microtvm.compiler.emit.archive import library_files
from pytest_microtvm.compiler.emit.origin import Origin
from pytest_microtvm.compiler.emit.pools import check_names
from pytest_microtvm.compiler.external import use_of
from pytest_microtvm.compiler.failures import tvm_failure
from pytest_microtvm.compiler.frontends import (
    ImportedModel,
    import_model,
    imported,
    no_signatures,
)
from pytest_microtvm.compiler.frontends.torch import import_program, is_program
from pytest_microtvm.compiler.graph import ExecutorGraph, build_graph
from pytest_microtvm.compiler.limits import check_arena, check_constants, check_module
from pytest_microtvm.compiler.lowering import lower
from pytest_microtvm.compiler.naming import module_name
from pytest_microtvm.compiler.nested import lower_nested
from pytest_microtvm.compiler.options import CompileOptions, check_file_size
from pytest_microtvm.compiler.planning import MemoryPlan, plan_memory
from pytest_microtvm.compiler.program import ExternalUse, Program
from pytest_microtvm.compiler.quantized.external import load_external
from pytest_microtvm.compiler.quantized.float_groups import group_floats
from pytest_microtvm.compiler.quantized.groups import group_integers
from pytest_microtvm.compiler.quantized.kernels import kernel_tables
from pytest_microtvm.compiler.tuning.log import choices_for
from pytest_microtvm.errors import MicroTVMError, ModelError
from pytest_microtvm.model_files import weight_files

"""Larger files are refused before they are read: nothing so large fits a microcontroller."""

Progress = Callable[[str], None]


def compile_to_files(
    model: Path | Any,
    options: CompileOptions | None = None,
    progress: Progress = lambda step: None,
    constants_bytes: int | None = None,
) -> Mapping[str, bytes]:
    """Compile a model in this process.

    Args:
        model: A model file, a TVM IRModule with a Relax function `main`, or a program of
            `torch.export`.
        options: How to compile.
        progress: Called with the name of each step as it begins.
        constants_bytes: What there is for constants; None where any number of them is fine.

    Returns:
        Contents by path inside of an MLF archive; `library.write_library` writes them.

    Raises:
        ModelError: The model cannot be compiled.
        DoesNotFit: The model has more constants.
        ConfigError: There is no CPU extension of that name.
    """
    options = options or CompileOptions()
    if not isinstance(model, Path):
        progress("importing")
        name = module_name(options.name or "default_model")
        if options.signature is not None:
            raise no_signatures("a module in memory")
        if is_program(model):
            found = import_program(model, options.input_shapes)
        else:
            found = imported(model, None, None)
        return _compile(name, found, Origin(), options, progress)
    try:
        progress("importing")
        content = _read(model)
        weights = {path.name: _read(path) for path in weight_files(model)}
        found = import_model(
            model,
            content,
            options.input_shapes,
            options.signature,
            options.custom_operators,
            weights,
        )
        name = module_name(options.name or model.stem)
        origin = Origin.of_file(model.name, content, options.signature)
        check_constants(found.module, constants_bytes)
        return _compile(name, found, origin, options, progress)
    except ModelError as error:
        raise ModelError(f"{model.name}: {error.message}", cure=error.cure) from error


def _read(model: Path) -> bytes:
    try:
        check_file_size(model)
        return model.read_bytes()
    except OSError as error:
        raise ModelError(
            f"the file cannot be read: {error.strerror}", cure="check the path"
        ) from error


def _compile(
    name: str, model: ImportedModel, origin: Origin, options: CompileOptions, progress: Progress
) -> Mapping[str, bytes]:
    options.memory.check()
    external = options.external.partition("=")[0]
    if external:
        load_external(external)
    kernel_tables(options.simd)  # a wrong name is refused, also where no kernel asks for it
    choose = choices_for(options.core, options.tuning)
    check_module(model.module, model.inputs, model.outputs)
    progress("lowering")
    ir_text = model.module.script(show_meta=False)
    prefix = f"tvmgen_{name}_"
    try:
        nested = lower_nested(model.specs, options.simd, prefix, choose)
        simd = f"{options.simd}+{external}" if external else options.simd
        grouped = group_integers(
            model.module, simd, nested.specs, is_even=model.is_even, choose=choose
        )
        grouped = group_floats(grouped, simd)
        program = lower(
            grouped.module,
            model.inputs,
            model.outputs,
            prefix,
            grouped.kernels,
            model.initial_states,
        )
    except MicroTVMError:
        raise
    except Exception as error:
        raise tvm_failure("compile", error) from error
    floats = dict.fromkeys((*grouped.float_operators, *nested.float_operators))
    program.float_operators = tuple(floats)
    if floats:
        progress(f"in float32, having no integer kernel: {'; '.join(floats)}")
    program.dead_weights = grouped.dead_weights
    program.external = _external_use(program, options.external)
    progress("planning")
    plan = _plan(program, options)
    graph = build_graph(program, plan)
    progress("emitting")
    return library_files(
        name,
        program,
        plan,
        graph,
        origin=origin,
        ir_text=ir_text,
        parameters=_serialized_constants(program, graph),
    )


def _external_use(program: Program, external: str) -> ExternalUse | None:
    """What the kernels from outside need, if there are some."""
    text = "".join(kernel.body for kernel in program.kernels.values() if kernel.external)
    if not text:
        return None
    name, _, folder = external.partition("=")
    return use_of(name, folder, text)


def _plan(program: Program, options: CompileOptions) -> MemoryPlan:
    memory = options.memory
    plan = plan_memory(program, options.io_in_arena, memory.pools, memory.io_pool)
    check_arena(plan.arena_bytes)
    plan = replace(plan, constant_pools=plan_constants(program, memory.constant_pools))
    check_names(program, plan)
    return plan


def _serialized_constants(program: Program, graph: ExecutorGraph) -> bytes:
    """The constants by the names of their nodes, in TVM's own format for parameters."""
    import tvm

    return bytes(
        tvm.runtime.save_param_dict(
            {
                name: tvm.runtime.tensor(array)
                for name, array in zip(graph.constant_names, program.constants, strict=True)
            }
        )
    )
