"""A hardware-in-the-loop test harness for machine-learning models on microcontrollers.

    import pytest_microtvm as microtvm

    verdict = microtvm.check("model.tflite", board="qemu_x86")
    print(verdict.report())

What is public is in `__all__` and in docs/api.md. Importing this package costs nothing: each name
is loaded when it is first used. The pytest plugin is `pytest_microtvm.face.plugin`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pytest_microtvm.version import __version__

if TYPE_CHECKING:
    from pytest_microtvm.api.checking import Verdict, check
    from pytest_microtvm.api.device import Device
    from pytest_microtvm.api.environment import Environment
    from pytest_microtvm.api.evaluation import evaluate
    from pytest_microtvm.api.exports import export
    from pytest_microtvm.api.models import (
        compile,  # noqa: A004 (microtvm.compile)
        compile_together,
        open_libraries,
        open_library,
    )
    from pytest_microtvm.api.projects import Project, create_project, open_project
    from pytest_microtvm.api.tuning import tune
    from pytest_microtvm.boards import Board, load_boards
    from pytest_microtvm.compiler.custom import CustomCall, CustomOperator, CustomTensor
    from pytest_microtvm.compiler.pools import ConstantPoolInfo, Memory, WorkspacePoolInfo
    from pytest_microtvm.errors import (
        BuildError,
        ConfigError,
        DoesNotFit,
        FlashError,
        FloatOperatorWarning,
        LeaseError,
        MicroTVMError,
        ModelError,
        OutputMismatch,
        ProtocolError,
        TargetError,
        TransportClosed,
        TransportError,
        TransportTimeout,
    )
    from pytest_microtvm.executors import EXECUTORS
    from pytest_microtvm.exports.stm32 import CodeEmitter
    from pytest_microtvm.flow.evaluation import Evaluation
    from pytest_microtvm.flow.tuning import Tuned
    from pytest_microtvm.measure.metrics import Layer, Metric, Metrics
    from pytest_microtvm.measure.records import Record
    from pytest_microtvm.mlf.library import ModelLibrary, TensorSpec
    from pytest_microtvm.session.console import Console
    from pytest_microtvm.verify.compare import Comparison, TensorComparison
    from pytest_microtvm.verify.references import REFERENCES

__all__ = [
    "EXECUTORS",
    "REFERENCES",
    "Board",
    "BuildError",
    "CodeEmitter",
    "Comparison",
    "ConfigError",
    "Console",
    "ConstantPoolInfo",
    "CustomCall",
    "CustomOperator",
    "CustomTensor",
    "Device",
    "DoesNotFit",
    "Environment",
    "Evaluation",
    "FlashError",
    "FloatOperatorWarning",
    "Layer",
    "LeaseError",
    "Memory",
    "Metric",
    "Metrics",
    "MicroTVMError",
    "ModelError",
    "ModelLibrary",
    "OutputMismatch",
    "Project",
    "ProtocolError",
    "Record",
    "TargetError",
    "TensorComparison",
    "TensorSpec",
    "TransportClosed",
    "TransportError",
    "TransportTimeout",
    "Tuned",
    "Verdict",
    "WorkspacePoolInfo",
    "__version__",
    "check",
    "compile",
    "compile_together",
    "create_project",
    "evaluate",
    "export",
    "load_boards",
    "open_libraries",
    "open_library",
    "open_project",
    "tune",
]

_MODULES = {
    "api.checking": ("Verdict", "check"),
    "api.device": ("Device",),
    "api.environment": ("Environment",),
    "api.evaluation": ("evaluate",),
    "api.exports": ("export",),
    "api.models": ("compile", "compile_together", "open_libraries", "open_library"),
    "api.projects": ("Project", "create_project", "open_project"),
    "api.tuning": ("tune",),
    "boards": ("Board", "load_boards"),
    "compiler.custom": ("CustomCall", "CustomOperator", "CustomTensor"),
    "compiler.pools": ("ConstantPoolInfo", "Memory", "WorkspacePoolInfo"),
    "executors": ("EXECUTORS",),
    "exports.stm32": ("CodeEmitter",),
    "flow.evaluation": ("Evaluation",),
    "flow.tuning": ("Tuned",),
    "measure.metrics": ("Layer", "Metric", "Metrics"),
    "measure.records": ("Record",),
    "mlf.library": ("ModelLibrary", "TensorSpec"),
    "session.console": ("Console",),
    "verify.compare": ("Comparison", "TensorComparison"),
    "verify.references": ("REFERENCES",),
}
"""Where each public name is; all others are errors."""
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_HOMES.get(name, 'errors')}")
    value = globals()[name] = getattr(module, name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
