"""What walks the kernels of a model: the one table of executors.

Project API servers stand alone and name the same executors themselves; a test holds them to this.
"""

from __future__ import annotations

AOT = "aot"
"""A call plan in C, on the device."""
GRAPH = "graph"
"""A graph executor in C, on the device, which reads the graph from flash."""
HOST_DRIVEN = "host_driven"
"""A graph executor on this computer, which calls the kernels on the device one by one."""

EXECUTORS = (AOT, GRAPH, HOST_DRIVEN)
ON_DEVICE = (AOT, GRAPH)
"""Those that an archive names: what it holds beside its kernels is for them."""
