"""The plugin's options and ini keys: what a pytest run that names no board needs of them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import pytest

from pytest_microtvm.executors import EXECUTORS
from pytest_microtvm.verify.references import HOST, REFERENCES

KEPT_PROJECTS = "microtvm_projects"


PLUS = "+"
"""Before a comma list: these besides those that were named before."""


class _Later(argparse.Action):
    """Keeps the later of two comma lists, as that of `addopts` and that of the command line.

    Attributes:
        completer: What argcomplete asks for values.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.completer = complete_names

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Take one more list."""
        earlier = getattr(namespace, self.dest) or []
        setattr(
            namespace,
            self.dest,
            [*earlier, values] if str(values).startswith(PLUS) else [values],
        )


def add_options(parser: pytest.Parser) -> None:
    """Declare every option, with its ini key where a project would want to set it for good."""
    group = parser.getgroup("microtvm", "machine-learning models on microcontrollers")

    def add(name: str, help_text: str, ini: str | None = None, **kwargs: Any) -> None:
        if ini is not None:
            help_text += f" (ini: {ini})"
        group.addoption(
            f"--microtvm-{name}",
            dest=f"microtvm_{name.replace('-', '_')}",
            help=help_text,
            **kwargs,
        )

    add(
        "board",
        "run on these boards: a comma list of names, globs, tags (arch:arm, core:cortex-m4, "
        "platform:host, emulated), 'all', 'available' or 'lab'; the later of two replaces the "
        "earlier, +NAMES adds to it",
        ini="microtvm_board",
        action=_Later,
        metavar="NAMES",
    )
    add(
        "platform",
        "run the boards on these of their platforms: a comma list; without --microtvm-board, all "
        "boards that these serve. A board runs on its first platform unless this says otherwise",
        ini="microtvm_platform",
        action=_Later,
        metavar="NAMES",
    )
    add(
        "executor",
        f"run with these executors: a comma list of {', '.join(EXECUTORS)}",
        ini="microtvm_executor",
        action=_Later,
        metavar="NAMES",
    )
    add(
        "inputs",
        "take the models' inputs from this .npz file, one array per input; made up otherwise",
        ini="microtvm_inputs",
        metavar="PATH",
    )
    add(
        "input-shapes",
        "the shape of an input that a model leaves open, as name:[1,49,10,1]; what is not given is "
        "1; may be repeated",
        ini="microtvm_input_shapes",
        action="append",
        metavar="SHAPE",
    )
    add(
        "signature",
        "compile this signature of TFLite models that have several; their first subgraph otherwise",
        ini="microtvm_signature",
        metavar="NAME",
    )
    add(
        "tuning",
        "a tuning log that says how kernels are written, beside those that come with the package; "
        "or 'none' for neither",
        ini="microtvm_tuning",
        metavar="LOG",
    )
    add(
        "custom-operators",
        "a Python file with custom operators of TFLite models; may be repeated",
        ini="microtvm_custom_operators",
        action="append",
        metavar="FILE.py",
    )
    add(
        "pool",
        "a memory for the tensors of models, as name=dtcm,size=64K; a .toml file of pools; or "
        "'board' for the board's regions of RAM; may be repeated, the fastest first",
        ini="microtvm_pools",
        action="append",
        metavar="POOL",
    )
    add(
        "reference",
        "compare with the host, another executor on the same board, the model's own interpreter, "
        f"or an .npz file of outputs: {', '.join(REFERENCES)} or PATH.npz",
        ini="microtvm_reference",
        metavar="NAME",
    )
    add("build-only", "compile and build, but run nothing", action="store_true")
    add(
        "cache-dir",
        "keep what was compiled and built here",
        ini="microtvm_cache_dir",
        metavar="DIR",
    )
    add("no-cache", "compile and build everything anew, keep nothing", action="store_true")
    add(
        "keep-projects",
        f"copy each generated project to {KEPT_PROJECTS}/ below pytest's root folder",
        action="store_true",
    )
    add(
        "boards-dir",
        "find more board definitions (NAME.toml) here; may be repeated",
        ini="microtvm_boards_dir",
        action="append",
        metavar="DIR",
    )
    add(
        "platforms-dir",
        "find more platforms here: the folder of one, or of several; may be repeated",
        ini="microtvm_platforms_dir",
        action="append",
        metavar="DIR",
    )
    add("list-boards", "list the boards there are, and exit", action="store_true")
    add(
        "timeout",
        "how long opening a device, or one call to it, may take; 60 unless set",
        ini="microtvm_timeout",
        metavar="SECONDS",
    )
    add(
        "lab",
        "the real boards that are here; microtvm-lab.toml in the current folder unless named here "
        "or in MICROTVM_LAB",
        ini="microtvm_lab",
        metavar="PATH",
    )
    add(
        "lease-timeout",
        "how long to wait for a board of the lab that others use; 600 unless set",
        ini="microtvm_lease_timeout",
        metavar="SECONDS",
    )
    add(
        "no-instructions",
        "do not count instructions in emulators; models run up to 1.6 times as fast",
        action="store_true",
    )
    add(
        "no-model-check",
        "do not hold compiled models to their own interpreters (LiteRT, onnxruntime, PyTorch)",
        action="store_true",
    )
    add(
        "debug",
        "run the first model that fails on an emulated board again under gdb, on this terminal, up "
        "to the first kernel that differs",
        action="store_true",
    )
    add("layers", "show where the instructions of each model go", action="store_true")
    add(
        "baseline",
        "hold flash, RAM, arena and instructions to this file of records: growth fails",
        ini="microtvm_baseline",
        metavar="PATH",
    )
    add(
        "baseline-update",
        "write what the run measures into the file of --microtvm-baseline",
        action="store_true",
    )
    add(
        "markdown",
        "write the run as Markdown here, for a note at a merge request",
        ini="microtvm_markdown",
        metavar="PATH",
    )
    add("json", "write a record of the run here", ini="microtvm_json", metavar="PATH")
    add("html", "write a report about the run here", ini="microtvm_html", metavar="PATH")

    parser.addini("microtvm_board", "boards to run on", type="args")
    parser.addini("microtvm_platform", "platforms to run boards on", type="args")
    parser.addini("microtvm_executor", "executors to run with", type="args")
    parser.addini("microtvm_inputs", "an .npz file with the models' inputs")
    parser.addini("microtvm_input_shapes", "shapes of inputs that models leave open", type="args")
    parser.addini("microtvm_custom_operators", "files with custom operators", type="args")
    parser.addini("microtvm_signature", "the signature of models that is compiled")
    parser.addini("microtvm_tuning", "a tuning log that says how kernels are written")
    parser.addini("microtvm_pools", "memory for the tensors of models", type="linelist")
    parser.addini("microtvm_reference", "what outputs are compared with", default=HOST)
    parser.addini("microtvm_cache_dir", "where compiled and built things are kept")
    parser.addini("microtvm_cache_size_mb", "how large the cache may grow", default="2048")
    parser.addini("microtvm_boards_dir", "folders with board definitions", type="args")
    parser.addini("microtvm_platforms_dir", "folders with platforms", type="args")
    parser.addini(
        "microtvm_timeout", "seconds for opening a device, or one call to it", default="60"
    )
    parser.addini("microtvm_lab", "a file that names the real boards that are here")
    parser.addini(
        "microtvm_lease_timeout", "seconds to wait for a board that others use", default="600"
    )
    parser.addini("microtvm_baseline", "a file of records that figures are held to")
    parser.addini(
        "microtvm_limits", "how far figures may grow: NAME = 1% or NAME = 64", type="linelist"
    )
    parser.addini(
        "microtvm_budgets",
        "what model files may take: MODELS on BOARDS: NAME = NUMBER, ...",
        type="linelist",
    )
    parser.addini("microtvm_markdown", "where the run is written as Markdown")
    parser.addini("microtvm_json", "where a record of the run is written")
    parser.addini("microtvm_html", "where a report about the run is written")
    parser.addini("microtvm_rtol", "relative tolerance for floats", default="1e-5")
    parser.addini("microtvm_atol", "absolute tolerance for floats", default="1e-6")
    parser.addini("microtvm_compile_timeout", "seconds for compiling a model", default="300")
    parser.addini(
        "microtvm_compile_memory_mb", "memory that compiling a model may take", default="4096"
    )
    parser.addini(
        "microtvm_model_check",
        "hold compiled models to the models' own interpreters, where these are installed",
        type="bool",
        default=True,
    )
    parser.addini(
        "microtvm_equal_nan",
        "a NaN is right where the reference has one",
        type="bool",
        default=False,
    )


def complete_names(prefix: str, action: argparse.Action, **_more: object) -> list[str]:
    """The comma lists that a part of one may become, for completion by argcomplete.

    Args:
        prefix: The list so far; its last name is completed.
        action: The option.
    """
    before, comma, begun = prefix.rpartition(",")
    if action.dest == "microtvm_executor":
        names = list(EXECUTORS)
    else:
        from pytest_microtvm.boards import load_boards

        boards = load_boards()
        names = ["all", "available", "emulated", "lab", *boards]
        if action.dest == "microtvm_platform":
            names = sorted({name for board in boards.values() for name in board.platforms})
    plus = PLUS if not comma and begun.startswith(PLUS) else ""
    begun = begun.removeprefix(PLUS)
    return [f"{before}{comma}{plus}{name}" for name in names if name.startswith(begun)]


def asks_for_boards(config: pytest.Config) -> bool:
    """Whether an option or ini key names a board or a platform."""
    return bool(comma_list(config, "board") or comma_list(config, "platform"))


def text_of(config: pytest.Config, name: str) -> str | None:
    """The value of an option, or else of its ini key; None where neither is set."""
    value = getattr(config.option, f"microtvm_{name}", None)
    if value is None:
        value = config.getini(f"microtvm_{name}")
    return value or None


def comma_list(config: pytest.Config, name: str) -> list[str]:
    """The names in a repeatable option of comma lists, or else in its ini key; each once."""
    given, configured = (
        getattr(config.option, f"microtvm_{name}"),
        config.getini(f"microtvm_{name}"),
    )
    adds = bool(given) and given[0].startswith(PLUS)
    values = [*configured, *given] if adds else given or configured
    names = [part.strip() for value in values for part in value.removeprefix(PLUS).split(",")]
    return list(dict.fromkeys(filter(None, names)))
