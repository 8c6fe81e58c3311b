"""A library in Arduino's layout, format 1.5: what its tools know one by, and where files go."""

from __future__ import annotations

from collections.abc import Mapping

VENDOR = "pytest-microtvm"
SOURCES = "src"
"""The folder that holds all that is compiled, and that programs include headers from."""
_RUNTIME = "runtime"


def arduino_library_files(
    name: str,
    version: str,
    sentence: str,
    header: str,
    headers: Mapping[str, bytes],
    sources: Mapping[str, bytes],
    runtime_sources: Mapping[str, bytes],
) -> dict[str, bytes]:
    """The files of a library with a model.

    Args:
        name: What it is called.
        version: As 1.2.3.
        sentence: One line about it.
        header: The model's; it is in the topmost folder, where Arduino's tools look for what a
            sketch includes.
        headers: By their path as programs include them.
        sources: The model's, by file name.
        runtime_sources: Of the runtime, by file name.

    Returns:
        Contents by path below the library's folder.
    """
    properties = {
        "name": name,
        "version": version,
        "author": VENDOR,
        "maintainer": VENDOR,
        "sentence": sentence,
        "paragraph": "Inputs, outputs, scales and memory are told by the comments of its header.",
        "category": "Data Processing",
        "url": "",
        "architectures": "*",
        "includes": header,
        # An archive for the linker: of the runtime that two libraries bring, one is taken.
        "dot_a_linkage": "true",
    }
    text = "".join(f"{key}={value}\n" for key, value in properties.items())
    return {
        "library.properties": text.encode(),
        "keywords.txt": f"{header.removesuffix('.h')}_run\tKEYWORD2\n".encode(),
        **{f"{SOURCES}/{path}": content for path, content in headers.items()},
        **{f"{SOURCES}/{path}": content for path, content in sources.items()},
        **{f"{SOURCES}/{_RUNTIME}/{path}": each for path, each in runtime_sources.items()},
    }
