"""A firmware project that was generated and built."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pytest_microtvm.boards import Board
from pytest_microtvm.measure.counting import Counter
from pytest_microtvm.measure.elf import Image
from pytest_microtvm.mlf.library import ModelLibrary


@dataclass(frozen=True)
class Firmware:
    """A built project in the cache.

    Attributes:
        project_dir: The generated project.
        build_id: The hash of all that went into it; the device answers with the same. Empty for a
            template that builds none in.
        board: The board it is for.
        executor: "aot", "graph" or "host_driven".
        library: The MLF it runs.
        elf: The linked program with its symbols; None where the platform tells of none.
        image: Flash and RAM of the linked program; None where the template leaves none to read.
        cached: Whether nothing had to be built.
        generate_s: Seconds spent generating the project.
        build_s: Seconds spent compiling and linking it.
        counter: What counts its instructions while it runs, or why nothing does.
    """

    project_dir: Path
    build_id: str
    board: Board
    executor: str
    library: ModelLibrary
    elf: Path | None
    image: Image | None
    cached: bool
    generate_s: float
    build_s: float
    counter: Counter | str = "nothing was asked to count"

    @property
    def flashed_as(self) -> str:
        """What a board that was flashed with it is noted to run.

        The build id stands for what went into the firmware. A board that was once flashed with a
        damaged image of it would still answer with that id, so the image itself counts as well.
        """
        return self.build_id if self.image is None else f"{self.build_id}-{self.image.digest}"
