"""What platforms there are: each is a template, a folder with a Project API server.

They are looked for in this package, in what other packages offer, and in folders that a user names;
one found later replaces one of the same name. A platform is called what its folder is called.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigError
from ..extensions import directories_of
from .server_process import LAUNCH_SCRIPT, SERVER_FILE

ENTRY_POINT_GROUP = "pytest_microtvm.platforms"

_OWN_DIRECTORY = Path(__file__).absolute().parents[1] / "platforms"


@dataclass(frozen=True)
class Platform:
    """A platform.

    Attributes:
        name: What boards and users call it.
        directory: Its template, which holds `microtvm_api_server.py`.
    """

    name: str
    directory: Path


def load_platforms(extra_directories: Sequence[Path] = ()) -> dict[str, Platform]:
    """Find every platform: those of this package, of installed packages, of `extra_directories`.

    Another package offers platforms by an entry point of the group `pytest_microtvm.platforms`: a
    function without arguments that returns the path of a platform's folder, or of a folder of them.

    Args:
        extra_directories: Likewise.

    Returns:
        The platforms by name, sorted.

    Raises:
        ConfigError: A folder does not exist, or holds no platform.
    """
    platforms: dict[str, Platform] = {}
    for directory in (
        _OWN_DIRECTORY,
        *directories_of(ENTRY_POINT_GROUP, "platforms"),
        *extra_directories,
    ):
        for platform in _platforms_in(directory.absolute()):
            platforms[platform.name] = platform
    return dict(sorted(platforms.items()))


def find_platform(platforms: Mapping[str, Platform], name: str) -> Platform:
    """Look a platform up.

    Raises:
        ConfigError: There is no platform of that name; the message lists those there are.
    """
    if name not in platforms:
        raise ConfigError(
            f"there is no platform {name}",
            cure=f"choose from {', '.join(platforms)}, install the package that has it, or name "
            "its folder with --microtvm-platforms-dir",
        )
    return platforms[name]


def _platforms_in(directory: Path) -> Iterator[Platform]:
    """The platform that a folder is, or those that are in it."""
    if not directory.is_dir():
        raise ConfigError(
            f"the platform folder {directory} does not exist",
            cure=f"name the folder of a platform, which holds {SERVER_FILE}, or a folder of them",
        )
    found = [
        Platform(folder.name, folder)
        for folder in (directory, *sorted(directory.iterdir()))
        if any((folder / name).is_file() for name in (SERVER_FILE, LAUNCH_SCRIPT))
    ]
    if not found:
        raise ConfigError(
            f"there is no platform in {directory}",
            cure=f"name the folder of a platform, which holds {SERVER_FILE}, or a folder of them",
        )
    yield from found[:1] if found[0].directory == directory else found
