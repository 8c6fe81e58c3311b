"""What kinds of firmware a project may be, and what each of them takes beside the common files."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from .errors import OptionError

HOST_DRIVEN = "host_driven"
STANDALONE = "standalone"
MLPERF_TINY = "mlperftiny"
ALIASES = {"aot_standalone_demo": STANDALONE, "example_project": STANDALONE}
"""What TVM's templates called them."""

PROJECT_TYPES = (HOST_DRIVEN, STANDALONE, *ALIASES, MLPERF_TINY)
BENCHMARKS = ("auto", "ic01", "kws01", "vww01", "ad01")
MODES = ("performance", "accuracy", "energy")

_AOT = "aot"
_HOST_DRIVES = "host_driven"  # also the name of an executor


def type_of(options: Mapping[str, Any]) -> str:
    """The project type that the options of `generate_project` ask for, no alias."""
    given = options.get("project_type") or HOST_DRIVEN
    return str(ALIASES.get(given, given))


class ProjectKind(NamedTuple):
    """What the options of `generate_project` say about the kind of project.

    Attributes:
        name: A project type, no alias.
        benchmark: The benchmark of MLPerf Tiny; "auto" to tell it from the model.
        mode: The benchmark's mode.
    """

    name: str = HOST_DRIVEN
    benchmark: str = "auto"
    mode: str = "performance"

    @classmethod
    def of(cls, options: Mapping[str, Any], executor: str) -> ProjectKind:
        """Read the options.

        Raises:
            OptionError: They contradict each other.
        """
        given, name = options.get("project_type") or HOST_DRIVEN, type_of(options)
        benchmark = options.get("benchmark") or "auto"
        mode = options.get("benchmark_mode") or "performance"
        if name not in PROJECT_TYPES:
            raise OptionError(
                f"there is no project type {given}", cure=f"choose from {', '.join(PROJECT_TYPES)}"
            )
        if name != MLPERF_TINY and (benchmark, mode) != ("auto", "performance"):
            raise OptionError(
                f"benchmark and benchmark_mode mean nothing to a project of type {given}",
                cure=f"leave them out, or choose project_type={MLPERF_TINY}",
            )
        if name == STANDALONE and executor != _AOT:
            raise OptionError(
                f"a project of type {given} calls the model itself, not by the executor {executor}",
                cure="leave the executor out",
            )
        if name == MLPERF_TINY and executor == _HOST_DRIVES:
            raise OptionError(
                f"a project of type {given} runs without the host that executor {executor} needs",
                cure="choose the executor aot or graph",
            )
        return cls(name, benchmark, mode)

    def values(self, archive: pathlib.Path) -> dict[str, str]:
        """Macros for microtvm_project.h.

        Raises:
            ProjectError: The model does not fit the benchmark.
        """
        if self.name != MLPERF_TINY:
            return {}
        from .interface import ModelInterface
        from .mlperf_tiny import benchmark_values

        return benchmark_values(
            ModelInterface.read(archive), self.benchmark, is_energy=self.mode == "energy"
        )

    def sources(self, archive: pathlib.Path, runtime: pathlib.Path) -> dict[str, str]:
        """Sources in place of, and beside, those of the template: file name to text.

        Args:
            archive: The model.
            runtime: The runtime's folder.

        Raises:
            ProjectError: The model cannot be used without the runtime.
        """
        if self.name == HOST_DRIVEN:
            return {}
        folder = runtime / "projects"
        files = {"console_text.c": (folder / "console.c").read_text(encoding="utf-8")}
        if self.name == MLPERF_TINY:
            files["main.c"] = (folder / "mlperftiny.c").read_text(encoding="utf-8")
        else:
            from .interface import ModelInterface
            from .standalone import main_source

            files["main.c"] = main_source(ModelInterface.read(archive))
        return files
